"""Neighbours for the exchange that do what a test says: a journal in memory, a scripted model, an open gate.

The fakes keep the real ones' promises (one record per admission, numbers without gaps) and complain when they are used against them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from tallystick.binding import record_request_hash, response_digest, response_hash
from tallystick.encoding import encode_fields, encode_record
from tallystick.heads import MODE_APPEND, LogTerms
from tallystick.ids import Address, Epoch, FieldsRoot, Index, Leaf
from tallystick.keys import Wallet
from tallystick.receipts.messages import AdmissionReceipt, Domain, Receipt
from tallystick.receipts.signed import SignedAdmission, SignedReceipt
from tallystick.record import Record, Response, State
from tallystick.sealing import response_salt
from tallystick.tasks import Reading, chat, completion, embedding
from tallystick_platform.anchor.location import LedgerLocation
from tallystick_platform.auth import Principal
from tallystick_platform.dispatch.generation import Progress
from tallystick_platform.dispatch.placement import Placement
from tallystick_platform.errors import (
    CannotFollow,
    JournalUnavailable,
    NotAdmitted,
    PlatformError,
    TaskNotServed,
    UnknownModel,
)
from tallystick_platform.exchange.exchange import Exchange
from tallystick_platform.exchange.inference import Deliver
from tallystick_platform.exchange.line import Line, Recorded
from tallystick_platform.exchange.parts import Parts
from tallystick_platform.exchange.request import Asked, HttpFacts
from tallystick_platform.metrics import Metrics
from tallystick_platform.protocol import Call, GpuInfo, ModelInfo, Piece, ProviderInfo
from tallystick_platform.store.entries import JournalEntry, Ticket
from tallystick_platform.tasks import CHAT, COMPLETION, EMBEDDING, TASKS
from tallystick_platform.tasks.drawing import TextCall, decode_call

WRITER = Wallet(bytes(31) + b"\x07")
SENDER = Wallet(bytes(31) + b"\x08").address
DOMAIN = Domain(chain_id=73_571, contract=Wallet(bytes(31) + b"\x09").address)
PROMISE_S = 3_600
TERMS = LogTerms(
    creator=WRITER.address,
    salt=bytes(32),
    writer=WRITER.address,
    keeper=WRITER.address,
    format=2,
    mode=MODE_APPEND,
    promise=PROMISE_S,
    skew=300,
)
LOCATION = LedgerLocation(chain_id=DOMAIN.chain_id, contract=DOMAIN.contract, terms=TERMS)
LOG_ID = LOCATION.log_id
PRINCIPAL = Principal(token_id="tok-1", name="test", address=SENDER)
HTTP = HttpFacts(
    method="POST",
    path="/v1/chat/completions",
    target="/v1/chat/completions",
    content_type="application/json",
    body=b"{}",
    reader="chat/openai/1",
    streamed=False,
)
START_US = 1_760_000_000_000_000
RECORD_SECRET = b"\x66" * 32

MODEL = ModelInfo(
    id="test/model",
    version="1",
    task="chat",
    tasks=tuple(TASKS),
    weights_digest=b"\x33" * 32,
    engine="scripted",
    engine_version="1",
    dtype="none",
    quantisation=None,
    device="cpu",
    context_length=2_048,
    max_prompt_tokens=2_047,
    chat_template=None,
    chat_template_digest=b"\x44" * 32,
    reproducibility="reproducible",
    created_at=1_760_000_000,
    dimensions=4,
)
PLACEMENT = Placement(
    model=MODEL,
    provider=ProviderInfo(
        id="local", name="Local", address=WRITER.address, price_per_hour_micros=500_000, currency="USD"
    ),
    gpu=GpuInfo(kind="cpu", name="Test CPU", uuid=None, count=1, memory_bytes=1_000_000, driver=None),
    worker="worker-0",
)


class TickingClock:
    """Moves by a microsecond at every look."""

    def __init__(self) -> None:
        self.us = START_US

    def now_us(self) -> int:
        self.us += 1
        return self.us

    def monotonic_ns(self) -> int:
        return self.now_us() * 1_000


class CountingRandom:
    """Bytes that never repeat."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, size: int) -> bytes:
        self.count += 1
        return self.count.to_bytes(size, "big")


