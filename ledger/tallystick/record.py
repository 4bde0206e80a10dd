"""The record of one request: its twenty-two fields, what each holds, the bounds that encoding holds them to, and what is charged.

Attribute names are the keys of the encoding (SPEC 1); `ProofOfCompute.class_` alone differs, for the language's sake. Text is measured
in bytes of UTF-8. Without its large fields, which can move to blobs, a record within these bounds always fits one transaction: a request
that was admitted can always be recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import ClassVar, Final, Literal, TypeAlias

from tallystick.ids import Address, RecordId

Value: TypeAlias = "bool | int | float | str | bytes | Sequence[Value] | Mapping[str, Value] | None"
"""What the inside of a large field may hold."""

VERSION: Final = 2

FIELD_NAMES: Final = (
    "v", "id", "gpu", "http", "task", "time", "error", "model", "price", "state",
    "usage", "prompt", "sender", "follows", "request", "provider", "response", "parameters",
    "sender_seq", "instructions", "admission_seq", "proof_of_compute",
)  # fmt: skip
"""The keys in canonical order: shorter first, then bytewise."""

LARGE_FIELDS: Final = ("prompt", "request", "response", "instructions")
"""The fields that move to blobs, largest first, while a record is too large for one transaction; in canonical order."""

OUTPUT_KINDS: Final = ("text", "message", "vector", "labels", "scores", "media", "tensor", "document")
PRICE_BASES: Final = ("device-time", "tokens", "fixed")

MAX_RECORD_BYTES: Final = 262_144
"""The encoded record; while it has more, its largest field moves to a blob."""
MAX_PADDED_BYTES: Final = 122_880
"""The compressed and padded record: what one transaction of 128 KiB can carry."""
MIN_BLOB_BYTES: Final = 1_025
"""A smaller value never moves to a blob."""
MAX_BLOB_BYTES: Final = 32 * 1_048_576
"""The encoded value in a blob: twice the largest request body that the service accepts."""

MAX_INTEGER: Final = 2**53 - 1
"""Named integers stay exact in JSON and JavaScript."""
MIN_VALUE_INTEGER: Final = -(2**63)
MAX_VALUE_INTEGER: Final = 2**63 - 1
MAX_DEPTH: Final = 16
"""Containers inside containers within one field's value."""

MAX_NAME_BYTES: Final = 512
MAX_PATH_BYTES: Final = 1024
MAX_ERROR_MESSAGE_BYTES: Final = 2048
MAX_PARAMETERS: Final = 64
MAX_PARAMETERS_BYTES: Final = 8192
MAX_OUTPUTS: Final = 2048
MAX_USAGE_COUNTS: Final = 16
MAX_COUNT_NAME_BYTES: Final = 64
MAX_RATE_MICROS: Final = 10**14
MAX_TARGET_BYTES: Final = 4096
REQUEST_SALT_BYTES: Final = 16
SENDER_NONCE_BYTES: Final = 32
SENDER_SIGNATURE_BYTES: Final = 65
MAX_TOPLOC_BYTES: Final = 8192
MAX_GPU_COUNT: Final = 65_536
MAX_PER_HOUR_MICROS: Final = 10**14
MAX_DEVICE_TIME_US: Final = 10**11
"""About 28 hours; with MAX_PER_HOUR_MICROS it keeps every charge within MAX_INTEGER."""

MICROSECONDS_PER_HOUR: Final = 3_600_000_000
COUNTS_PER_RATE: Final = 1_000_000
"""A rate is the price of a million."""


