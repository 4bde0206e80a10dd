import dataclasses
import json

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from tallystick.errors import ReceiptFormatError
from tallystick.hashing import keccak256
from tallystick.ids import Address, LogId, checksum_address, to_hex
from tallystick.receipts.messages import (
    AdmissionReceipt,
    Domain,
    Erasure,
    HeadStatement,
    Receipt,
    SenderRequest,
    bundle_digest,
    message_digest,
    sender_request,
)
from tallystick.receipts.signed import (
    SignedAdmission,
    SignedErasure,
    SignedHead,
    SignedReceipt,
    sender_request_signer,
    sign_sender_request,
    signer,
)
from tallystick.record import HttpExchange, Request, SenderSignature
from tests.support.vectors.cast import DOMAIN, LOG_ID, SENDER, WRITER, flipped

RECEIPT = Receipt(
    log_id=LOG_ID,
    index=40,
    admission_seq=43,
    leaf=keccak256(b"leaf"),
    request_hash=keccak256(b"request"),
    response_hash=keccak256(b"response"),
    sender=SENDER.address,
    issued_at=1_763_700_001,
    anchor_by=1_763_703_601,
)
ADMISSION = AdmissionReceipt(
    log_id=LOG_ID,
    admission_seq=43,
    sender_seq=7,
    request_hash=keccak256(b"request"),
    sender=SENDER.address,
    admitted_at=1_763_700_000,
    record_by=1_763_703_600,
)
HEAD = HeadStatement(log_id=LOG_ID, entries=12, size=41, head=keccak256(b"head"), time=1_763_700_002)
ERASURE = Erasure(log_id=LOG_ID, index=40, leaf=keccak256(b"leaf"), erased_at=1_763_800_000)
REQUEST = SenderRequest(
    log_id=LOG_ID,
    method="POST",
    target="/v1/chat/completions?a=\u00e9",
    content_type="application/json",
    body_hash=keccak256(b"{}"),
    nonce=keccak256(b"nonce"),
    deadline=1_763_700_600,
)
TYPES = {
    "Receipt": "bytes32 logId,uint64 index,uint64 admissionSeq,bytes32 leaf,bytes32 requestHash,bytes32 responseHash,address sender,"
    "uint64 issuedAt,uint64 anchorBy",
    "Admission": "bytes32 logId,uint64 admissionSeq,uint64 senderSeq,bytes32 requestHash,address sender,uint64 admittedAt,uint64 recordBy",
    "Head": "bytes32 logId,uint64 entries,uint64 size,bytes32 head,uint64 time",
    "Erasure": "bytes32 logId,uint64 index,bytes32 leaf,uint64 erasedAt",
    "Bundle": "bytes32 contentHash",
    "Request": "bytes32 logId,string method,string target,string contentType,bytes32 bodyHash,bytes32 nonce,uint64 deadline",
}
MESSAGES = [
    ("Receipt", RECEIPT),
    ("Admission", ADMISSION),
    ("Head", HEAD),
    ("Erasure", ERASURE),
    ("Request", REQUEST),
]
SIGNED = [
    (SignedReceipt.sign(WRITER, DOMAIN, RECEIPT), SignedReceipt),
    (SignedAdmission.sign(WRITER, DOMAIN, ADMISSION), SignedAdmission),
    (SignedHead.sign(WRITER, DOMAIN, HEAD), SignedHead),
    (SignedErasure.sign(WRITER, DOMAIN, ERASURE), SignedErasure),
]
MEMBERS = [
    pytest.param(kind, message, field.name, id=f"{kind} {field.name}")
    for kind, message in MESSAGES
    for field in dataclasses.fields(message)
]


def typed(kind: str, domain: Domain, message: dict[str, object]) -> object:
    """What eth-account makes of one of our structs."""
    members = [dict(zip(("type", "name"), part.split(), strict=True)) for part in TYPES[kind].split(",")]
    return encode_typed_data(
        {
            "name": "Tallystick",
            "version": "2",
            "chainId": domain.chain_id,
            "verifyingContract": checksum_address(domain.contract),
        },
        {kind: members},
        message,
    )


