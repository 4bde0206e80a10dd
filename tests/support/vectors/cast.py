"""Who and what the test vectors are about: fixed keys, one log, and two records. Everything else follows from these."""

from __future__ import annotations

from dataclasses import replace

from tallystick.hashing import keccak256
from tallystick.ids import Address, LogId, RecordId
from tallystick.keys import AuditorKey, EpochKey, Wallet
from tallystick.receipts import Domain, response_hash
from tallystick.record import (
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
    charge_micros,
)

WRITER = Wallet(keccak256(b"tallystick vector: writer"))
SENDER = Wallet(keccak256(b"tallystick vector: sender"))
LOG_ID = LogId(keccak256(b"tallystick vector: log"))
DOMAIN = Domain(chain_id=73_571, contract=Address(keccak256(b"tallystick vector: contract")[:20]))
EPOCH_KEY = EpochKey(LOG_ID, 3, keccak256(b"tallystick vector: epoch"))
AUDITOR = AuditorKey(
    keccak256(b"tallystick vector: ml-kem 1") + keccak256(b"tallystick vector: ml-kem 2"),
    keccak256(b"tallystick vector: x25519"),
)


def flipped(data: bytes, at: int) -> bytes:
    """The bytes with one bit changed."""
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def whole_record() -> Record:
    """A chat request with every field set."""
    answer = "A tally stick records a debt: it was split, and each side kept half."
    return Record(
        id=RecordId(bytes.fromhex("019a9b0c1d2e7abc8def0123456789ab")),
        admission_seq=43,
        sender_seq=7,
        task="chat",
        state=State.COMPLETED,
        error=None,
        time=RecordTime(
            admitted_at=1_763_700_000_000_000, started_at=1_763_700_000_004_000, finished_at=1_763_700_000_904_000
        ),
        http=HttpExchange(
            method="POST",
            path="/v1/chat/completions",
            request_hash=keccak256(b"request"),
            response_hash=response_hash([answer.encode()]),
            streamed=True,
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
        price=Price(
            per_hour_micros=3_500_000,
            currency="USD",
            device_time_us=900_000,
            charge_micros=charge_micros(3_500_000, 900_000),
        ),
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
        prompt={"messages": [{"role": "user", "content": "What is a tally stick? \u00e9\u4e2d\U0001f33f"}]},
        instructions=Instructions(system="Be brief.", chat_template=None, chat_template_digest=keccak256(b"template")),
        response=Response(choices=(Choice(index=0, text=answer, finish_reason="stop"),)),
        usage=Usage(input_tokens=31, output_tokens=18),
        sender=Sender(address=SENDER.address, proof="token", token_id="vector", signature=None),
        proof_of_compute=ProofOfCompute(class_="reproducible", toploc=None),
    )


def bare_record() -> Record:
    """A request that the process did not outlive: everything that may be null is."""
    record = whole_record()
    return replace(
        record,
        admission_seq=44,
        sender_seq=8,
        state=State.INTERRUPTED,
        error=RecordFault(code="interrupted", message="The process ended before the record was committed."),
        time=replace(record.time, started_at=None),
        http=replace(record.http, response_hash=None, streamed=False),
        gpu=None,
        provider=None,
        price=None,
        model=None,
        parameters={},
        prompt=None,
        instructions=None,
        response=None,
        usage=None,
        proof_of_compute=None,
    )
