"""Export jobs over a real database and folders, a program that plays the exporter, and an exchange on fakes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tallystick.ids import Address, RecordId
from tallystick.record import Gpu, Provider, Record, State
from tallystick_platform.errors import UnknownModel
from tallystick_platform.exchange.request import HttpFacts
from tallystick_platform.jobs.exports import ExportJobs
from tallystick_platform.jobs.facts import ExportFacts
from tallystick_platform.jobs.folders import ExportFolders
from tallystick_platform.jobs.process import Exporter
from tallystick_platform.registry.entries import Model, ModelVersion, SignatureState, Stage, Visibility
from tallystick_platform.store.database import Database
from tallystick_platform.store.jobs import ExportJob, JobState, JobStore
from tests.support.exchange import PRINCIPAL, SENDER, WRITER, Bench, FakeJournal
from tests.support.journals import Setting

PROGRAM = Path(__file__).with_name("fake_exporter.py")
OTHERS_ADDRESS = Address(b"\x77" * 20)
MODEL_OWNER = Address(b"\x78" * 20)
SOURCE_BYTES = 1_000
PATH = "/v1/models/acme/tiny/exports"
HTTP = HttpFacts(
    method="POST",
    path=PATH,
    target=PATH,
    content_type="application/json",
    body=b'{"format":"safetensors"}',
    reader="export/tallystick/1",
    streamed=False,
)
LIMIT_S = 3_600
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "vocab_size": 265,
}
FACTS = ExportFacts(
    provider=Provider(id="local", name="Local", address=WRITER.address),
    gpu=Gpu(kind="cpu", name="Test CPU", uuid=None, count=1, memory_bytes=1_000_000, driver=None),
    per_hour_micros=500_000,
    currency="USD",
)


def a_version(**changes: object) -> ModelVersion:
    model = Model(
        id="acme/tiny", owner=MODEL_OWNER, visibility=Visibility.PUBLIC, task="chat", created_at=1_760_000_000_000_000
    )
    given: dict[str, object] = {
        "model": model,
        "version": "33" * 6,
        "digest": b"\x33" * 32,
        "number": 1,
        "format": "safetensors",
        "architecture": "LlamaForCausalLM",
        "licence": "apache-2.0",
        "source": {"kind": "folder"},
        "base": None,
        "dtype": "float32",
        "parameters": 10,
        "context_length": 32,
        "size_bytes": SOURCE_BYTES,
        "signature": SignatureState.NONE,
        "signature_digest": None,
        "signer": None,
        "price": None,
        "stage": Stage.PRODUCTION,
        "pinned": False,
        "created_at": 1,
    }
    return ModelVersion(**(given | changes))


class FakeModels:
    """One public model and one that is private to somebody else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "source"
        self.folder.mkdir(exist_ok=True)
        (self.folder / "config.json").write_text(json.dumps(CONFIG))
        self.version = a_version()
        self.bases: dict[str, ModelVersion] = {}
        self.gone = False

    def resolve(self, reference: str, viewer: Address | None) -> ModelVersion:
        if reference in self.bases:
            return self.bases[reference]
        if self.gone or reference.partition("@")[0] != self.version.model.id:
            raise UnknownModel(model=reference)
        if not self.version.model.visible_to(viewer):
            raise UnknownModel(model=reference)
        return self.version

    find = resolve

    def path(self, version: ModelVersion) -> Path:
        return self.folder


@dataclass(frozen=True)
class Entry:
    """As much of a stored record as jobs look at."""

    record_id: RecordId
    state: State


class FakeEntries:
    """Reads of a fake journal. `error` is raised to whoever looks."""

    def __init__(self, journal: FakeJournal) -> None:
        self._journal = journal
        self.error: Exception | None = None

    async def entry(self, record_id: RecordId) -> Entry | None:
        return self._found(lambda record: record.id == record_id)

    async def follower(self, record_id: RecordId) -> Entry | None:
        return self._found(lambda record: record.follows == record_id)

    def _found(self, wanted: Callable[[Record], bool]) -> Entry | None:
        if self.error is not None:
            raise self.error
        return next((Entry(record.id, record.state) for record in self._journal.records if wanted(record)), None)


