"""The answer to a chat request: one line run to its record, and sent whole or as a stream.

SEND_LIMIT_S bounds the last bytes: from the commit on nothing else would.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Mapping

import msgspec
from litestar.types import Send

from tallystick.ids import RecordId, format_record_id
from tallystick.record import Usage
from tallystick_platform.api.error_table import ErrorAnswer, describe
from tallystick_platform.api.proofs import ProofEncoder, in_header
from tallystick_platform.api.replies import EVENTS, JSON, Header, encode_json, send_start
from tallystick_platform.api.sse import ChatEvents, error_event
from tallystick_platform.api.watched import WatchedReply
from tallystick_platform.errors import PlatformError
from tallystick_platform.exchange import Admitted, Answer, AnswerWithheld, ClientLeft, Deliver, Line, StopReason

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
            headers = [_record_header(error.record_id)] if isinstance(error, AnswerWithheld) else []
            async with asyncio.timeout(SEND_LIMIT_S):
                await self._send_error(describe(error), headers, None)
            return
        failure = answer.outcome.failure
        if isinstance(failure, ClientLeft):
            return
        receipt = self._proofs.receipt(answer.entry.receipt)
        tallystick = self._proofs.tallystick(answer.entry, receipt)
        headers = [_record_header(answer.entry.record_id), (b"x-tallystick-receipt", in_header(receipt))]
        async with asyncio.timeout(SEND_LIMIT_S):
            if failure is None:
                await self._send_answer(answer, headers, tallystick)
            else:
                await self._send_error(describe(failure), headers, tallystick)

    @abstractmethod
    def _deliver(self) -> Deliver | None:
        """What takes the deltas; None when the answer is sent whole."""

    @abstractmethod
    async def _send_answer(self, answer: Answer, headers: list[Header], tallystick: bytes) -> None:
        """Send the recorded answer, or what of it was not sent yet."""

    async def _send_error(self, error: ErrorAnswer, headers: list[Header], tallystick: bytes | None) -> None:
        """Send an error, with the proof of its record if there is one."""
        content: dict[str, object] = {"error": error.body()}
        if tallystick is not None:
            content["tallystick"] = msgspec.Raw(tallystick)
        body = encode_json(content)
        await send_start(self._send, error.status, JSON, [*error.headers(), *headers], length=len(body))
        await _send_last(self._send, body)


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
                    {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.outcome.finish_reason}
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
        admission = in_header(self._proofs.admission(admitted.ticket.admission))
        first = headers or [_record_header(record.id)]
        await send_start(
            self._send, 200, EVENTS, [*first, (b"x-tallystick-admission", admission), *_STREAM_HEADERS], length=None
        )
        await self._send({"type": "http.response.body", "body": events.role(), "more_body": True})
        return events

    async def _send_answer(self, answer: Answer, headers: list[Header], tallystick: bytes) -> None:
        events = self._events or await self._start(answer.admitted, headers)
        last = events.last(
            finish_reason=answer.outcome.finish_reason or "stop",
            usage=_usage(answer.outcome.usage),
            tallystick=tallystick,
        )
        await _send_last(self._send, last)

    async def _send_error(self, error: ErrorAnswer, headers: list[Header], tallystick: bytes | None) -> None:
        if self._events is None:
            await super()._send_error(error, headers, tallystick)
        else:
            await _send_last(self._send, error_event(error.body(), tallystick))


async def _send_last(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _record_header(record_id: RecordId) -> Header:
    return (b"x-tallystick-record", format_record_id(record_id).encode())


def _completion_id(record_id: RecordId) -> str:
    return "chatcmpl-" + record_id.hex()


def _usage(usage: Usage | None) -> Mapping[str, object]:
    given = usage or Usage(input_tokens=0, output_tokens=0)
    return {
        "prompt_tokens": given.input_tokens,
        "completion_tokens": given.output_tokens,
        "total_tokens": given.input_tokens + given.output_tokens,
    }


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