def camel(value: object) -> dict[str, object]:
    def name(field: str) -> str:
        first, *rest = field.split("_")
        return first + "".join(part.capitalize() for part in rest)

    return {name(field.name): getattr(value, field.name) for field in dataclasses.fields(value)}


def digest_of(signable: object) -> bytes:
    return keccak256(b"\x19" + signable.version + signable.header + signable.body)


def at_extreme(message: object, number: int, byte: bytes, text: str) -> object:
    def extreme(value: object) -> object:
        if isinstance(value, int):
            return number
        return text if isinstance(value, str) else byte * len(value)

    changes = {field.name: extreme(getattr(message, field.name)) for field in dataclasses.fields(message)}
    return dataclasses.replace(message, **changes)


@pytest.mark.parametrize(("kind", "message"), MESSAGES, ids=lambda value: value if isinstance(value, str) else "")
def test_each_digest_is_eth_accounts(kind, message):
    farthest = Domain(chain_id=2**64 - 1, contract=Address(b"\xff" * 20))
    nearest = Domain(chain_id=0, contract=Address(bytes(20)))
    highest, lowest = at_extreme(message, 2**64 - 1, b"\xff", "\U0001f33f" * 99), at_extreme(message, 0, b"\x00", "")
    for domain, one in ((DOMAIN, message), (farthest, highest), (nearest, lowest)):
        assert message_digest(domain, one) == digest_of(typed(kind, domain, camel(one)))


def test_a_bundles_digest_is_eth_accounts():
    content = keccak256(b"content")
    assert bundle_digest(DOMAIN, content) == digest_of(typed("Bundle", DOMAIN, {"contentHash": content}))


@pytest.mark.parametrize(("signed", "kind"), SIGNED, ids=lambda value: getattr(value, "MEMBER", ""))
def test_signatures_are_eth_accounts(signed, kind):
    message = getattr(signed, kind.MEMBER)
    expected = Account.sign_message(typed(kind.MEMBER.capitalize(), DOMAIN, camel(message)), WRITER.secret).signature
    assert signed.signature == expected
    assert signer(signed) == WRITER.address


def other(value: object) -> object:
    if isinstance(value, int):
        return value + 1
    return value + "x" if isinstance(value, str) else flipped(value, 3)


@pytest.mark.parametrize(("kind", "message", "field"), MEMBERS)
def test_each_member_is_signed(kind, message, field):
    changed = dataclasses.replace(message, **{field: other(getattr(message, field))})
    assert message_digest(DOMAIN, changed) != message_digest(DOMAIN, message)


@pytest.mark.parametrize(
    "domain", [dataclasses.replace(DOMAIN, chain_id=1), dataclasses.replace(DOMAIN, contract=Address(bytes(20)))]
)
@pytest.mark.parametrize(("signed", "kind"), SIGNED, ids=lambda value: getattr(value, "MEMBER", ""))
def test_a_signature_is_worth_nothing_on_another_chain_or_contract(signed, kind, domain):
    assert signer(dataclasses.replace(signed, domain=domain)) != WRITER.address


@pytest.mark.parametrize(("signed", "kind"), SIGNED, ids=lambda value: getattr(value, "MEMBER", ""))
def test_a_message_is_read_back_from_its_json(signed, kind):
    assert kind.from_json(json.loads(json.dumps(signed.to_json()))) == signed


@pytest.mark.parametrize(("signed", "kind"), SIGNED, ids=lambda value: getattr(value, "MEMBER", ""))
def test_the_json_has_the_members_of_the_specification_in_its_order(signed, kind):
    shown = signed.to_json()
    assert list(shown) == ["domain", kind.MEMBER, "signature", "signer"]
    members = [part.split()[1] for part in TYPES[kind.MEMBER.capitalize()].split(",")]
    assert list(camel(getattr(signed, kind.MEMBER))) == members
    assert list(shown[kind.MEMBER]) == [field.name for field in dataclasses.fields(getattr(signed, kind.MEMBER))]
    assert shown["domain"] == {"chain_id": DOMAIN.chain_id, "contract": checksum_address(DOMAIN.contract)}
    assert shown["signer"] == checksum_address(WRITER.address)


