"""Bringing journaled records to the chain, in an order in which a crash at any point loses and repeats nothing.

Each step is durable before the next begins, and recovery after a crash is simply the next pass.

1. **Pick.** Void numbers if there are any; else an epoch that the waiting records need; else the next batch: consecutive un-anchored
   records of one epoch, as many as `batch_max_bytes` takes, or fewer once the oldest has waited `batch_max_age_ms`. *A crash here: nothing
   happened.*
2. **Plan.** The row gets its place: the log's next entry, and the head after it, which is computed here and not asked of the chain. It is
   `planned`. *A crash after it: the same rows are found and the work goes on. Cut, entry and head are kept for ever, so two attempts can
   never differ in what they say.*
3. **Sign.** The transaction is built and signed once; its bytes, hash and nonce are saved and the row is `sent` BEFORE the network
   sees it. *A crash before the save: it was never anywhere. After it: the outcome is unknown, and a row whose outcome is unknown
   is looked up on the chain before its bytes go out again.*
4. **Send.** *A crash, a time-out or a broken connection here is the same unknown outcome. The same bytes cannot land twice, since
   they carry one nonce; and whatever else is sent in their place is refused by the contract unless it names the log's head.*
5. **Compare.** Once entries and head on the chain show that the row landed, the transaction is found (ours, or a dearer copy),
   the contract's root, first index and count are compared with ours, and the row is `mined`. *A crash before: step 5 again.*
6. **Confirm.** When its block is `confirmations` deep and still the block at its height, the row is `final`. If the chain came to
   hold less, the rows beyond go back to `sent` and step 4 sends the same bytes again (step 3, where their nonce was used meanwhile).

A pass looks at the chain first and takes steps 5 and 6 for what is under way, then 3 and 4 for the oldest row that the chain does not
hold, then 1 and 2 for new work. One thread runs the passes; nothing else writes these rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from tallystick.chain.packing import append_size
from tallystick.chain.reader import Block, LedgerReader
from tallystick.errors import ChainRejected
from tallystick.merkle import MAX_BATCH_RECORDS, tree_root
from tallystick_platform.anchor.courier import Courier
from tallystick_platform.anchor.errors import AdoptedEntryGone, EpochMissing, RecordTooLarge
from tallystick_platform.anchor.landing import find_landing, reconcile, search_from
from tallystick_platform.anchor.policy import IDLE_MS, AnchorPolicy
from tallystick_platform.clock import Clock
from tallystick_platform.ledger_chain.client import LedgerClient, LogOnChain
from tallystick_platform.ledger_chain.gas import MAX_CALLDATA_BYTES
from tallystick_platform.store.batches import Batches
from tallystick_platform.store.rows import AnchorState, Batch, Epoch, PendingRecord, Row, Tip, Void


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """How long until the next pass, and whether a newly journaled record may shorten it. Units: milliseconds."""

    ms: int
    wakeable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sight:
    """One look at the chain, read in this order: nonce, log, newest block. See Courier.push for why.

    `standing` is how many entries of the journal's log the chain holds.
    """

    nonce: int
    standing: int
    latest: Block


class Anchorer:
    """Takes passes over the journal's rows and the chain; every pass can be the last."""

    def __init__(
        self, *, store: Batches, reader: LedgerReader, sender: LedgerClient, policy: AnchorPolicy, clock: Clock
    ) -> None:
        self._store = store
        self._reader = reader
        self._sender = sender
        self._policy = policy
        self._clock = clock
        log = LogOnChain(contract=reader.contract, log_id=reader.log_id)
        self.courier = Courier(store, sender, log, policy, clock)
        self.reorgs = 0
        self.looked_at_us: int | None = None
        self._looked_at_ns: int | None = None

    def compare(self) -> None:
        """Compare journal and chain, and do nothing else: what must hold before anything is admitted.

        Raises: AnchorHalted, ChainUnavailable, ChainRejected, StoreError
        """
        self._look()

    def step(self) -> Pause:
        """One pass.

        Raises: AnchorError, ChainUnavailable, ChainRejected, StoreError
        """
        if not self._store.unfinished():
            picked = self._pick()
            if isinstance(picked, Pause) and not self._look_is_due():
                return picked
        sight = self._look()
        self._take_back(sight.standing)
        self._land(sight.standing)
        self._confirm(sight.latest)
        rows = self._store.unfinished()
        under_way = [row for row in rows if row.state is not AnchorState.MINED]
        if under_way:
            self.courier.push(under_way[0], sight.nonce)
        pause = self._begin(under_way, sight)
        awaits_confirmations = len(rows) > len(under_way)
        return self._poll(pause) if awaits_confirmations else pause

    def _look_is_due(self) -> bool:
        return self._looked_at_ns is None or self._clock.monotonic_ns() - self._looked_at_ns >= IDLE_MS * 1_000_000

    def _look(self) -> _Sight:
        nonce = self._sender.nonce()
        state = self._reader.log_state()
        standing = reconcile(state, self._sender.address, self._store)
        self._looked_at_ns = self._clock.monotonic_ns()
        self.looked_at_us = self._clock.now_us()
        return _Sight(nonce=nonce, standing=standing, latest=self._reader.latest_block())

    def _take_back(self, standing: int) -> None:
        """The chain came to hold less than it did: what stands beyond is sent again."""
        beyond = self._store.rows_beyond(standing)
        for row in beyond:
            if row.adopted:
                raise AdoptedEntryGone(entry=standing)
        if beyond:
            self._store.take_back(beyond)
            self.reorgs += 1

    def _land(self, standing: int) -> None:
        """Step 5 for every row that the chain holds and the journal does not know to be mined."""
        for row in self._store.unfinished():
            if row.state is not AnchorState.MINED and row.entry is not None and row.entry < standing:
                self._compare(row)

    def _compare(self, row: Row) -> None:
        mined = find_landing(self._reader, self._sender, row, partial(search_from, self._reader, self._store, row))
        self._store.save_mined(row, mined, self._clock.now_us())
        self.courier.forget(row)

    def _confirm(self, latest: Block) -> None:
        """Step 6 for every mined row, in order; none is final before those before it.

        A row whose block was replaced, although the log still holds it, is compared again.
        """
        settled = True
        for row in self._store.unfinished():
            if row.state is not AnchorState.MINED or row.mined is None:
                return
            if self._block_hash(row.mined.block_number) != row.mined.block_hash:
                self.reorgs += 1
                self._compare(row)
                settled = False
            elif settled and latest.number - row.mined.block_number >= self._policy.confirmations:
                self._store.save_final(row)
            else:
                settled = False

    def _block_hash(self, number: int) -> bytes | None:
        try:
            return self._reader.block(number).hash
        except ChainRejected:  # the chain is shorter now
            return None

    def _begin(self, under_way: Sequence[Row], sight: _Sight) -> Pause:
        """Steps 1 to 4 for new work, as long as there is room for another transaction."""
        flying = list(under_way)
        while len(flying) < self._policy.max_in_flight:
            picked = self._pick()
            if isinstance(picked, Pause):
                return picked if not flying else self._poll(picked)
            row = self._plan(picked)
            if not flying:
                self.courier.push(row, sight.nonce)
            else:
                self.courier.follow_up(row, sight.nonce + len(flying))
            flying.append(row)
        return Pause(ms=self._policy.poll_ms, wakeable=False)

    def _poll(self, pause: Pause) -> Pause:
        return Pause(ms=min(pause.ms, self._policy.poll_ms), wakeable=pause.wakeable)

    def _pick(self) -> Epoch | Void | Sequence[PendingRecord] | Pause:
        """Step 1: the epoch to open, the numbers to declare void, the records of the next batch, or how long there is none of them.

        Raises: RecordTooLarge
        """
        void = self._store.next_void()
        if void is not None:
            return void
        size = self._store.tip().size
        records = self._store.records(size, MAX_BATCH_RECORDS)
        epoch = self._store.next_epoch()
        if epoch is not None and (epoch.number <= records[0].epoch if records else epoch.first_index <= size):
            return epoch
        if not records:
            return Pause(ms=IDLE_MS, wakeable=True)
        count = fill(records, self._policy.batch_max_bytes)
        waited_ms = (self._clock.now_us() - records[0].created_at_us) // 1_000
        if count == len(records) < MAX_BATCH_RECORDS and waited_ms < self._policy.batch_max_age_ms:
            return Pause(ms=self._policy.batch_max_age_ms - waited_ms, wakeable=True)
        return records[:count]

    def _plan(self, picked: Epoch | Void | Sequence[PendingRecord]) -> Row:
        """Step 2.

        Raises: EpochMissing
        """
        tip = self._store.tip()
        if isinstance(picked, (Epoch, Void)):
            head = tip.head_after(picked)
            self._store.place(picked, tip.entries, head)
            return replace(picked, entry=tip.entries, head=head)
        return self._plan_batch(tip, picked)

    def _plan_batch(self, tip: Tip, records: Sequence[PendingRecord]) -> Batch:
        if records[0].epoch != tip.epoch or not tip.epoch_open:
            index, epoch = records[0].index, records[0].epoch
            raise EpochMissing(index=index, epoch=epoch, current=tip.epoch, is_open=tip.epoch_open)
        batch = plan(tip, records)
        self._store.plan_batch(batch, self._clock.now_us())
        return batch


