"""What the API process and a worker process say to each other: msgpack over one ZeroMQ socket per worker.

The API binds a ROUTER in a private folder, each worker connects a DEALER whose identity is its worker id. Every frame is
one message below. A worker speaks once per engine step and puts everything that the step produced into one `StepReport`.

    worker -> API   Loading*  Hello  (StepReport | Alive)*  [Fatal]
    API -> worker   (Submit | Cancel)*  Stop
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, TypeVar

import msgspec

from tallystick.record import Gpu

PROTOCOL_VERSION = 3
MAX_FRAME_BYTES = 32 * 1_048_576  # twice the largest request body that the settings allow

FinishReason = Literal["stop", "length", "cancelled"]
FailureKind = Literal["prompt-too-long", "prompt-rejected", "parameter-rejected", "queue-full", "engine-failed"]
Reproducibility = Literal["reproducible", "statistical", "none"]


class ProtocolFault(ValueError):
    """A frame that is not a message of this version."""


class GpuInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The hardware that computes, as read from the machine. Units: bytes.

    `kind` is "cpu" on a machine without a GPU; a CPU is never named as a GPU.
    """

    kind: Literal["gpu", "cpu"]
    name: str
    uuid: str | None
    count: int
    memory_bytes: int
    driver: str | None

    def stated(self) -> Gpu:
        """The same as a record states it."""
        return Gpu(**msgspec.structs.asdict(self))


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How a model's makers recommend to draw from it; None where they say nothing.

    `left_out` names what they recommend besides and no engine here can do.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    left_out: tuple[str, ...] = ()


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A model as its worker serves it. Units: `created_at` Unix seconds, `context_length` and `max_prompt_tokens` tokens.

    `weights_digest` is docs/decisions/0005's; `chat_template_digest` is the SHA-256 of the template's UTF-8 bytes. `task` is what the
    model is for, `tasks` what requests it can be asked with. `dimensions` is the length of its vectors, None where it gives none.
    `defaults` are parameters of its tasks as the model's own files set them. `tool_format` is how it writes calls of
    tools (`tasks/tool_calls.py`), None where it calls none. `schema` says what the inputs and outputs of a model are that has such.
    """

    id: str
    version: str
    task: str
    tasks: tuple[str, ...]
    weights_digest: bytes
    engine: str
    engine_version: str
    dtype: str
    quantisation: str | None
    device: str
    context_length: int
    max_prompt_tokens: int
    chat_template: str | None
    chat_template_digest: bytes | None
    reproducibility: Reproducibility
    created_at: int
    sampling: Sampling = Sampling()
    dimensions: int | None = None
    defaults: Mapping[str, Any] = {}
    tool_format: str | None = None
    schema: Mapping[str, Any] | None = None


class ProviderInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Who offers the device, at what price for the whole device set, as the provider's configuration states it."""

    id: str
    name: str
    address: bytes
    price_per_hour_micros: int
    currency: str


class Call(msgspec.Struct, frozen=True, array_like=True):
    """One request for an engine. `body` is the task's own message (tasks/), msgpack, with every parameter's effective value."""

    request_id: bytes
    task: str
    body: bytes


Usage = Mapping[str, int]
"""Counts by the names that a record's `usage` has."""


class Started(msgspec.Struct, frozen=True, tag="started", array_like=True):
    """The engine began to compute this request."""

    request_id: bytes
    usage: Usage


class Alternative(msgspec.Struct, frozen=True, array_like=True):
    """A token that might have come in a place, with its probability there by its natural logarithm.

    `text` shows it, with U+FFFD for what is no whole character by itself; `data` has its bytes.
    """

    text: str
    data: bytes
    logprob: float


class TokenEntry(msgspec.Struct, frozen=True, array_like=True):
    """A token of an answer, or of an echoed prompt: its text and bytes as in `Alternative`, and the most probable tokens of its place.

    `logprob` is None for the first token of a prompt, before which nothing stands.
    """

    text: str
    data: bytes
    logprob: float | None
    top: tuple[Alternative, ...] = ()


class Piece(msgspec.Struct, frozen=True, tag="piece", array_like=True):
    """A part of the answer that is decided: text, or the bytes of one output that has no text.

    `output` is which of several outputs it belongs to. `logprobs` has the tokens of this text where they were asked for.

    Units: `usage` and `device_time_us`, engine time of this request alone, are totals so far. Tokens count as sampled: the end token and
    those that a stop string swallowed took device time too.
    """

    request_id: bytes
    data: Any  # text or bytes, which msgpack tells apart and msgspec cannot be told of
    usage: Usage
    device_time_us: int
    output: int = 0
    logprobs: list[TokenEntry] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.data, str | bytes):
            raise TypeError("a piece is text or bytes")


