"""The embedded chain itself: what is sent waits in the pool, becomes a block, and is durable before anyone sees it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog
from eth.abc import BlockHeaderAPI, StateAPI
from eth.db.chain import ChainDB
from eth.vm.chain_context import ChainContext
from eth.vm.forks.london.headers import calculate_expected_base_fee_per_gas

from tallystick.ids import Address
from tallystick_platform.embedded_chain import index
from tallystick_platform.embedded_chain.errors import TransactionRefused
from tallystick_platform.embedded_chain.genesis import open_genesis, require_funded, require_head
from tallystick_platform.embedded_chain.index import BlockRow
from tallystick_platform.embedded_chain.intake import check_funds, check_transaction
from tallystick_platform.embedded_chain.nodes import BlockNodes, StoredNodes
from tallystick_platform.embedded_chain.pool import TransactionPool
from tallystick_platform.embedded_chain.producer import BuiltBlock, TransactionBroke, build_block
from tallystick_platform.embedded_chain.rules import (
    MAX_CLOCK_LEAD_S,
    EmbeddedVM,
    next_timestamp,
    rules_for,
    wait_for_block_s,
)
from tallystick_platform.embedded_chain.storage import ChainStorage

_log = structlog.get_logger()


class EmbeddedChain:
    """One chain in one folder. Blocks are made by one caller at a time; questions may come from any thread."""

    def __init__(
        self,
        folder: Path,
        *,
        chain_id: int,
        prefund: Sequence[Address] = (),
        now_s: Callable[[], float] = time.time,
        durable: bool = True,
    ) -> None:
        """Open or create the chain.

        Raises: ChainLocked, GenesisMismatch, ChainStorageFailed.
        """
        self.chain_id = chain_id
        self.now_s = now_s
        self.storage = ChainStorage(folder, durable=durable)
        self.stored = StoredNodes(self.storage)
        self._nodes = BlockNodes(self.stored)
        try:
            open_genesis(self.storage, self._nodes, chain_id=chain_id, prefund=prefund, now_s=now_s())
            self._chain = rules_for(chain_id)(self._nodes)
            self._headers = ChainDB(self.stored)
            require_funded(self.storage, prefund, self._balance)
        except BaseException:
            self.storage.close()
            raise
        self.pool = TransactionPool()
        self._making = threading.Lock()
        lead_s = self.head().timestamp - now_s()
        if lead_s > MAX_CLOCK_LEAD_S:
            # No block is due until the clock has caught up; whoever set it back should learn why.
            _log.warning("chain.clock_behind", lead_s=round(lead_s))

    def close(self) -> None:
        """Close the database; what waits in the pool is gone."""
        with self._making:
            self.storage.close()

    def head(self) -> BlockRow:
        """The newest block."""
        return require_head(self.storage)

    def next_base_fee(self) -> int:
        """What a unit of gas costs in the next block."""
        return int(calculate_expected_base_fee_per_gas(self.head().header))

    def submit(self, raw: bytes) -> bytes:
        """Take a signed transaction into the pool and give its hash.

        Raises: TransactionRefused.
        """
        entry = check_transaction(raw, chain_id=self.chain_id, base_fee=self.next_base_fee())
        if index.transaction_by_hash(self.storage.reader(), entry.hash) is not None:
            raise TransactionRefused("already known")
        with self.state() as state:
            next_nonce, balance = int(state.get_nonce(entry.sender)), int(state.get_balance(entry.sender))
        check_funds(entry, balance)
        self.pool.add(entry, next_nonce)
        return entry.hash

    def block_due_in_s(self) -> float | None:
        """Seconds until the next block may be made; None while nothing is ready for one."""
        if not len(self.pool):
            return None
        nonces = self._next_nonces()
        if not any(self.pool.is_ready(sender, nonce) for sender, nonce in nonces.items()):
            return None
        return wait_for_block_s(self.head().timestamp, self.now_s())

    def make_block(self) -> BlockRow | None:
        """Make one block if something is ready and the time has come; it is durable when this returns.

        A crash before the commit leaves the parent as the head, and the pool's transactions unanswered; after it, the block
        stands, and a sender that was not told learns it by asking.
        Raises: ChainStorageFailed: the block was not written, and what waits still waits.
        """
        with self._making:
            due_in_s = self.block_due_in_s()
            if due_in_s is None or due_in_s > 0:
                return None
            try:
                built = self._build()
                self.storage.commit(self._nodes.written, built.rows())
            finally:
                self._nodes.clear()
            for tx_hash in built.dropped:
                self.pool.discard(tx_hash)
            self.pool.drop_used(self._next_nonces())
            return built.block

    @contextmanager
    def state(self, header: BlockHeaderAPI | None = None) -> Iterator[StateAPI]:
        """The state after a block, the newest by default; what is changed in it goes nowhere."""
        at = header or self.head().header
        yield EmbeddedVM.build_state(
            self.stored,
            at.copy(base_fee_per_gas=0),  # a question is free: no fee is taken from whoever asks
            ChainContext(self.chain_id),
            EmbeddedVM.get_prev_hashes(at.parent_hash, self._headers),
        )

    def _balance(self, address: Address) -> int:
        with self.state() as state:
            return int(state.get_balance(address))

    def _build(self) -> BuiltBlock:
        parent = self.head().header
        timestamp = next_timestamp(parent.timestamp, self.now_s())
        while True:
            self._nodes.clear()
            waiting = self.pool.candidates(self._next_nonces(), self.next_base_fee())
            try:
                return build_block(self._chain, parent, timestamp, waiting, time.monotonic)
            except TransactionBroke as broken:
                self.pool.discard(broken.tx_hash)

    def _next_nonces(self) -> dict[bytes, int]:
        with self.state() as state:
            return {sender: int(state.get_nonce(Address(sender))) for sender in self.pool.senders()}
