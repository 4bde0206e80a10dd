"""The record: everything about one request, as frozen types, and the bounds on each field.

Attribute names are the keys of the encoded map (SPEC 1). Times are integer microseconds UTC, money integer millionths of the currency,
hashes 32 raw bytes. Names follow OpenTelemetry's `gen_ai.*` where one exists.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final, TypeAlias

from tallystick.errors import RecordError
from tallystick.ids import ADDRESS_BYTES, HASH_BYTES, Address, RecordId, is_record_id

Value: TypeAlias = "bool | int | float | str | bytes | Sequence[Value] | Mapping[str, Value] | None"
"""What a free field may hold, to MAX_DEPTH."""

VERSION: Final = 1
FIELD_NAMES: Final = (
    "v",
    "id",
    "gpu",
    "http",
    "task",
    "time",
    "error",
    "model",
    "price",
    "state",
    "usage",
    "prompt",
    "sender",
    "provider",
    "response",
    "parameters",
    "sender_seq",
    "instructions",
    "admission_seq",
    "proof_of_compute",
)
"""The twenty fields in canonical order: a field's position is part of what ties it to its leaf."""

MAX_INTEGER: Final = 2**63 - 1
MAX_NAME_LENGTH: Final = 256
MAX_TEXT_BYTES: Final = 32 * 1_048_576
MAX_MESSAGE_LENGTH: Final = 4096
MAX_PARAMETERS: Final = 64
MAX_LIST_LENGTH: Final = 65_536
MAX_DEPTH: Final = 16
MAX_CHOICES: Final = 128
MAX_SIGNATURE_BYTES: Final = 8192
MAX_PROOF_BYTES: Final = 65_536
MICROS_PER_HOUR: Final = 3_600_000_000