def fill(records: Sequence[PendingRecord], max_bytes: int) -> int:
    """How many leading records make one batch: of one epoch, within `max_bytes` of calldata, at most MAX_BATCH_RECORDS.

    A record larger than `max_bytes` goes alone as long as a transaction carries it. The gas that so much calldata needs is below
    what one transaction may use.

    Raises: RecordTooLarge
    """
    sizes: list[int] = []
    for record in records[:MAX_BATCH_RECORDS]:
        sizes.append(len(record.sealed))
        size_bytes = append_size(sizes)
        if len(sizes) == 1 and size_bytes > MAX_CALLDATA_BYTES:
            raise RecordTooLarge(index=record.index, size_bytes=size_bytes, limit_bytes=MAX_CALLDATA_BYTES)
        if len(sizes) > 1 and (size_bytes > max_bytes or record.epoch != records[0].epoch):
            return len(sizes) - 1
    return len(sizes)


def plan(tip: Tip, records: Sequence[PendingRecord]) -> Batch:
    """The batch that the contract will make of these records.

    Requires: records of the open epoch with consecutive indices, from the log's size on.
    Source: ledger/SPEC.md sections 5 and 6
    """
    epoch, root = records[0].epoch, tree_root([record.leaf for record in records])
    return Batch(
        number=tip.batch_count,
        entry=tip.entries,
        epoch=epoch,
        first_index=records[0].index,
        count=len(records),
        root=root,
        head=tip.head_after_batch(epoch, len(records), root),
    )
