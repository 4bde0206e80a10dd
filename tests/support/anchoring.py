"""One log, its rows and a model chain around a real Anchorer, with a clock that only tests move."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from prometheus_client import CollectorRegistry

from tallystick.chain.events import BatchAppended, EpochOpened, LogCreated, NumbersVoided, WriterRotated
from tallystick.chain.packing import unpack_records
from tallystick.chain.reader import LedgerReader
from tallystick.chain.transaction import contract_address
from tallystick.errors import ChainUnavailable
from tallystick.hashing import keccak256
from tallystick.heads import EntryKind, LogTerms, batch_body, epoch_body, next_head, void_body, writer_body
from tallystick.ids import Address, Epoch, FieldsRoot, Head, Index, LogId
from tallystick.keys import WRAP_BYTES, Wallet
from tallystick.merkle import leaf_hash, tree_root
from tallystick_platform.anchor.anchorer import Anchorer, Pause
from tallystick_platform.anchor.location import LedgerLocation
from tallystick_platform.anchor.policy import AnchorPolicy
from tallystick_platform.anchor.service import AnchorService
from tallystick_platform.ledger_chain.client import LedgerClient, LogOnChain
from tallystick_platform.ledger_chain.signers import KeySigner
from tallystick_platform.store.rows import Epoch as EpochRow
from tallystick_platform.store.rows import PendingRecord
from tests.support.anchor_rows import MemoryRows
from tests.support.chains import terms_of
from tests.support.clocks import FixedClock
from tests.support.fault_plan import Faulty
from tests.support.model_chain import CHAIN_ID, ModelChain

WALLET = Wallet(bytes.fromhex("11" * 32))
KEEPER = Wallet(bytes.fromhex("33" * 32))
TERMS = terms_of(WALLET.address, KEEPER.address)
CONTRACT = contract_address(WALLET.address, 0)
LOCATION = LedgerLocation(chain_id=CHAIN_ID, contract=CONTRACT, terms=TERMS)
LOG = LogOnChain(contract=CONTRACT, log_id=LOCATION.log_id)
START_US = 1_790_000_000_000_000
MAX_PASSES = 400
POLICY = AnchorPolicy(
    batch_max_bytes=2_048, batch_max_age_ms=1_000, poll_ms=250, resend_after_ms=2_000, bump_after_ms=5_000
)


def client_of(chain: Any, wallet: Wallet = WALLET) -> LedgerClient:
    """An account of the chain under test."""
    return LedgerClient(chain, KeySigner(wallet), CHAIN_ID)


def with_log(chain: Any, terms: LogTerms = TERMS) -> tuple[Address, LogId]:
    """Deploys the contract and creates a log, as bootstrap does."""
    client = client_of(chain)
    client.send(client.build_deploy(0))
    chain.mine()
    client.send(client.build_create_log(1, CONTRACT, terms))
    chain.mine()
    return CONTRACT, LedgerLocation(chain_id=CHAIN_ID, contract=CONTRACT, terms=terms).log_id


def sealed_bytes(number: int, size: int) -> bytes:
    """Something of this size that the contract takes for a sealed record with this admission number."""
    header = b"\x20" + number.to_bytes(8, "big") + bytes(16)
    return header + (keccak256(number.to_bytes(8, "big")) * (size // 32 + 1))[: size - len(header)]


class Rig:
    """Everything that one anchorer needs. `crash()` makes a new one over what was durable."""

    def __init__(
        self, chain: Any = None, policy: AnchorPolicy = POLICY, rows: Any = None, clock: FixedClock | None = None
    ) -> None:
        self.chain = chain if chain is not None else ModelChain(WALLET.address, KEEPER.address)
        self.contract, self.log_id = with_log(self.chain)
        self.first_blocks = len(self.chain.blocks)  # with contract and log, before any row
        self.node = Faulty(
            self.chain, lambda name: ChainUnavailable("node", f"{name} broke"), lambda _call, arguments: arguments[0]
        )
        self.rows = rows or MemoryRows(self.log_id)
        self.store = Faulty(self.rows, lambda name: OSError(f"{name} broke"))
        self.clock = clock or FixedClock(START_US)
        self.policy = policy
        self.start()

    def start(self) -> None:
        self.reader = LedgerReader(self.node, self.contract, self.log_id)
        self.sender = client_of(self.node)
        self.anchorer = Anchorer(
            store=self.store, reader=self.reader, sender=self.sender, policy=self.policy, clock=self.clock
        )  # type: ignore[arg-type]
        self.service = AnchorService(self.anchorer, self.store, self.clock, CollectorRegistry())  # type: ignore[arg-type]

    def crash(self) -> None:
        """The process ends; another starts over the same rows and chain."""
        self.start()

    # -- what journal and sealing do ----------------------------------------------------------------------------------

    def open_epoch(self) -> None:
        number = len(self.rows.epochs) + 1
        self.rows.open_epoch(
            EpochRow(
                number=Epoch(number),
                first_index=Index(len(self.rows.sealed)),
                wraps=(bytes([number % 256]) * WRAP_BYTES,),
            )
        )

    def journal(self, count: int = 1, size: int = 300) -> None:
        if not self.rows.epochs:
            self.open_epoch()
        for _ in range(count):
            index = len(self.rows.sealed)
            epoch = self.rows.epochs[-1].number
            fields_root = FieldsRoot(keccak256(b"fields" + index.to_bytes(8, "big")))
            sealed = sealed_bytes(index + 1, size)
            leaf = leaf_hash(self.log_id, index, fields_root, sealed)
            record = PendingRecord(
                index=Index(index),
                epoch=epoch,
                fields_root=fields_root,
                sealed=sealed,
                leaf=leaf,
                created_at_us=self.clock.now_us(),
            )
            self.rows.journal(record)

    # -- passes -------------------------------------------------------------------------------------------------------

    def turn(self) -> Pause:
        """One pass, and the time until the next."""
        pause = self.service.turn()
        self.advance_ms(pause.ms)
        return pause

    def advance_ms(self, ms: int) -> None:
        self.clock.advance(ms / 1_000)

    def settle(self, *, mine: bool = True, passes: int = MAX_PASSES) -> int:
        """Passes until everything is final; blocks come between them. Says how many it took."""
        for taken in range(1, passes + 1):
            self.turn()
            if mine:
                self.chain.mine()
            status = self.service.status()
            if status.halted:
                raise AssertionError(status.error)
            waits = self.rows.unfinished() or self.rows.next_epoch() or self.rows.next_void()
            if not status.unanchored_records and not waits:
                return taken
        raise AssertionError(f"not settled after {passes} passes: {self.service.status()}")

    def audit(self) -> None:
        """The chain's log, rebuilt from its events alone, is a prefix of what was journaled and says so itself."""
        auditor = LedgerReader(self.chain, self.contract, self.log_id)
        head, size, epoch, batches, entries = Head(self.log_id), 0, 0, 0, 0
        sealed = self.rows.sealed
        for event in auditor.events(0, auditor.latest_block().number):
            if isinstance(event, LogCreated):
                continue
            assert event.entry == entries
            if isinstance(event, EpochOpened):
                assert (event.epoch, event.first_index) == (epoch + 1, size)
                epoch = event.epoch
                head = next_head(head, EntryKind.EPOCH, entries, epoch_body(epoch, size, event.wraps))
            elif isinstance(event, BatchAppended):
                records = unpack_records(event.records)
                assert (event.batch, event.first_index, event.count) == (batches, size, len(records))
                ours = sealed[size : size + len(records)]
                assert [(r.fields_root, r.sealed) for r in records] == [(o.fields_root, o.sealed) for o in ours]
                assert {each.epoch for each in ours} == {epoch} == {event.epoch}
                root = tree_root([each.leaf for each in ours])
                head = next_head(head, EntryKind.BATCH, entries, batch_body(epoch, size, len(records), root))
                size, batches = size + len(records), batches + 1
            elif isinstance(event, NumbersVoided):
                head = next_head(head, EntryKind.VOID, entries, void_body(event.first, event.last))
            elif isinstance(event, WriterRotated):
                body = writer_body(event.previous, event.writer, event.size, event.last_admission)
                head = next_head(head, EntryKind.WRITER, entries, body)
            assert event.head == head
            entries += 1
        state = auditor.log_state()
        assert (state.size, state.head, state.batch_count, state.epoch) == (size, head, batches, epoch)
        assert state.entries == entries

    @property
    def chain_size(self) -> int:
        return LedgerReader(self.chain, self.contract, self.log_id).log_state().size


def policy(**changes: int) -> AnchorPolicy:
    return replace(POLICY, **changes)
