"""The journal against a model, through failures, crashes, restarts, departures and epochs, in any order.

The model knows only what callers were told. Whatever happened, the journal must agree with it: what was told stands, nothing stands twice,
no number is missing, and the check of the whole journal finds nothing.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from tallystick.ids import Address
from tallystick.record import Record, State
from tallystick_platform.errors import JournalUnavailable
from tallystick_platform.store.entries import JournalEntry
from tallystick_platform.store.journal import Journal
from tallystick_platform.store.tables import AdmissionRow, DraftRow, RecordRow, table_of
from tests.support.faulty_store import FaultyDatabase, Point
from tests.support.journals import ALICE, BOB, TOKEN_ID, Setting, completed, findings, record_one, would_be

ADMISSION, DRAFT, RECORD = (table_of(model) for model in (AdmissionRow, DraftRow, RecordRow))
POINTS = [Point.BEGIN, Point.INSERT, Point.DELETE, Point.COMMIT, Point.COMMITTED]
FAULTS = st.sampled_from([None, None, *POINTS])
ENDINGS = st.sampled_from([State.COMPLETED, State.FAILED, State.CANCELLED, State.TIMED_OUT])
SENDERS = st.sampled_from([ALICE, BOB])
T = TypeVar("T")


class JournalMachine(RuleBasedStateMachine):
    """Callers of one journal, and what they were told."""

    tickets = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.setting = Setting(Path(tempfile.mkdtemp(prefix="tallystick-journal-")))
        self.database: FaultyDatabase
        self.journal: Journal
        self.admitted: dict[bytes, Record] = {}
        self.recorded: dict[bytes, tuple[State, JournalEntry]] = {}
        self.refused: set[bytes] = set()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Until it is done, in the machine's own event loop."""
        return self.loop.run_until_complete(asyncio.wait_for(call, 20))

    @initialize()
    def begin(self) -> None:
        self.database = FaultyDatabase.open(self.setting.journal_path)
        self.start()
        self.run(record_one(self.journal, self.setting.clock))

    def start(self) -> None:
        self.journal = self.setting.journal(self.database)
        self.run(self.journal.start())
        self.run(self.journal.recover())

    @rule(target=tickets, senders=st.lists(SENDERS, min_size=1, max_size=4), streamed=st.booleans(), fault=FAULTS)
    def admit(self, senders: list[Address], streamed: bool, fault: Point | None) -> Any:
        """Some requests at once, and perhaps a fault in their group."""
        self.database.fail(fault)
        offered = [would_be(self.setting.clock, sender=sender, streamed=streamed) for sender in senders]
        results = self.run(self.all_of([self.journal.admit(record, token_id=TOKEN_ID) for record in offered]))
        given = []
        for record, result in zip(offered, results, strict=True):
            if isinstance(result, JournalUnavailable):
                self.refused.add(record.id)
            else:
                self.admitted[record.id] = result.record
                given.append(result.record)
        return multiple(*given)

    @rule(ended=st.lists(consumes(tickets), min_size=1, max_size=4), state=ENDINGS, fault=FAULTS)
    def commit(self, ended: list[Record], state: State, fault: Point | None) -> None:
        """Some of them end at once, and perhaps a fault in their group; what was withheld is recorded soon after."""
        self.database.fail(fault)
        records = [terminal(record, self.setting, state) for record in ended if record.id in self.admitted]
        results = self.run(self.all_of([self.journal.commit(record) for record in records]))
        for record, result in zip(records, results, strict=True):
            if not isinstance(result, JournalUnavailable):
                assert isinstance(result, JournalEntry), result
                self.recorded[record.id] = (record.state, result)
            del self.admitted[record.id]
        self.database.heal()
        self.run(self.journal.recover())
        assert self.journal.counts().open == len(self.admitted)

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
            assert recorded >= self.recorded.keys() | self.admitted.keys()
            assert findings(self.setting, self.database) == []
            self.database.close()
        self.loop.close()
        shutil.rmtree(self.setting.home)


def terminal(record: Record, setting: Setting, state: State) -> Record:
    """The record of a request that ended in this state."""
    ended = completed(record, setting.clock)
    return ended if state is State.COMPLETED else replace(ended, state=state, response=None, usage=None, price=None)


TestJournal = JournalMachine.TestCase
TestJournal.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
