"""Steps 3 and 4 of the anchoring order: sign a row's transaction, save it, send it, and mend it when the network will not take it.

What is kept in memory here (when a row was last sent, how often its fee was raised) only sets the pace. It is lost in a crash
and nothing is lost with it: a row in state sent is looked up on the chain before its transaction goes out again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from tallystick.chain.packing import pack_records
from tallystick.chain.reverts import ContractReverted
from tallystick.errors import ChainRejected
from tallystick.ids import Head, checksum_address
from tallystick_platform.anchor.errors import (
    FeeCapReached,
    InsufficientFunds,
    KeepsReverting,
    TransactionRefused,
    TransactionStuck,
)
from tallystick_platform.anchor.policy import MAX_FEE_BUMPS, MAX_REVERTS, AnchorPolicy
from tallystick_platform.clock import Clock
from tallystick_platform.ledger_chain.client import LedgerClient, LogOnChain
from tallystick_platform.ledger_chain.signers import Fees, SignedTransaction
from tallystick_platform.store.batches import Batches
from tallystick_platform.store.rows import AnchorState, Batch, Epoch, Row, Signed, Void


class Refusal(StrEnum):
    """What the refusal asks the anchorer to do."""

    NONCE_USED = "nonce used"  # look at the chain: ours may have landed
    FEE_TOO_LOW = "fee too low"  # sign again, dearer
    NO_FUNDS = "no funds"  # wait for the operator
    REVERTED = "reverted"  # the contract would refuse it
    OTHER = "other"  # wait, and show it


# Words of geth, reth, Nethermind, Besu, Erigon, anvil and eth-tester, lower case. The first match decides.
_WORDS: tuple[tuple[Refusal, tuple[str, ...]], ...] = (
    (Refusal.NONCE_USED, ("nonce too low", "nonce is too low", "invalid nonce", "invalid transaction nonce", "nonce too high", "oldnonce")),
    (
        Refusal.FEE_TOO_LOW,
        ("underpriced", "fee too low", "feetoolow", "gas price below", "less than block base fee", "below the base fee",
         "fee less than block base", "max fee per gas less"),
    ),
    (Refusal.NO_FUNDS, ("insufficient funds", "insufficientfunds", "insufficient balance", "upfront cost exceeds", "lack of funds")),
    (Refusal.REVERTED, ("revert",)),
)  # fmt: skip


def classify(rejected: ChainRejected) -> Refusal:
    """What a refused call asks for."""
    if isinstance(rejected, ContractReverted):
        return Refusal.REVERTED
    words = rejected.message.lower()
    for refusal, phrases in _WORDS:
        if any(phrase in words for phrase in phrases):
            return refusal
    return Refusal.OTHER


@dataclass(slots=True, kw_only=True)
class _Attempts:
    """How one row's transaction has fared in this process. Units: milliseconds of the monotonic clock."""

    waits_since_ms: int | None = None
    sent_at_ms: int | None = None
    fees: Fees | None = None
    bumps: int = 0
    reverted: set[bytes] = field(default_factory=set)
    too_cheap: bool = False


@dataclass(slots=True, kw_only=True)
class CourierCounts:
    """What has been tried since the process started."""

    sends: int = 0
    signatures: int = 0
    fee_bumps: int = 0
    reverts: int = 0