class Exports:
    """Everything around the jobs of one home. `behaviour` is what the next exporter process does."""

    def __init__(self, home: Path, *, behaviour: str = "good", free_bytes: int = 1 << 40) -> None:
        self.home = home
        self.gate = home / "gate"
        self.behaviour = behaviour
        self.free_bytes = free_bytes
        self.setting = Setting(home)
        self.database: Database = self.setting.database()
        self.bench = Bench()
        self.entries = FakeEntries(self.bench.journal)
        self.models = FakeModels(home)
        self.store = JobStore(self.database, self.setting.macs)
        self.folders = ExportFolders(home / "exports", free_bytes=lambda _: self.free_bytes)
        self.jobs = self.made()

    def made(self, **changes: object) -> ExportJobs:
        """The jobs of a process that starts now."""
        given: dict[str, object] = {
            "exchange": self.bench.exchange,
            "records": self.entries,
            "models": self.models,
            "store": self.store,
            "folders": self.folders,
            "exporter": _Behaving(self),
            "facts": FACTS,
            "clock": self.bench.clock,
            "random": self.bench.random,
            "limit_s": LIMIT_S,
        }
        return ExportJobs(**(given | changes))

    def release(self) -> None:
        """Let an exporter that holds go on."""
        self.gate.touch()

    async def submit(self, **changes: object) -> ExportJob:
        given: dict[str, object] = {
            "principal": PRINCIPAL,
            "reference": "acme/tiny",
            "format": "safetensors",
            "quantization": None,
            "http": HTTP,
        }
        return (await self.jobs.submit(**(given | changes))).job

    async def found(self, job: ExportJob, viewer: Address = SENDER) -> ExportJob:
        return await self.jobs.find(viewer, job.id)

    async def until(self, job: ExportJob, look: Callable[[ExportJob], bool]) -> ExportJob:
        async with asyncio.timeout(20):
            while not look(found := await self.found(job)):
                await asyncio.sleep(0.002)
        return found

    async def ended(self, job: ExportJob) -> ExportJob:
        return await self.until(job, lambda found: found.state not in {JobState.QUEUED, JobState.RUNNING})

    async def writing(self, job: ExportJob) -> ExportJob:
        """Once the exporter is in the middle."""
        return await self.until(job, lambda found: found.stage == "writing")

    async def finished(self, **changes: object) -> ExportJob:
        """A published export."""
        job = await self.ended(await self.submit(**changes))
        assert job.state is JobState.FINISHED, job.error
        return job

    @property
    def ends(self) -> list[Record]:
        """The records that end a job, in order."""
        return [record for record in self.bench.journal.records if record.state is not State.ACCEPTED]

    async def die(self) -> ExportJobs:
        """Drop everything as a killed process does, and make what starts after it."""
        journal = self.bench.journal
        journal.hold_commit = asyncio.Event()  # nothing is recorded any more
        for live in list(self.jobs._live.values()):
            for task in (live.task, live.work):
                while task is not None and not task.done():
                    task.cancel()
                    await asyncio.wait([task], timeout=0.01)
        journal.hold_commit = None
        self.jobs = self.made()
        return self.jobs

    def files(self) -> list[str]:
        """Everything that lies below the exports folder."""
        root = self.home / "exports"
        return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir())


class _Behaving(Exporter):
    """Reads the behaviour when it is started."""

    def __init__(self, exports: Exports) -> None:
        super().__init__(())
        self._exports = exports

    async def run(self, spec: object, report: object) -> object:
        self._command = (sys.executable, "-I", "-S", str(PROGRAM), self._exports.behaviour, str(self._exports.gate))
        return await super().run(spec, report)


@asynccontextmanager
async def exports_at(home: Path, **options: object):
    """The rig, with nothing left running behind it."""
    exports = Exports(home, **options)
    try:
        yield exports
    finally:
        await exports.jobs.stop()
        exports.database.close()


def said(record: object) -> dict[str, object]:
    """The document that a record holds as its response."""
    return record.response.outputs[0].content


def private(version: ModelVersion, owner: Address) -> ModelVersion:
    return replace(version, model=replace(version.model, owner=owner, visibility=Visibility.PRIVATE))
