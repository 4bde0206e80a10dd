"""A journal on a disk of its own, with real keys and a clock that tests move; and the records that go into it."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from tallystick.ids import Address, LogId, new_record_id
from tallystick.keys import AuditorKey, Wallet
from tallystick.receipts.messages import Domain
from tallystick.record import (
    Gpu,
    HttpExchange,
    Instructions,
    Model,
    Price,
    Provider,
    Record,
    RecordTime,
    Request,
    Response,
    Sender,
    State,
    charged,
)
from tallystick.tasks import chat_output
from tallystick_platform.clock import Clock
from tallystick_platform.store import settlement
from tallystick_platform.store.batches import Batches
from tallystick_platform.store.check import ChainStanding, check_journal
from tallystick_platform.store.check.finding import Finding
from tallystick_platform.store.database import Database
from tallystick_platform.store.entries import JournalEntry
from tallystick_platform.store.group import GroupCommitter, Operation, Outcome
from tallystick_platform.store.journal import Journal
from tallystick_platform.store.row_macs import RowMacs
from tallystick_platform.store.sealer import Sealer
from tests.support.clocks import FixedClock

WALLET = Wallet(b"\x11" * 32)
DOMAIN = Domain(chain_id=73_571, contract=Address(b"\xc0" * 20))
LOG_ID = LogId(b"\x10" * 32)
ALICE = Address(b"\xa1" * 20)
BOB = Address(b"\xb0" * 20)
TOKEN_ID = "tok_0011223344556677"
PROMISE_S = 86_400
EPOCH_SECONDS = 86_400

# One object each, as a service has them: what encodes records may remember them.
GPU = Gpu(kind="cpu", name="Test CPU", uuid=None, count=1, memory_bytes=8 << 30, driver=None)
PROVIDER = Provider(id="local", name="Local provider", address=WALLET.address)
MODEL = Model(
    id="smollm2-135m-instruct",
    version="1",
    weights_digest=b"\x77" * 32,
    engine="constant",
    engine_version="1",
    dtype="float32",
    quantisation=None,
    device="cpu",
)
INSTRUCTIONS = Instructions(
    system="You are a helpful assistant.", chat_template=None, chat_template_digest=b"\x55" * 32
)


class Bytes:
    """A repeatable stream of bytes in place of randomness."""

    def __init__(self, seed: str = "seed") -> None:
        self._seed = seed
        self._count = 0

    def __call__(self, size: int) -> bytes:
        self._count += 1
        return hashlib.shake_256(f"{self._seed}/{self._count}".encode()).digest(size)


RANDOM = Bytes("record ids")


QUESTION = "What is a tally stick?"
BODY = (
    b'{"model":"smollm2-135m-instruct","messages":[{"role":"system","content":"You are a helpful assistant."},'
    b'{"role":"user","content":"What is a tally stick?"}]}'
)


def would_be(clock: Clock, *, sender: Address = ALICE, body: bytes = BODY, streamed: bool = False) -> Record:
    """The record that stands if the process dies right after admission."""
    now = clock.now_us()
    return Record(
        id=new_record_id(now, RANDOM),
        admission_seq=0,
        sender_seq=0,
        task="chat",
        state=State.INTERRUPTED,
        error=settlement.INTERRUPTED,
        time=RecordTime(admitted_at=now, started_at=None, finished_at=now),
        http=HttpExchange(method="POST", path="/v1/chat/completions", streamed=streamed),
        gpu=GPU,
        provider=PROVIDER,
        price=None,
        model=MODEL,
        parameters={"temperature": 0.7, "top_p": 0.9, "top_k": 50, "max_tokens": 64, "seed": 7, "stop": []},
        request=Request(
            reader="chat/openai/1",
            target="/v1/chat/completions",
            content_type="application/json",
            body=body,
            salt=RANDOM(16),
        ),
        prompt={
            "messages": [
                {"role": "system", "content": INSTRUCTIONS.system},
                {"role": "user", "content": QUESTION},
            ]
        },
        instructions=INSTRUCTIONS,
        response=None,
        usage=None,
        sender=Sender(address=sender, proof="token", token_id=TOKEN_ID, signature=None),
        proof_of_compute=None,
    )


def completed(admitted: Record, clock: Clock, text: str = "A stick that was split in two.") -> Record:
    """The record of a request that was answered."""
    now = clock.now_us()
    return replace(
        admitted,
        state=State.COMPLETED,
        error=None,
        time=replace(admitted.time, started_at=admitted.time.admitted_at, finished_at=now),
        response=Response(outputs=(chat_output(text, "stop"),)),
        usage={"input_tokens": 12, "output_tokens": 9},
        price=price(min(250_000, now - admitted.time.admitted_at)),
    )


def price(device_time_us: int) -> Price:
    """What engine time costs here."""
    return charged(Price(per_hour_micros=500_000, currency="USD", device_time_us=device_time_us, charge_micros=0), None)


def accepted(clock: Clock, *, sender: Address = ALICE, due_s: int = 3_600) -> Record:
    """The record of work that was taken on."""
    draft = would_be(clock, sender=sender)
    due_by = draft.time.admitted_at + due_s * 1_000_000
    return replace(draft, state=State.ACCEPTED, error=None, time=replace(draft.time, due_by=due_by))


def ending(accepted_record: Record, clock: Clock) -> Record:
    """The record that says how accepted work ended."""
    draft = replace(would_be(clock, sender=accepted_record.sender.address), request=None)
    return replace(completed(draft, clock), follows=accepted_record.id)


@cache
def migrated() -> bytes:
    """An empty journal's file. Migrating is tested where it belongs, and takes longer than most tests here."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite"
        Database.open(path).close()
        return path.read_bytes()


