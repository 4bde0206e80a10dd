"""Transactions that wait for a block: bounded, ordered by nonce for each sender, and kept in memory alone.

A transaction in the pool is no promise: a crash loses it, and whoever sent it sends it again. A block is the promise.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from eth.abc import SignedTransactionAPI

from tallystick_platform.embedded_chain.errors import TransactionRefused

MAX_POOL_TRANSACTIONS: Final = 1024
MAX_POOL_BYTES: Final = 32 << 20
MAX_NONCES_AHEAD: Final = 64
"""How far a nonce may lie beyond the sender's next one: those before it may still be on their way."""
REPLACEMENT_PERCENT: Final = 110
"""What a transaction must offer, against the one of the same nonce, to take its place: both fees, in percent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A checked transaction, with what the pool orders by."""

    transaction: SignedTransactionAPI
    hash: bytes
    raw: bytes
    sender: bytes
    nonce: int
    gas: int
    max_fee: int
    max_tip: int

    def tip(self, base_fee: int) -> int:
        """What it pays beyond the base fee for a unit of gas."""
        return min(self.max_tip, self.max_fee - base_fee)


class TransactionPool:
    """The waiting transactions of all senders; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_sender: dict[bytes, dict[int, Waiting]] = {}
        self._by_hash: dict[bytes, Waiting] = {}
        self._arrival: dict[bytes, int] = {}
        self._arrivals = itertools.count()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._by_hash)

    def get(self, tx_hash: bytes) -> Waiting | None:
        """Find a waiting transaction."""
        return self._by_hash.get(tx_hash)

    def add(self, entry: Waiting, next_nonce: int) -> None:
        """Take a transaction whose sender's next nonce on the chain is `next_nonce`.

        Raises: TransactionRefused, in the words that clients look for.
        """
        with self._lock:
            if entry.hash in self._by_hash:
                raise TransactionRefused("already known")
            if entry.nonce < next_nonce:
                raise TransactionRefused(f"nonce too low: next nonce {next_nonce}, tx nonce {entry.nonce}")
            if entry.nonce > next_nonce + MAX_NONCES_AHEAD:
                raise TransactionRefused(f"nonce too high: next nonce {next_nonce}, tx nonce {entry.nonce}")
            replaced = self._by_sender.get(entry.sender, {}).get(entry.nonce)
            if replaced is not None:
                self._require_better_offer(entry, replaced)
                self._remove(replaced)
            self._require_room(entry)
            self._by_sender.setdefault(entry.sender, {})[entry.nonce] = entry
            self._by_hash[entry.hash] = entry
            self._arrival[entry.hash] = next(self._arrivals)
            self._bytes += len(entry.raw)

    def discard(self, tx_hash: bytes) -> None:
        """Drop a transaction, if it is there."""
        with self._lock:
            if entry := self._by_hash.get(tx_hash):
                self._remove(entry)

    def drop_used(self, next_nonces: Mapping[bytes, int]) -> None:
        """Drop the transactions whose nonce the chain has passed."""
        with self._lock:
            for sender, next_nonce in next_nonces.items():
                for nonce in [n for n in self._by_sender.get(sender, {}) if n < next_nonce]:
                    self._remove(self._by_sender[sender][nonce])

    def senders(self) -> list[bytes]:
        """Those who have a transaction waiting."""
        with self._lock:
            return list(self._by_sender)

    def next_nonce(self, sender: bytes, next_nonce: int) -> int:
        """The sender's next nonce, counting the transactions that wait without a gap."""
        with self._lock:
            nonces = self._by_sender.get(sender, {})
            while next_nonce in nonces:
                next_nonce += 1
            return next_nonce

    def is_ready(self, sender: bytes, next_nonce: int) -> bool:
        """Tell whether the sender's next transaction is here."""
        return next_nonce in self._by_sender.get(sender, {})

    def candidates(self, next_nonces: Mapping[bytes, int], base_fee: int) -> Iterator[Waiting]:
        """Yield the transactions that a block may hold: the best offer first, each sender's in the order of nonces."""
        with self._lock:
            queues = {sender: dict(nonces) for sender, nonces in self._by_sender.items()}
            arrival = dict(self._arrival)
        heap: list[tuple[int, int, Waiting]] = []

        def push(sender: bytes, nonce: int) -> None:
            entry = queues[sender].get(nonce)
            if entry is not None and entry.max_fee >= base_fee:
                heapq.heappush(heap, (-entry.tip(base_fee), arrival[entry.hash], entry))

        for sender, nonce in next_nonces.items():
            if sender in queues:
                push(sender, nonce)
        while heap:
            _, _, entry = heapq.heappop(heap)
            yield entry
            push(entry.sender, entry.nonce + 1)

    def _require_better_offer(self, entry: Waiting, replaced: Waiting) -> None:
        better_fee = entry.max_fee * 100 >= replaced.max_fee * REPLACEMENT_PERCENT
        better_tip = entry.max_tip * 100 >= replaced.max_tip * REPLACEMENT_PERCENT
        if not (better_fee and better_tip):
            raise TransactionRefused("replacement transaction underpriced")

    def _require_room(self, entry: Waiting) -> None:
        if len(self._by_hash) >= MAX_POOL_TRANSACTIONS or self._bytes + len(entry.raw) > MAX_POOL_BYTES:
            raise TransactionRefused("txpool is full")

    def _remove(self, entry: Waiting) -> None:
        del self._by_hash[entry.hash]
        del self._arrival[entry.hash]
        nonces = self._by_sender[entry.sender]
        del nonces[entry.nonce]
        if not nonces:
            del self._by_sender[entry.sender]
        self._bytes -= len(entry.raw)
