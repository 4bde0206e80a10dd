"""The HTTP surface over fakes, in this process: as an ASGI application, or served on a port of its own."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import msgspec
import uvicorn

from tallystick.ids import Address, Head, Index, RecordId, to_hex
from tallystick.receipts import signed
from tallystick.receipts.messages import HeadStatement
from tallystick.record import Record, State
from tallystick_platform.api import Services, create_api
from tallystick_platform.api.application import all_handlers
from tallystick_platform.api.endpoint import ENDPOINT_KEY
from tallystick_platform.api.ledger_desk import BatchView, LedgerView, TermsView
from tallystick_platform.api.openapi import ErrorAnswered, address, document
from tallystick_platform.api.proofs import SignedHead
from tallystick_platform.api.services import ProviderView, Readiness
from tallystick_platform.auth import Principal
from tallystick_platform.errors import TokenExpired, TokenRevoked, TokenUnknown, UnknownModel
from tallystick_platform.exporter.offers import Offers
from tallystick_platform.jobs.errors import UnknownExport
from tallystick_platform.jobs.work_errors import JobQueueFull, TooManyFiles, UnknownJob, UnknownKeptFile
from tallystick_platform.registry.entries import ModelVersion
from tallystick_platform.store.jobs import JobPage
from tallystick_platform.store.records import Page, Progress, StoredRecord
from tallystick_platform.store.work import WorkPage
from tallystick_platform.tasks.rerank import SCORE
from tallystick_platform.tasks.translation import Written
from tests.support.exchange import (
    DOMAIN,
    LOG_ID,
    MODEL,
    PRINCIPAL,
    PROMISE_S,
    WRITER,
    Bench,
    FakeJournal,
    Script,
    sign_promise,
)

TOKEN = "tsk_good"
OTHER_TOKEN = "tsk_other"
AUTH = {"authorization": f"Bearer {TOKEN}"}
OTHER = Principal(token_id="tok-2", name="other", address=Address(b"\x77" * 20))
MAX_BODY_BYTES = 65_536
MAX_MEDIA_BYTES = 262_144
HEAD = HeadStatement(log_id=LOG_ID, entries=4, size=3, head=Head(b"\x01" * 32), time=1_760_000_000)


CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
MESSAGES, RESPONSES = "/v1/messages", "/v1/responses"
HI = {"model": MODEL.id, "messages": [{"role": "user", "content": "Hi"}]}
ONCE = {"model": MODEL.id, "prompt": "Once"}
WORDS = {"model": MODEL.id, "input": ["one", "two"]}
RERANK, CLASSIFY, ENTITIES, TRANSLATE = "/v1/rerank", "/v1/classify", "/v1/entities", "/v1/translate"
TEXTS = {
    RERANK: {"model": MODEL.id, "query": "sun", "documents": ["a moon", "the sun"]},
    CLASSIFY: {"model": MODEL.id, "inputs": "good day"},
    ENTITIES: {"model": MODEL.id, "inputs": "Ann sings"},
    TRANSLATE: {"model": MODEL.id, "text": "good day"},
}
ANN = {"entity": "PER", "score": 0.75, "start": 0, "end": 3, "word": "Ann"}
TEXT_SCRIPTS = {
    RERANK: Script(texts=(SCORE.pack(0.25), SCORE.pack(0.5)), finish_reason=None),
    CLASSIFY: Script(texts=(msgspec.msgpack.encode([("bad", 0.25), ("good", 0.75)]),), finish_reason=None),
    ENTITIES: Script(texts=(msgspec.msgpack.encode([ANN]),), finish_reason=None),
    TRANSLATE: Script(texts=(msgspec.msgpack.encode(Written("guten Tag", "stop")),), finish_reason=None),
}
"""What is asked of each address for texts, and what the model does."""


def events_of(text: str) -> list:
    """The events of a stream; its end as the text that it is."""
    lines = [part.removeprefix("data: ") for part in text.split("\n\n") if part]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def from_header(value: str) -> dict:
    """The JSON that a header carries."""
    return json.loads(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))


class FakeAuthenticator:
    """Knows two tokens, and one each that is expired and revoked."""

    async def authenticate(self, token: str) -> Principal:
        if token == TOKEN:
            return PRINCIPAL
        if token == OTHER_TOKEN:
            return OTHER
        if token == "tsk_expired":
            raise TokenExpired
        if token == "tsk_revoked":
            raise TokenRevoked
        raise TokenUnknown


class FakeRecords:
    """Reads of a fake journal. `blobs` are what a test puts there."""

    def __init__(self, journal: FakeJournal) -> None:
        self._journal = journal
        self.blobs: dict[tuple[RecordId, bytes], bytes] = {}

    async def blob(self, record_id: RecordId, sealed_digest: bytes) -> bytes | None:
        return self.blobs.get((record_id, sealed_digest))

    async def entry(self, record_id: RecordId) -> StoredRecord | None:
        return next((found for found in self._all() if found.record_id == record_id), None)

    async def opened(self, stored: StoredRecord) -> Record | None:
        return next((record for record in self._journal.records if record.id == stored.record_id), None)

    async def list(
        self, sender: Address, *, cursor: int | None, limit: int, state: State | None, model: str | None
    ) -> Page:
        found = [
            record
            for record in reversed(self._all())
            if record.sender == sender
            and (cursor is None or record.sender_seq < cursor)
            and state in {None, record.state}
            and model in {None, record.model}
        ]
        more = len(found) > limit
        return Page(records=found[:limit], next_cursor=found[limit - 1].sender_seq if more else None)

    def _all(self) -> list[StoredRecord]:
        return [
            StoredRecord(
                record_id=record.id,
                index=Index(entry.index),
                admission_seq=record.admission_seq,
                sender=record.sender.address,
                sender_seq=record.sender_seq,
                state=record.state,
                task=record.task,
                model=record.model.id,
                follows=record.follows,
                epoch=entry.epoch,
                fields_root=entry.fields_root,
                sealed=b"sealed",
                leaf=entry.leaf,
                admission=sign_promise(record),
                receipt=entry.receipt,
                created_at=record.time.finished_at,
                progress=Progress.JOURNALED,
                batch=None,
            )
            for record, entry in zip(self._journal.records, self._journal.entries, strict=True)
        ]


class FakeLedger:
    """Three batches and a log."""

    async def view(self) -> LedgerView:
        return LedgerView(
            chain_id=DOMAIN.chain_id,
            rpc_url="http://127.0.0.1:8545",
            contract=to_hex(DOMAIN.contract),
            log_id=to_hex(LOG_ID),
            writer=to_hex(WRITER.address),
            terms=TermsView(
                creator=to_hex(WRITER.address),
                writer=to_hex(WRITER.address),
                keeper=to_hex(WRITER.address),
                format=2,
                mode="append",
                promise=PROMISE_S,
                skew=300,
                salt=to_hex(bytes(32)),
            ),
            size=3,
            entries=4,
            head=to_hex(b"\x01" * 32),
            signed_head=msgspec.convert(signed.SignedHead.sign(WRITER, DOMAIN, HEAD).to_json(), SignedHead),
            journal_size=3,
            journal_depth=0,
            anchor_lag_ms=0,
            anchor_error=None,
            custody="chain",
            mode="development",
            epoch=1,
        )

    async def batches(self, *, before: int | None, limit: int) -> Sequence[BatchView]:
        numbers = [number for number in (2, 1, 0) if before is None or number < before]
        return [batch_view(number) for number in numbers[:limit]]

    async def batch(self, number: int) -> BatchView | None:
        return batch_view(number) if number < 3 else None

    async def bundle(self, record: StoredRecord, *, with_secret: bool) -> bytes:
        return b'{"secret":true}' if with_secret else b'{"secret":false}'


class NoModels:
    """A service in which nothing is registered."""

    def served(self, version: object) -> bool:
        return False

    async def offered(self, address: Address) -> list[object]:
        return []

    async def find(self, reference: str, address: Address) -> object:
        raise UnknownModel(model=reference)

    versions = promote = retire = remove = find


class NoAnswers:
    """A service in which nothing was kept that could be given again."""

    def name(self, token_id: str, key: str) -> bytes:
        return f"{token_id}/{key}".encode()

    def find(self, token_id: str, key: str) -> None:
        return None

    def keep(self, token_id: str, key: str, answer: object) -> None:
        return None


class NoLoading:
    """A service in which nothing can be loaded."""

    async def load(self, reference: str, address: Address) -> object:
        raise UnknownModel(model=reference)

    unload = load


class NoExports:
    """A service whose senders have no exports."""

    async def submit(self, *, reference: str, **_: object) -> object:
        raise UnknownModel(model=reference)

    async def find(self, viewer: Address, export_id: str) -> object:
        raise UnknownExport

    cancel = find

    def offers(self, version: ModelVersion) -> Offers:
        if version.model.id == "orphan":
            raise UnknownModel(model="its base")
        return Offers(formats={"gguf": ("F16", "Q8_0")}, refused={"onnx": "no"})

    async def page(self, viewer: Address, *, cursor: int | None, limit: int) -> JobPage:
        return JobPage(jobs=[], next_cursor=None)


class NoJobs:
    """A service whose senders have no jobs, and that takes none."""

    async def submit(self, **_: object) -> object:
        raise JobQueueFull(bound="jobs", limit=0, retry_after_s=1)

    async def find(self, owner: Address, kind: object, work_id: str) -> object:
        raise UnknownJob

    show = cancel = find

    async def page(self, owner: Address, kind: object, *, cursor: int | None, limit: int) -> WorkPage:
        return WorkPage(works=[], next_cursor=None)


class NoFiles:
    """A service whose senders keep no files, and that takes none."""

    async def keep(self, owner: Address, name: str, content: bytes) -> object:
        raise TooManyFiles(bound="files", limit=0)

    async def find(self, owner: Address, file_id: str) -> object:
        raise UnknownKeptFile

    remove = find

    async def page(
        self, owner: Address, purpose: str | None, *, after: str | None, limit: int
    ) -> tuple[list[object], bool]:
        return [], False


def batch_view(number: int) -> BatchView:
    return BatchView(
        number=number,
        entry=number + 1,
        first_index=number,
        count=1,
        epoch=1,
        root=to_hex(b"\x02" * 32),
        head=to_hex(b"\x03" * 32),
        state="mined",
        tx_hash=to_hex(b"\x04" * 32),
        block_number=number,
        block_hash=to_hex(b"\x05" * 32),
        block_time=1,
        confirmations=0,
        gas_used=1,
    )


class Api(Bench):
    """The whole HTTP surface over fakes."""

    def __init__(
        self,
        script: Script | None = None,
        *,
        request_timeout_s: float = 30.0,
        exporting: object | None = None,
        models: object | None = None,
        answers: object | None = None,
        jobs: object | None = None,
        files: object | None = None,
    ) -> None:
        super().__init__(script)
        exporting = exporting or NoExports()
        self.records = FakeRecords(self.journal)
        self.ready = Readiness(status="ready", parts={"journal": "ok"})
        self.services = Services(
            exchange=self.exchange,
            authenticator=FakeAuthenticator(),
            records=self.records,
            answers=answers or NoAnswers(),
            ledger=FakeLedger(),
            models=models or NoModels(),
            loading=NoLoading(),
            exports=exporting,
            downloads=exporting,
            jobs=jobs or NoJobs(),
            files=files or NoFiles(),
            readiness=self.readiness,
            metrics=self.metrics,
            clock=self.clock,
            provider=lambda _: ProviderView(
                id="local",
                name="Local",
                address=to_hex(WRITER.address),
                price_per_hour_micros=500_000,
                currency="USD",
            ),
            random=self.random,
            max_body_bytes=MAX_BODY_BYTES,
            max_media_bytes=MAX_MEDIA_BYTES,
            request_timeout_s=request_timeout_s,
            longest_work_s=PROMISE_S / 2,
        )
        self.app = create_api(self.services)

    def working(self, jobs: object, files: object) -> Api:
        """The same with jobs and files of a test."""
        self.services = replace(self.services, jobs=jobs, files=files)
        self.app = create_api(self.services)
        return self

    async def readiness(self) -> Readiness:
        return self.ready

    def client(self, **headers: str) -> httpx.AsyncClient:
        """A client that is authenticated unless it says otherwise."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(
            transport=transport,
            base_url="http://test",
            headers=headers or AUTH,
            event_hooks={"response": [check_described]},
        )

    def serving(self, **changes: object) -> object:
        """The same on a real port."""
        return serving(create_api(replace(self.services, **changes)))


