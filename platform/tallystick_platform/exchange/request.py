"""What one chat request asks, after the edge has read it and before anything ran."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tallystick.record import (
    MAX_BLOB_BYTES,
    MAX_NAME_BYTES,
    MAX_PATH_BYTES,
    MAX_TARGET_BYTES,
    REQUEST_SALT_BYTES,
    HttpExchange,
    Request,
)
from tallystick.tasks import Reading
from tallystick_platform.errors import RequestUnrecordable
from tallystick_platform.protocol import ModelInfo

DEFAULT_TEMPERATURE = 1.0
DEFAULT_TOP_P = 1.0
DEFAULT_TOP_K = 0  # 0: every token stays a candidate
DEFAULT_MAX_TOKENS = 1024  # or what the model's context holds, where that is less
SEED_BITS = 63  # a drawn seed fits a signed 64-bit integer on every path to the sampler

REQUEST_ROOM_BYTES = (
    8_192  # what a record's request has beside its body: reader, target, content type, salt, and their encoding
)
MAX_RECORDED_BODY_BYTES = MAX_BLOB_BYTES - REQUEST_ROOM_BYTES

Turn = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A chat request as the sender stated it: None means that the sender left it to the server.

    `reading` is what the record holds of it; `turns` are its messages with each content as one text, for the model.
    """

    model: str
    reading: Reading
    turns: tuple[Turn, ...]
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpFacts:
    """What the record keeps of the HTTP request.

    `target` is path and query as received, without credentials, and `path` is it without the query; `body` has its content coding removed.
    `reader` names what reads the request (SPEC 7); with None the record holds no request: it follows another, which has it.
    """

    method: str
    path: str
    target: str
    content_type: str | None
    body: bytes = field(repr=False)
    reader: str | None
    streamed: bool

    def exchange(self) -> HttpExchange:
        """The record's field `http`."""
        return HttpExchange(method=self.method, path=self.path, streamed=self.streamed)

    def request(self, random: Callable[[int], bytes]) -> Request | None:
        """The record's field `request`, with a fresh salt. `random(n)` gives n unpredictable bytes.

        What is promised to be recorded must fit a record whatever becomes of it, so its bounds are held here, before the admission.

        Raises: RequestUnrecordable
        """
        _held_to("method", self.method, MAX_NAME_BYTES)
        _held_to("path", self.path, MAX_PATH_BYTES)
        if self.reader is None:
            return None
        _held_to("target", self.target, MAX_TARGET_BYTES)
        if self.content_type is not None:
            _held_to("content type", self.content_type, MAX_NAME_BYTES)
        if len(self.body) > MAX_RECORDED_BODY_BYTES:
            raise RequestUnrecordable(part="body", reason=f"has more than {MAX_RECORDED_BODY_BYTES} bytes")
        return Request(
            reader=self.reader,
            target=self.target,
            content_type=self.content_type,
            body=self.body,
            salt=random(REQUEST_SALT_BYTES),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """The parameters of the record: nothing is left to a default behind its back. `protocol.as_drawn` says how an engine takes them."""

    temperature: float
    top_p: float
    top_k: int
    max_tokens: int
    stop: tuple[str, ...]
    seed: int


def effective(request: ChatRequest, model: ModelInfo, draw_seed: Callable[[], int]) -> Effective:
    """Fill in what the sender left out: what the model's makers recommend, else the defaults.

    A seed is drawn where the sender gave none, so that every answer can be repeated.
    """
    default = defaults(model)
    return Effective(
        temperature=default.temperature if request.temperature is None else request.temperature,
        top_p=default.top_p if request.top_p is None else request.top_p,
        top_k=default.top_k if request.top_k is None else request.top_k,
        max_tokens=default.max_tokens if request.max_tokens is None else request.max_tokens,
        stop=request.stop,
        seed=draw_seed() if request.seed is None else request.seed,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What a request runs with that says nothing of it. Each is filled in by itself, whatever else the sender gave."""

    temperature: float
    top_p: float
    top_k: int
    max_tokens: int


def defaults(model: ModelInfo) -> Defaults:
    """A model's own recommended values, and the server's where there are none."""
    own = model.sampling
    return Defaults(
        temperature=DEFAULT_TEMPERATURE if own.temperature is None else own.temperature,
        top_p=DEFAULT_TOP_P if own.top_p is None else own.top_p,
        top_k=DEFAULT_TOP_K if own.top_k is None else own.top_k,
        max_tokens=min(DEFAULT_MAX_TOKENS, model.context_length),
    )


def _held_to(part: str, text: str, max_bytes: int) -> None:
    try:
        length = len(text.encode())
    except UnicodeEncodeError as error:
        raise RequestUnrecordable(part=part, reason="is not Unicode text") from error
    if not 1 <= length <= max_bytes:
        raise RequestUnrecordable(part=part, reason=f"must have 1 to {max_bytes} bytes, not {length}")
