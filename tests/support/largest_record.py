"""The largest record that passes every bound: each text, list and number at its limit, in the bytes that compress least."""

from __future__ import annotations

import base64
from dataclasses import replace

from tallystick.encoding import encode_fields, encode_value
from tallystick.hashing import keccak256
from tallystick.ids import Address
from tallystick.record import (
    FIELD_NAMES,
    MAX_DEVICE_TIME_US,
    MAX_ERROR_MESSAGE_BYTES,
    MAX_GPU_COUNT,
    MAX_INLINE_BYTES,
    MAX_INTEGER,
    MAX_NAME_BYTES,
    MAX_PARAMETERS_BYTES,
    MAX_PATH_BYTES,
    MAX_PER_HOUR_MICROS,
    MAX_SIGNATURE_BYTES,
    MAX_TOPLOC_BYTES,
    Choice,
    Gpu,
    HttpExchange,
    Instructions,
    Model,
    Price,
    ProofOfCompute,
    Provider,
    Record,
    RecordFault,
    RecordTime,
    Response,
    Sender,
    State,
    Usage,
)
from tests.support.vectors.cast import whole_record


def noise(size: int, seed: str) -> bytes:
    """Bytes that nothing compresses, the same in every run."""
    return b"".join(keccak256(f"{seed} {number}".encode()) for number in range(size // 32 + 1))[:size]


def noisy_text(size: int, seed: str) -> str:
    """Text of that many bytes, as dense as text can be without leaving ASCII."""
    return base64.b85encode(noise(size, seed)).decode()[:size]


def largest_record() -> Record:
    """Every field at its limit, nothing in a blob."""
    name = (noisy_text(MAX_NAME_BYTES, f"name {number}") for number in range(32))
    hash32, address = noise(32, "hash"), Address(noise(20, "address"))
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
            request_hash=hash32,
            response_hash=noise(32, "response"),
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
        parameters={},
        prompt={},
        instructions=None,
        response=None,
        usage=Usage(input_tokens=MAX_INTEGER, output_tokens=MAX_INTEGER),
        sender=Sender(
            address=address, proof="signature", token_id=next(name), signature=noise(MAX_SIGNATURE_BYTES, "signature")
        ),
        proof_of_compute=ProofOfCompute(class_="reproducible", toploc=noise(MAX_TOPLOC_BYTES, "toploc")),
    )
    record = replace(
        record,
        parameters={"p": noisy_text(MAX_PARAMETERS_BYTES - len(encode_value({"p": "x" * 8000})) + 8000, "parameters")},
        prompt={"p": noise(MAX_INLINE_BYTES - len(encode_value({"p": b"x" * 20_000})) + 20_000, "prompt")},
        instructions=Instructions(system="", chat_template=None, chat_template_digest=hash32),
        response=Response(choices=(Choice(index=0, text="", finish_reason=next(name)),)),
    )
    return _filled(record)


def _filled(record: Record) -> Record:
    # The head of a text grows by two bytes with its length, so the room is what is left of the bound less those two.
    sizes = dict(zip(FIELD_NAMES, map(len, encode_fields(record)), strict=True))

    def room(field: str) -> int:
        return MAX_INLINE_BYTES - (sizes[field] - 1 - len(field)) - 2

    choice = record.response.choices[0]  # type: ignore[union-attr]
    return replace(
        record,
        instructions=replace(record.instructions, system=noisy_text(room("instructions"), "system")),  # type: ignore[arg-type]
        response=Response(choices=(replace(choice, text=noisy_text(room("response"), "text")),)),
    )
