"""Reading the entries of a log that this journal does not have, and holding each to the head chain and to what the journal does have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tallystick.chain.events import BatchAppended, EpochOpened, LedgerEvent, NumbersVoided, WriterRotated
from tallystick.chain.packing import PackedRecord, PackingError, unpack_records
from tallystick.chain.reader import LedgerReader
from tallystick.errors import EncodingError, OpenError, RecordError
from tallystick.heads import EntryKind, next_head, writer_body
from tallystick.ids import Address, Head, Index, RecordId
from tallystick.ids import Epoch as EpochNumber
from tallystick.keys import WRAP_BYTES, EpochKey
from tallystick.merkle import leaf_hash, tree_root
from tallystick.sealing import open_sealed, record_secret, sealed_header
from tallystick_platform.anchor.errors import AdoptionRefused, HeadMismatch, LandingNotFound
from tallystick_platform.anchor.landing import mined_in
from tallystick_platform.ledger_chain.client import LedgerClient
from tallystick_platform.store.adoption import AdoptionStore, ForeignRecord, ForeignRotation, Span
from tallystick_platform.store.rows import Batch, Epoch, Mined, Rotation, Row, Tip, Void

EpochKeys = Callable[[EpochNumber], EpochKey | None]


@dataclass(slots=True, kw_only=True)
class Found:
    """What was read so far.

    `tip` is the log after the last entry that was taken, `known` the numbers that it says something of. `ends` names, for accepted work,
    the record that ends it, as far as the records could be opened; `unopened` counts those that could not.
    """

    tip: Tip
    settled: list[tuple[Row, Mined]] = field(default_factory=list)
    foreign: list[tuple[Row, Mined]] = field(default_factory=list)
    rotations: list[ForeignRotation] = field(default_factory=list)
    records: list[ForeignRecord] = field(default_factory=list)
    known: list[Span] = field(default_factory=list)
    ends: dict[RecordId, RecordId] = field(default_factory=dict)
    unopened: int = 0

    def grow(self, head: Head, **changes: object) -> None:
        """One more entry stands."""
        self.tip = replace(self.tip, entries=self.tip.entries + 1, head=head, **changes)  # type: ignore[arg-type]


class ForeignEntries:
    """Takes entries in order. The journal's own epochs and void numbers that have no place yet get theirs where the chain has them.

    `keys` gives the key of an epoch that this server still holds.
    """

    def __init__(
        self,
        *,
        store: AdoptionStore,
        reader: LedgerReader,
        sender: LedgerClient,
        keys: EpochKeys,
        tip: Tip,
    ) -> None:
        self._store = store
        self._reader = reader
        self._sender = sender
        self._keys = keys
        self._epochs = {epoch.number: epoch for epoch in store.waiting_epochs()}
        self._voids = {(void.first, void.last): void for void in store.waiting_voids()}
        self._next_void = store.next_void_number()
        self.found = Found(tip=tip)

    def take(self, event: LedgerEvent) -> None:
        """Check one entry and keep it.

        Raises: AdoptionRefused, HeadMismatch, LandingNotFound, ChainUnavailable, ChainRejected
        """
        if isinstance(event, BatchAppended):
            self._batch(event)
        elif isinstance(event, EpochOpened):
            self._epoch(event)
        elif isinstance(event, NumbersVoided):
            self._void(event)
        elif isinstance(event, WriterRotated):
            self._rotation(event)
        else:
            raise AdoptionRefused(reason="the log holds an entry of a kind that this service does not write")

    def _batch(self, event: BatchAppended) -> None:
        tip = self.found.tip
        try:
            records = unpack_records(event.records)
        except PackingError as error:
            raise AdoptionRefused(reason=f"entry {event.entry} holds no packed records: {error}") from error
        log_id = self._reader.log_id
        leaves = [leaf_hash(log_id, tip.size + n, each.fields_root, each.sealed) for n, each in enumerate(records)]
        root = tree_root(leaves)
        head = tip.head_after_batch(tip.epoch, len(records), root)
        self._agree(event.entry, event.head, head)
        row = Batch(
            number=tip.batch_count,
            entry=tip.entries,
            epoch=tip.epoch,
            first_index=tip.size,
            count=len(records),
            root=root,
            head=head,
            adopted=True,
        )
        for index, leaf, record in zip(range(row.first_index, row.end), leaves, records, strict=True):
            ours = self._store.leaf(index)
            if ours is None:
                self.found.records.append(
                    ForeignRecord(index=Index(index), admission_seq=record.admission_seq, leaf=leaf)
                )
                self.found.known.append((record.admission_seq, record.admission_seq))
                self._open(index, tip.epoch, record)
            elif ours != leaf:
                raise AdoptionRefused(
                    reason=f"record {index} here is another than on the chain: two journals wrote this log apart"
                )
        self.found.foreign.append((row, self._mined(event)))
        self.found.grow(head, size=row.end, batch_count=tip.batch_count + 1)

    def _open(self, index: int, epoch: EpochNumber, record: PackedRecord) -> None:
        """Whether a record ends accepted work is the one thing that only its contents tell."""
        key = self._keys(epoch)
        if key is None:
            self.found.unopened += 1
            return
        secret = record_secret(key, index, sealed_header(record.sealed).nonce)
        try:
            opened = open_sealed(
                record.sealed,
                log_id=self._reader.log_id,
                index=index,
                epoch=epoch,
                fields_root=record.fields_root,
                secret=secret,
            ).record
        except (OpenError, EncodingError, RecordError):
            self.found.unopened += 1
            return
        if opened.follows is not None:
            self.found.ends[opened.follows] = opened.id

    def _epoch(self, event: EpochOpened) -> None:
        tip = self.found.tip
        wraps = tuple(event.wraps[at : at + WRAP_BYTES] for at in range(0, len(event.wraps), WRAP_BYTES))
        row = Epoch(number=event.epoch, first_index=tip.size, wraps=wraps, adopted=True)
        head = tip.head_after(row)
        self._agree(event.entry, event.head, head)
        ours = self._epochs.get(event.epoch)
        if ours is None:
            self.found.foreign.append((replace(row, entry=tip.entries, head=head), self._mined(event)))
        elif ours.wraps == wraps:
            self.found.settled.append((replace(ours, entry=tip.entries, head=head), self._mined(event)))
        else:
            raise AdoptionRefused(
                reason=f"epoch {event.epoch} here has another key than on the chain: two journals wrote this log apart"
            )
        self.found.grow(head, epoch=event.epoch, epoch_open=True)

    def _void(self, event: NumbersVoided) -> None:
        tip = self.found.tip
        row = Void(number=self._next_void, first=event.first, last=event.last, adopted=True)
        head = tip.head_after(row)
        self._agree(event.entry, event.head, head)
        ours = self._voids.pop((event.first, event.last), None)
        if ours is None:
            self._next_void += 1
            self.found.foreign.append((replace(row, entry=tip.entries, head=head), self._mined(event)))
        else:
            self.found.settled.append((replace(ours, entry=tip.entries, head=head), self._mined(event)))
        self.found.known.append((event.first, event.last))
        self.found.grow(head)

    def _rotation(self, event: WriterRotated) -> None:
        tip, place = self.found.tip, event.position
        body = writer_body(event.previous, event.writer, tip.size, event.last_admission)
        head = next_head(tip.head, EntryKind.WRITER, tip.entries, body)
        self._agree(event.entry, event.head, head)
        rotation = Rotation(
            entry=tip.entries,
            head=head,
            previous=Address(event.previous),
            writer=Address(event.writer),
            size=tip.size,
            last_admission=event.last_admission,
        )
        self.found.rotations.append(
            ForeignRotation(
                rotation=rotation,
                tx_hash=place.tx_hash,
                block_number=place.block_number,
                block_hash=place.block_hash,
            )
        )
        self.found.grow(head, epoch_open=False)

    def _agree(self, entry: int, theirs: Head, ours: Head) -> None:
        """Computed from what came before and from the event's own contents, the head must be the event's."""
        if entry != self.found.tip.entries or theirs != ours:
            raise HeadMismatch(entries=entry + 1, expected=ours, found=theirs)

    def _mined(self, event: BatchAppended | EpochOpened | NumbersVoided) -> Mined:
        place = event.position
        receipt, block = self._sender.receipt(place.tx_hash), self._reader.block(place.block_number)
        if receipt is None or block.hash != place.block_hash:
            raise LandingNotFound(what=f"entry {event.entry}")
        return mined_in(block, receipt)