class Finished(msgspec.Struct, frozen=True, tag="finished", array_like=True):
    """The request's last event when nothing went wrong, a cancellation included. `finish_reason` is None where a task knows none.

    A request for several texts has `each`: why each of them ended, in their order.
    """

    request_id: bytes
    finish_reason: FinishReason | None
    usage: Usage
    device_time_us: int
    each: tuple[FinishReason, ...] = ()

    @property
    def finish_reasons(self) -> tuple[FinishReason | None, ...]:
        """Why each output ended."""
        return self.each or (self.finish_reason,)


class Failed(msgspec.Struct, frozen=True, tag="failed", array_like=True):
    """The request's last event when it cannot be computed.

    `limit` and `found` count tokens or requests; `param` is the parameter that is rejected.
    """

    request_id: bytes
    kind: FailureKind
    reason: str
    limit: int = 0
    found: int = 0
    param: str | None = None


StepEvent = Started | Piece | Finished | Failed


class Loading(msgspec.Struct, frozen=True, tag="loading"):
    """The worker prepares its model; `fraction` of the named stage is done."""

    stage: str
    fraction: float


class Hello(msgspec.Struct, frozen=True, tag="hello", kw_only=True):
    """The worker is ready. `max_requests` is how many it holds at once, computing and waiting together.

    Of these `max_active` are computed side by side, `rows` of them in one forward pass: 1 where requests would change each other's answers.
    `folder` is where the model's files lie, None for an engine without any.
    """

    protocol_version: int
    pid: int
    model: ModelInfo
    gpu: GpuInfo
    max_requests: int
    max_active: int = 1
    rows: int = 1
    folder: str | None = None


class StepReport(msgspec.Struct, frozen=True, tag="step"):
    """Everything that one engine step produced, in the order in which it happened."""

    events: list[StepEvent]


class Alive(msgspec.Struct, frozen=True, tag="alive"):
    """A sign of life of a worker that has nothing else to say."""

    requests: int


class Fatal(msgspec.Struct, frozen=True, tag="fatal"):
    """The worker's last words before it ends."""

    reason: str


class Submit(msgspec.Struct, frozen=True, tag="submit"):
    """Compute this."""

    call: Call


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """Stop computing this request; unknown or ended ones are ignored."""

    request_id: bytes


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """End the process; whatever is still being computed is dropped."""


FromWorker = Loading | Hello | StepReport | Alive | Fatal
ToWorker = Submit | Cancel | Stop

_Message = TypeVar("_Message")

_encoder = msgspec.msgpack.Encoder()


def encode(message: FromWorker | ToWorker) -> bytes:
    """One message as one frame."""
    return _encoder.encode(message)


def _decode(decoder: msgspec.msgpack.Decoder[_Message], frame: bytes) -> _Message:
    """What one frame says. Raises: ProtocolFault."""
    if len(frame) > MAX_FRAME_BYTES:
        raise ProtocolFault(f"a frame of {len(frame)} bytes; the bound is {MAX_FRAME_BYTES}")
    try:
        return decoder.decode(frame)
    except msgspec.DecodeError as error:
        raise ProtocolFault(str(error)) from error


_from_worker: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)
_to_worker: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)
decode_from_worker = partial(_decode, _from_worker)
decode_to_worker = partial(_decode, _to_worker)


class VersionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A registered version that a worker is to serve under its name, or not at all.

    `digest` is the hex digest (docs/decisions/0005) that the folder must have; an adapter has its base's folder and digest beside it.
    """

    model_id: str
    version: str
    folder: str
    digest: str
    task: str
    base_folder: str | None = None
    base_digest: str | None = None


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor tells a worker process, as JSON on its command line; nothing in it is secret.

    `engine` is "torch" or "constant"; `model` is a packaged model's name or a folder, and stands aside where `version` is given.
    Units: seconds.
    """

    endpoint: str
    worker_id: str
    engine: Literal["torch", "constant"]
    model: str
    models_dir: str
    max_requests: int
    heartbeat_s: float = 1.0
    step_s: float = 0.0
    version: VersionConfig | None = None
