"""The embedded chain itself: what is sent waits in the pool, becomes a block, and is durable before anyone sees it.

The first block is written once, and compared with what is asked for ever after.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import rlp
import structlog
from eth.abc import BlockHeaderAPI, StateAPI
from eth.constants import BLANK_ROOT_HASH
from eth.db.chain import ChainDB
from eth.vm.chain_context import ChainContext
from eth.vm.forks.london.headers import calculate_expected_base_fee_per_gas

from tallystick.ids import Address, checksum_address
from tallystick_platform.embedded_chain import index
from tallystick_platform.embedded_chain.errors import GenesisMismatch, TransactionRefused
from tallystick_platform.embedded_chain.index import BlockRow, head
from tallystick_platform.embedded_chain.intake import check_funds, check_transaction
from tallystick_platform.embedded_chain.pool import TransactionPool
from tallystick_platform.embedded_chain.producer import BuiltBlock, TransactionBroke, build_block
from tallystick_platform.embedded_chain.rules import (
    BLOCK_GAS_LIMIT,
    COINBASE,
    MAX_CLOCK_LEAD_S,
    PREFUND_WEI,
    EmbeddedVM,
    next_timestamp,
    rules_for,
    wait_for_block_s,
)
from tallystick_platform.embedded_chain.storage import BlockNodes, ChainStorage, StoredNodes

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


def open_genesis(
    storage: ChainStorage, nodes: BlockNodes, *, chain_id: int, prefund: Sequence[Address], now_s: float
) -> None:
    """Write the genesis of a new chain, or check that the chain on disk is the one meant.

    Raises: GenesisMismatch when the chain id differs.
    """
    meta = storage.meta()
    if "chain_id" in meta:
        if meta["chain_id"] != str(chain_id):
            stored = meta["chain_id"]
            raise GenesisMismatch(path=storage.folder, what="chain id", stored=stored, asked=str(chain_id))
        return
    account = {"balance": PREFUND_WEI, "nonce": 0, "code": b"", "storage": {}}
    parameters = {
        "coinbase": COINBASE,
        "difficulty": 0,
        "extra_data": b"",
        "gas_limit": BLOCK_GAS_LIMIT,
        "receipt_root": BLANK_ROOT_HASH,
        "timestamp": int(now_s),
        "transaction_root": BLANK_ROOT_HASH,
    }
    chain = rules_for(chain_id).from_genesis(nodes, parameters, dict.fromkeys(prefund, account))
    header = chain.get_canonical_head()
    size = len(rlp.encode([header, [], [], []]))
    facts = {"chain_id": str(chain_id), "prefund": json.dumps([checksum_address(address) for address in prefund])}
    block = BlockRow(hash=header.hash, header=header, size=size)
    # One transaction: a crash here leaves an empty database, and the next start writes another genesis.
    storage.commit(nodes.written, {"block": [block.values()], "meta": list(facts.items())})
    nodes.clear()


def require_funded(storage: ChainStorage, prefund: Sequence[Address], balance: Callable[[Address], int]) -> None:
    """Refuse an address that was to have a balance, got none in the genesis and has none now: it could not send anything.

    Raises: GenesisMismatch
    """
    funded: list[str] = json.loads(storage.meta()["prefund"])
    for address in prefund:
        if checksum_address(address) not in funded and not balance(address):
            stored, asked = ", ".join(funded) or "nobody", checksum_address(address)
            raise GenesisMismatch(path=storage.folder, what="list of prefunded addresses", stored=stored, asked=asked)


def require_head(storage: ChainStorage) -> BlockRow:
    """Give the newest block of a chain whose genesis is written."""
    block = head(storage.reader())
    if block is None:
        raise LookupError("the chain has no genesis")
    return block
