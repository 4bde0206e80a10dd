"""Checks 2 to 5: every entry in its place, every leaf, root and head computed anew, in the memory of one batch.

The contract keeps a size, a number of entries and a head; everything else is in its events. So the walk derives the head from the events,
and compares it with the contract's at the end: one equation that holds for no other log. The contract itself computes roots and
heads, so what is wrong here is the node's doing. It is named where it is found, and the walk goes on from what the events say, so that one
fault is one finding.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tallystick.chain.events import BatchAppended, BatchCommitted, EpochOpened, LogCreated, NumbersVoided, WriterRotated
from tallystick.chain.packing import PackedRecord, PackingError, unpack_records
from tallystick.chain.views import LogState
from tallystick.errors import HeadsError, IndexContinuityError, LeavesError, RootsError
from tallystick.heads import (
    MAX_NUMBER,
    MODE_COMMIT,
    EntryKind,
    HeadError,
    LogTerms,
    batch_body,
    derive_log_id,
    epoch_body,
    next_head,
    void_body,
    writer_body,
)
from tallystick.ids import Address, Head, Leaf, LogId, checksum_address, to_hex
from tallystick.keys import WRAP_BYTES
from tallystick.merkle import leaf_hash, tree_root
from tallystick.receipts.messages import Domain
from tallystick.verify.tally import Tally
from tallystick.verify.verdict import Gap, Step

WRONG_ROOT: Final = "under a root that does not follow from them"
ROOTS_ONLY: Final = Gap(
    "of a log that keeps roots alone on the chain",
    "the sealed records are with the operator; this release reads them from the chain only",
)
Entry = BatchAppended | BatchCommitted | EpochOpened | WriterRotated | NumbersVoided


class Standing(NamedTuple):
    """A head of the log and how many entries led to it."""

    entries: int
    head: Head


class LogWalk:
    """Takes a log's events in chain order and knows, after each, what must follow."""

    def __init__(self, tally: Tally, domain: Domain, log_id: LogId) -> None:
        self._tally = tally
        self._domain = domain
        self._log_id = log_id
        self.terms: LogTerms | None = None
        self.terms_hold = False
        """Whether the terms lead to the log's identifier."""
        self.writer: Address | None = None
        self.size = 0
        self.entries = 0
        self.head = Head(log_id)
        self.batches = 0
        self.epoch = 0
        self.epoch_open = False
        self._last_of_earlier = 0  # the highest admission number that binds an earlier writer

    @property
    def standing(self) -> Standing:
        """Where the walk stands."""
        return Standing(self.entries, self.head)

    def create(self, event: LogCreated) -> None:
        """Take the log's creation: its terms lead to the log's identifier, which is the first head."""
        if self.terms is not None:
            self._tally.fail(IndexContinuityError("the log's creation", "one", "another"))
            return
        if self.entries:
            expected = "before every entry"
            self._tally.fail(IndexContinuityError("the log's creation", expected, f"after {self.entries} of them"))
        self.terms, self.writer = event.terms, event.terms.writer
        # 5 heads, the first one
        found = derive_log_id(self._domain.chain_id, self._domain.contract, event.terms)
        self.terms_hold = found == self._log_id
        if self.terms_hold:
            self._tally.held[Step.HEADS] += 1
        else:
            self._tally.fail(HeadsError("the log's terms", f"terms of the log {to_hex(self._log_id)}", to_hex(found)))

    def take(self, event: Entry) -> None:
        """Take an entry that is not a batch of records on the chain."""
        faults = self._place(event)
        if isinstance(event, BatchCommitted):
            self._tally.block(Step.LEAVES, ROOTS_ONLY, event.count)
            self._tally.block(Step.ROOTS, ROOTS_ONLY)
            self._after_batch(event)
        elif isinstance(event, EpochOpened):
            self.epoch, self.epoch_open = event.epoch, True
        elif isinstance(event, WriterRotated):
            self.writer, self.epoch_open = event.writer, False
            self._last_of_earlier = event.last_admission
        self._step(event, faults)

    def take_batch(self, event: BatchAppended) -> list[tuple[PackedRecord, Leaf]]:
        """Take a batch with its records; gives them with their leaves, none where they cannot be told apart."""
        tally, where = self._tally, f"batch {event.batch}"
        faults = self._place(event)
        records: list[PackedRecord] = []
        try:
            records = unpack_records(event.records)
            if len(records) != event.count:
                raise PackingError(len(records), f"the batch has {event.count} records")  # noqa: TRY301 - one way out
        except PackingError as error:
            # 3 leaves
            tally.fail(LeavesError(where, f"{event.count} packed records", error.reason))
            records = []
        first = event.first_index
        leaves = [leaf_hash(self._log_id, first + n, one.fields_root, one.sealed) for n, one in enumerate(records)]
        # 4 roots; the leaves are counted as held once the root above them holds
        root = tree_root(leaves) if leaves else None
        if root == event.root:
            tally.held[Step.ROOTS] += 1
            tally.held[Step.LEAVES] += len(leaves)
        elif root is not None:
            tally.fail(
                RootsError(f"{where}, records {_span(first, first + event.count)}", to_hex(root), to_hex(event.root))
            )
            tally.note(Step.LEAVES, WRONG_ROOT, len(leaves))
        self._after_batch(event)
        self._step(event, faults)
        return list(zip(records, leaves, strict=True))

    def _after_batch(self, event: BatchAppended | BatchCommitted) -> None:
        self.batches = event.batch + 1
        self.size = event.first_index + event.count

    def _place(self, event: Entry) -> int:
        """2 index-continuity: the entry says of itself what the log up to it leads to; gives how many parts are not so."""
        tally = self._tally
        where = f"entry {event.entry}"
        pairs: list[tuple[str, object, object]] = [("the number of the entry", self.entries, event.entry)]
        if isinstance(event, BatchAppended | BatchCommitted):
            where = f"batch {event.batch}"
            pairs += [
                ("the number of the batch", self.batches, event.batch),
                ("its first record", self.size, event.first_index),
                ("its epoch", self.epoch if self.epoch_open else "none, as none is open", event.epoch),
            ]
            if self.terms is not None and (self.terms.mode == MODE_COMMIT) != isinstance(event, BatchCommitted):
                pairs.append(("its kind", "the one of the log's mode", "the other"))
        elif isinstance(event, EpochOpened):
            where = f"epoch {event.epoch}"
            wraps = len(event.wraps)
            pairs += [
                ("the number of the epoch", self.epoch + 1, event.epoch),
                ("its first record", self.size, event.first_index),
                ("its wraps", f"whole wraps of {WRAP_BYTES} bytes", f"{wraps} bytes") if wraps % WRAP_BYTES else _SAME,
            ]
        elif isinstance(event, WriterRotated):
            pairs += [
                ("the writer before", _address(self.writer), _address(event.previous)),
                ("the size of the log", self.size, event.size),
            ]
            least, last = self._last_of_earlier, event.last_admission
            if not least <= last < MAX_NUMBER:
                pairs.append(("the last admission number", f"{least} to {MAX_NUMBER - 1}", last))
        faults = 0
        for what, expected, found in pairs:
            if expected != found:
                faults += 1
                tally.fail(IndexContinuityError(f"{where}: {what}", str(expected), str(found)))
        if not faults:
            tally.held[Step.INDEX_CONTINUITY] += 1
        return faults

    def _step(self, event: Entry, faults: int) -> None:
        # 5 heads: from what the event says, so that only a head that does not follow from its own event fails here
        tally, where = self._tally, f"entry {event.entry}"
        try:
            found = next_head(self.head, kind_of(event), event.entry, body_of(event))
        except HeadError as error:
            tally.fail(HeadsError(where, "a body that an entry can have", str(error)))
        else:
            if found == event.head:
                tally.held[Step.HEADS] += 1
            elif not faults:  # an entry that is out of place cannot lead to its head, and was named
                tally.fail(HeadsError(where, to_hex(found), to_hex(event.head)))
        self.head, self.entries = event.head, event.entry + 1

    def finish(self, state: LogState) -> None:
        """Compare where the events end with what the contract keeps."""
        tally = self._tally
        # 2 index-continuity, at the end
        if self.terms is None:
            tally.fail(IndexContinuityError("the log's creation", "its event", "none"))
        pairs: tuple[tuple[str, object, object], ...] = (
            ("the number of entries", state.entries, self.entries),
            ("the number of records", state.size, self.size),
            ("the number of batches", state.batch_count, self.batches),
            ("the epoch", state.epoch, self.epoch),
            ("whether the epoch is open", state.epoch_open, self.epoch_open),
            ("the writer", _address(state.writer), _address(self.writer)),
        )
        for what, kept, walked in pairs:
            if kept != walked:
                where = f"the end of the log: {what}"
                tally.fail(IndexContinuityError(where, f"{kept}, as the contract keeps", str(walked)))
        # 5 heads, at the end: this one equation ties every event above to the contract's state
        if self.head == state.head:
            tally.held[Step.HEADS] += 1
        else:
            expected = f"{to_hex(state.head)}, as the contract keeps"
            tally.fail(HeadsError("the end of the log", expected, to_hex(self.head)))


def kind_of(event: Entry) -> EntryKind:
    """The kind of an entry in the head chain."""
    return _KINDS[type(event)]


def body_of(event: Entry) -> bytes:
    """What an entry adds to the head chain, from its event.

    Raises: HeadError.
    Source: SPEC 6.
    """
    if isinstance(event, BatchAppended | BatchCommitted):
        return batch_body(event.epoch, event.first_index, event.count, event.root)
    if isinstance(event, EpochOpened):
        return epoch_body(event.epoch, event.first_index, event.wraps)
    if isinstance(event, WriterRotated):
        return writer_body(event.previous, event.writer, event.size, event.last_admission)
    return void_body(event.first, event.last)


_SAME: Final = ("", "", "")
_KINDS: Final[dict[type, EntryKind]] = {
    BatchAppended: EntryKind.BATCH,
    BatchCommitted: EntryKind.COMMIT,
    EpochOpened: EntryKind.EPOCH,
    WriterRotated: EntryKind.WRITER,
    NumbersVoided: EntryKind.VOID,
}


def _address(address: Address | None) -> str:
    return "nobody" if address is None else checksum_address(address)


def _span(first: int, end: int) -> str:
    return str(first) if end == first + 1 else f"{first} to {end - 1}"
