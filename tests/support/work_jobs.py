"""Jobs of several requests over a real database, the real wires, and an exchange on fakes; asked over the HTTP surface."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tallystick.record import Provider, Record
from tallystick_platform.api.spelling import WireSpelling
from tallystick_platform.jobs.asking import MAX_LINES_AT_ONCE, Desk
from tallystick_platform.jobs.kept import KeptFiles
from tallystick_platform.jobs.work import WorkFacts, WorkJobs
from tallystick_platform.store.entries import JournalEntry, Ticket
from tallystick_platform.store.kept_files import FileStore
from tallystick_platform.store.work import WorkStore
from tests.support.api import Api
from tests.support.exchange import WRITER, Script, sign_promise
from tests.support.export_jobs import Entry, FakeEntries
from tests.support.journals import Setting

REMOTE = "/remotejobs/v2/jobs"


class Entries(FakeEntries):
    """Reads of a fake journal, which keeps the key of every epoch."""

    async def again(self, stored: Entry) -> tuple[Ticket, JournalEntry]:
        at = next(n for n, record in enumerate(self._journal.records) if record.id == stored.record_id)
        record = self._journal.records[at]
        return Ticket(record, sign_promise(record)), self._journal.entries[at]


class Jobs:
    """Everything around the jobs of one home."""

    def __init__(self, home: Path, script: Script | None = None) -> None:
        self.setting = Setting(home)
        self.database = self.setting.database()
        self.store = WorkStore(self.database, self.setting.macs)
        self.files = FileStore(self.database, self.setting.macs)
        self.api = Api(script)
        self.journal = self.api.journal
        self.entries = Entries(self.journal)
        self.begin()

    def begin(self) -> None:
        """A process that starts now."""
        desk = Desk(
            exchange=self.api.exchange,
            records=self.entries,
            store=self.store,
            spelling=WireSpelling(),
            clock=self.api.clock,
            timeout_s=30.0,
            turns=asyncio.Semaphore(MAX_LINES_AT_ONCE),
        )
        provider = Provider(id="local", name="Local", address=WRITER.address)
        self.jobs = WorkJobs(desk=desk, files=self.files, facts=WorkFacts(provider=provider))
        kept = KeptFiles(store=self.files, clock=self.api.clock, random=self.api.random)
        self.api.working(self.jobs, kept)

    def client(self, **headers: str) -> httpx.AsyncClient:
        return self.api.client(**headers)

    async def until(self, look: Callable[[], Any]) -> Any:
        async with asyncio.timeout(20):
            while not (found := await look()):
                await asyncio.sleep(0.002)
        return found

    async def remote(self, client: httpx.AsyncClient, work_id: str, *states: str) -> dict[str, Any]:
        """A job of the remote address, once it is in one of these states."""

        async def look() -> dict[str, Any] | None:
            found = (await client.get(f"{REMOTE}/{work_id}")).json()["jobs"][work_id]
            return found if found["vmStatus"] in states else None

        return dict(await self.until(look))

    def of_task(self, task: str) -> list[Record]:
        return [record for record in self.journal.records if record.task == task]


@asynccontextmanager
async def jobs_at(home: Path, script: Script | None = None) -> AsyncIterator[Jobs]:
    jobs = Jobs(home, script)
    await jobs.jobs.start()
    try:
        yield jobs
    finally:
        await jobs.jobs.stop()
        jobs.database.close()
