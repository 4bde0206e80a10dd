"""The group commit: the one place where admissions and records are made and written.

The writer hands over everything that waits, and one transaction makes all of it durable. Rows are made in the event loop's thread (3 and
4), because two threads that both compute would only take the interpreter from each other; whatever touches the disk (1, 2, 5 to 7)
runs in a thread of its own, while the loop goes on. The two never work on a group at once. The steps, and what a crash or a failure in
each means:

1. *Connect* (first group, and after any failure): read the counters and the drafts from the database. A draft without an owner
   in this process belongs to a process that died, or to a commit that persisted although it reported a failure: its record is
   owed. A crash here changes nothing.
2. *Epoch*: if the open epoch is over, make the next one's key durable, then, in a transaction of its own, close the old row and
   insert the new one with its wraps. A crash between the two leaves a key file without a row: the same key is taken up again.
3. *Admissions*: assign `admission_seq` and `sender_seq`, encode and encrypt the draft, sign the promise. A crash: nobody was told anything.
4. *Records*: assign the log index, seal, sign the receipt. A crash: the drafts are still there, so each of these requests
   becomes `interrupted` at the next start. Its index may be used again for other bytes: SPEC section 4 says why that is safe.
5. *Begin*, excluding other writers, and compare the counters that 3 and 4 started from with the inventory.
6. *Write*: insert the rows, delete the drafts of the records, write the inventory. A crash: as in 4, the database rolls back.
7. *Commit*. After it the admissions and records stand, whatever happens. A crash before the callers hear of it: an admission
   becomes `interrupted` although nothing was computed; a record tells of an answer whose last bytes were not delivered.
8. *Tell*: only now do callers get their tickets and entries, in one wake-up of their event loop.

If any of 1 to 7 fails, the transaction is rolled back, the connection is thrown away, and every caller gets JournalUnavailable:
no ticket, no entry, so no answer. The next group starts at 1. The records that failed are owed, and go with the next group that
works. A record that was admitted and recorded at once is not owed: it may stand all the same, which its caller finds by its id.

While the journal is held, no group is carried out: what it would seal and sign might contradict what the chain holds.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from tallystick.errors import TallystickError
from tallystick.ids import Epoch
from tallystick.record import Record
from tallystick_platform.clock import Clock
from tallystick_platform.errors import AdmissionClosed, CannotFollow, JournalUnavailable, NotAdmitted
from tallystick_platform.store import settlement
from tallystick_platform.store.counters import Counters, Standing
from tallystick_platform.store.database import Database, WriterConnection
from tallystick_platform.store.entries import JournalEntry, Ticket
from tallystick_platform.store.rollover import close_epoch, resume_epoch, roll_epoch
from tallystick_platform.store.row_macs import RowMacs
from tallystick_platform.store.sealer import Sealer
from tallystick_platform.store.settlement import has_record, read_leftovers
from tallystick_platform.store.transaction import Transaction

MAX_OWED_PER_GROUP = 16  # records that the journal writes on its own account in one group: callers wait meanwhile

NOT_COMPARED = "the journal was not compared with the chain yet"
RETRY_HELD_S = 10  # the anchorer looks at the chain every few seconds

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Admit:
    """A request that asks to be admitted."""

    record: Record
    token_id: str
    future: Future[Ticket]


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """The terminal record of an open admission. Nobody may be waiting for it."""

    record: Record
    future: Future[JournalEntry] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AtOnce:
    """A request whose outcome is known already: admitted and recorded in one."""

    record: Record
    token_id: str
    future: Future[tuple[Ticket, JournalEntry]]


Operation = Admit | Commit | AtOnce
Result = Ticket | JournalEntry | tuple[Ticket, JournalEntry] | Exception
Outcome = tuple[Operation, Result]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A group after step 4: its rows, what the counters said before it, and what its callers will be told once it stands."""

    began: Standing
    writes: Transaction
    outcomes: list[Outcome]