class State(StrEnum):
    """How a request ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFault:
    """Why a request did not complete: a stable code, and a sentence."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordTime:
    """When the request was admitted, first computed on, and ended. Units: microseconds UTC."""

    admitted_at: int
    started_at: int | None
    finished_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpExchange:
    """What the request was on the wire, and the hashes that the receipt repeats."""

    method: str
    path: str
    request_hash: bytes
    response_hash: bytes | None
    streamed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """The device that computed; a CPU is named as a CPU. Units: memory in bytes, of all `count` devices together."""

    kind: str
    name: str
    uuid: str | None
    count: int
    memory_bytes: int
    driver: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Who supplied the device."""

    id: str
    name: str
    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of the whole device set, the time measured on it, and what follows from both."""

    per_hour_micros: int
    currency: str
    device_time_us: int
    charge_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What answered: the weights by digest, and how they were run."""

    id: str
    version: str
    weights_digest: bytes
    engine: str
    engine_version: str
    dtype: str
    quantisation: str | None
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Instructions:
    """The system prompt, and the template that laid out the messages: its text only where the client sent it."""

    system: str | None
    chat_template: str | None
    chat_template_digest: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One output, as delivered."""

    index: int
    text: str
    finish_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """Everything that was delivered."""

    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens in and out."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who asked, and how that was proved."""

    address: Address
    proof: str
    token_id: str | None
    signature: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofOfCompute:
    """How the computation can be checked again."""

    class_: str
    toploc: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobRef:
    """A field too large for the chain, by digest. Source: SPEC 6."""

    digest: bytes
    length: int
    sealed_digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One request. Source: SPEC 1."""

    v: ClassVar[int] = VERSION

    id: RecordId
    admission_seq: int
    sender_seq: int
    task: str
    state: State
    error: RecordFault | None
    time: RecordTime
    http: HttpExchange
    gpu: Gpu | None
    provider: Provider | None
    price: Price | None
    model: Model | None
    parameters: Mapping[str, Value]
    prompt: Mapping[str, Value] | BlobRef | None
    instructions: Instructions | BlobRef | None
    response: Response | BlobRef | None
    usage: Usage | None
    sender: Sender
    proof_of_compute: ProofOfCompute | None


def charge_micros(per_hour_micros: int, device_time_us: int) -> int:
    """What the device time costs, rounded up.

    Units: price per hour and result in millionths of the currency, time in microseconds.
    Source: SPEC 1.
    """
    return -(-per_hour_micros * device_time_us // MICROS_PER_HOUR)


def validate(record: Record) -> None:
    """Hold a record to the types and bounds of version 1.

    Raises: RecordError naming the first field at fault.
    """
    if not isinstance(record.id, bytes) or not is_record_id(record.id):
        raise RecordError("id", "is not a UUID of version 7")
    _integer("admission_seq", record.admission_seq, least=1)
    _integer("sender_seq", record.sender_seq, least=1)
    _name("task", record.task)
    if not isinstance(record.state, State):
        raise RecordError("state", f"is not one of {', '.join(State)}")
    _validate_outcome(record)
    _validate_exchange(record)
    _validate_compute(record)
    _validate_content(record)


def _validate_outcome(record: Record) -> None:
    if record.error is not None:
        _name("error.code", record.error.code)
        _text("error.message", record.error.message, MAX_MESSAGE_LENGTH)
    time = record.time
    _integer("time.admitted_at", time.admitted_at)
    _integer("time.finished_at", time.finished_at)
    if time.started_at is not None:
        _integer("time.started_at", time.started_at)
    if record.usage is not None:
        _integer("usage.input_tokens", record.usage.input_tokens)
        _integer("usage.output_tokens", record.usage.output_tokens)
    proof = record.proof_of_compute
    if proof is not None:
        _one_of("proof_of_compute.class", proof.class_, ("reproducible", "statistical", "none"))
        if proof.toploc is not None:
            _bytes("proof_of_compute.toploc", proof.toploc, most=MAX_PROOF_BYTES)


def _validate_exchange(record: Record) -> None:
    http, sender = record.http, record.sender
    _name("http.method", http.method)
    _name("http.path", http.path)
    _exact("http.request_hash", http.request_hash, HASH_BYTES)
    if http.response_hash is not None:
        _exact("http.response_hash", http.response_hash, HASH_BYTES)
    if not isinstance(http.streamed, bool):
        raise RecordError("http.streamed", "is not true or false")
    _exact("sender.address", sender.address, ADDRESS_BYTES)
    _one_of("sender.proof", sender.proof, ("token", "signature"))
    if sender.token_id is not None:
        _name("sender.token_id", sender.token_id)
    if sender.signature is not None:
        _bytes("sender.signature", sender.signature, most=MAX_SIGNATURE_BYTES)


def _validate_compute(record: Record) -> None:
    gpu, provider, price, model = record.gpu, record.provider, record.price, record.model
    if gpu is not None:
        _one_of("gpu.kind", gpu.kind, ("gpu", "cpu"))
        _name("gpu.name", gpu.name)
        for name in ("uuid", "driver"):
            if getattr(gpu, name) is not None:
                _name(f"gpu.{name}", getattr(gpu, name))
        _integer("gpu.count", gpu.count, least=1)
        _integer("gpu.memory_bytes", gpu.memory_bytes)
    if provider is not None:
        _name("provider.id", provider.id)
        _name("provider.name", provider.name)
        _exact("provider.address", provider.address, ADDRESS_BYTES)
    if price is not None:
        _integer("price.per_hour_micros", price.per_hour_micros)
        _name("price.currency", price.currency)
        _integer("price.device_time_us", price.device_time_us)
        _integer("price.charge_micros", price.charge_micros)
    if model is not None:
        for name in ("id", "version", "engine", "engine_version", "dtype", "device"):
            _name(f"model.{name}", getattr(model, name))
        if model.quantisation is not None:
            _name("model.quantisation", model.quantisation)
        _exact("model.weights_digest", model.weights_digest, HASH_BYTES)


def _validate_content(record: Record) -> None:
    if not isinstance(record.parameters, Mapping) or len(record.parameters) > MAX_PARAMETERS:
        raise RecordError("parameters", f"is not a map of at most {MAX_PARAMETERS} entries")
    _value("parameters", record.parameters)
    for name in ("prompt", "instructions", "response"):
        if isinstance(ref := getattr(record, name), BlobRef):
            _exact(f"{name}.blob.digest", ref.digest, HASH_BYTES)
            _exact(f"{name}.blob.sealed_digest", ref.sealed_digest, HASH_BYTES)
            _integer(f"{name}.blob.length", ref.length, least=1)
    if record.prompt is not None and not isinstance(record.prompt, BlobRef):
        if not isinstance(record.prompt, Mapping) or "blob" in record.prompt:
            raise RecordError("prompt", "is not a map without the key `blob`")
        _value("prompt", record.prompt)
    if isinstance(record.instructions, Instructions):
        for name in ("system", "chat_template"):
            if (text := getattr(record.instructions, name)) is not None:
                _text(f"instructions.{name}", text, MAX_TEXT_BYTES)
        if record.instructions.chat_template_digest is not None:
            _exact("instructions.chat_template_digest", record.instructions.chat_template_digest, HASH_BYTES)
    if isinstance(record.response, Response):
        _validate_choices(record.response.choices)


def _validate_choices(choices: tuple[Choice, ...]) -> None:
    if len(choices) > MAX_CHOICES:
        raise RecordError("response.choices", f"holds more than {MAX_CHOICES}")
    for position, choice in enumerate(choices):
        if choice.index != position or isinstance(choice.index, bool):
            raise RecordError(f"response.choices[{position}].index", f"is {choice.index}")
        _text(f"response.choices[{position}].text", choice.text, MAX_TEXT_BYTES)
        if choice.finish_reason is not None:
            _name(f"response.choices[{position}].finish_reason", choice.finish_reason)


def _value(where: str, value: object, depth: int = 0) -> None:
    if isinstance(value, str):
        _text(where, value, MAX_TEXT_BYTES)
    elif value is None or isinstance(value, bool | bytes):
        return
    elif isinstance(value, int):
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise RecordError(where, "is beyond 63 bits")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise RecordError(where, "is not a finite number")
    else:
        _container(where, value, depth)


def _container(where: str, value: object, depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise RecordError(where, f"is nested deeper than {MAX_DEPTH}")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str) or len(key) > MAX_NAME_LENGTH:
                raise RecordError(where, f"has a key that is not text of at most {MAX_NAME_LENGTH} characters")
            _unicode(where, key)
            _value(f"{where}.{key}", inner, depth + 1)
    elif isinstance(value, list | tuple):
        if len(value) > MAX_LIST_LENGTH:
            raise RecordError(where, f"has more than {MAX_LIST_LENGTH} entries")
        for position, inner in enumerate(value):
            _value(f"{where}[{position}]", inner, depth + 1)
    else:
        raise RecordError(where, f"holds a {type(value).__name__}, which no record can")


def _integer(where: str, value: object, least: int = 0) -> None:
    if type(value) is not int or not least <= value <= MAX_INTEGER:
        raise RecordError(where, f"is not an integer from {least} to 2^63 - 1")


def _name(where: str, value: object) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME_LENGTH:
        raise RecordError(where, f"is not text of 1 to {MAX_NAME_LENGTH} characters")
    _unicode(where, value)


def _text(where: str, value: object, most: int) -> None:
    if not isinstance(value, str) or len(value) > most:
        raise RecordError(where, f"is not text of at most {most} characters")
    _unicode(where, value)


def _unicode(where: str, value: str) -> None:
    if value.isascii():
        return
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RecordError(where, "holds half of a surrogate pair, which UTF-8 cannot") from error


def _bytes(where: str, value: object, most: int) -> None:
    if not isinstance(value, bytes) or len(value) > most:
        raise RecordError(where, f"is not at most {most} bytes")


def _exact(where: str, value: object, size: int) -> None:
    if not isinstance(value, bytes) or len(value) != size:
        raise RecordError(where, f"is not {size} bytes")


def _one_of(where: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise RecordError(where, f"is not one of {', '.join(allowed)}")
