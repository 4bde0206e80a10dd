"""One record by its index: fetched from a node, tied to the root that the contract keeps, and opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tallystick.chain import BatchAppended, EpochOpened, LedgerReader, MalformedAnswer, RecordAppended
from tallystick.chain.events import EPOCH_OPENED, RECORD_APPENDED
from tallystick.errors import (
    CanonicalEncodingError,
    DecryptionError,
    EncodingError,
    FieldCommitmentsError,
    OpenError,
    RecordError,
    RootsError,
    TallystickError,
)
from tallystick.ids import Leaf, LogId, to_hex
from tallystick.keys import AuditorKey, EpochKey, unwrap_epoch_key
from tallystick.merkle import leaf_hash, tree_root
from tallystick.sealing import OpenedRecord, check_commitments, open_sealed, record_secret, sealed_header


class RecordAbsent(TallystickError):
    """The log has no record of this index, as of the block that was asked."""

    def __init__(self, index: int, size: int, block_number: int) -> None:
        super().__init__(f"the log has {size} records at block {block_number}, so none of index {index}")
        self.index = index
        self.size = size


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRecord:
    """An opened record and where it stands on the chain. Units: `block_time` is Unix seconds."""

    opened: OpenedRecord
    leaf: Leaf
    batch: int
    block_number: int
    block_time: int
    tx_hash: bytes


def find_record(reader: LedgerReader, index: int, keys: Sequence[AuditorKey]) -> FoundRecord:
    """Fetch, check and open one record.

    Raises: RecordAbsent; OpenError if the auditor has no key for it; RootsError if its batch does not give the root that the
    contract keeps, and the errors of checks 7 to 9 if it does not open as it should; ChainError.
    """
    head = reader.latest_block()
    state = reader.log_state(head.number)
    if not 0 <= index < state.size:
        raise RecordAbsent(index, state.size, head.number)
    first_block = reader.creation_block()
    event = _record_event(reader, index, first_block, head.number)
    if event is None:
        raise RecordAbsent(index, state.size, head.number)
    batch = _proven_batch(reader, event)
    header = sealed_header(event.sealed)
    if header.vault:
        raise OpenError("the record is in vault custody: the operator's vault holds what opens it")
    epoch_key = _epoch_key(reader, header.epoch, keys, first_block, head.number)
    opened = _opened(event, record_secret(epoch_key, index), reader.log_id)
    return FoundRecord(
        opened=opened,
        leaf=leaf_hash(reader.log_id, index, event.fields_root, event.sealed),
        batch=batch,
        block_number=event.position.block_number,
        block_time=reader.block(event.position.block_number).timestamp,
        tx_hash=event.position.tx_hash,
    )


def _opened(event: RecordAppended, secret: bytes, log_id: LogId) -> OpenedRecord:
    where, index, fields_root = f"record {event.index}", event.index, event.fields_root
    try:
        opened = open_sealed(event.sealed, log_id=log_id, index=index, fields_root=fields_root, secret=secret)
    except OpenError as error:
        raise DecryptionError(where, "a sealed record that opens with its epoch's key", error.reason) from error
    except (EncodingError, RecordError) as error:
        raise CanonicalEncodingError(where, "the canonical encoding of a record", str(error)) from error
    try:
        check_commitments(opened, fields_root)
    except OpenError as error:
        raise FieldCommitmentsError(where, "fields that give the root in the leaf", error.reason) from error
    return opened


def _record_event(reader: LedgerReader, index: int, first_block: int, last_block: int) -> RecordAppended | None:
    for event in reader.events_of(RECORD_APPENDED, first_block, last_block, index):
        if isinstance(event, RecordAppended) and event.index == index:
            return event
    return None


def _proven_batch(reader: LedgerReader, event: RecordAppended) -> int:
    """The number of the batch that holds the record, once its root was computed from the block's events."""
    block = event.position.block_number
    leaf = leaf_hash(reader.log_id, event.index, event.fields_root, event.sealed)
    leaves: list[bytes] = []
    for other in reader.events(block, block):
        if isinstance(other, RecordAppended):
            leaves.append(leaf_hash(reader.log_id, other.index, other.fields_root, other.sealed))
        elif isinstance(other, BatchAppended):
            if other.first_index <= event.index < other.first_index + other.count:
                if leaf not in leaves:
                    raise MalformedAnswer("eth_getLogs", f"shows record {event.index} in two ways")
                found, kept = tree_root(leaves), reader.batch(other.batch).root
                if found != kept:
                    where = f"batch {other.batch}"
                    raise RootsError(where, f"{to_hex(kept)}, as the contract keeps", to_hex(found))
                return other.batch
            leaves = []
    raise RootsError(f"record {event.index}", f"the batch that holds it in block {block}", "no such batch")


def _epoch_key(
    reader: LedgerReader, epoch: int, keys: Sequence[AuditorKey], first_block: int, last_block: int
) -> EpochKey:
    for event in reader.events_of(EPOCH_OPENED, first_block, last_block, epoch):
        if not isinstance(event, EpochOpened):
            continue
        for key in keys:
            for wrap in event.wraps:
                if wrap.startswith(key.key_id):
                    return unwrap_epoch_key(wrap, key, reader.log_id, epoch)
    raise OpenError(f"the key of epoch {epoch} was not wrapped for this auditor")
