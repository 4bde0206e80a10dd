"""One attempt at a job: its requests that are not answered yet, each down the exchange's line into a record of its own.

The steps for each request, and what a crash in each leaves to the next start:

1. *Announce*: the id of its record is written down before it is admitted. A crash: no such record, and the request is asked anew.
2. *Ask*: it is admitted and computed. A crash: its record says `interrupted`, and the request is asked anew, in another record.
3. *Record*: its record is durable. A crash: the answer is read out of the record; nothing is computed again.
4. *Keep*: the answer is written down. A crash changes nothing any more.

Requests of jobs wait outside of the gate. A few are asked side by side, fewer while anybody else is being answered.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import msgspec

from tallystick.ids import RecordId, format_record_id
from tallystick.record import Output, Response, State, Usage, Value
from tallystick_platform.auth import Principal
from tallystick_platform.clock import Clock
from tallystick_platform.errors import ModelLoadFailed, PlatformError, WorkerDied
from tallystick_platform.exchange.exchange import Exchange
from tallystick_platform.exchange.faults import AnswerWithheld, ServerStopped, WorkFailed
from tallystick_platform.exchange.line import Admitted, Line, Recorded
from tallystick_platform.exchange.records import Delivered
from tallystick_platform.exchange.request import Asked, HttpFacts
from tallystick_platform.jobs.errors import MAX_ATTEMPTS
from tallystick_platform.jobs.work_errors import LineGivenUp, LineNotOpened
from tallystick_platform.registry.desk import in_thread
from tallystick_platform.store.journal import Journal
from tallystick_platform.store.work import OPEN, LineAnswer, LineAsked, Work, WorkKind, WorkLine, WorkState, WorkStore

MAX_LINES_AT_ONCE: Final = 4
"""Requests of all jobs that are computed side by side."""
LINES_BESIDE_OTHERS: Final = 1
"""The same while anybody else is being answered: jobs stay behind, and never stand still."""
RETRY_LINE_S: Final = 0.5
"""Until a request is tried again that found no room, or that would be one too many beside others."""
JSON: Final = "application/json"
DOCUMENT: Final = "document"
AGAIN: Final = (ServerStopped, WorkerDied)
"""A request that ended so is asked anew."""

_AGAIN_CODES = {ServerStopped.code, WorkerDied.code, AnswerWithheld.code}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLine:
    """A request as its wire read it; `written` is its answer, out of its record."""

    asked: Asked
    reader: str
    written: Callable[[Recorded], bytes]


class Spelling(Protocol):
    """The wires, as jobs need them."""

    def read(self, line: LineAsked) -> ReadLine:
        """What a request asks. Raises: what its wire refuses with."""
        ...

    def refused(self, line: LineAsked, failure: BaseException, recorded: Recorded | None) -> tuple[int, bytes]:
        """The status and the body of an error, with the proof of its record where there is one."""
        ...


@dataclass(slots=True, kw_only=True)
class Desk:
    """What every attempt uses. `timeout_s` is for one request; `asking` counts those under way."""

    exchange: Exchange
    records: Journal
    store: WorkStore
    spelling: Spelling
    clock: Clock
    timeout_s: float
    turns: asyncio.Semaphore
    asking: int = field(default=0)

    @property
    def must_wait(self) -> bool:
        """Whether one more request of a job would be too many beside those of others."""
        return self.asking >= LINES_BESIDE_OTHERS and self.exchange.under_way > self.asking


class WorkAttempt:
    """One attempt. `said` is what requests under way have answered until now, by their numbers."""

    def __init__(self, desk: Desk, work: Work, stopped: Callable[[], PlatformError | None]) -> None:
        self._desk = desk
        self.job = work
        self._stopped = stopped
        self._principal = Principal(token_id=work.token_id, name="", address=work.owner)
        self._waiting: deque[WorkLine] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._lines: set[Line] = set()
        self._leaving = asyncio.Event()
        self.said: dict[int, str] = {}
        self.completed = 0
        self.failed = 0
        self.record_ids: dict[int, RecordId] = {}

    async def carry_out(self) -> None:
        """Ask everything that is not answered yet."""
        desk, work = self._desk, self.job
        started_at = work.started_at or desk.clock.now_us()
        self.job = work = await in_thread(
            lambda: desk.store.change(work.id, OPEN, state=WorkState.RUNNING, started_at=started_at)
        )
        for line in await in_thread(lambda: desk.store.lines(work.id)):
            if line.record_id is not None:
                self.record_ids[line.number] = line.record_id
            if line.status is None:
                self._waiting.append(line)
            else:
                self._count(line.status)
        takers = [
            asyncio.create_task(self._take_turns(), name=f"job {work.id}")
            for _ in range(min(MAX_LINES_AT_ONCE, len(self._waiting)))
        ]
        try:
            await asyncio.gather(*takers)
        finally:
            await self._leave(takers)

    def stop_lines(self, reason: PlatformError) -> None:
        """End early what is under way."""
        self._leaving.set()
        for line in list(self._lines):
            line.stop(reason)

    def delivered(self) -> Delivered:
        """What the job's last record says of it: how many requests came to what, and their records."""
        content: dict[str, Value] = {
            "lines": self.job.lines,
            "completed": self.completed,
            "failed": self.failed,
            "records": [format_record_id(self.record_ids[number]) for number in sorted(self.record_ids)],
        }
        return Delivered(outputs=(Output(kind=DOCUMENT, content=content),))

    async def _leave(self, takers: list[asyncio.Task[None]]) -> None:
        self._leaving.set()
        for taker in takers:
            taker.cancel()
        reason = self._stopped()
        if reason is not None and not isinstance(reason, ServerStopped):  # a draining server lets them end
            self.stop_lines(reason)
        await asyncio.gather(*takers, *self._under_way, return_exceptions=True)

    async def _take_turns(self) -> None:
        turns = self._desk.turns
        while True:
            await turns.acquire()
            if not self._waiting:
                turns.release()
                return
            task = asyncio.create_task(self._answer(self._waiting.popleft()), name=f"line of {self.job.id}")
            self._under_way.add(task)
            task.add_done_callback(self._turn_over)
            await asyncio.shield(task)

    def _turn_over(self, task: asyncio.Task[None]) -> None:
        self._desk.turns.release()
        self._under_way.discard(task)

    async def _answer(self, line: WorkLine) -> None:
        """Steps 1 to 4; gives up without an answer once the attempt is left."""
        found = None if line.record_id is None else await self._recorded_before(line, line.record_id)
        attempts = line.attempts
        while found is None and not self._leaving.is_set():
            if attempts >= MAX_ATTEMPTS:
                found = self._refused(line, LineGivenUp(attempts=attempts), None)
            elif self._desk.must_wait:
                await self._pause()
            else:
                found, announced = await self._ask(line)
                attempts += announced
                if found is None:
                    await self._pause()
        if found is None:
            return
        status, answer = found
        await in_thread(lambda: self._desk.store.answer(line.id, status, answer))
        self.said.pop(line.number, None)
        self._count(status)

    async def _ask(self, line: WorkLine) -> tuple[tuple[int, LineAnswer] | None, bool]:
        """The answer, None where it must be asked anew; and whether an attempt was begun."""
        desk, begun = self._desk, False

        async def announce(record_id: RecordId) -> None:
            nonlocal begun
            begun = True
            await in_thread(lambda: desk.store.announce(line.id, record_id))
            self.record_ids[line.number] = record_id

        try:
            read = desk.spelling.read(line.asked)
            shown = self.job.kind is not WorkKind.BATCH
            running = desk.exchange.infer(
                principal=self._principal,
                asked=read.asked,
                http=_request(line.asked, read.reader, streamed=shown),
                timeout_s=desk.timeout_s,
                deliver=self._shown(line.number) if shown else None,
                announce=announce,
            )
            recorded = await self._run(running)
        except AnswerWithheld:
            return None, begun
        except PlatformError as error:
            if error.status in {429, 503} and not isinstance(error, ModelLoadFailed):
                return None, begun
            return self._refused(line, error, None), begun
        if isinstance(recorded.failure, AGAIN):
            return None, begun
        return self._outcome(line, read, recorded), begun

    async def _run(self, line: Line) -> Recorded:
        self._lines.add(line)
        self._desk.asking += 1
        try:
            return await line.run()
        finally:
            self._desk.asking -= 1
            self._lines.discard(line)

    async def _recorded_before(self, line: WorkLine, record_id: RecordId) -> tuple[int, LineAnswer] | None:
        """The answer that an earlier process recorded and did not keep; None where there is none."""
        records = self._desk.records
        stored = await records.entry(record_id)
        if stored is None or stored.state is State.INTERRUPTED:
            return None
        again = await records.again(stored)
        if again is None:
            return self._refused(line, LineNotOpened(), None)
        ticket, entry = again
        fault = ticket.record.error
        if fault is not None and fault.code in _AGAIN_CODES:
            return None
        failure = None if fault is None else WorkFailed(code=fault.code, message=fault.message)
        recorded = Recorded(record=ticket.record, ticket=ticket, entry=entry, failure=failure)
        return self._outcome(line, self._desk.spelling.read(line.asked), recorded)

    def _outcome(self, line: WorkLine, read: ReadLine, recorded: Recorded) -> tuple[int, LineAnswer]:
        if recorded.failure is not None:
            return self._refused(line, recorded.failure, recorded)
        return 200, LineAnswer(read.written(recorded), text_of(recorded))

    def _refused(self, line: WorkLine, failure: BaseException, recorded: Recorded | None) -> tuple[int, LineAnswer]:
        status, body = self._desk.spelling.refused(line.asked, failure, recorded)
        return status, LineAnswer(body, "" if recorded is None else text_of(recorded))

    def _shown(self, number: int) -> Any:
        async def deliver(_admitted: Admitted, part: Any, _usage: Usage) -> None:
            said = getattr(part, "said", None) or getattr(part, "data", None)
            if isinstance(said, str):
                self.said[number] += said

        self.said[number] = ""
        return deliver

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(RETRY_LINE_S):
                await self._leaving.wait()
        except TimeoutError:
            return

    def _count(self, status: int) -> None:
        if status < 300:
            self.completed += 1
        else:
            self.failed += 1


def text_of(recorded: Recorded) -> str:
    """What a log shows of an answer: its texts, and anything else as JSON."""
    response = recorded.record.response
    outputs = response.outputs if isinstance(response, Response) else ()
    return "\n".join(_text(output.content) for output in outputs)


def _text(content: object) -> str:
    if isinstance(content, dict) and isinstance(content.get("content"), str):
        return str(content["content"])
    return content if isinstance(content, str) else msgspec.json.encode(content).decode()


def _request(line: LineAsked, reader: str, *, streamed: bool) -> HttpFacts:
    """The request that a line is."""
    return HttpFacts(
        method="POST",
        path=line.path,
        target=line.path,
        content_type=JSON,
        body=line.body,
        reader=reader,
        streamed=streamed,
    )
