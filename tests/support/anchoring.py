"""One log, its rows and a model chain around a real Anchorer, with a clock that only tests move."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from prometheus_client import CollectorRegistry

from tallystick.chain import (
    BatchAppended,
    EpochOpened,
    LedgerReader,
    LedgerSender,
    RecordAppended,
    contract_address,
    derive_log_id,
)
from tallystick.errors import ChainUnavailable
from tallystick.hashing import keccak256
from tallystick.ids import Address, Epoch, FieldsRoot, Index, LogId
from tallystick.keys import Wallet
from tallystick.merkle import leaf_hash, next_head, tree_root
from tallystick_platform.anchor.anchorer import Anchorer, Pause
from tallystick_platform.anchor.policy import AnchorPolicy
from tallystick_platform.anchor.service import AnchorService
from tallystick_platform.store.rows import Epoch as EpochRow
from tallystick_platform.store.rows import PendingRecord
from tests.support.anchor_rows import MemoryRows
from tests.support.clocks import FixedClock
from tests.support.fault_plan import Faulty
from tests.support.model_chain import CHAIN_ID, ModelChain

WALLET = Wallet(bytes.fromhex("11" * 32))
SALT = bytes(32)
START_US = 1_790_000_000_000_000
MAX_PASSES = 400
POLICY = AnchorPolicy(
    batch_max_bytes=2_048, batch_max_age_ms=1_000, poll_ms=250, resend_after_ms=2_000, bump_after_ms=5_000
)


def with_log(chain: ModelChain, wallet: Wallet = WALLET) -> tuple[Address, LogId]:
    """Deploys the contract and creates a log, as bootstrap does."""
    contract = contract_address(wallet.address, 0)
    sender = LedgerSender(chain, wallet, contract, None, CHAIN_ID)
    sender.send(sender.build_deploy(0))
    chain.mine()
    sender.send(sender.build_create_log(1, wallet.address, SALT))
    chain.mine()
    return contract, derive_log_id(CHAIN_ID, contract, wallet.address, SALT)


class Rig:
    """Everything that one anchorer needs. `crash()` makes a new one over what was durable."""

    def __init__(
        self, chain: Any = None, policy: AnchorPolicy = POLICY, rows: Any = None, clock: FixedClock | None = None
    ) -> None:
        self.chain = chain if chain is not None else ModelChain(WALLET.address)
        self.contract, self.log_id = with_log(self.chain)
        self.first_blocks = len(self.chain.blocks)  # with contract and log, before any row
        self.node = Faulty(
            self.chain, lambda name: ChainUnavailable("node", f"{name} broke"), lambda _call, arguments: arguments[0]
        )
        self.rows = rows or MemoryRows()
        self.store = Faulty(self.rows, lambda name: OSError(f"{name} broke"))
        self.clock = clock or FixedClock(START_US)
        self.policy = policy
        self.start()

    def start(self) -> None:
        self.reader = LedgerReader(self.node, self.contract, self.log_id)
        self.sender = LedgerSender(self.node, WALLET, self.contract, self.log_id, CHAIN_ID)
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
            EpochRow(number=Epoch(number), first_index=Index(len(self.rows.sealed)), wraps=(b"wrap" * 8,))
        )

    def journal(self, count: int = 1, size: int = 300) -> None:
        if not self.rows.epochs:
            self.open_epoch()
        for _ in range(count):
            index = len(self.rows.sealed)
            epoch = self.rows.epochs[-1].number
            fields_root = FieldsRoot(keccak256(b"fields" + index.to_bytes(8, "big")))
            sealed = (b"\x01\x00" + epoch.to_bytes(4, "big") + keccak256(index.to_bytes(8, "big")) * (size // 32 + 1))[
                :size
            ]
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
            if not status.unanchored_records and not self.rows.unfinished() and self.rows.next_epoch() is None:
                return taken
        raise AssertionError(f"not settled after {passes} passes: {self.service.status()}")

    def audit(self) -> None:
        """The chain's log, rebuilt from its events alone, is a prefix of what was journaled and says so itself."""
        auditor = LedgerReader(self.chain, self.contract, self.log_id)
        head, size, epoch, waiting = bytes(self.log_id), 0, 0, []
        batches, sealed = 0, self.rows.sealed
        for event in auditor.events(0, auditor.latest_block().number):
            if isinstance(event, EpochOpened):
                assert event.epoch == epoch + 1
                epoch = event.epoch
            elif isinstance(event, RecordAppended):
                ours = sealed[event.index]
                assert (event.index, event.fields_root, event.sealed) == (
                    size + len(waiting),
                    ours.fields_root,
                    ours.sealed,
                )
                assert ours.epoch <= epoch
                waiting.append(ours.leaf)
            elif isinstance(event, BatchAppended):
                assert (event.batch, event.first_index, event.count) == (batches, size, len(waiting))
                head = next_head(head, tree_root(waiting), size, len(waiting))
                assert event.head == head
                size, batches, waiting = size + len(waiting), batches + 1, []
        assert not waiting
        state = auditor.log_state()
        assert (state.size, state.head, state.batch_count, state.epoch) == (size, head, batches, epoch)

    @property
    def chain_size(self) -> int:
        return LedgerReader(self.chain, self.contract, self.log_id).log_state().size


def policy(**changes: int) -> AnchorPolicy:
    return replace(POLICY, **changes)