def _shape(path: str) -> re.Pattern[str]:
    """A path of the description as a pattern; ids of models and names of files may hold slashes."""
    return re.compile(
        re.sub(r"\{(\w+)\}", lambda part: ".+" if part[1] in {"model_id", "name"} else "[^/]+", path) + "$"
    )


HANDLERS = all_handlers(Api().services)
DOCUMENT = document(HANDLERS)
DESCRIBED = [(_shape(path), item) for path, item in DOCUMENT["paths"].items()]
ENDPOINTS = [
    (_shape(address(path)), endpoint)
    for handler in HANDLERS
    for endpoint in [handler.opt[ENDPOINT_KEY]]
    for path in handler.paths
]


async def check_described(reply: httpx.Response) -> None:
    """Every status that any test meets is in the description of its path, and every JSON answer is of the struct that is described."""
    method, path = reply.request.method.replace("HEAD", "GET"), reply.request.url.path
    found = described(path, method.lower())
    assert not found or str(reply.status_code) in found, (method, path, reply.status_code)
    if reply.headers.get("content-type") != "application/json" or reply.request.method == "HEAD":
        return
    body = await reply.aread()
    kinds = [refused(path, method)] if reply.status_code >= 400 else answered(path, method, reply.status_code)
    if kinds and (path, reply.status_code) != ("/readyz", 503):
        assert any(is_of(body, kind) for kind in kinds), (method, path, kinds, body)