class GroupCommitter:
    """Carries out groups: `make_ready` if it is not `ready`, `prepare`, `write`, then `stands`; `failed` if any of them failed."""

    def __init__(self, database: Database, sealer: Sealer, macs: RowMacs, *, clock: Clock, promise_s: int) -> None:
        self._database = database
        self._sealer = sealer
        self._macs = macs
        self._clock = clock
        self._promise_s = promise_s
        self._connection: WriterConnection | None = None
        self._counters: Counters | None = None
        self._draft_epochs: dict[int, Epoch] = {}
        self._keys_to_forget = False
        self.held: str | None = NOT_COMPARED
        self.open: dict[int, Record] = {}
        self.owed: dict[int, Record] = {}
        self.leftovers: int | None = None
        self.size = 0
        self.admitted = 0

    @property
    def healthy(self) -> bool:
        """Whether the last attempt to reach or write the database worked."""
        return self._connection is not None

    @property
    def ready(self) -> bool:
        """Whether a group can be prepared now: connected, and within the open epoch."""
        return self._connection is not None and not self._sealer.epoch_due(self._clock.now_us())

    def make_ready(self) -> None:
        """Steps 1 and 2. May take as long as the disk does."""
        connection, counters = self.connect()
        now_us = self._clock.now_us()
        if self._sealer.epoch_due(now_us):
            roll_epoch(connection, self._sealer, self._macs, counters, now_us)
            self._keys_to_forget = True

    def prepare(self, group: Sequence[Operation]) -> Prepared:
        """Steps 3 and 4, for the group and some of what is owed.

        Requires: `ready`.
        """
        connection, counters = self._connected()
        writes = Transaction(
            self._sealer,
            self._macs,
            now_us=self._clock.now_us(),
            promise_s=self._promise_s,
            monotonic_ns=self._clock.monotonic_ns,
        )
        began = counters.standing
        outcomes = [
            (operation, self._carry_out(operation, writes, counters, connection))
            for operation in group
            if isinstance(operation, Commit) or not operation.future.cancelled()
        ]
        self._pay(writes, counters)
        return Prepared(began=began, writes=writes, outcomes=outcomes)

    def write(self, prepared: Prepared) -> None:
        """Steps 5 to 7. May take as long as the disk does."""
        connection, counters = self._connected()
        connection.begin()
        counters.confirm(connection, prepared.began)
        prepared.writes.write(connection, counters)
        connection.commit()

    def stands(self, prepared: Prepared) -> list[Outcome]:
        """After step 7: what is durable becomes what this process knows. The outcomes may be told."""
        _, counters = self._connected()
        writes = prepared.writes
        for record in writes.admitted:
            self.open[record.admission_seq] = record
        self._draft_epochs |= writes.draft_epochs()
        for seq in writes.done:
            del self.open[seq]
            self.owed.pop(seq, None)
            self._draft_epochs.pop(seq, None)
        self.size, self.admitted = counters.next_index, counters.next_seq - 1
        if self._keys_to_forget:
            self._forget_keys()
        return prepared.outcomes

    def failed(self, group: Sequence[Operation], error: Exception) -> list[Outcome]:
        """Undo, start over with the next group, and owe the records whose callers now get no answer."""
        _log.error("journal.group_failed", error=str(error), kind=type(error).__name__, operations=len(group))
        self.close()  # closing rolls back
        return self._without_answer(group, JournalUnavailable(reason=str(error)))

    def refused(self, group: Sequence[Operation], reason: str) -> list[Outcome]:
        """What becomes of a group while the journal is held: nothing is sealed, and the records are owed."""
        closed = AdmissionClosed(reason=reason, retry_after_s=RETRY_HELD_S)
        commits = [operation for operation in group if isinstance(operation, Commit)]
        others: list[Outcome] = [(operation, closed) for operation in group if not isinstance(operation, Commit)]
        return others + self._without_answer(commits, JournalUnavailable(reason=reason, retry_after_s=RETRY_HELD_S))

    def connect(self) -> tuple[WriterConnection, Counters]:
        """Step 1: the connection and the counters, read anew after a failure."""
        if self._connection is None or self._counters is None:
            connection = self._database.writer()
            try:
                counters = Counters(connection, self._macs)
                resume_epoch(connection, self._sealer, self._macs)
                self._take_stock(connection)
            except BaseException:
                connection.close()
                raise
            self._connection, self._counters = connection, counters
            self.size, self.admitted = counters.next_index, counters.next_seq - 1
            self._keys_to_forget = True
        return self._connection, self._counters

    def idle(self) -> None:
        """Close an epoch whose time passed while nothing came in, so that its key is dropped all the same."""
        now_us = self._clock.now_us()
        connection, counters = self._connection, self._counters
        if connection is None or counters is None or self.held is not None:
            return
        if not self._sealer.epoch_open() or not self._sealer.epoch_due(now_us):
            return
        try:
            close_epoch(connection, self._macs, counters, now_us)
            resume_epoch(connection, self._sealer, self._macs)
        except Exception as error:  # noqa: BLE001  the next group starts over, as after any failure
            self.failed((), error)
            return
        self._keys_to_forget = True
        self._forget_keys()

    def close(self) -> None:
        """Give the connection back; what was not committed is undone."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> tuple[WriterConnection, Counters]:
        if self._connection is None or self._counters is None:
            raise JournalUnavailable(reason="it is not connected")
        return self._connection, self._counters

    def _carry_out(
        self, operation: Operation, writes: Transaction, counters: Counters, connection: WriterConnection
    ) -> Result:
        """Steps 3 and 4 for one operation; a record at fault harms nobody else in the group."""
        try:
            if isinstance(operation, Admit):
                return writes.admit(operation.record, operation.token_id, counters, connection)
            if isinstance(operation, AtOnce):
                return writes.whole(operation.record, operation.token_id, counters, connection)
            draft = self.open.get(operation.record.admission_seq)
            if draft is None:  # the connection was renewed meanwhile, and the record was found to stand
                return NotAdmitted(admission_seq=operation.record.admission_seq)
            return writes.record(operation.record, draft, counters)
        except (TallystickError, CannotFollow) as error:
            return error

    def _without_answer(self, group: Sequence[Operation], unavailable: JournalUnavailable) -> list[Outcome]:
        for operation in group:
            if isinstance(operation, Commit):
                self.owed[operation.record.admission_seq] = settlement.unreleased(operation.record)
        return [(operation, unavailable) for operation in group]

    def _pay(self, writes: Transaction, counters: Counters) -> None:
        """Step 4 for some of the records that are owed."""
        for seq, record in list(self.owed.items())[:MAX_OWED_PER_GROUP]:
            try:
                writes.record(record, self.open[seq], counters)
            except TallystickError as error:  # stays open, and is tried again at the next start
                _log.error("journal.not_recordable", admission_seq=seq, error=str(error))
                del self.owed[seq]

    def _take_stock(self, connection: WriterConnection) -> None:
        """Compare the drafts in the database with the admissions that this process knows."""
        now_us = self._clock.now_us()
        found = read_leftovers(connection, self._sealer, self.open, now_us)
        settle = settlement.interrupted if self.leftovers is None else settlement.refused
        for seq in [seq for seq in self.open if seq not in found.epochs and has_record(connection, seq)]:
            del self.open[seq]
            self.owed.pop(seq, None)
        self.open |= found.orphans | found.unreadable
        self.owed |= {seq: settle(draft, now_us) for seq, draft in found.orphans.items()} | found.unreadable
        self._draft_epochs = found.epochs
        if self.leftovers is None:
            self.leftovers = len(self.owed)

    def _forget_keys(self) -> None:
        """Drop the keys of closed epochs that protect no draft any more."""
        current = self._sealer.epoch if self._sealer.epoch_open() else Epoch(self._sealer.epoch + 1)
        oldest = min(self._draft_epochs.values(), default=current)
        try:
            self._sealer.forget_before(oldest)
        except TallystickError as error:  # what was committed stands; the keys go with a later group
            _log.error("journal.key_not_forgotten", error=str(error))
        else:
            self._keys_to_forget = oldest < current
