"""The twenty fields of a record, and what each holds.

Attribute names are the keys of the encoding (SPEC 1); `ProofOfCompute.class_` alone differs, for the language's sake.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final, Literal, TypeAlias

from tallystick.ids import Address, RecordId

Value: TypeAlias = "bool | int | float | str | bytes | Sequence[Value] | Mapping[str, Value] | None"
"""What the inside of a prompt may hold."""

VERSION: Final = 1

FIELD_NAMES: Final = (
    "v", "id", "gpu", "http", "task", "time", "error", "model", "price", "state",
    "usage", "prompt", "sender", "provider", "response", "parameters", "sender_seq",
    "instructions", "admission_seq", "proof_of_compute",
)  # fmt: skip
"""The keys in canonical order: shorter first, then bytewise."""

LARGE_FIELDS: Final = ("prompt", "response", "instructions")
"""The fields that move to a blob when their encoding exceeds `MAX_INLINE_BYTES`, in canonical order."""


class State(StrEnum):
    """How a request ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFault:
    """Why a request did not complete: the field `error`."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordTime:
    """When it happened. Units: microseconds UTC since 1970."""

    admitted_at: int
    started_at: int | None
    finished_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpExchange:
    """The request and response as they crossed the wire, by hash (SPEC 7)."""

    method: str
    path: str
    request_hash: bytes
    response_hash: bytes | None
    streamed: bool


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
    """The price of the whole device set, the measured device time and the charge."""

    per_hour_micros: int
    currency: str
    device_time_us: int
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
class Choice:
    """One output, as delivered."""

    index: int
    text: str
    finish_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """All outputs, as delivered."""

    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens read and written."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who asked, and what proves it."""

    address: Address
    proof: Literal["token", "signature"]
    token_id: str | None
    signature: bytes | None


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
    prompt: Mapping[str, Value] | BlobRef | None
    instructions: Instructions | BlobRef | None
    response: Response | BlobRef | None
    usage: Usage | None
    sender: Sender
    proof_of_compute: ProofOfCompute | None