class State(StrEnum):
    """How a request ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"
    ACCEPTED = "accepted"
    """Taken on, to be done by `RecordTime.due_by`; another record follows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFault:
    """Why a request did not complete: the field `error`."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordTime:
    """When it happened. Units: microseconds UTC since 1970.

    `started_at` is when an engine first spent time on this request; only an accepted record has a `due_by`.
    """

    admitted_at: int
    started_at: int | None
    finished_at: int
    due_by: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpExchange:
    """How it was asked: `path` is without its query. What was asked is in `Request`, which can be kept closed."""

    method: str
    path: str
    streamed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The request as it was received, and the salt of its hash (SPEC 7).

    `target` is path and query without credentials; `body` has its content coding removed; `reader` names the function that reads
    prompt, instructions and parameters out of it.
    """

    reader: str
    target: str
    content_type: str | None
    body: bytes
    salt: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """The hardware that computed; a CPU is named as what it is."""

    kind: Literal["gpu", "cpu"]
    name: str
    uuid: str | None
    count: int
    memory_bytes: int
    driver: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Who owns the hardware."""

    id: str
    name: str
    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price per hour of the whole device set, the measured device time, and what is charged on which basis (SPEC 1).

    Units: `per_hour_micros` and `charge_micros` are millionths of the currency; `rates` are those per million of a count of `Usage`
    (basis `tokens`), or for the request (basis `fixed`).
    """

    basis: Literal["device-time", "tokens", "fixed"] = "device-time"
    currency: str
    per_hour_micros: int
    device_time_us: int
    rates: Mapping[str, int] | None = None
    charge_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Which model answered, run by which engine, in which arithmetic."""

    id: str
    version: str
    weights_digest: bytes
    engine: str
    engine_version: str
    dtype: str
    quantisation: str | None
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobRef:
    """Stands in for a large field: digest and length of its encoding, and the digest of the encrypted blob."""

    digest: bytes
    length: int
    sealed_digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Instructions:
    """What the model was told besides the prompt."""

    system: str | None
    chat_template: str | None
    chat_template_digest: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One output of any task, as delivered; `content` has the shape that SPEC 1 gives its kind."""

    kind: str
    content: Value
    finish_reason: str | None = None
    logprobs: Value = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """All outputs, as delivered."""

    outputs: tuple[Output, ...]


Usage: TypeAlias = Mapping[str, int]
"""Named counts: input_tokens, output_tokens, images, ..."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderSignature:
    """The sender's own signature over the request (SPEC 7). Units: `deadline` is Unix seconds."""

    nonce: bytes
    deadline: int
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who asked, and what proves it."""

    address: Address
    proof: Literal["token", "signature"]
    token_id: str | None
    signature: SenderSignature | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofOfCompute:
    """How far the computation can be checked again."""

    class_: Literal["reproducible", "statistical", "none"]
    toploc: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One request, from admission to its terminal state. Source: SPEC 1."""

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
    request: Request | BlobRef | None
    prompt: Mapping[str, Value] | BlobRef | None
    instructions: Instructions | BlobRef | None
    response: Response | BlobRef | None
    usage: Usage | None
    sender: Sender
    follows: RecordId | None = None
    proof_of_compute: ProofOfCompute | None


def charge_micros(price: Price, usage: Usage | None) -> int:
    """What `price.charge_micros` must be, rounded up once at the end. Units: micro-units of the currency.

    Requires: a price that encodes, so that its rates are those of its basis.
    """
    if price.basis == "device-time":
        return -(-price.per_hour_micros * price.device_time_us // MICROSECONDS_PER_HOUR)
    rates = price.rates or {}
    if price.basis == "fixed":
        return rates["request"]
    counts = usage or {}
    return -(-sum(rate * counts.get(name, 0) for name, rate in rates.items()) // COUNTS_PER_RATE)


def charged(price: Price, usage: Usage | None) -> Price:
    """The price with what it comes to; whatever charge stood in it is replaced."""
    return replace(price, charge_micros=charge_micros(price, usage))


def clip_text(text: str, max_bytes: int) -> str:
    """Shorten text to at most `max_bytes` of UTF-8, on a character's edge, with `?` for lone surrogates."""
    return text.encode("utf-8", "replace")[:max_bytes].decode("utf-8", "ignore")