class Courier:
    """Brings rows to the network, the oldest first; holds no truth of its own."""

    def __init__(
        self, store: Batches, sender: LedgerClient, log: LogOnChain, policy: AnchorPolicy, clock: Clock
    ) -> None:
        self._store = store
        self._sender = sender
        self._log = log
        self._policy = policy
        self._clock = clock
        self._attempts: dict[tuple[type[Row], int], _Attempts] = {}
        self.counts = CourierCounts()

    def forget(self, row: Row) -> None:
        """The row stands on the chain: its pace no longer matters."""
        self._attempts.pop((type(row), row.number), None)

    def push(self, row: Row, chain_nonce: int) -> None:
        """Bring forward the oldest row that the chain does not hold.

        Requires: `chain_nonce` was read before the look that found the row missing, so that a nonce beyond the row's means
        that another transaction used it.
        Raises: AnchorError, ChainUnavailable, ChainRejected
        """
        attempts = self._attempts_of(row)
        if row.signed is None or row.signed.nonce != chain_nonce:
            if row.signed is not None and not self._nonce_is_lost(row, row.signed, attempts):
                return
            row = self._sign(row, attempts, chain_nonce, self._opening_fees())
        elif attempts.sent_at_ms is not None:
            waited_ms = self._now_ms() - attempts.sent_at_ms
            if attempts.too_cheap or self._is_overdue(attempts):
                row = self._replace(row, attempts, waited_ms)
            elif waited_ms < self._policy.resend_after_ms:
                return
        self._send(row, attempts)

    def follow_up(self, row: Row, nonce: int) -> None:
        """Sign and send a row behind others that are under way; what goes wrong is mended when it has become the oldest.

        Raises: AnchorError, ChainUnavailable, ChainRejected
        """
        attempts = self._attempts_of(row)
        self._send(self._sign(row, attempts, nonce, self._opening_fees()), attempts)

    def _attempts_of(self, row: Row) -> _Attempts:
        return self._attempts.setdefault((type(row), row.number), _Attempts())

    def _now_ms(self) -> int:
        return self._clock.monotonic_ns() // 1_000_000

    def _nonce_is_lost(self, row: Row, signed: Signed, attempts: _Attempts) -> bool:
        receipt = self._sender.receipt(signed.tx_hash)
        if receipt is None:
            return True
        if receipt.succeeded:
            return False  # it landed after all: a node of a pool that lags answered the look before
        if signed.tx_hash not in attempts.reverted:
            attempts.reverted.add(signed.tx_hash)
            self.counts.reverts += 1
        if len(attempts.reverted) >= MAX_REVERTS:
            raise KeepsReverting(what=describe(row), reverts=len(attempts.reverted), tx_hash=signed.tx_hash)
        return True

    def _opening_fees(self) -> Fees:
        return self._sender.fees().capped(self._policy.max_fee_per_gas_wei)

    def _is_overdue(self, attempts: _Attempts) -> bool:
        since = attempts.waits_since_ms
        return since is not None and self._now_ms() - since >= self._policy.bump_after_ms

    def _replace(self, row: Row, attempts: _Attempts, waited_ms: int) -> Row:
        """The row signed again under its nonce, dearer; where no dearer fee is allowed, a node that forgot it hears of it again."""
        if row.signed is None:
            raise ValueError("only a signed row is replaced")
        try:
            fees = self._dearer_fees(row, attempts)
        except (FeeCapReached, TransactionStuck):
            if waited_ms >= self._policy.resend_after_ms:
                self._send(row, attempts)
            raise
        attempts.bumps += 1
        self.counts.fee_bumps += 1
        return self._sign(row, attempts, row.signed.nonce, fees)

    def _dearer_fees(self, row: Row, attempts: _Attempts) -> Fees:
        suggested = self._opening_fees()
        raised = (attempts.fees or suggested).raised()
        cap = self._policy.max_fee_per_gas_wei
        if raised.max_fee_per_gas > cap:
            raise FeeCapReached(what=describe(row), cap_wei=cap)
        if attempts.bumps >= MAX_FEE_BUMPS:
            raise TransactionStuck(what=describe(row), fee_bumps=attempts.bumps, max_fee_wei=raised.max_fee_per_gas)
        return Fees(
            max_fee_per_gas=max(suggested.max_fee_per_gas, raised.max_fee_per_gas),
            max_priority_fee_per_gas=max(suggested.max_priority_fee_per_gas, raised.max_priority_fee_per_gas),
        )

    def _sign(self, row: Row, attempts: _Attempts, nonce: int, fees: Fees) -> Row:
        """Step 3. A crash before the save: the row is as it was. After it: the row is sent, and the chain is asked first."""
        tx = self._build(row, nonce, fees)
        signed = Signed(nonce=tx.nonce, tx_hash=tx.hash, raw=tx.raw)
        self._store.save_signed(row, signed, self._clock.now_us())
        attempts.fees = fees
        attempts.waits_since_ms = attempts.sent_at_ms = None
        attempts.too_cheap = False
        self.counts.signatures += 1
        return replace(row, signed=signed, state=AnchorState.SENT)

    def _build(self, row: Row, nonce: int, fees: Fees) -> SignedTransaction:
        """The row's call. It names the head before the row, so the contract takes it once, and only at its place."""
        head = self._head_before(row)
        if isinstance(row, Epoch):
            wraps = b"".join(row.wraps)
            return self._sender.build_open_epoch(nonce, self._log, head, row.number, wraps, fees=fees)
        if isinstance(row, Void):
            return self._sender.build_void(nonce, self._log, head, row.first, row.last, fees=fees)
        records = self._store.records(row.first_index, row.count)
        packed = pack_records([(record.fields_root, record.sealed) for record in records])
        return self._sender.build_append(nonce, self._log, head, packed, row.count, fees=fees)

    def _head_before(self, row: Row) -> Head:
        head = None if row.entry is None else self._store.head_at(row.entry)
        if head is None:
            raise ValueError("a row is sent only at its place, behind an entry that the journal knows")
        return head

    def _send(self, row: Row, attempts: _Attempts) -> None:
        """Step 4. A crash, a time-out or a refusal here leaves an unknown outcome: the next pass reads the chain."""
        if row.signed is None:
            raise ValueError("only a signed row is sent")
        attempts.sent_at_ms = self._now_ms()
        attempts.waits_since_ms = attempts.waits_since_ms or attempts.sent_at_ms
        attempts.too_cheap = False
        self.counts.sends += 1
        try:
            self._sender.send(SignedTransaction(hash=row.signed.tx_hash, raw=row.signed.raw, nonce=row.signed.nonce))
        except ChainRejected as rejected:
            self._refused(rejected, attempts)

    def _refused(self, rejected: ChainRejected, attempts: _Attempts) -> None:
        refusal = classify(rejected)
        if refusal is Refusal.NONCE_USED:
            return
        if refusal is Refusal.FEE_TOO_LOW:
            attempts.too_cheap = True
            return
        attempts.sent_at_ms = None  # the node does not have it: the next pass may send it again
        if refusal is Refusal.NO_FUNDS:
            address = checksum_address(self._sender.address)
            raise InsufficientFunds(
                address=address, balance_wei=self._sender.balance(), reason=rejected.message
            ) from rejected
        raise TransactionRefused(code=rejected.code, reason=rejected.message) from rejected


def describe(row: Row) -> str:
    """A row in words, for errors and logs."""
    if isinstance(row, Batch):
        return f"batch {row.number} (records {row.first_index} to {row.end - 1})"
    if isinstance(row, Epoch):
        return f"the opening of epoch {row.number}"
    return f"the void numbers {row.first} to {row.last}"
