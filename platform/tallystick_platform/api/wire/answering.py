"""The answer to a question: one line run to its record, and sent whole or as a stream, however the wire spells it.

After the commit no request limit applies any more, so SEND_LIMIT_S bounds the sending of the last bytes.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tallystick.ids import RecordId
from tallystick.record import Record
from tallystick_platform.api.error_table import ErrorAnswer, describe, describe_recorded
from tallystick_platform.api.proofs import (
    Proof,
    admitted_headers,
    opening_headers,
    recorded_headers,
    recorded_proof,
    withheld_headers,
)
from tallystick_platform.api.replies import EVENTS, JSON, ErrorShape, Header, encode_json, send_start, send_whole
from tallystick_platform.api.watched import WatchedReply
from tallystick_platform.errors import PlatformError
from tallystick_platform.exchange.faults import ClientLeft
from tallystick_platform.exchange.inference import Deliver
from tallystick_platform.exchange.line import Admitted, Line, Recorded
from tallystick_platform.exchange.request import Asked
from tallystick_platform.protocol import Usage
from tallystick_platform.store.entries import Ticket

SEND_LIMIT_S = 30.0  # for the last bytes, to a client that does not read

_STREAM_HEADERS = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]


class Events(ABC):
    """Spells one stream."""

    content_type = EVENTS

    def opening(self) -> bytes:
        """What leaves before the first piece; empty for nothing."""
        return b""

    @abstractmethod
    def piece(self, part: Any, counts: Usage) -> bytes:
        """A part of the answer, as its task reads it out of the engine's pieces."""

    @abstractmethod
    def last(self, recorded: Recorded, tallystick: bytes) -> bytes:
        """Why the answer ended, the proof of its record, and the end of the stream."""

    @abstractmethod
    def error(self, body: bytes) -> bytes:
        """The end of a stream that failed; `body` is the error as an answer by itself would have it."""


Earlier = Callable[[RecordId], Awaitable[Record | None]]
"""Opens a record of the one who asks; None where there is none, or none that can be opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request as its wire read it, and how the answer is written.

    `reader` names what reads the request out of its record again. `whole` writes the answer from its record and the proof of that;
    `events` begins a stream, None where the answer is to be sent whole. An answer that is no JSON carries its proof in headers alone.
    `continued` gives what is asked of a question that goes on from earlier records.
    """

    asked: Asked
    reader: str
    whole: Callable[[Recorded, Proof], bytes]
    events: Callable[[Ticket], Events] | None = None
    content_type: bytes = JSON
    continued: Callable[[Earlier], Awaitable[Asked]] | None = None


class WireReply(WatchedReply):
    """Answers one question.

    A whole answer leaves once its record is durable, and nothing of it before. The pieces of a stream leave as they come, once the
    admission is durable; its end leaves once the record is.
    """

    def __init__(
        self,
        question: Question,
        infer: Callable[[Deliver | None], Line],
        error: ErrorShape,
        also: Callable[[Record], list[Header]],
    ) -> None:
        self._question = question
        self._error = error
        self._also = also
        self._events: Events | None = None
        self._line = infer(None if question.events is None else partial(self._piece, question.events))

    def _stop(self, reason: PlatformError) -> None:
        self._line.stop(reason)

    async def _work(self) -> None:
        try:
            recorded = await self._line.run()
        except PlatformError as error:
            async with asyncio.timeout(SEND_LIMIT_S):
                await self._send_error(describe(error), withheld_headers(error), None)
            return
        failure = recorded.failure
        if isinstance(failure, ClientLeft):
            return
        proof = recorded_proof(recorded.ticket, recorded.entry)
        async with asyncio.timeout(SEND_LIMIT_S):
            if failure is None:
                await self._send_answer(recorded, proof)
            else:
                await self._send_error(describe_recorded(failure), recorded_headers(proof), encode_json(proof))

    async def _send_answer(self, recorded: Recorded, proof: Proof) -> None:
        """Send the recorded answer, or what of it was not sent yet."""
        if self._question.events is None:
            question = self._question
            shown = recorded_headers(proof) if question.content_type == JSON else opening_headers(proof)
            headers = [*shown, *self._also(recorded.record), (b"server-timing", server_timing(recorded))]
            await send_whole(self._send, 200, question.content_type, headers, question.whole(recorded, proof))
        else:
            events = self._events or await self._begin(
                self._question.events(recorded.ticket), recorded.ticket, recorded_headers(proof)
            )
            await self._send_part(events.last(recorded, encode_json(proof)), more=False)

    async def _send_error(self, error: ErrorAnswer, headers: list[Header], tallystick: bytes | None) -> None:
        """Send an error, with the proof of its record if there is one."""
        status, body = self._error(error, tallystick)
        if self._events is None:
            await send_whole(self._send, status, JSON, [*error.headers(), *headers], body)
        else:
            await self._send_part(self._events.error(body), more=False)

    async def _piece(self, begun: Callable[[Ticket], Events], admitted: Admitted, part: Any, counts: Usage) -> None:
        events = self._events
        if events is None:
            events = await self._begin(begun(admitted.ticket), admitted.ticket, admitted_headers(admitted.ticket))
        await self._send_part(events.piece(part, counts), more=True)

    async def _begin(self, events: Events, ticket: Ticket, proof: list[Header]) -> Events:
        self._events = events
        headers = [*proof, *self._also(ticket.record)]
        await send_start(self._send, 200, events.content_type, [*headers, *_STREAM_HEADERS], length=None)
        if opening := events.opening():
            await self._send_part(opening, more=True)
        return events

    async def _send_part(self, body: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})


def server_timing(recorded: Recorded) -> bytes:
    """Milliseconds: between admission and computing, computing, sealing, and the rest of the two commits."""
    time, seal_us = recorded.record.time, recorded.entry.seal_us
    started_at = time.started_at or time.finished_at
    queue_us = max(started_at - time.admitted_at - recorded.admit_us, 0)
    journal_us = recorded.admit_us + recorded.commit_us - seal_us
    return (
        f"queue;dur={queue_us / 1000:.3f}, infer;dur={(time.finished_at - started_at) / 1000:.3f}, "
        f"seal;dur={seal_us / 1000:.3f}, journal;dur={journal_us / 1000:.3f}"
    ).encode()
