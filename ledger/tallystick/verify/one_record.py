"""One record by its index: fetched from a node, tied to a transaction of the log's writer, and opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tallystick import errors
from tallystick.chain.events import WRITER_ROTATED, BatchAppended, BatchCommitted, WriterRotated
from tallystick.chain.packing import PackedRecord, PackingError, unpack_records
from tallystick.chain.reader import LedgerReader
from tallystick.chain.wire import MalformedAnswer
from tallystick.heads import LogTerms, derive_log_id
from tallystick.ids import Address, Head, Leaf, LogId, checksum_address, to_hex
from tallystick.keys import WRAP_BYTES, AuditorKey, EpochKey, unwrap_epoch_key
from tallystick.merkle import leaf_hash, tree_root
from tallystick.sealing import OpenedRecord, check_commitments, open_sealed, record_secret, sealed_header
from tallystick.verify.author_checks import author_of
from tallystick.verify.receipt_checks import WriterSpan

BatchEvent = BatchAppended | BatchCommitted


class RecordAbsent(errors.TallystickError):
    """The log has no record of this index, as of the block that was asked."""

    def __init__(self, index: int, size: int, block_number: int) -> None:
        super().__init__(f"the log has {size} records at block {block_number}, so none of index {index}")
        self.index = index
        self.size = size


class RecordOffChain(errors.TallystickError):
    """The log keeps roots alone on the chain: its sealed records are with the operator."""

    def __init__(self, index: int) -> None:
        super().__init__(f"record {index} is not on the chain: this log keeps roots alone there")
        self.index = index


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedOnChain:
    """A sealed record as its batch has it, and what is known of the batch. `packed` and `leaf` are None where the log keeps roots alone.

    Units: `batch_time` is Unix seconds.
    """

    event: BatchEvent
    previous_head: Head
    batch_time: int
    packed: PackedRecord | None
    leaf: Leaf | None
    author: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRecord:
    """An opened record and where it stands on the chain. Units: `block_time` is Unix seconds."""

    opened: OpenedRecord
    leaf: Leaf
    batch: int
    block_number: int
    block_time: int
    tx_hash: bytes


def find_sealed(reader: LedgerReader, chain_id: int, index: int, batch: int, block: int) -> SealedOnChain:
    """Fetch the batch that should hold a record, hold it against the contract's root, and tell who signed its transaction.

    Raises: RootsError if it does not give the root that the contract keeps; TransactionWithheld, NotAuthored; ChainError.
    """
    event = reader.batch_event(batch, block)
    kept = reader.batch_at(batch, block)
    if event.root != kept.root:
        raise errors.RootsError(f"batch {batch}", f"{to_hex(kept.root)}, as the contract keeps", to_hex(event.root))
    previous = _previous_head(reader, event)
    author = author_of(reader, chain_id, previous, event)
    packed = leaf = None
    if isinstance(event, BatchAppended):
        packed, leaf = _record_in(reader, event, index)
    return SealedOnChain(
        event=event, previous_head=previous, batch_time=kept.time, packed=packed, leaf=leaf, author=author
    )


def writer_spans(reader: LedgerReader, chain_id: int, terms: LogTerms, block: int) -> list[WriterSpan]:
    """The log's writers as the contract keeps them; each but the first, whom the log's identifier fixes, was named by the keeper.

    Requires: terms that lead to the log's identifier.
    Raises: AuthorshipError where the node shows a writer whom the terms or the keeper's signature do not; TransactionWithheld,
    NotAuthored; ChainError.
    """
    kept = [reader.writer_at(number, block) for number in range(reader.writer_count(block))]
    if not kept or (kept[0].writer, kept[0].first_index) != (terms.writer, 0):
        found = checksum_address(kept[0].writer) if kept else "nobody"
        raise errors.AuthorshipError("the log's first writer", checksum_address(terms.writer), found)
    spans = [WriterSpan(writer=one.writer, since_s=one.since, first_index=one.first_index) for one in kept]
    for span, following in zip(spans, kept[1:], strict=False):
        span.until_s, span.last_admission = following.since, following.first_admission - 1
    if len(kept) > 1:
        named = _named_by_keeper(reader, chain_id, terms.keeper, block)
        if named != [one.writer for one in kept[1:]]:
            expected = "the writers that the keeper named"
            raise errors.AuthorshipError("the log's writers", expected, "others, or in another order")
    return spans


def known_terms(reader: LedgerReader, chain_id: int) -> LogTerms:
    """The log's terms, which its identifier proves.

    Raises: HeadsError where the node shows others; ChainError.
    """
    terms = reader.creation().terms
    found = derive_log_id(chain_id, reader.contract, terms)
    if found != reader.log_id:
        raise errors.HeadsError("the log's terms", f"terms of the log {to_hex(reader.log_id)}", to_hex(found))
    return terms


def _named_by_keeper(reader: LedgerReader, chain_id: int, keeper: Address, block: int) -> list[Address]:
    named = []
    for event in reader.events_of(WRITER_ROTATED, reader.creation_block(), block):
        if not isinstance(event, WriterRotated):
            continue
        author = author_of(reader, chain_id, _previous_head(reader, event), event)
        if author != keeper:
            expected = f"a transaction of the log's keeper {checksum_address(keeper)}"
            raise errors.AuthorshipError(f"entry {event.entry}", expected, f"one of {checksum_address(author)}")
        named.append(event.writer)
    return named


def find_record(reader: LedgerReader, index: int, keys: Sequence[AuditorKey]) -> FoundRecord:
    """Fetch, check and open one record.

    Raises: RecordAbsent, RecordOffChain; OpenError if the auditor has no key for it; AuthorshipError if its batch is not the writer's;
    RootsError if the batch does not give the root that the contract keeps, and the errors of checks 9 to 11 if it does not open as it
    should; ChainError.
    """
    head = reader.latest_block()
    chain_id = reader.chain_id()
    state = reader.log_state(head.number)
    if not 0 <= index < state.size:
        raise RecordAbsent(index, state.size, head.number)
    found = find_sealed(reader, chain_id, index, reader.batch_of(index, head.number), head.number)
    require_writer(found, writer_spans(reader, chain_id, known_terms(reader, chain_id), head.number))
    if found.packed is None or found.leaf is None:
        raise RecordOffChain(index)
    header = sealed_header(found.packed.sealed)
    if header.vault:
        raise errors.OpenError("the record is in vault custody: the operator's vault holds what opens it")
    event = found.event
    epoch = reader.epoch_event(event.epoch, reader.creation_block(), event.position.block_number)
    epoch_key = _epoch_key(epoch.wraps, keys, reader.log_id, event.epoch)
    opened = open_record(found.packed, reader.log_id, index, event.epoch, record_secret(epoch_key, index, header.nonce))
    return FoundRecord(
        opened=opened,
        leaf=found.leaf,
        batch=event.batch,
        block_number=event.position.block_number,
        block_time=found.batch_time,
        tx_hash=event.position.tx_hash,
    )


def require_writer(found: SealedOnChain, spans: Sequence[WriterSpan]) -> None:
    """The batch's transaction is signed by who was the log's writer when it came.

    Requires: the first of the spans begins with record 0.
    Raises: AuthorshipError.
    """
    first = found.event.first_index
    writer = [span.writer for span in spans if span.first_index <= first][-1]
    if found.author != writer:
        expected = f"a transaction of the log's writer {checksum_address(writer)}"
        raise errors.AuthorshipError(f"batch {found.event.batch}", expected, f"one of {checksum_address(found.author)}")


def open_record(packed: PackedRecord, log_id: LogId, index: int, epoch: int, secret: bytes) -> OpenedRecord:
    """Open a record with its secret, and tie it to its leaf.

    Raises: DecryptionError, CanonicalEncodingError, FieldCommitmentsError.
    """
    where, root = f"record {index}", packed.fields_root
    try:
        opened = open_sealed(packed.sealed, log_id=log_id, index=index, epoch=epoch, fields_root=root, secret=secret)
    except errors.OpenError as error:
        raise errors.DecryptionError(where, "a sealed record that opens with its secret", error.reason) from error
    except (errors.EncodingError, errors.RecordError) as error:
        raise errors.CanonicalEncodingError(where, "the canonical encoding of a record", str(error)) from error
    try:
        check_commitments(opened, root)
    except errors.OpenError as error:
        raise errors.FieldCommitmentsError(where, "fields that give the root in the leaf", error.reason) from error
    return opened


def _previous_head(reader: LedgerReader, event: BatchEvent | WriterRotated) -> Head:
    if not event.entry:
        return Head(reader.log_id)
    before = reader.entry_event(event.entry - 1, reader.creation_block(), event.position.block_number)
    head: Head = before.head
    return head


def _record_in(reader: LedgerReader, event: BatchAppended, index: int) -> tuple[PackedRecord, Leaf]:
    try:
        records = unpack_records(event.records)
    except PackingError as error:
        raise MalformedAnswer(
            "eth_getLogs", f"shows batch {event.batch} in a form that no batch has: {error}"
        ) from error
    first = event.first_index
    leaves = [leaf_hash(reader.log_id, first + n, one.fields_root, one.sealed) for n, one in enumerate(records)]
    root = tree_root(leaves)
    if root != event.root:
        raise errors.RootsError(f"batch {event.batch}", f"{to_hex(event.root)}, as the contract keeps", to_hex(root))
    if not 0 <= index - first < len(records):
        raise errors.ChainError(f"batch {event.batch} does not hold record {index}, as the node said it does")
    return records[index - first], leaves[index - first]


def _epoch_key(wraps: bytes, keys: Sequence[AuditorKey], log_id: LogId, epoch: int) -> EpochKey:
    for key in keys:
        for at in range(0, len(wraps), WRAP_BYTES):
            wrap = wraps[at : at + WRAP_BYTES]
            if wrap.startswith(key.key_id):
                return unwrap_epoch_key(wrap, key, log_id, epoch)
    raise errors.OpenError(f"the key of epoch {epoch} was not wrapped for this auditor")
