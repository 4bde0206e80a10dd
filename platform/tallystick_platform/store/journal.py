"""The journal: nothing is answered before it is durable here.

`admit` and `commit` are called from the event loop and wait for the writer thread, which carries out everything that waits as one
group (`group.py`, whose numbered steps are the promise of the product). One thread, one connection, one order.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tallystick.ids import Address, RecordId
from tallystick.receipts import AdmissionReceipt, SignedAdmission
from tallystick.record import Record, State
from tallystick_platform.clock import Clock
from tallystick_platform.errors import JournalClosed, JournalUnavailable, NotAdmitted, Overloaded
from tallystick_platform.metrics import Metrics
from tallystick_platform.store import settlement
from tallystick_platform.store.database import Database
from tallystick_platform.store.entries import Counts, JournalEntry, Ticket
from tallystick_platform.store.group import Admit, Commit, GroupCommitter, Operation, Outcome
from tallystick_platform.store.records import Page, RecordReader, StoredRecord
from tallystick_platform.store.row_macs import RowMacs
from tallystick_platform.store.sealer import Sealer
from tallystick_platform.store.transaction import US_PER_S

MAX_GROUP = 128  # operations in one commit: beyond, waiting for the group costs more than another commit
MAX_OPEN_ADMISSIONS = 16_384  # admissions without a record; each holds its would-be record in memory
RETRY_OWED_S = 1.0  # pause before owed records are tried again while nothing else comes in
IDLE_CHECK_S = 30.0  # how often an idle journal looks whether its epoch is over
READER_THREADS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flush:
    """Write everything that is owed, then say how much it was."""

    future: asyncio.Future[int]


class _Stop:
    """Finish what waits, then end."""


_Item = Operation | _Flush | _Stop
_Operations = list[Operation]  # named here: inside the class, `list` is a method
_Flushes = list[_Flush]


class Journal:
    """The journal of one log, used from one event loop."""

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        macs: RowMacs,
        *,
        clock: Clock,
        anchor_deadline_s: int,
        metrics: Metrics | None = None,
        max_open: int = MAX_OPEN_ADMISSIONS,
    ) -> None:
        self._sealer = sealer
        self._clock = clock
        self._anchor_deadline_s = anchor_deadline_s
        self.metrics = metrics or Metrics()
        self._max_open = max_open
        self._committer = GroupCommitter(database, sealer, macs, clock=clock, anchor_deadline_s=anchor_deadline_s)
        self._reader = RecordReader(database, macs, domain=sealer.domain, log_id=sealer.log_id)
        self._readers = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="journal-reader")
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._queued = 0
        self._settling: set[int] = set()
        self._wakes: list[Callable[[], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    async def start(self) -> None:
        """Connect and start the writer thread. Leftover drafts are read here and recorded by `recover`.

        Raises: JournalUnavailable
        """
        self._loop = asyncio.get_running_loop()
        started: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="journal", daemon=True)
        self._thread.start()
        try:
            await started
        except BaseException:
            self._thread = None
            raise

    async def recover(self) -> int:
        """Turn the drafts of a process that died into `interrupted` records; says how many there were.

        Raises: JournalUnavailable
        """
        future: asyncio.Future[int] = self._running().create_future()
        self._queue.put(_Flush(future=future))
        return await future

    async def admit(self, record: Record, *, token_id: str) -> Ticket:
        """Promise to record a request. `record` is what stands if the process dies: `interrupted`, both numbers 0.

        Every ticket must end in exactly one `commit`. If the caller is cancelled while it waits here, the journal sees to that itself.

        Raises: JournalUnavailable, Overloaded, JournalClosed; RecordError or EncodingError if the record does not fit the format.
        """
        loop = self._running()
        if len(self._committer.open) + self._queued >= self._max_open:
            raise Overloaded(bound="open admissions", limit=self._max_open, retry_after_s=1)
        future: asyncio.Future[Record] = loop.create_future()
        self._put(Admit(record=record, token_id=token_id, future=future))
        return Ticket(await future, self._sign_admission)

    async def commit(self, record: Record) -> JournalEntry:
        """Record how an admitted request ended. What is returned may be shown to the client; without it nothing may.

        The attempt goes on if the caller is cancelled. It must not be repeated: after JournalUnavailable the journal itself records, as
        soon as it can, that the answer (of a stream: the receipt) was withheld; after RecordError, that the outcome did not fit.

        Raises: JournalUnavailable, NotAdmitted, JournalClosed, RecordError, EncodingError
        """
        loop = self._running()
        future: asyncio.Future[JournalEntry] = loop.create_future()
        self._settle(record, future)
        return await future

    async def entry(self, record_id: RecordId) -> StoredRecord | None:
        """The record of this id, or None.

        Raises: RowTampered
        """
        return await self._running().run_in_executor(self._readers, self._reader.by_id, record_id)

    async def is_open(self, record_id: RecordId) -> bool:
        """Whether a request of this id is admitted and not yet recorded."""
        return await self._running().run_in_executor(self._readers, self._reader.is_open, record_id)

    async def blob(self, sealed_digest: bytes) -> bytes | None:
        """The encrypted blob that a record refers to, or None."""
        return await self._running().run_in_executor(self._readers, self._reader.blob, sealed_digest)

    async def list(
        self,
        sender: Address,
        *,
        cursor: int | None = None,
        limit: int = 20,
        state: State | None = None,
        model: str | None = None,
    ) -> Page:
        """A sender's own records, newest first.

        Raises: RowTampered
        """

        def read() -> Page:
            return self._reader.page(sender, cursor=cursor, limit=limit, state=state, model=model)

        return await self._running().run_in_executor(self._readers, read)

    def counts(self) -> Counts:
        """The journal at a glance."""
        committer = self._committer
        return Counts(size=committer.size, admitted=committer.admitted, open=len(committer.open), queued=self._queued)

    def subscribe(self, wake: Callable[[], None]) -> None:
        """Have `wake` called in the event loop whenever records were added."""
        self._wakes.append(wake)

    async def close(self) -> None:
        """Finish what waits, then stop. What is still open becomes `interrupted` at the next start."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._queue.put(_Stop())
        await asyncio.to_thread(thread.join)
        self._readers.shutdown()

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None or self._thread is None:
            raise JournalClosed
        return self._loop

    def _put(self, operation: Operation) -> None:
        self._queued += 1
        self._queue.put(operation)

    def _settle(self, record: Record, future: asyncio.Future[JournalEntry] | None) -> None:
        """Queue the one terminal record of an open admission."""
        seq = record.admission_seq
        draft = self._committer.open.get(seq)
        if draft is None or draft.id != record.id or seq in self._settling:
            raise NotAdmitted(admission_seq=seq)
        self._settling.add(seq)
        self._put(Commit(record=record, future=future))

    def _sign_admission(self, record: Record) -> SignedAdmission:
        admitted_at = record.time.admitted_at // US_PER_S
        return self._sealer.sign_admission(
            AdmissionReceipt(
                log_id=self._sealer.log_id,
                record_id=record.id,
                sender=record.sender.address,
                sender_seq=record.sender_seq,
                request_hash=record.http.request_hash,
                admitted_at=admitted_at,
                anchor_by=admitted_at + self._anchor_deadline_s,
            )
        )

    def _run(self, started: asyncio.Future[None]) -> None:
        """The writer thread."""
        try:
            self._committer.connect()
        except Exception as error:  # noqa: BLE001  told to whoever waits in `start`
            self._call(_fail, started, JournalUnavailable(reason=str(error)))
            return
        self._call(_succeed, started, None)
        stopping = False
        while not stopping:
            group, flushes, stopping = self._next_group()
            if group or self._committer.owed:
                self._carry_out(group)
            else:
                self._committer.idle()
            for flush in flushes:
                self._flush(flush)
        self._committer.close()

    def _next_group(self) -> tuple[_Operations, _Flushes, bool]:
        """Wait for work, then take all that is there, up to MAX_GROUP."""
        group: _Operations = []
        flushes: _Flushes = []
        wait_s = IDLE_CHECK_S
        if self._committer.owed:
            wait_s = 0.0 if self._committer.healthy else RETRY_OWED_S
        with suppress(queue.Empty):
            item = self._queue.get(timeout=wait_s)
            while True:
                if isinstance(item, _Stop):
                    return group, flushes, True
                if isinstance(item, _Flush):
                    flushes.append(item)
                    break
                group.append(item)
                if len(group) == MAX_GROUP:
                    break
                item = self._queue.get_nowait()
        return group, flushes, False

    def _carry_out(self, group: Sequence[Operation]) -> None:
        size = self._committer.size
        started_ns = self._clock.monotonic_ns()
        outcomes = self._committer.commit(group)
        seconds = (self._clock.monotonic_ns() - started_ns) / 1e9
        self._call(self._tell, len(group), outcomes, seconds, self._committer.size > size)

    def _flush(self, flush: _Flush) -> None:
        while self._committer.owed:
            self._carry_out(())
            if not self._committer.healthy:
                self._call(
                    _fail, flush.future, JournalUnavailable(reason="what a dead process left cannot be recorded")
                )
                return
        self._call(_succeed, flush.future, self._committer.leftovers)

    def _call(self, function: Callable[..., None], *args: object) -> None:
        """Run in the event loop. One that is closed has nobody left who could be told."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(function, *args)

    def _tell(self, operations: int, outcomes: Sequence[Outcome], seconds: float, grew: bool) -> None:
        """Step 8, in the event loop."""
        self._queued -= operations
        for operation, result in outcomes:
            if isinstance(operation, Commit):
                self._settling.discard(operation.record.admission_seq)
            future = operation.future
            if future is None:
                continue
            if not future.cancelled():
                _resolve(future, result)
            elif isinstance(operation, Admit) and isinstance(result, Record):
                self._settle(settlement.abandoned(result, self._clock.now_us()), None)
        self._observe(operations, seconds)
        if grew:
            for wake in self._wakes:
                wake()

    def _observe(self, operations: int, seconds: float) -> None:
        metrics, committer = self.metrics, self._committer
        metrics.journal_group.observe(operations)
        metrics.journal_commit_seconds.observe(seconds)
        metrics.journal_size.set(committer.size)
        metrics.journal_open.set(len(committer.open))
        metrics.journal_queue.set(self._queued)
        if not committer.healthy:
            metrics.journal_failures.inc()


def _resolve(future: asyncio.Future[Any], result: object) -> None:
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


def _succeed(future: asyncio.Future[Any], result: object) -> None:
    if not future.cancelled():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.cancelled():
        future.set_exception(error)