def is_of(body: bytes, kind: type) -> bool:
    """Whether an answer is all of a type, and nothing else."""
    try:
        return msgspec.to_builtins(msgspec.json.decode(body, type=kind)) == json.loads(body)
    except msgspec.ValidationError:
        return False


def described(path: str, method: str) -> set[str]:
    """The statuses that a path may answer with; none for what is not described."""
    return {
        status for shape, item in DESCRIBED if shape.match(path) for status in item.get(method, {}).get("responses", ())
    }


def refused(path: str, method: str) -> type:
    """The type of an error in JSON."""
    found = [one.refused for shape, one in ENDPOINTS if one.refused and shape.match(path) and one.method == method]
    return found[0] if found else ErrorAnswered


def answered(path: str, method: str, status: int) -> list[type]:
    """The types of an answer in JSON; of the addresses that fit, the most exact."""
    fitting = [
        (len(shape.pattern), endpoint)
        for shape, endpoint in ENDPOINTS
        if shape.match(path) and endpoint.method == method and status in endpoint.answers
    ]
    kinds = max(fitting, key=lambda one: one[0])[1].answers[status] if fitting else None
    return [kind for kind in (kinds if isinstance(kinds, tuple) else (kinds,)) if kind and not isinstance(kind, str)]


@asynccontextmanager
async def serving(app: object) -> AsyncIterator[str]:
    """Serves an application with the real HTTP server on a free port; gives its URL."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, http="httptools", lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        async with asyncio.timeout(5):
            while not server.started:
                await asyncio.sleep(0.001)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        await running
        listener.close()
