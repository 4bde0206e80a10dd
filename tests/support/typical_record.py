"""A chat request of ordinary length and its answer, for measurements."""

from __future__ import annotations

import json

from tallystick.hashing import keccak256
from tallystick.ids import Address, RecordId
from tallystick.record import (
    Gpu,
    HttpExchange,
    Instructions,
    Model,
    Output,
    Price,
    Provider,
    Record,
    RecordTime,
    Request,
    Response,
    Sender,
    State,
    charged,
)

ADMITTED_AT = 1_767_225_600_123_456
PARAMETERS = {"temperature": 0.7, "top_p": 0.9, "top_k": 50, "max_tokens": 300, "seed": 7, "stop": []}
SYSTEM = "You are the assistant of a small library. Answer in a few plain sentences and say so when you do not know."
QUESTION = (
    "My grandmother left me a wooden stick with notches of different widths, split along its length, with some writing on one side. "
    "The dealer called it a tally. What were such sticks used for, why were they split, and can one still tell what mine recorded?"
)
ANSWER = (
    "A tally stick recorded a debt or a payment. The notches gave the amount: by custom a palm's width stood for a thousand pounds, a "
    "thumb's for a hundred, a little finger's for twenty, a swelling barleycorn for one pound, and narrower cuts for shillings and pence. "
    "When the notches and the writing were on it, the stick was split lengthwise, so that both halves carried the same cuts. The creditor "
    "kept the longer half, the stock, and the debtor the shorter, the foil. When the debt was settled the halves were laid together: only "
    "the true pair matched, along the grain as well as in the cuts, so neither side could add or shave off a notch unseen.\n\n"
    "To read yours, measure the notches and compare them with the scheme above, and look for names or a date in the writing, often in "
    "abbreviated Latin. Which half you hold tells which side your family was on. A county record office can usually date the hand."
)


def chat_body(system: str, question: str) -> bytes:
    """What a client sends: compact JSON, as the usual library writes it."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    asked = {"model": "smollm2-135m-instruct", "messages": messages, "max_tokens": 300, "temperature": 0.7}
    return json.dumps(asked, separators=(",", ":"), ensure_ascii=False).encode()


def typical_record(system: str = SYSTEM, question: str = QUESTION, answer: str = ANSWER) -> Record:
    """A chat request of some eighty words and its answer."""
    message = {"role": "assistant", "content": answer, "tool_calls": []}
    said = Output(kind="message", content=message, finish_reason="stop")
    return Record(
        id=RecordId((ADMITTED_AT // 1000).to_bytes(6, "big") + bytes.fromhex("774abc8def0123456789")),
        admission_seq=41_873,
        sender_seq=512,
        task="chat",
        state=State.COMPLETED,
        error=None,
        time=RecordTime(admitted_at=ADMITTED_AT, started_at=ADMITTED_AT + 812, finished_at=ADMITTED_AT + 2_418_000),
        http=HttpExchange(method="POST", path="/v1/chat/completions", streamed=False),
        request=Request(
            reader="chat/openai/1",
            target="/v1/chat/completions",
            content_type="application/json",
            body=chat_body(system, question),
            salt=keccak256(b"salt")[:16],
        ),
        gpu=GPU,
        provider=PROVIDER,
        price=charged(Price(currency="USD", per_hour_micros=500_000, device_time_us=2_391_204, charge_micros=0), None),
        model=MODEL,
        parameters=PARAMETERS,
        prompt={"messages": [{"role": "system", "content": system}, {"role": "user", "content": question}]},
        instructions=Instructions(system=system, chat_template=None, chat_template_digest=keccak256(b"template")),
        response=Response(outputs=(said,)),
        usage={"input_tokens": 118, "output_tokens": 241},
        sender=SENDER,
        proof_of_compute=None,
    )


# One object each, as a service has them: what encodes records may remember them.
GPU = Gpu(kind="cpu", name="Test CPU", uuid=None, count=1, memory_bytes=8 << 30, driver=None)
PROVIDER = Provider(id="local", name="Local provider", address=Address(keccak256(b"provider")[:20]))
MODEL = Model(
    id="smollm2-135m-instruct",
    version="1",
    weights_digest=keccak256(b"weights"),
    engine="constant",
    engine_version="1",
    dtype="float32",
    quantisation=None,
    device="cpu",
)
SENDER = Sender(
    address=Address(keccak256(b"sender")[:20]), proof="token", token_id="tok_0011223344556677", signature=None
)