class FakeJournal:
    """A journal in memory. `hold_admit` and `hold_commit`, when set, keep the call waiting until they are set to go."""

    def __init__(self) -> None:
        self.open: dict[int, Record] = {}
        self.records: list[Record] = []
        self.entries: list[JournalEntry] = []
        self.admitted = 0
        self.admit_error: Exception | None = None
        self.commit_error: Exception | None = None
        self.hold_admit: asyncio.Event | None = None
        self.hold_commit: asyncio.Event | None = None

    async def admit(self, record: Record, *, token_id: str) -> Ticket:
        assert record.state is State.INTERRUPTED
        numbered = await self._numbered(record, token_id)
        self.open[numbered.admission_seq] = numbered
        return Ticket(numbered, sign_promise(numbered))

    async def record_at_once(self, record: Record, *, token_id: str) -> tuple[Ticket, JournalEntry]:
        assert record.state is not State.INTERRUPTED
        self._check_follows(record)
        numbered = await self._numbered(record, token_id)
        await self._committing()
        return Ticket(numbered, sign_promise(numbered)), self._add(numbered)

    async def _numbered(self, record: Record, token_id: str) -> Record:
        assert record.admission_seq == record.sender_seq == 0
        assert token_id == record.sender.token_id
        if self.hold_admit is not None:
            await self.hold_admit.wait()
        await asyncio.sleep(0)
        if self.admit_error is not None:
            raise self.admit_error
        self.admitted += 1
        numbered = replace(record, admission_seq=self.admitted, sender_seq=self.admitted)
        encode_fields(numbered)
        encode_record(numbered)  # holds it to every bound
        return numbered

    async def commit(self, record: Record) -> JournalEntry:
        if self.open.get(record.admission_seq, record).id != record.id or record.admission_seq not in self.open:
            raise NotAdmitted(admission_seq=record.admission_seq)
        encode_fields(record)
        assert record.state is not State.INTERRUPTED
        encode_record(record)
        await self._committing()
        del self.open[record.admission_seq]
        return self._add(record)

    async def _committing(self) -> None:
        if self.hold_commit is not None:
            await self.hold_commit.wait()
        await asyncio.sleep(0)
        if self.commit_error is not None:
            raise self.commit_error

    def _add(self, record: Record) -> JournalEntry:
        entry = entry_of(record, len(self.records))
        self.records.append(record)
        self.entries.append(entry)
        return entry

    def _check_follows(self, record: Record) -> None:
        if record.follows is None:
            return
        found = [one for one in self.records if one.id == record.follows]
        if not found or found[0].state is not State.ACCEPTED:
            raise CannotFollow(record_id=record.follows, reason="it was not accepted")
        if any(one.follows == record.follows for one in self.records):
            raise CannotFollow(record_id=record.follows, reason="another record follows it")

    @property
    def only(self) -> Record:
        """The one record of a test that makes one."""
        assert len(self.records) == 1
        assert not self.open
        return self.records[0]


def sign_promise(record: Record) -> SignedAdmission:
    admitted_at = record.time.admitted_at // 1_000_000
    admission = AdmissionReceipt(
        log_id=LOG_ID,
        admission_seq=record.admission_seq,
        sender_seq=record.sender_seq,
        request_hash=record_request_hash(record.http, record.request),
        sender=record.sender.address,
        admitted_at=admitted_at,
        record_by=admitted_at + PROMISE_S,
    )
    return SignedAdmission.sign(WRITER, DOMAIN, admission)


def entry_of(record: Record, index: int) -> JournalEntry:
    issued_at = record.time.finished_at // 1_000_000
    outputs = record.response.outputs if isinstance(record.response, Response) else ()
    receipt = Receipt(
        log_id=LOG_ID,
        index=index,
        admission_seq=record.admission_seq,
        leaf=Leaf(record.id * 2),
        request_hash=record_request_hash(record.http, record.request),
        response_hash=response_hash(response_salt(RECORD_SECRET), response_digest(record.error, outputs)),
        sender=record.sender.address,
        issued_at=issued_at,
        anchor_by=record.time.admitted_at // 1_000_000 + PROMISE_S,
    )
    return JournalEntry(
        record_id=record.id,
        admission_seq=record.admission_seq,
        index=Index(index),
        epoch=Epoch(1),
        fields_root=FieldsRoot(b"\x55" * 32),
        leaf=receipt.leaf,
        receipt=SignedReceipt.sign(WRITER, DOMAIN, receipt),
        record_secret=RECORD_SECRET,
    )


@dataclass
class Script:
    """What the model does: texts or pieces in order, then an end or an error. `pauses[i]` is awaited before text i (and before the end).

    The clock moves on by the engine time, unless it `stands_still`.
    """

    texts: Sequence[str | bytes | Piece] = ("Hello", " world")
    error: Exception | None = None
    pauses: dict[int, asyncio.Event] = field(default_factory=dict)
    finish_reason: str | tuple[str, ...] | None = "stop"
    input_tokens: int = 7
    device_time_us: int = 90_000
    stands_still: bool = False


class FakeGeneration:
    """Plays a script."""

    def __init__(self, script: Script, clock: TickingClock) -> None:
        self._script = script
        self._clock = clock
        self._started_at_us = clock.now_us()
        self.progress = Progress()
        self.finish_reasons: tuple[str | None, ...] = ()
        self.cancelled = asyncio.Event()

    def __aiter__(self) -> AsyncIterator[Piece]:
        return self._play()

    async def _play(self) -> AsyncIterator[Piece]:
        script, progress = self._script, self.progress
        for position, piece in enumerate(script.texts):
            await self._pause(position)
            self._count(position + 1)
            used_us = script.device_time_us * (position + 1) // len(script.texts)
            if not script.stands_still:
                self._clock.us += used_us - progress.device_time_us
            progress.device_time_us = used_us
            told = piece if isinstance(piece, Piece) else Piece(b"", piece, progress.usage, used_us)
            if told.data or told.logprobs:
                yield told
        await self._pause(len(script.texts))
        if script.error is not None:
            raise script.error
        self._count(len(script.texts))
        progress.device_time_us = script.device_time_us
        reasons = script.finish_reason
        self.finish_reasons = reasons if isinstance(reasons, tuple) else (reasons,)

    def _count(self, output_tokens: int) -> None:
        self.progress.started_at_us = self._started_at_us
        self.progress.usage = {"input_tokens": self._script.input_tokens, "output_tokens": output_tokens}

    async def _pause(self, position: int) -> None:
        if position in self._script.pauses:
            await self._script.pauses[position].wait()

    def cancel(self) -> None:
        if not self.finish_reasons:
            self.cancelled.set()


