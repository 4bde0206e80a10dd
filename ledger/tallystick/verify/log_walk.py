"""Checks 2 to 5: every event in its place, every leaf, root and head computed anew, in the memory of one batch.

The contract keeps only a size, a head and one root for each batch; everything else is in its events. So the walk derives the head from the
events, and compares it with the contract's at the end: one equation that holds for no other sequence of records. What is wrong
before that is named where it is found, and the walk goes on from what the events say, so that one fault is one finding.
"""

from __future__ import annotations

from typing import Final

from tallystick.chain import (
    BatchAppended,
    EpochOpened,
    LedgerEvent,
    LogCreated,
    LogPosition,
    LogState,
    RecordAppended,
    WriterProposed,
    WriterRotated,
)
from tallystick.errors import HeadsError, IndexContinuityError, LeavesError, OpenError, RootsError, VerificationError
from tallystick.ids import Address, Head, Leaf, LogId, Root, checksum_address, to_hex
from tallystick.merkle import MAX_BATCH_RECORDS, RootBuilder, leaf_hash, next_head
from tallystick.sealing import SealedHeader, sealed_header
from tallystick.verify.verdict import Step, Tally

BROKEN_BATCH: Final = "of a batch whose records are not all in their places"
WRONG_ROOT: Final = "under a root that does not follow from them"

AFTER_A_HOLE: Final = "after a batch that is missing"


