"""The part of the chain client that anchoring uses: the real one is tallystick.chain, tests put a chain of their own here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from tallystick.chain import BatchInfo, Block, Fees, LedgerEvent, LogState, SignedTransaction, TransactionReceipt
from tallystick.ids import Epoch, FieldsRoot, Hash32, Index, LogId
from tallystick.keys import Wallet


class ChainReader(Protocol):
    """What the chain says of this log. Raises: ChainUnavailable, ChainRejected."""

    log_id: LogId

    def latest_block(self) -> Block: ...

    def block(self, number: int) -> Block: ...

    def log_state(self) -> LogState: ...

    def batch(self, number: int) -> BatchInfo: ...

    def creation_block(self) -> int: ...

    def events(self, from_block: int, to_block: int) -> Iterator[LedgerEvent]: ...


class ChainSender(Protocol):
    """Signing and sending for this log's writer. Raises: ChainUnavailable, ChainRejected."""

    wallet: Wallet

    def nonce(self) -> int:
        """Transactions of the writer in the chain up to the newest block, none of the pool."""
        ...

    def balance(self) -> int: ...

    def fees(self) -> Fees: ...

    def build_append(
        self, nonce: int, first_index: Index, fields_roots: Sequence[FieldsRoot], sealed: Sequence[bytes], *, fees: Fees
    ) -> SignedTransaction: ...

    def build_open_epoch(
        self, nonce: int, epoch: Epoch, wraps: Sequence[bytes], *, fees: Fees
    ) -> SignedTransaction: ...

    def send(self, transaction: SignedTransaction) -> None: ...

    def receipt(self, tx_hash: Hash32) -> TransactionReceipt | None: ...