@dataclass
class Setting:
    """Everything around a journal, so that a test can stop it, spoil it and start another on the same folder."""

    home: Path
    clock: FixedClock = field(default_factory=FixedClock)
    auditor: AuditorKey = field(default_factory=AuditorKey.generate)
    macs: RowMacs = field(default_factory=lambda: RowMacs(WALLET.secret))
    epoch_seconds: int = EPOCH_SECONDS

    def __post_init__(self) -> None:
        if not self.journal_path.exists():
            self.journal_path.parent.mkdir(parents=True, mode=0o700)
            self.journal_path.write_bytes(migrated())

    @property
    def journal_path(self) -> Path:
        return self.home / "journal" / "journal.sqlite"

    @property
    def keys_dir(self) -> Path:
        return self.home / "keys" / "epochs"

    def database(self) -> Database:
        return Database.open(self.journal_path)

    def sealer(self, auditors: Sequence[AuditorKey] | None = None) -> Sealer:
        return Sealer(
            wallet=WALLET,
            domain=DOMAIN,
            log_id=LOG_ID,
            auditors=[auditor.public for auditor in auditors or [self.auditor]],
            keys_dir=self.keys_dir,
            epoch_seconds=self.epoch_seconds,
        )

    def journal(self, database: Database, **options: int) -> Journal:
        return Journal(
            database,
            self.sealer(),
            self.macs,
            clock=self.clock,
            promise_s=PROMISE_S,
            **options,
        )

    def batches(self, database: Database) -> Batches:
        return Batches(database, self.macs, LOG_ID)


class Running:
    """A journal that was started and released, as a context: `async with Running(setting) as journal`."""

    def __init__(self, setting: Setting, database: Database | None = None, **options: int) -> None:
        self.setting = setting
        self.database = database or setting.database()
        self.journal = setting.journal(self.database, **options)

    async def __aenter__(self) -> Journal:
        await self.journal.start()
        self.journal.release()
        return self.journal

    async def __aexit__(self, *_: object) -> None:
        await self.journal.close()
        self.database.close()


async def record_one(journal: Journal, clock: Clock, sender: Address = ALICE) -> JournalEntry:
    """One request from admission to record."""
    ticket = await journal.admit(would_be(clock, sender=sender), token_id=TOKEN_ID)
    return await journal.commit(completed(ticket.record, clock))


async def record_many(journal: Journal, clock: Clock, count: int) -> list[JournalEntry]:
    """Requests side by side."""
    return list(await asyncio.gather(*(record_one(journal, clock) for _ in range(count))))


def findings(setting: Setting, database: Database | None = None, chain: ChainStanding | None = None) -> list[Finding]:
    """What the check of the whole journal finds."""
    held = database or setting.database()
    return list(
        check_journal(
            held,
            setting.macs,
            log_id=LOG_ID,
            domain=DOMAIN,
            writer=WALLET.address,
            reveal=setting.sealer().reveal_draft,
            chain=chain,
        )
    )


def carried_out(committer: GroupCommitter, group: Sequence[Operation]) -> list[Outcome]:
    """A group's outcomes, all its steps taken here and now."""
    committer.held = None
    if not committer.ready:
        committer.make_ready()
    prepared = committer.prepare(group)
    committer.write(prepared)
    return committer.stands(prepared)
