"""What a request asks, as a wire has read it; nothing has run yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

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
from tallystick_platform.tasks import Task

REQUEST_ROOM_BYTES = (
    8_192  # what a record's request has beside its body: reader, target, content type, salt, and their encoding
)
MAX_RECORDED_BODY_BYTES = MAX_BLOB_BYTES - REQUEST_ROOM_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request for an answer of a model: what for, of which model as the sender names it, and what the record holds of it.

    `given` is what the model is given of the reading's prompt.
    """

    task: Task[Any, Any]
    model: str
    reading: Reading
    given: Any

    @classmethod
    def of(cls, task: Task[Any, Any], model: str, reading: Reading) -> Self:
        """A request that was read. Raises: RequestError for a prompt that no model can be given."""
        return cls(task=task, model=model, reading=reading, given=task.given(reading.whole, reading.asked))


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


def _held_to(part: str, text: str, max_bytes: int) -> None:
    try:
        length = len(text.encode())
    except UnicodeEncodeError as error:
        raise RequestUnrecordable(part=part, reason="is not Unicode text") from error
    if not 1 <= length <= max_bytes:
        raise RequestUnrecordable(part=part, reason=f"must have 1 to {max_bytes} bytes, not {length}")
