"""The record of which no more can be moved out: each text, list and number of its small fields at its limit, in bytes that compress least,
and each large field just too small for a blob."""

from __future__ import annotations

import base64
from dataclasses import replace

from tallystick.encoding import encode_fields, encode_value
from tallystick.hashing import keccak256
from tallystick.ids import Address
from tallystick.record import (
    FIELD_NAMES,
    MAX_COUNT_NAME_BYTES,
    MAX_DEVICE_TIME_US,
    MAX_ERROR_MESSAGE_BYTES,
    MAX_GPU_COUNT,
    MAX_INTEGER,
    MAX_NAME_BYTES,
    MAX_PARAMETERS_BYTES,
    MAX_PATH_BYTES,
    MAX_PER_HOUR_MICROS,
    MAX_RATE_MICROS,
    MAX_TOPLOC_BYTES,
    MAX_USAGE_COUNTS,
    MIN_BLOB_BYTES,
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
)
from tests.support.vectors.cast import whole_record

LARGEST_INLINE = MIN_BLOB_BYTES - 1
"""The bytes of a large field's value that may never move to a blob."""


def noise(size: int, seed: str) -> bytes:
    """Bytes that nothing compresses, the same in every run."""
    return b"".join(keccak256(f"{seed} {number}".encode()) for number in range(size // 32 + 1))[:size]


def noisy_text(size: int, seed: str) -> str:
    """Text of that many bytes, as dense as text can be without leaving ASCII."""
    return base64.b85encode(noise(size, seed)).decode()[:size]


def largest_record() -> Record:
    """Every small field at its limit, every large one as large as one that must stay inline."""
    name = (noisy_text(MAX_NAME_BYTES, f"name {number}") for number in range(32))
    address = Address(noise(20, "address"))
    counts = [noisy_text(MAX_COUNT_NAME_BYTES, f"count {number}") for number in range(MAX_USAGE_COUNTS)]
    record = Record(
        id=whole_record().id,
        admission_seq=MAX_INTEGER,
        sender_seq=MAX_INTEGER,
        task=next(name),
        state=State.INTERRUPTED,
        error=RecordFault(code=next(name), message=noisy_text(MAX_ERROR_MESSAGE_BYTES, "message")),
        time=RecordTime(admitted_at=MAX_INTEGER, started_at=MAX_INTEGER, finished_at=MAX_INTEGER),
        http=HttpExchange(
            method=next(name),
            path=noisy_text(MAX_PATH_BYTES, "path"),
            streamed=True,
        ),
        gpu=Gpu(
            kind="gpu",
            name=next(name),
            uuid=next(name),
            count=MAX_GPU_COUNT,
            memory_bytes=MAX_INTEGER,
            driver=next(name),
        ),
        provider=Provider(id=next(name), name=next(name), address=address),
        price=Price(
            basis="tokens",
            rates=dict.fromkeys(counts, MAX_RATE_MICROS),
            per_hour_micros=MAX_PER_HOUR_MICROS,
            currency=next(name),
            device_time_us=MAX_DEVICE_TIME_US,
            charge_micros=MAX_INTEGER,
        ),
        model=Model(
            id=next(name),
            version=next(name),
            weights_digest=noise(32, "weights"),
            engine=next(name),
            engine_version=next(name),
            dtype=next(name),
            quantisation=next(name),
            device=next(name),
        ),
        parameters={"p": noisy_text(MAX_PARAMETERS_BYTES - OVERHEAD, "parameters")},
        request=Request(
            reader=next(name),
            target=noisy_text(100, "target"),
            content_type="",
            body=b"",
            salt=noise(16, "salt"),
        ),
        prompt={"p": ""},
        instructions=Instructions(system="", chat_template=None, chat_template_digest=noise(32, "template")),
        response=Response(outputs=(Output(kind="text", content="", finish_reason="stop"),)),
        usage=dict.fromkeys(counts, MAX_INTEGER),
        sender=Sender(
            address=address,
            proof="signature",
            token_id=next(name),
            signature=SenderSignature(nonce=noise(32, "nonce"), deadline=MAX_INTEGER, signature=noise(65, "signature")),
        ),
        follows=whole_record().id,
        proof_of_compute=ProofOfCompute(class_="reproducible", toploc=noise(MAX_TOPLOC_BYTES, "toploc")),
    )
    return _filled(record)


# The head of a map of one entry, its key, and the head of a text of more than 255 bytes.
OVERHEAD = len(encode_value({"p": "x" * MAX_PARAMETERS_BYTES})) - MAX_PARAMETERS_BYTES


def _filled(record: Record) -> Record:
    # The head of a text grows by two bytes with its length, so the room is what is left of the bound less those two.
    sizes = dict(zip(FIELD_NAMES, map(len, encode_fields(record)), strict=True))

    def room(field: str) -> int:
        return LARGEST_INLINE - (sizes[field] - 1 - len(field)) - 2

    return replace(
        record,
        request=replace(record.request, body=noise(room("request"), "body")),  # type: ignore[arg-type]
        prompt={"p": noisy_text(room("prompt"), "prompt")},
        instructions=replace(record.instructions, system=noisy_text(room("instructions"), "system")),  # type: ignore[arg-type]
        response=Response(
            outputs=(Output(kind="text", content=noisy_text(room("response"), "text"), finish_reason="stop"),)
        ),
    )
