"""Logs by a writer with the real key, honest but for what a test changes."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

from tallystick.heads import LogTerms
from tallystick.ids import Address
from tallystick.keys import Wallet
from tallystick.receipts.messages import Domain, sender_request
from tallystick.receipts.signed import sign_sender_request
from tallystick.record import Instructions, Record, Request, Response, Sender, SenderSignature
from tallystick.sealing import SealedBlob
from tallystick.tasks import chat_output, read
from tests.support.largest_record import noise
from tests.support.synthetic_log import ALICE, BOB, CHAIN_ID, CONTRACT, GRACE_S, TERMS, SyntheticLog

SENDER = Wallet(b"\x0a" * 32)
"""A sender with a key, who can sign requests."""


def begun(*, terms: LogTerms = TERMS) -> SyntheticLog:
    """A log with one epoch and two honest records, in which nothing is wrong yet."""
    log = SyntheticLog(terms=terms)
    log.open_epoch()
    log.append([log.request(ALICE), log.request(BOB)])
    return log


def pass_the_promise(log: SyntheticLog) -> None:
    """Let so much time pass that everything which was promised is due."""
    log.idle(GRACE_S + 60)


def asking(record: Record, question: str, **members: Any) -> Record:
    """The record of the same request with another question, and other members of its body: all that follows from the body changes too."""
    request = record.request
    assert isinstance(request, Request)
    assert isinstance(record.instructions, Instructions)
    body = json.loads(request.body)
    body |= {"messages": [{"role": "user", "content": question}], **members}
    changed = replace(request, body=json.dumps(body).encode())
    reading = read(request.reader, record.http.method, request.target, request.content_type, changed.body)
    return replace(
        record,
        request=changed,
        prompt=reading.prompt,
        parameters={"top_p": 1.0, **reading.asked},
        instructions=replace(record.instructions, system=reading.system),
    )


def answering(record: Record, text: str) -> Record:
    """The record with another answer."""
    return replace(record, response=Response(outputs=(chat_output(text, "stop"),)))


def signed_by_its_sender(log: SyntheticLog, record: Record, *, nonce: bytes = b"\x05" * 32) -> Record:
    """The record as one whose sender signed the request."""
    deadline = record.time.admitted_at // 1_000_000 + 60
    draft = SenderSignature(nonce=nonce, deadline=deadline, signature=bytes(65))
    assert isinstance(record.request, Request)
    domain = Domain(chain_id=CHAIN_ID, contract=CONTRACT)
    asked = sender_request(log.log_id, record.http, record.request, draft)
    signature = replace(draft, signature=sign_sender_request(SENDER, domain, asked))
    return replace(record, sender=Sender(address=SENDER.address, proof="signature", token_id=None, signature=signature))


def of_sender(record: Record, address: Address, sender_seq: int) -> Record:
    """The record as if somebody else had asked."""
    return replace(record, sender=replace(record.sender, address=address), sender_seq=sender_seq)


def append_with_blobs(log: SyntheticLog) -> list[SealedBlob]:
    """Append a record whose question is so large that it moves to blobs; gives these."""
    question = base64.b85encode(noise(200_000, "question")).decode()
    (sealed,) = log.append([asking(log.request(), question)])
    return list(sealed.blobs)
