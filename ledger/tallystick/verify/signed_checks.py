"""What was signed alone (a receipt, an admission, a head, an erasure), and answers that a client saved: `verify_signed`, `verify_answer`.

Offline there is little that one signed message can contradict. It can be held against the log with a node: `verify_log` takes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tallystick import errors
from tallystick.errors import Party
from tallystick.evidence_files import SavedAnswer, request_hash_sent, response_hash_received
from tallystick.ids import Address, to_hex
from tallystick.receipts.signed import SignedAdmission, SignedReceipt, signer
from tallystick.verify.promise_checks import Message, check_pairs, require_same_log
from tallystick.verify.tally import Tally
from tallystick.verify.verdict import LEDGER_STEPS, BundleSubject, Gap, Step, Verdict
from tallystick.verify.vouching import Vouch, gap_of

OFFLINE: Final = "not held against the log: no chain node was asked"
NOT_HELD: Final = Gap(
    "not held against the log: what it promises was not looked for",
    "--rpc, with --contract and --log or --trust NAME: is it in the log as it says?",
)
BROKEN_OFF: Final = Gap(
    "of a stream that broke off: what came cannot be compared as a whole",
    "the record's bundle from the service shows whether what came is a beginning of its answer",
)
SALT_REMEDY: Final = "the answer as it came: its X-Tallystick-Request-Salt, or the request_salt beside the receipt"
OTHER_REQUEST: Final = "that is not what {} was signed for: its hash is {}, and that of these bytes {}"
OTHER_REQUEST_REMEDY: Final = (
    "the request byte for byte as it was sent, with its --request-target and --request-type; if these are it, "
    "the service signed for another request than yours, and you alone know it"
)
SECRET_ABSENT: Final = "not compared: the answer holds no record secret"  # noqa: S105 - a sentence
NO_TEXT: Final = "not compared: the file holds no answer in a form that this release compares"


def verify_signed(messages: Sequence[Message], vouch: Vouch | None = None) -> Verdict:
    """Check signed messages about one log by themselves and against each other.

    Raises: ReceiptFormatError if they are about different logs.
    """
    tally = Tally()
    first = messages[0]
    for signed in messages[1:]:
        require_same_log(signed, first.domain, first.message.log_id)
    who = _check_signatures(tally, messages, vouch)
    tally.block(Step.RECEIPTS, NOT_HELD)
    return _verdict(tally, first, who, vouch)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentRequest:
    """What a client sent: `target` is path and query, `body` before any content coding."""

    method: str
    target: str
    content_type: str | None
    body: bytes = field(repr=False)


def verify_answer(
    answer: SavedAnswer,
    vouch: Vouch | None = None,
    *,
    sent: SentRequest | None = None,
    held_against_log: bool = False,
) -> Verdict | None:
    """Check a saved answer by what came with it, and by what was sent; None if nothing signed came with it.

    With `held_against_log` somebody else looks into the log for what was promised.
    """
    messages = [one for one in (answer.receipt, answer.admission) if one is not None]
    if not messages:
        return None
    tally = Tally()
    for signed in messages[1:]:
        require_same_log(signed, messages[0].domain, messages[0].message.log_id)
    who = _check_signatures(tally, messages, vouch)
    if not held_against_log:
        tally.block(Step.RECEIPTS, NOT_HELD)
    if sent is not None:
        _check_request(tally, answer, sent)
    _check_response(tally, answer)
    return _verdict(tally, messages[0], who, vouch)


def _check_signatures(tally: Tally, messages: Sequence[Message], vouch: Vouch | None) -> Address | None:
    by_signer: dict[Address, list[Message]] = {}
    for signed in messages:
        try:
            by_signer.setdefault(signer(signed), []).append(signed)
        except errors.SignatureError as error:
            tally.fail(errors.ReceiptsError("the signature", "one that leads to an address", error.reason, Party.MAKER))
    # 6 authorship
    gaps = [gap for who in by_signer if (gap := gap_of(vouch, None, who)) is not None]
    if gaps:
        tally.block(Step.AUTHORSHIP, gaps[0], 0)
        tally.writer_is = Party.SIGNER
    elif by_signer:
        tally.held[Step.AUTHORSHIP] += 1
    # 8 receipts, against what the same key signed
    failed = tally.failed(Step.RECEIPTS)
    for by_one in by_signer.values():
        receipts = [one for one in by_one if isinstance(one, SignedReceipt)]
        check_pairs(tally, receipts, [one for one in by_one if isinstance(one, SignedAdmission)])
    if tally.failed(Step.RECEIPTS) == failed:
        tally.held[Step.RECEIPTS] += len(messages)
    return next(iter(by_signer), None)


def _check_request(tally: Tally, answer: SavedAnswer, sent: SentRequest) -> None:
    # 12 request-binding: what was sent is what receipt and admission were signed for
    try:
        found = request_hash_sent(answer, sent.method, sent.target, sent.content_type, sent.body)
    except errors.AnswerError as error:
        tally.block(Step.REQUEST_BINDING, Gap(f"not compared: {error}", SALT_REMEDY))
        return
    signed = [("the receipt", answer.receipt.receipt.request_hash)] if answer.receipt is not None else []
    if answer.admission is not None:
        signed.append(("the admission", answer.admission.admission.request_hash))
    for what, expected in signed:
        if found == expected:
            tally.held[Step.REQUEST_BINDING] += 1
        else:  # the bytes are the word of whoever gives them: only he knows that these were sent
            text = OTHER_REQUEST.format(what, to_hex(expected), to_hex(found))
            tally.block(Step.REQUEST_BINDING, Gap(text, OTHER_REQUEST_REMEDY))


def _check_response(tally: Tally, answer: SavedAnswer) -> None:
    # 13 response-binding: what came is what the receipt was signed for
    receipt, received = answer.receipt, answer.received
    if receipt is None or answer.record_secret is None:
        tally.skip(Step.RESPONSE_BINDING, SECRET_ABSENT)
        return
    if received is None:
        tally.skip(Step.RESPONSE_BINDING, NO_TEXT)
        return
    if not received.whole:
        tally.block(Step.RESPONSE_BINDING, BROKEN_OFF)
        return
    expected = f"an answer with the signed hash {to_hex(receipt.receipt.response_hash)}"
    where = f"the saved answer of record {receipt.receipt.index}"
    try:
        found = response_hash_received(answer)
    except errors.AnswerError as error:
        tally.fail(errors.ResponseBindingError(where, expected, str(error), Party.ANSWERER))
        return
    if found == receipt.receipt.response_hash:
        tally.held[Step.RESPONSE_BINDING] += 1
    else:
        tally.fail(errors.ResponseBindingError(where, expected, f"one with the hash {to_hex(found)}", Party.ANSWERER))


def _verdict(tally: Tally, signed: Message, who: Address | None, vouch: Vouch | None) -> Verdict:
    for step in LEDGER_STEPS:
        if not tally.held[step] and not tally.is_blocked(step) and not tally.failed(step):
            tally.skip(step, OFFLINE)
    subject = BundleSubject(
        kind=signed.MEMBER,
        chain_id=signed.domain.chain_id,
        contract=signed.domain.contract,
        log_id=signed.message.log_id,
        index=getattr(signed.message, "index", None),
        signer=who,
        vouched=None if vouch is None or tally.is_blocked(Step.AUTHORSHIP) else vouch.how,
        disclosed=(),
        opened=False,
        head_block=None,
    )
    return tally.verdict(subject, grounded=False)
