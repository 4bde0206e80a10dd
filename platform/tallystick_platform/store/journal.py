"""The journal: makes admissions and records durable. No answer leaves before its record is here.

`admit` and `commit` wait for the writer. The writer takes everything that waits as one group, one group at a time, over one connection;
`group.py` numbers the steps of a group, and says what a crash at each leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

from tallystick.ids import Address, RecordId
from tallystick.record import Record, State
from tallystick_platform.clock import MAX_HELD_S, Clock
from tallystick_platform.errors import AdmissionClosed, JournalClosed, NotAdmitted, Overloaded
from tallystick_platform.metrics import Metrics
from tallystick_platform.store import settlement
from tallystick_platform.store.database import Database
from tallystick_platform.store.entries import Counts, JournalEntry, Ticket
from tallystick_platform.store.group import RETRY_HELD_S, Admit, AtOnce, Commit, GroupCommitter, Operation, Outcome
from tallystick_platform.store.opening import open_record, open_with_secret
from tallystick_platform.store.records import Page, RecordReader, StoredRecord
from tallystick_platform.store.row_macs import RowMacs
from tallystick_platform.store.sealer import Sealer
from tallystick_platform.store.writer import Writer, resolve

T = TypeVar("T")
R = TypeVar("R")

MAX_OPEN_ADMISSIONS = 16_384  # admissions without a record; each holds its would-be record in memory
READER_THREADS = 2
CLOCK_HELD = "this machine's clock was set back, and its time has not caught up with that of the records"


class Journal:
    """The journal of one log, used from one event loop. Units: `promise_s` is the log's promise, in seconds; `max_held_s` the time by which
    the clock may be held ahead of the machine's.

    It begins held: nothing is admitted, sealed or signed before `release`, which whoever compared it with the chain calls.
    """

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        macs: RowMacs,
        *,
        clock: Clock,
        promise_s: int,
        metrics: Metrics | None = None,
        max_open: int = MAX_OPEN_ADMISSIONS,
        max_held_s: float = MAX_HELD_S,
    ) -> None:
        self._sealer = sealer
        self._clock = clock
        self.metrics = metrics or Metrics()
        self._max_open = max_open
        self._max_held_s = max_held_s
        self._committer = GroupCommitter(database, sealer, macs, clock=clock, promise_s=promise_s)
        self._reader = RecordReader(database, macs, domain=sealer.domain, log_id=sealer.log_id)
        self._readers = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="journal-reader")
        self._writer: Writer | None = None
        self._queued = 0
        self._settling: set[int] = set()
        self._wakes: list[Callable[[], None]] = []

    async def start(self) -> None:
        """Connect and start the writer. Leftover drafts are read here and recorded by `recover`.

        Raises: JournalUnavailable
        """
        writer = Writer(self._committer, self._clock, self._tell)
        await writer.start()
        self._writer = writer

    async def recover(self) -> int:
        """Turn the drafts of a process that died into `interrupted` records; says how many there were.

        Raises: JournalUnavailable, AdmissionClosed while it is held
        """
        return await self._running().flush()

    def hold(self, reason: str) -> None:
        """Admit, seal and sign nothing until `release`. The group under way is carried out; `reason` is told to clients."""
        self._committer.held = reason

    def release(self) -> None:
        """Journal and chain agree: take work, and write what is owed."""
        self._committer.held = None
        if self._writer is not None:
            self._writer.wake()

    @property
    def held(self) -> str | None:
        """Why nothing is admitted now; None while requests are."""
        if self._committer.held is None and self._clock.held_s() > self._max_held_s:
            return CLOCK_HELD
        return self._committer.held

    async def admit(self, record: Record, *, token_id: str) -> Ticket:
        """Promise to record a request. `record` is what stands if the process dies: `interrupted`, both numbers 0.

        Every ticket must end in exactly one `commit`. If the caller is cancelled while it waits here, the journal sees to that itself.

        Raises: AdmissionClosed, JournalUnavailable, Overloaded, JournalClosed; RecordError or EncodingError if the record does not fit
        the format.
        """
        writer = self._admitting()
        if len(self._committer.open) + self._queued >= self._max_open:
            raise Overloaded(bound="open admissions", limit=self._max_open, retry_after_s=1)
        future: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
        self._put(writer, Admit(record=record, token_id=token_id, future=future))
        try:
            return await future
        except asyncio.CancelledError:
            if not future.cancelled() and future.done() and future.exception() is None:
                self._abandon(future.result().record)  # the caller was cancelled between the result and seeing it
            raise

    async def record_at_once(self, record: Record, *, token_id: str) -> tuple[Ticket, JournalEntry]:
        """Admit and record a request whose outcome is known: work that is accepted, or the end of such work. Both numbers are 0.

        It must not be repeated after JournalUnavailable before `entry` has told whether it stands.

        Raises: AdmissionClosed, CannotFollow, JournalUnavailable, JournalClosed, RecordError, EncodingError; nothing stands then, but
        after JournalUnavailable it may.
        """
        writer = self._admitting()
        future: asyncio.Future[tuple[Ticket, JournalEntry]] = asyncio.get_running_loop().create_future()
        self._put(writer, AtOnce(record=record, token_id=token_id, future=future))
        return await future

    async def commit(self, record: Record) -> JournalEntry:
        """Record how an admitted request ended. What is returned may be shown to the client; without it nothing may.

        The attempt goes on if the caller is cancelled. It must not be repeated: after JournalUnavailable the journal itself records, as
        soon as it can, that the answer (of a stream: the receipt) was withheld; after RecordError, that the outcome did not fit.

        Raises: JournalUnavailable, NotAdmitted, JournalClosed, RecordError, EncodingError
        """
        future: asyncio.Future[JournalEntry] = asyncio.get_running_loop().create_future()
        self._settle(record, future)
        return await future

    async def entry(self, record_id: RecordId) -> StoredRecord | None:
        """The record of this id, or None.

        Raises: RowTampered
        """
        return await self._read(self._reader.by_id, record_id)

    async def opened(self, stored: StoredRecord) -> Record | None:
        """What a record says, or None once the key of its epoch is forgotten.

        Raises: RowTampered, KeyFileError
        """
        sealer = self._sealer
        opening = partial(open_record, log_id=sealer.log_id, keys=sealer.epoch_keys, blob=self._reader.blob)
        return await self._read(opening, stored)

    async def again(self, stored: StoredRecord) -> tuple[Ticket, JournalEntry] | None:
        """What `admit` and `commit` gave for a record of an earlier process; None once the key of its epoch is forgotten.

        Raises: RowTampered, KeyFileError
        """
        sealer = self._sealer
        opening = partial(open_with_secret, log_id=sealer.log_id, keys=sealer.epoch_keys, blob=self._reader.blob)
        found = await self._read(opening, stored)
        if found is None:
            return None
        record, secret = found
        entry = JournalEntry(
            record_id=stored.record_id,
            admission_seq=stored.admission_seq,
            index=stored.index,
            epoch=stored.epoch,
            fields_root=stored.fields_root,
            leaf=stored.leaf,
            receipt=stored.receipt,
            record_secret=secret,
        )
        return Ticket(record, stored.admission), entry

    async def is_open(self, record_id: RecordId) -> bool:
        """Whether a request of this id is admitted and not yet recorded."""
        return await self._read(self._reader.is_open, record_id)

    async def follower(self, record_id: RecordId) -> StoredRecord | None:
        """The record that ends the work of an accepted one, or None.

        Raises: RowTampered
        """
        return await self._read(self._reader.follower, record_id)

    async def unended(self) -> Sequence[StoredRecord]:
        """The accepted records that nothing follows yet, oldest first.

        Raises: RowTampered
        """
        return await self._read(RecordReader.unended, self._reader)

    async def blob(self, record_id: RecordId, sealed_digest: bytes) -> bytes | None:
        """The encrypted blob of this digest, if this record refers to it.

        Raises: RowTampered
        """
        return await self._read(self._reader.blob, (record_id, sealed_digest))

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

        def read(of: Address) -> Page:
            return self._reader.page(of, cursor=cursor, limit=limit, state=state, model=model)

        return await self._read(read, sender)

    def counts(self) -> Counts:
        """The journal at a glance."""
        committer = self._committer
        return Counts(size=committer.size, admitted=committer.admitted, open=len(committer.open), queued=self._queued)

    @property
    def fault(self) -> str | None:
        """Why it takes no records now; None while it does."""
        if self._writer is None or self._writer.ended:
            return "its writer ended"
        if not self._committer.healthy:
            return "the last group could not be written"
        return self.held

    def subscribe(self, wake: Callable[[], None]) -> None:
        """Have `wake` called in the event loop whenever records were added."""
        self._wakes.append(wake)

    async def close(self) -> None:
        """Finish what waits, then stop. What is still open becomes `interrupted` at the next start."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.stop()
            self._readers.shutdown()

    def _admitting(self) -> Writer:
        writer, reason = self._running(), self.held
        if reason is not None:
            raise AdmissionClosed(reason=reason, retry_after_s=RETRY_HELD_S)
        return writer

    def _running(self) -> Writer:
        if self._writer is None or self._writer.ended:
            raise JournalClosed
        return self._writer

    async def _read(self, read: Callable[[T], R], of: T) -> R:
        self._running()
        return await asyncio.get_running_loop().run_in_executor(self._readers, read, of)

    def _put(self, writer: Writer, operation: Operation) -> None:
        self._queued += 1
        writer.put(operation)

    def _settle(self, record: Record, future: asyncio.Future[JournalEntry] | None) -> None:
        """Queue the one terminal record of an open admission."""
        writer = self._running()
        seq = record.admission_seq
        draft = self._committer.open.get(seq)
        if draft is None or draft.id != record.id or seq in self._settling:
            raise NotAdmitted(admission_seq=seq)
        self._settling.add(seq)
        self._put(writer, Commit(record=record, future=future))

    def _abandon(self, admitted: Record) -> None:
        """Record that the caller left before it had its ticket."""
        with suppress(JournalClosed):  # then it becomes `interrupted` at the next start
            self._settle(settlement.abandoned(admitted, self._clock.now_us()), None)

    def _tell(self, group: Sequence[Operation], outcomes: Sequence[Outcome], seconds: float, grew: bool) -> None:
        """Step 8 of the group commit."""
        self._queued -= len(group)
        for operation, result in outcomes:
            if isinstance(operation, Commit):
                self._settling.discard(operation.record.admission_seq)
            future = operation.future
            if future is None:
                continue
            if not future.cancelled():
                resolve(future, result)
            elif isinstance(operation, Admit) and isinstance(result, Ticket):
                self._abandon(result.record)
        self._observe(len(group), seconds)
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
