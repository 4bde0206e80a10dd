"""The answer to a chat request: one line run to its record, and sent whole or as a stream.

SEND_LIMIT_S bounds the last bytes: from the commit on nothing else would.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Mapping

import msgspec
from litestar.types import Send

from tallystick.ids import RecordId
from tallystick.record import Usage
from tallystick_platform.api.error_table import ErrorAnswer, describe, describe_recorded
from tallystick_platform.api.proofs import ProofEncoder
from tallystick_platform.api.replies import EVENTS, JSON, Header, encode_json, send_error, send_start
from tallystick_platform.api.sse import ChatEvents, error_event
from tallystick_platform.api.watched import WatchedReply
from tallystick_platform.errors import PlatformError
from tallystick_platform.exchange import Admitted, Answer, ClientLeft, Deliver, Line, StopReason

SEND_LIMIT_S = 30.0  # for the last bytes, to a client that does not read
US_PER_S = 1_000_000

_STREAM_HEADERS = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]


class ChatReply(WatchedReply):
    """Runs one line and sends what comes of it. Subclasses know the form of the answer."""

    def __init__(self, line: Line, proofs: ProofEncoder) -> None:
        self._line = line
        self._proofs = proofs

    def _stop(self, reason: StopReason) -> None:
        self._line.stop(reason)

    async def _work(self) -> None:
        try:
            answer = await self._line.run(self._deliver())
        except PlatformError as error:
            headers = self._proofs.withheld(error)
            async with asyncio.timeout(SEND_LIMIT_S):
                await self._send_error(describe(error), headers, None)
            return
        failure = answer.outcome.failure
        if isinstance(failure, ClientLeft):
            return
        proof = self._proofs.recorded(answer.admitted.ticket, answer.entry)
        async with asyncio.timeout(SEND_LIMIT_S):
            if failure is None:
                await self._send_answer(answer, proof.headers(), proof.tallystick())
            else:
                await self._send_error(describe_recorded(failure), proof.headers(), proof.tallystick())

    @abstractmethod
    def _deliver(self) -> Deliver | None:
        """What takes the deltas; None when the answer is sent whole."""

    @abstractmethod
    async def _send_answer(self, answer: Answer, headers: list[Header], tallystick: bytes) -> None:
        """Send the recorded answer, or what of it was not sent yet."""

    async def _send_error(self, error: ErrorAnswer, headers: list[Header], tallystick: bytes | None) -> None:
        """Send an error, with the proof of its record if there is one."""
        await send_error(self._send, error, headers, tallystick)


class WholeReply(ChatReply):
    """One JSON answer. Nothing leaves before the record is durable."""

    def _deliver(self) -> None:
        return None

    async def _send_answer(self, answer: Answer, headers: list[Header], tallystick: bytes) -> None:
        record = answer.admitted.ticket.record
        message = {"role": "assistant", "content": answer.text}
        body = encode_json(
            {
                "id": _completion_id(record.id),
                "object": "chat.completion",
                "created": record.time.admitted_at // US_PER_S,
                "model": answer.admitted.asked,
                "choices": [
                    {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(answer)}
                ],
                "usage": _usage(answer.outcome.usage),
                "tallystick": msgspec.Raw(tallystick),
            }
        )
        headers.append((b"server-timing", _server_timing(answer)))
        await send_start(self._send, 200, JSON, headers, length=len(body))
        await _send_last(self._send, body)


class StreamReply(ChatReply):
    """Server-sent events. Deltas leave as they come, once the admission is durable; the end leaves once the record is."""

    def __init__(self, line: Line, proofs: ProofEncoder, *, include_usage: bool) -> None:
        super().__init__(line, proofs)
        self._include_usage = include_usage
        self._events: ChatEvents | None = None

    def _deliver(self) -> Deliver:
        return self._text

    async def _text(self, admitted: Admitted, text: str) -> None:
        events = self._events or await self._start(admitted, [])
        await self._send({"type": "http.response.body", "body": events.text(text), "more_body": True})

    async def _start(self, admitted: Admitted, headers: list[Header]) -> ChatEvents:
        record = admitted.ticket.record
        self._events = events = ChatEvents(
            completion_id=_completion_id(record.id),
            created=record.time.admitted_at // US_PER_S,
            model=admitted.asked,
            include_usage=self._include_usage,
        )
        first = headers or self._proofs.admitted(admitted.ticket).headers()
        await send_start(self._send, 200, EVENTS, [*first, *_STREAM_HEADERS], length=None)
        await self._send({"type": "http.response.body", "body": events.role(), "more_body": True})
        return events

    async def _send_answer(self, answer: Answer, headers: list[Header], tallystick: bytes) -> None:
        events = self._events or await self._start(answer.admitted, headers)
        last = events.last(
            finish_reason=_finish_reason(answer) or "stop",
            usage=_usage(answer.outcome.usage),
            tallystick=tallystick,
        )
        await _send_last(self._send, last)

    async def _send_error(self, error: ErrorAnswer, headers: list[Header], tallystick: bytes | None) -> None:
        if self._events is None:
            await super()._send_error(error, headers, tallystick)
        else:
            await _send_last(self._send, error_event(msgspec.to_builtins(error.body()), tallystick))


async def _send_last(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _completion_id(record_id: RecordId) -> str:
    return "chatcmpl-" + record_id.hex()


def _finish_reason(answer: Answer) -> str | None:
    outputs = answer.outcome.outputs
    return outputs[0].finish_reason if outputs else None


def _usage(usage: Usage | None) -> Mapping[str, object]:
    given = usage or {}
    asked, answered = given.get("input_tokens", 0), given.get("output_tokens", 0)
    return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}


def _server_timing(answer: Answer) -> bytes:
    """Milliseconds: between admission and computing, computing, sealing, and the rest of the two commits."""
    admitted, outcome = answer.admitted, answer.outcome
    started_at = outcome.started_at or outcome.finished_at
    queue_us = started_at - admitted.ticket.record.time.admitted_at - admitted.admit_us
    seal_us = answer.entry.seal_us
    return (
        f"queue;dur={max(queue_us, 0) / 1000:.3f}, infer;dur={(outcome.finished_at - started_at) / 1000:.3f}, "
        f"seal;dur={seal_us / 1000:.3f}, journal;dur={(admitted.admit_us + answer.commit_us - seal_us) / 1000:.3f}"
    ).encode()
