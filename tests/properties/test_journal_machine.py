"""The journal against a model, through failures, crashes, restarts, departures and epochs, in any order.

The model knows only what callers were told. Whatever happened, the journal must agree with it: what was told stands, nothing stands twice,
no number is missing, and the check of the whole journal finds nothing.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Coroutine
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from tallystick.errors import OpenError
from tallystick.ids import Address
from tallystick.record import Record, State
from tallystick.sealing import open_sealed
from tallystick_platform.errors import AdmissionClosed, CannotFollow, JournalUnavailable
from tallystick_platform.store.entries import JournalEntry
from tallystick_platform.store.journal import Journal
from tallystick_platform.store.tables import ADMISSION, DRAFT, RECORD
from tallystick_platform.store.tokens import TokenStore
from tests.support.faulty_store import FaultyDatabase, Point
from tests.support.journals import (
    ALICE,
    BOB,
    LOG_ID,
    TOKEN_ID,
    Setting,
    accepted,
    completed,
    ending,
    findings,
    record_one,
    would_be,
)

POINTS = [Point.BEGIN, Point.INSERT, Point.DELETE, Point.COMMIT, Point.COMMITTED]
FAULTS = st.sampled_from([None, None, *POINTS])
ENDINGS = st.sampled_from([State.COMPLETED, State.FAILED, State.CANCELLED, State.TIMED_OUT])
SENDERS = st.sampled_from([ALICE, BOB])
T = TypeVar("T")


class JournalMachine(RuleBasedStateMachine):
    """Callers of one journal, and what they were told."""

    tickets = Bundle("tickets")
    long_work = Bundle("long_work")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.setting = Setting(Path(tempfile.mkdtemp(prefix="tallystick-journal-")))
        self.database: FaultyDatabase
        self.journal: Journal
        self.admitted: dict[bytes, Record] = {}
        self.recorded: dict[bytes, tuple[State, JournalEntry]] = {}
        self.refused: set[bytes] = set()
        self.accepted: dict[bytes, Record] = {}
        self.entries: list[JournalEntry] = []
        self.backup: tuple[Path, set[bytes], dict[bytes, Record]] | None = None

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Until it is done, in the machine's own event loop."""
        return self.loop.run_until_complete(asyncio.wait_for(call, 20))

    @initialize()
    def begin(self) -> None:
        self.database = FaultyDatabase.open(self.setting.journal_path)
        self.start()
        self.run(record_one(self.journal, self.setting.clock))
        self.back_up()

    def start(self) -> None:
        self.journal = self.setting.journal(self.database)
        self.run(self.journal.start())
        self.journal.release()
        self.run(self.journal.recover())

    @rule(target=tickets, senders=st.lists(SENDERS, min_size=1, max_size=4), streamed=st.booleans(), fault=FAULTS)
    def admit(self, senders: list[Address], streamed: bool, fault: Point | None) -> Any:
        """Some requests at once, and perhaps a fault in their group."""
        self.database.fail(fault)
        offered = [would_be(self.setting.clock, sender=sender, streamed=streamed) for sender in senders]
        results = self.run(self.all_of([self.journal.admit(record, token_id=TOKEN_ID) for record in offered]))
        for record, result in zip(offered, results, strict=True):
            if isinstance(result, JournalUnavailable):
                self.refused.add(record.id)
            else:
                self.admitted[record.id] = result.record
        return multiple(
            *[record.id for record in offered]
        )  # all of them: what is drawn must not depend on what threads do

    @rule(ended=st.lists(consumes(tickets), min_size=1, max_size=4), state=ENDINGS, fault=FAULTS)
    def commit(self, ended: list[bytes], state: State, fault: Point | None) -> None:
        """Some of them end at once, and perhaps a fault in their group; what was withheld is recorded soon after."""
        self.database.fail(fault)
        records = [terminal(self.admitted[name], self.setting, state) for name in ended if name in self.admitted]
        results = self.run(self.all_of([self.journal.commit(record) for record in records]))
        for record, result in zip(records, results, strict=True):
            if not isinstance(result, JournalUnavailable):
                assert isinstance(result, JournalEntry), result
                self.recorded[record.id] = (record.state, result)
                self.entries.append(result)
            del self.admitted[record.id]
        self.database.heal()
        self.run(self.journal.recover())
        assert self.journal.counts().open == len(self.admitted)

    @rule(target=long_work, sender=SENDERS, fault=FAULTS)
    def accept(self, sender: Address, fault: Point | None) -> bytes:
        """Long work is taken on, and perhaps a fault; who was refused finds out whether it stands."""
        self.database.fail(fault)
        record = accepted(self.setting.clock, sender=sender)
        (result,) = self.run(self.all_of([self.journal.record_at_once(record, token_id=TOKEN_ID)]))
        self.database.heal()
        if isinstance(result, JournalUnavailable):
            if self.run(self.journal.entry(record.id)) is not None:
                self.accepted[record.id] = record
            return record.id
        ticket, entry = result
        self.accepted[record.id] = ticket.record
        self.recorded[record.id] = (State.ACCEPTED, entry)
        self.entries.append(entry)
        return record.id

    @rule(name=consumes(long_work), fault=FAULTS)
    def end(self, name: bytes, fault: Point | None) -> None:
        """Long work ends, told twice: the second time it is recorded already, unless a fault undid the first."""
        record = self.accepted.pop(name, None)
        if record is None:
            return
        self.database.fail(fault)
        calls = [self.journal.record_at_once(ending(record, self.setting.clock), token_id=TOKEN_ID) for _ in range(2)]
        first = self.run(self.all_of([calls[0]]))[0]
        self.database.heal()
        second = self.run(self.all_of([calls[1]]))[0]
        stands = [result for result in (first, second) if isinstance(result, tuple)]
        assert len(stands) <= 1
        assert isinstance(second, tuple | CannotFollow)
        for ticket, entry in stands:
            self.recorded[ticket.record.id] = (State.COMPLETED, entry)
            self.entries.append(entry)
        assert self.run(self.journal.follower(record.id)) is not None

    @rule(sender=SENDERS)
    def make_a_token(self, sender: Address) -> None:
        """Something else of the service writes another table meanwhile."""
        tokens = TokenStore(self.database, self.setting.macs)
        made = tokens.create(name="machine", address=sender, now_us=self.setting.clock.now_us())
        tokens.revoke(made.info.id, now_us=self.setting.clock.now_us())

    @rule()
    def hold_and_release(self) -> None:
        """While it is held nothing is admitted; afterwards all is as before."""
        size = self.journal.counts().size
        self.journal.hold("a test")
        refused = self.run(self.refusal())
        assert isinstance(refused, AdmissionClosed)
        assert self.journal.counts().size == size
        self.journal.release()

    async def refusal(self) -> BaseException | None:
        try:
            await self.journal.admit(would_be(self.setting.clock), token_id=TOKEN_ID)
        except AdmissionClosed as error:
            return error
        return None

    @rule()
    def back_up_again(self) -> None:
        """Another backup takes the place of the last one."""
        self.back_up()

    def back_up(self) -> None:
        """A copy of the database as it stands."""
        copy = self.setting.home / "backup.sqlite"
        copy.unlink(missing_ok=True)
        with closing(sqlite3.connect(self.setting.journal_path)) as live, closing(sqlite3.connect(copy)) as into:
            live.backup(into)
        with self.database.reading() as connection:
            known = {row.record_id for row in connection.execute(RECORD.select())}
        self.backup = (copy, known, dict(self.accepted))

    @rule()
    def restore(self) -> None:
        """The journal is put back to its backup; what was told since is known to its callers alone. One index at least has two records."""
        if self.backup is None:
            return
        self.database.heal()
        self.entries.append(self.run(record_one(self.journal, self.setting.clock, ALICE)))
        copy, known, accepted_then = self.backup
        self.run(self.journal.close())
        self.database.close()
        shutil.copyfile(copy, self.setting.journal_path)
        self.database = FaultyDatabase.open(self.setting.journal_path)
        self.recorded = {name: told for name, told in self.recorded.items() if name in known}
        self.refused.clear()
        self.forget_open()
        self.accepted = dict(accepted_then)
        self.start()
        entry = self.run(record_one(self.journal, self.setting.clock, BOB))
        self.recorded[entry.record_id] = (State.COMPLETED, entry)
        self.entries.append(entry)

    @rule(sender=SENDERS)
    def leave_before_admission(self, sender: Address) -> None:
        """A caller who does not wait for the answer."""

        async def leave() -> None:
            waiting = asyncio.ensure_future(
                self.journal.admit(would_be(self.setting.clock, sender=sender), token_id=TOKEN_ID)
            )
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

        self.run(leave())

    @rule(seconds=st.sampled_from([1, 100_000]))
    def wait(self, seconds: int) -> None:
        """Time passes, perhaps past the end of an epoch."""
        self.setting.clock.advance(seconds)

    @rule()
    def restart(self) -> None:
        """An orderly stop and start; what is open is interrupted."""
        self.run(self.journal.close())
        self.forget_open()
        self.start()

    @rule(point=st.sampled_from(POINTS), sender=SENDERS)
    def crash(self, point: Point, sender: Address) -> None:
        """The process dies, perhaps in the middle of a group, and starts again."""
        self.database.fail(point, crash=True)
        writer = self.journal._writer
        assert writer is not None

        async def die() -> None:
            waiting = asyncio.ensure_future(
                self.journal.admit(would_be(self.setting.clock, sender=sender), token_id=TOKEN_ID)
            )
            while not writer.ended and not waiting.done():
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

        self.run(die())
        self.database.heal()
        self.run(self.journal.close())
        self.database.engine.dispose()
        self.forget_open()
        self.start()

    def forget_open(self) -> None:
        """Their callers are gone with the process."""
        self.database.heal()
        self.admitted.clear()

    async def all_of(self, calls: list[Coroutine[Any, Any, Any]]) -> list[Any]:
        """Their results. The journal may refuse only when a fault struck it meanwhile."""
        struck = self.database.struck
        results = await asyncio.gather(*calls, return_exceptions=True)
        refused = any(isinstance(result, JournalUnavailable) for result in results)
        assert not refused or self.database.struck > struck
        return results

    @invariant()
    def what_was_told_stands(self) -> None:
        if not hasattr(self, "journal"):
            return
        with self.database.reading() as connection:
            records = {row.record_id: row for row in connection.execute(RECORD.select())}
            drafts = {row.admission_seq for row in connection.execute(DRAFT.select())}
        for record_id, (state, entry) in self.recorded.items():
            row = records[record_id]
            assert (row.state, row.log_index, row.leaf) == (state.value, entry.index, entry.leaf)
        for record in self.admitted.values():
            assert record.admission_seq in drafts
            assert record.id not in records
        for record_id in self.refused & records.keys():
            assert records[record_id].state in {"failed", "interrupted"}

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.run(self.journal.close())
            self.database.heal()
            self.start()
            self.run(self.journal.close())
            with self.database.reading() as connection:
                admitted = {row.record_id for row in connection.execute(ADMISSION.select())}
                recorded = {row.record_id for row in connection.execute(RECORD.select())}
                assert connection.execute(DRAFT.select()).fetchall() == []
            assert admitted == recorded
            assert recorded >= self.recorded.keys() | self.admitted.keys() | self.accepted.keys()
            assert findings(self.setting, self.database) == []
            self.check_secrets()
            self.database.close()
        self.loop.close()
        shutil.rmtree(self.setting.home)

    def check_secrets(self) -> None:
        """Every secret that was ever given out opens its own record, and no other that stands at its index."""
        with self.database.reading() as connection:
            rows = {row.log_index: row for row in connection.execute(RECORD.select())}
        for entry in self.entries:
            row = rows.get(entry.index)
            if row is None:
                continue
            own = row.record_id == entry.record_id
            with nullcontext() if own else pytest.raises(OpenError):
                open_sealed(
                    row.sealed,
                    log_id=LOG_ID,
                    index=entry.index,
                    epoch=row.epoch,
                    fields_root=row.fields_root,
                    secret=entry.record_secret,
                )


def terminal(record: Record, setting: Setting, state: State) -> Record:
    """The record of a request that ended in this state."""
    ended = completed(record, setting.clock)
    return ended if state is State.COMPLETED else replace(ended, state=state, response=None, usage=None, price=None)


TestJournal = JournalMachine.TestCase
TestJournal.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