@pytest.mark.parametrize(
    "data", [None, [], "receipt", {}, {"receipt": {}}, {"receipt": None, "domain": {}, "signature": "", "signer": ""}]
)
def test_something_else_than_a_message_is_refused(data):
    for _, kind in SIGNED:
        with pytest.raises(ReceiptFormatError):
            kind.from_json(data)


@pytest.mark.parametrize(("signed", "kind"), SIGNED, ids=lambda value: getattr(value, "MEMBER", ""))
def test_no_message_passes_for_one_of_another_kind(signed, kind):
    for _, other_kind in SIGNED:
        if other_kind is not kind:
            with pytest.raises(ReceiptFormatError):
                other_kind.from_json(signed.to_json())


def test_the_largest_integer_of_json_is_read_and_the_next_is_not():
    largest = SignedHead.sign(WRITER, DOMAIN, dataclasses.replace(HEAD, size=2**53 - 1))
    assert SignedHead.from_json(largest.to_json()) == largest
    with pytest.raises(ReceiptFormatError, match="size"):
        SignedHead.from_json(SignedHead.sign(WRITER, DOMAIN, dataclasses.replace(HEAD, size=2**53)).to_json())


def test_a_fault_is_told_without_repeating_what_a_stranger_wrote_at_length():
    shown = SIGNED[0][0].to_json() | {"x" * 10_000: 1}
    with pytest.raises(ReceiptFormatError) as caught:
        SignedReceipt.from_json(shown)
    assert len(str(caught.value)) < 400


def test_a_changed_copy_does_not_name_the_signer_of_the_first():
    signed = SignedReceipt.sign(WRITER, DOMAIN, RECEIPT)
    changed = dataclasses.replace(signed, receipt=dataclasses.replace(RECEIPT, index=41))
    assert signed.to_json()["signer"] == checksum_address(WRITER.address)
    assert changed.to_json()["signer"] == checksum_address(signer(changed)) != signed.to_json()["signer"]


def test_what_is_known_of_the_signer_makes_no_difference_to_equality():
    signed = SignedReceipt.sign(WRITER, DOMAIN, RECEIPT)
    again = SignedReceipt(receipt=RECEIPT, domain=DOMAIN, signature=signed.signature)
    assert again == signed
    assert again.to_json() == signed.to_json()


def test_a_sender_signs_what_stands_in_the_record():
    http = HttpExchange(method="POST", path="/v1/chat/completions", streamed=False)
    recorded = Request(reader="chat/openai/1", target=REQUEST.target, content_type=None, body=b"{}", salt=bytes(16))
    asked = dataclasses.replace(REQUEST, content_type="")
    signature = sign_sender_request(SENDER, DOMAIN, asked)
    proof = SenderSignature(nonce=REQUEST.nonce, deadline=REQUEST.deadline, signature=signature)
    assert sender_request(LOG_ID, http, recorded, proof) == asked
    assert sender_request_signer(DOMAIN, asked, signature) == SENDER.address
    another = sender_request(LogId(bytes(32)), http, recorded, proof)
    assert sender_request_signer(DOMAIN, another, signature) != SENDER.address


def test_hashes_and_signatures_are_written_in_lower_case():
    shown = SIGNED[0][0].to_json()
    assert shown["signature"] == to_hex(SIGNED[0][0].signature) == str(shown["signature"]).lower()


@pytest.mark.parametrize("member", ["signature", "signer"])
@pytest.mark.parametrize("value", [1, None, ["0x"], "", "0x", "0xzz"])
def test_what_is_no_hex_is_refused_by_its_member(member, value):
    with pytest.raises(ReceiptFormatError) as caught:
        SignedReceipt.from_json(SIGNED[0][0].to_json() | {member: value})
    assert caught.value.field == member
