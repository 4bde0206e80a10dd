"""Who and what the test vectors are about: fixed keys, one log, and its records. Everything else follows from these."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

from tallystick.hashing import keccak256
from tallystick.heads import MODE_APPEND, LogTerms, derive_log_id
from tallystick.ids import Address, RecordId
from tallystick.keys import AuditorKey, EpochKey, Wallet
from tallystick.receipts.messages import Domain, sender_request
from tallystick.receipts.signed import sign_sender_request
from tallystick.record import (
    Gpu,
    HttpExchange,
    Instructions,
    Model,
    Output,
    Price,
    ProofOfCompute,
    Provider,
    Record,
    RecordFault,
    RecordTime,
    Request,
    Response,
    Sender,
    SenderSignature,
    State,
    charged,
)

WRITER = Wallet(keccak256(b"tallystick vector: writer"))
SENDER = Wallet(keccak256(b"tallystick vector: sender"))
KEEPER = Wallet(keccak256(b"tallystick vector: keeper"))
DOMAIN = Domain(chain_id=73_571, contract=Address(keccak256(b"tallystick vector: contract")[:20]))
TERMS = LogTerms(
    creator=WRITER.address,
    salt=keccak256(b"tallystick vector: salt"),
    writer=WRITER.address,
    keeper=KEEPER.address,
    format=2,
    mode=MODE_APPEND,
    promise=86_400,
    skew=300,
)
LOG_ID = derive_log_id(DOMAIN.chain_id, DOMAIN.contract, TERMS)
EPOCH_KEY = EpochKey(LOG_ID, 3, keccak256(b"tallystick vector: epoch"))
AUDITOR = AuditorKey(keccak256(b"tallystick vector: x-wing seed"))
VAULT = keccak256(b"tallystick vector: vault")
ADMITTED_AT = 1_763_700_000_000_000
BODY = (
    b'{"model":"smollm2-135m-instruct","messages":[{"role":"system","content":"Be brief."},'
    b'{"role":"user","content":"What is a tally stick? \xc3\xa9\xe4\xb8\xad\xf0\x9f\x8c\xbf"}],"max_tokens":60,"seed":11,"stop":["\\n\\n"],'
    b'"stream":true,"temperature":0.7,"top_k":50,"top_p":0.95}'
)
ANSWER = "A tally stick records a debt: it was split, and each side kept half."


def stream(seed: str) -> Callable[[int], bytes]:
    """A repeatable stream of bytes in place of randomness."""
    drawn = 0

    def draw(size: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return hashlib.shake_256(f"tallystick vector: {seed} {drawn}".encode()).digest(size)

    return draw


def said(text: str) -> Output:
    """What a chat answers: one message of the assistant."""
    content = {"role": "assistant", "content": text, "tool_calls": []}
    return Output(kind="message", content=content, finish_reason="stop")


def flipped(data: bytes, at: int) -> bytes:
    """The bytes with one bit changed."""
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def _record_id(number: int) -> RecordId:
    return RecordId((ADMITTED_AT // 1000).to_bytes(6, "big") + bytes.fromhex("7abc8def0123456789") + bytes((number,)))


def whole_record() -> Record:
    """A chat request with every field set."""
    return Record(
        id=_record_id(1),
        admission_seq=43,
        sender_seq=7,
        task="chat",
        state=State.COMPLETED,
        error=None,
        time=RecordTime(admitted_at=ADMITTED_AT, started_at=ADMITTED_AT + 4_000, finished_at=ADMITTED_AT + 904_000),
        http=HttpExchange(method="POST", path="/v1/chat/completions", streamed=True),
        request=Request(
            reader="chat/openai/1",
            target="/v1/chat/completions",
            content_type="application/json",
            body=BODY,
            salt=keccak256(b"tallystick vector: request salt")[:16],
        ),
        gpu=Gpu(
            kind="gpu",
            name="NVIDIA H200",
            uuid="GPU-00000000-0000-0000-0000-000000000001",
            count=1,
            memory_bytes=150_754_820_096,
            driver="570.86.15",
        ),
        provider=Provider(id="local", name="Local provider", address=WRITER.address),
        price=charged(Price(currency="USD", per_hour_micros=3_500_000, device_time_us=900_000, charge_micros=0), None),
        model=Model(
            id="smollm2-135m-instruct",
            version="1",
            weights_digest=keccak256(b"weights"),
            engine="tallystick-audit",
            engine_version="1",
            dtype="float32",
            quantisation="Q4_1, dequantised",
            device="cuda",
        ),
        parameters={"temperature": 0.7, "top_p": 0.95, "top_k": 50, "max_tokens": 60, "seed": 11, "stop": ["\n\n"]},
        prompt={
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "What is a tally stick? \u00e9\u4e2d\U0001f33f"},
            ]
        },
        instructions=Instructions(system="Be brief.", chat_template=None, chat_template_digest=keccak256(b"template")),
        response=Response(outputs=(said(ANSWER),)),
        usage={"input_tokens": 31, "output_tokens": 18},
        sender=Sender(address=SENDER.address, proof="token", token_id="vector", signature=None),
        proof_of_compute=ProofOfCompute(class_="reproducible", toploc=None),
    )


def bare_record() -> Record:
    """A request that the process did not outlive: everything that may be null is."""
    record = whole_record()
    return replace(
        record,
        id=_record_id(2),
        admission_seq=44,
        sender_seq=8,
        state=State.INTERRUPTED,
        error=RecordFault(code="interrupted", message="The process ended before the record was committed."),
        time=replace(record.time, started_at=None),
        http=replace(record.http, streamed=False),
        gpu=None,
        provider=None,
        price=None,
        model=None,
        parameters={},
        request=None,
        prompt=None,
        instructions=None,
        response=None,
        usage=None,
        proof_of_compute=None,
    )


def signed_record() -> Record:
    """A request that its sender signed, at a price for tokens, answered by a call of a tool."""
    record = whole_record()
    request = record.request
    assert isinstance(request, Request)
    unsigned = SenderSignature(nonce=keccak256(b"tallystick vector: nonce"), deadline=1_763_700_600, signature=b"")
    asked = sender_request(LOG_ID, record.http, request, unsigned)
    signature = replace(unsigned, signature=sign_sender_request(SENDER, DOMAIN, asked))
    call = {"id": "call_1", "name": "look_up", "arguments": '{"word": "tally"}'}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    price = Price(
        basis="tokens",
        currency="USD",
        per_hour_micros=3_500_000,
        device_time_us=900_000,
        rates={"input_tokens": 150_000, "output_tokens": 600_000},
        charge_micros=0,
    )
    return replace(
        record,
        id=_record_id(3),
        admission_seq=45,
        sender_seq=9,
        price=charged(price, record.usage),
        response=Response(outputs=(Output(kind="message", content=message, finish_reason="tool_calls"),)),
        sender=Sender(address=SENDER.address, proof="signature", token_id=None, signature=signature),
    )


def accepted_record() -> Record:
    """Work that was taken on, to be done within an hour."""
    record = whole_record()
    return replace(
        record,
        id=_record_id(4),
        admission_seq=46,
        sender_seq=10,
        task="export",
        state=State.ACCEPTED,
        time=RecordTime(
            admitted_at=ADMITTED_AT,
            started_at=None,
            finished_at=ADMITTED_AT + 1_000,
            due_by=ADMITTED_AT + 3_600_000_000,
        ),
        http=HttpExchange(method="POST", path="/v1/models/smollm2-135m-instruct/exports", streamed=False),
        request=Request(
            reader="export/tallystick/1",
            target="/v1/models/smollm2-135m-instruct/exports",
            content_type="application/json",
            body=b'{"format":"gguf"}',
            salt=keccak256(b"tallystick vector: export salt")[:16],
        ),
        gpu=None,
        price=None,
        parameters={"format": "gguf"},
        prompt=None,
        instructions=None,
        response=None,
        usage=None,
        proof_of_compute=None,
    )


def ending_record() -> Record:
    """The end of that work, at the price that was quoted."""
    accepted = accepted_record()
    price = Price(
        basis="fixed",
        currency="USD",
        per_hour_micros=0,
        device_time_us=0,
        rates={"request": 20_000},
        charge_micros=0,
    )
    digest = keccak256(b"tallystick vector: manifest")
    output = Output(kind="document", content={"files": 12, "manifest_digest": digest})
    return replace(
        accepted,
        id=_record_id(5),
        admission_seq=47,
        sender_seq=11,
        state=State.COMPLETED,
        time=RecordTime(admitted_at=ADMITTED_AT, started_at=None, finished_at=ADMITTED_AT + 90_000_000),
        price=charged(price, None),
        response=Response(outputs=(output,)),
        follows=accepted.id,
    )


def every_output() -> tuple[Output, ...]:
    """One output of each kind."""
    digest = keccak256(b"tallystick vector: image")
    tokens = [{"token": "A", "logprob": -0.25, "top": [{"token": "The", "logprob": -1.5}]}]
    call = {"id": "", "name": "look_up", "arguments": "{}"}
    return (
        Output(kind="text", content="", finish_reason="length", logprobs={"content": tokens}),
        Output(
            kind="message", content={"role": "assistant", "content": "Yes.", "tool_calls": []}, finish_reason="stop"
        ),
        Output(kind="message", content={"role": "assistant", "content": None, "tool_calls": [call]}),
        Output(kind="vector", content=bytes.fromhex("0000803f000000c0")),
        Output(kind="labels", content=[{"label": "calm", "score": 0.75}, {"label": "", "score": 0.25}]),
        Output(kind="scores", content=[{"index": 1, "score": 3.0}, {"index": 0, "score": -0.1}]),
        Output(kind="media", content={"type": "image/png", "digest": digest, "length": 4096}),
        Output(kind="tensor", content={"dtype": "float16", "shape": [2, 1], "data": bytes(4)}),
        Output(kind="document", content=[1, -1, 0.1, None, True, b"\x00", {"a": "b"}]),
    )