class FakeClaim:
    """A claim on the one worker of a `FakeDispatcher`."""

    def __init__(self, dispatcher: FakeDispatcher) -> None:
        self._dispatcher = dispatcher
        self.placement = dispatcher.placement
        self._held = True
        dispatcher.claims += 1

    def start(self, call: Call) -> FakeGeneration:
        dispatcher = self._dispatcher
        assert self._held
        if dispatcher.start_error is not None:
            raise dispatcher.start_error
        dispatcher.calls.append(call)
        dispatcher.generations.append(FakeGeneration(dispatcher.script, dispatcher.clock))
        return dispatcher.generations[-1]

    def release(self) -> None:
        self._dispatcher.claims -= self._held
        self._held = False


class FakeDispatcher:
    """One model, one script for every request. Set `hold_load`, and it must be loaded first, once that is set.

    `claims` counts what was claimed and not released.
    """

    def __init__(self, script: Script | None = None, clock: TickingClock | None = None) -> None:
        self.script = script or Script()
        self.clock = clock or TickingClock()
        self.start_error: PlatformError | None = None
        self.load_error: PlatformError | None = None
        self.hold_load: asyncio.Event | None = None
        self.placement = PLACEMENT
        self.claims = 0
        self.calls: list[Call] = []
        self.generations: list[FakeGeneration] = []

    @property
    def texts(self) -> list[TextCall]:
        """What the engine was told, of each request for a text."""
        return [decode_call(call.body) for call in self.calls]

    def models(self) -> list[ModelInfo]:
        return [self.placement.model]

    def provider(self, model_id: str) -> ProviderInfo:
        return self.placement.provider

    async def claim(self, reference: str, viewer: Address | None, task: str) -> FakeClaim:
        if reference.partition("@")[0] != MODEL.id:
            raise UnknownModel(model=reference)
        tasks = self.placement.model.tasks
        if task not in tasks:
            raise TaskNotServed(model=reference, task=task, tasks=tasks)
        if self.hold_load is not None:
            await self.hold_load.wait()
        if self.load_error is not None:
            raise self.load_error
        return FakeClaim(self)


class FakeGate:
    """Counts who is inside. `error` is raised to whoever comes."""

    def __init__(self) -> None:
        self.inside = 0
        self.entered = 0
        self.error: PlatformError | None = None

    @contextmanager
    def enter(self, token_id: str) -> Iterator[None]:
        assert token_id
        if self.error is not None:
            raise self.error
        self.inside += 1
        self.entered += 1
        try:
            yield
        finally:
            self.inside -= 1


class Bench:
    """An exchange on fakes."""

    def __init__(self, script: Script | None = None) -> None:
        self.journal = FakeJournal()
        self.clock = TickingClock()
        self.dispatcher = FakeDispatcher(script, self.clock)
        self.gate = FakeGate()
        self.random = CountingRandom()
        self.metrics = Metrics()
        self.parts = Parts(
            journal=self.journal,
            dispatcher=self.dispatcher,
            gate=self.gate,
            clock=self.clock,
            random=self.random,
            metrics=self.metrics,
        )
        self.exchange = Exchange(self.parts)

    def line(
        self,
        asked: Asked | None = None,
        *,
        timeout_s: float = 30.0,
        deliver: Deliver | None = None,
        http: HttpFacts = HTTP,
    ) -> Line:
        return self.exchange.infer(
            principal=PRINCIPAL,
            asked=asked or ask(),
            http=replace(http, streamed=deliver is not None),
            timeout_s=timeout_s,
            deliver=deliver,
        )


def ask(text: str = "Hi", *, model: str = MODEL.id, reading: Reading | None = None, **given: object) -> Asked:
    body = {"model": model, "messages": [{"role": "user", "content": text}], **given}
    return Asked.of(CHAT, model, reading or chat.read_members(body))


def complete(prompt: object = "Once", **given: object) -> Asked:
    reading = completion.read_members({"model": MODEL.id, "prompt": prompt, **given})
    return Asked.of(COMPLETION, MODEL.id, reading)


def embed(*inputs: object, **given: object) -> Asked:
    reading = embedding.read_members({"model": MODEL.id, "input": list(inputs), **given})
    return Asked.of(EMBEDDING, MODEL.id, reading)


def said(recorded: Recorded) -> str:
    """The text that a chat's record holds as its answer."""
    (output,) = recorded.record.response.outputs
    return str(output.content["content"])


def unavailable() -> JournalUnavailable:
    return JournalUnavailable(reason="disk full")