class LogWalk:
    """Takes a log's events in chain order and knows, after each, what must follow."""

    def __init__(self, tally: Tally, log_id: LogId) -> None:
        self._tally = tally
        self._log_id = log_id
        self.writer: Address | None = None
        self.pending_writer: Address | None = None
        self.size = 0
        self.head = Head(log_id)
        self.batches = 0
        self.epoch = 0
        self._leaves = RootBuilder()
        self._batch_start = 0
        self._batch_whole = True
        self._batch_at: LogPosition | None = None
        self._resume: int | None = None  # what comes next if the last jump was one wrong number

    def take(self, event: LedgerEvent) -> None:
        """Take any event but a record's."""
        try:
            if isinstance(event, BatchAppended):
                self._take_batch(event)
            elif isinstance(event, EpochOpened):
                self._take_epoch(event)
            elif isinstance(event, LogCreated):
                self._take_creation(event)
            elif isinstance(event, WriterProposed):
                self._take_proposal(event)
            elif isinstance(event, WriterRotated):
                self._take_rotation(event)
        except VerificationError as failure:
            self._tally.fail(failure)

    def take_record(self, event: RecordAppended) -> tuple[SealedHeader | None, Leaf] | None:
        """Take one record: its header, if it has a valid one, and its leaf; None if this is not its place."""
        tally, index = self._tally, event.index
        # 2 index-continuity, for a record
        if index == self._resume:
            self.size = index  # the jump before was one wrong number, which was named
        try:
            self._place_record(event)
        except IndexContinuityError as failure:
            tally.fail(failure)
            if index < self.size:
                return None
        else:
            tally.held[Step.INDEX_CONTINUITY] += 1
        self._resume = self.size + 1 if index > self.size else None
        self._batch_whole = self._batch_whole and index == self.size
        self.size = index + 1
        # 3 leaves: rebuilt here; counted as held once the root above them holds
        leaf = leaf_hash(self._log_id, index, event.fields_root, event.sealed)
        if len(self._leaves) < MAX_BATCH_RECORDS:
            self._leaves.add(leaf)
        else:
            self._batch_whole = False
        try:
            return self._header(event), leaf
        except LeavesError as failure:
            tally.fail(failure)
            return None, leaf

    def _place_record(self, event: RecordAppended) -> None:
        index, expected = event.index, f"record {self.size}"
        if index > self.size:
            raise IndexContinuityError(expected, expected, f"record {index}; {_span(self.size, index)} missing")
        if index < self.size:
            raise IndexContinuityError(f"record {index}", expected, f"record {index}, again or too late")
        if self._batch_at is None:
            self._batch_at = event.position
        elif _transaction(event.position) != _transaction(self._batch_at):
            raise IndexContinuityError(f"record {index}", "the transaction of its batch", _shown(event.position))

    def _header(self, event: RecordAppended) -> SealedHeader:
        where = f"record {event.index}"
        try:
            header = sealed_header(event.sealed)
        except OpenError as error:
            raise LeavesError(where, "a sealed record", error.reason) from error
        if header.epoch != self.epoch:
            raise LeavesError(where, f"sealed in epoch {self.epoch}, which is open", f"epoch {header.epoch}")
        return header

    def _take_batch(self, event: BatchAppended) -> None:
        tally, where, start, count = self._tally, f"batch {event.batch}", self._batch_start, len(self._leaves)
        faults = self._batch_faults(event, where)
        for fault in faults:
            tally.fail(fault)
        if not faults:
            tally.held[Step.INDEX_CONTINUITY] += 1
        elif event.batch < self.batches and not count:
            return  # this batch again: what follows does not depend on it
        # 4 roots
        root = self._leaves.root() if self._batch_whole and count else None
        if root == event.root:
            tally.held[Step.ROOTS] += 1
            tally.held[Step.LEAVES] += count
        elif root is None or faults:
            tally.uncover(Step.ROOTS, BROKEN_BATCH)
            tally.uncover(Step.LEAVES, BROKEN_BATCH, count)
        else:
            tally.fail(RootsError(f"{where}, records {_span(start, self.size)}", to_hex(root), to_hex(event.root)))
            tally.uncover(Step.LEAVES, WRONG_ROOT, count)
        # 5 heads: from what the event says, or from what was computed here; these differ only where check 2 or 4 failed
        if event.batch > self.batches:
            tally.uncover(Step.HEADS, AFTER_A_HOLE)
        else:
            self._check_head(
                event, where, [(event.root, event.first_index, event.count), (root or event.root, start, count)]
            )
        self._begin_batch(event)

    def _check_head(self, event: BatchAppended, where: str, claims: list[tuple[Root, int, int]]) -> None:
        heads = [next_head(self.head, *claim) for claim in claims if 1 <= claim[2] <= MAX_BATCH_RECORDS]
        if event.head in heads:
            self._tally.held[Step.HEADS] += 1
        else:
            expected = to_hex(heads[0]) if heads else f"a head over 1 to {MAX_BATCH_RECORDS} records"
            self._tally.fail(HeadsError(where, expected, to_hex(event.head)))

    def _begin_batch(self, event: BatchAppended) -> None:
        missed_a_batch = event.batch > self.batches and event.first_index > self._batch_start
        self.batches = event.batch + 1 if missed_a_batch else self.batches + 1
        self.head = event.head
        claimed_end = event.first_index + event.count
        if claimed_end == self._resume or self.size < claimed_end <= self.size + MAX_BATCH_RECORDS:
            self.size = claimed_end  # the records at the batch's end are missing or misnumbered, and were named
        self._leaves, self._batch_start, self._batch_whole = RootBuilder(), self.size, True
        self._batch_at = self._resume = None

    def _batch_faults(self, event: BatchAppended, where: str) -> list[IndexContinuityError]:
        # 2 index-continuity, for a batch
        faults = []
        if event.batch != self.batches:
            faults.append(IndexContinuityError(where, f"batch {self.batches}", f"batch {event.batch}"))
        count = self.size - self._batch_start
        misnumbered = event.first_index == self._batch_start and event.first_index + event.count == self._resume
        if (event.first_index, event.count) != (self._batch_start, count) and not misnumbered:
            expected = f"the {count} records before it, from {self._batch_start}"
            faults.append(IndexContinuityError(where, expected, f"{event.count} from {event.first_index}"))
        if self._batch_at is not None and _transaction(event.position) != _transaction(self._batch_at):
            faults.append(IndexContinuityError(where, "the transaction of its records", _shown(event.position)))
        return faults

    def _take_epoch(self, event: EpochOpened) -> None:
        # 2 index-continuity, for an epoch
        where, expected = f"epoch {event.epoch}", self.epoch + 1
        if event.epoch <= self.epoch:
            raise IndexContinuityError(where, f"epoch {expected}", f"epoch {event.epoch}")
        self.epoch = event.epoch
        if event.epoch != expected:
            raise IndexContinuityError(where, f"epoch {expected}", f"epoch {event.epoch}")
        if event.first_index != self.size:
            raise IndexContinuityError(where, f"an epoch from record {self.size}", f"one from {event.first_index}")
        if len(self._leaves):
            raise IndexContinuityError(where, "an epoch between batches", f"one within batch {self.batches}")
        self._tally.held[Step.INDEX_CONTINUITY] += 1

    def _take_creation(self, event: LogCreated) -> None:
        # 2 index-continuity, for the log's first event
        if self.writer is not None:
            raise IndexContinuityError("the log's creation", "one", "another")
        self.writer = event.writer
        if self.size or self.epoch:
            raise IndexContinuityError("the log's creation", "before every other event", f"after {self.size} records")
        self._tally.held[Step.INDEX_CONTINUITY] += 1

    def _take_proposal(self, event: WriterProposed) -> None:
        # 2 index-continuity, for a writer's proposal
        self.pending_writer = event.proposed if any(event.proposed) else None
        if event.writer != self.writer:
            raise IndexContinuityError(
                "a proposal of a writer", f"by the writer {_address(self.writer)}", f"by {_address(event.writer)}"
            )
        self._tally.held[Step.INDEX_CONTINUITY] += 1

    def _take_rotation(self, event: WriterRotated) -> None:
        # 2 index-continuity, for a new writer
        expected, found = (self.writer, self.pending_writer), (event.previous, event.writer)
        self.writer, self.pending_writer = event.writer, None
        if expected != found:
            raise IndexContinuityError(
                "a new writer",
                f"{_address(expected[1])} after {_address(expected[0])}",
                f"{_address(found[1])} after {_address(found[0])}",
            )
        self._tally.held[Step.INDEX_CONTINUITY] += 1

    def finish(self, state: LogState) -> None:
        """Compare where the events end with what the contract keeps."""
        tally = self._tally
        # 2 index-continuity, at the end
        pairs = (
            ("the number of records", state.size, self.size),
            ("the number of batches", state.batch_count, self.batches),
            ("the open epoch", state.epoch, self.epoch),
            ("the writer", _address(state.writer), _address(self.writer)),
            ("the proposed writer", _address(state.pending_writer), _address(self.pending_writer)),
            ("the records after the last batch", 0, len(self._leaves)),
        )
        for what, kept, walked in pairs:
            if kept == walked:
                continue
            tally.fail(
                IndexContinuityError(f"the end of the log: {what}", f"{kept}, as the contract keeps", str(walked))
            )
        # 5 heads, at the end: this one equation ties every event above to the contract's state
        if self.head == state.head:
            tally.held[Step.HEADS] += 1
        else:
            tally.fail(
                HeadsError("the end of the log", f"{to_hex(state.head)}, as the contract keeps", to_hex(self.head))
            )


def _transaction(position: LogPosition) -> tuple[int, bytes]:
    return position.block_number, position.tx_hash


def _shown(position: LogPosition) -> str:
    return f"{to_hex(position.tx_hash)} in block {position.block_number}"


def _address(address: Address | None) -> str:
    return "nobody" if address is None else checksum_address(address)


def _span(first: int, end: int) -> str:
    return str(first) if end == first + 1 else f"{first} to {end - 1}"
