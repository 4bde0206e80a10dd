"""Opening records that this service sealed, for their own senders: for as long as it holds the key of their epoch, and no longer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tallystick.ids import LogId, RecordId
from tallystick.record import LARGE_FIELDS, BlobRef, Record
from tallystick.sealing import check_commitments, open_large_field, open_sealed, record_secret, sealed_header
from tallystick_platform.errors import RowTampered
from tallystick_platform.store.epoch_keys import EpochKeyFiles
from tallystick_platform.store.records import StoredRecord
from tallystick_platform.store.tables import BLOB


def open_record(
    stored: StoredRecord,
    *,
    log_id: LogId,
    keys: EpochKeyFiles,
    blob: Callable[[tuple[RecordId, bytes]], bytes | None],
) -> Record | None:
    """The record with its large fields in place; None once its epoch's key is forgotten. Blocking: call it from a thread.

    Raises: RowTampered, KeyFileError; OpenError, EncodingError or RecordError for what was never sealed here.
    """
    found = open_with_secret(stored, log_id=log_id, keys=keys, blob=blob)
    return None if found is None else found[0]


def open_with_secret(
    stored: StoredRecord,
    *,
    log_id: LogId,
    keys: EpochKeyFiles,
    blob: Callable[[tuple[RecordId, bytes]], bytes | None],
) -> tuple[Record, bytes] | None:
    """The same, with the secret that opens it for its sender."""
    key = keys.load(stored.epoch)
    if key is None:
        return None
    opened = open_sealed(
        stored.sealed,
        log_id=log_id,
        index=stored.index,
        epoch=stored.epoch,
        fields_root=stored.fields_root,
        secret=record_secret(key, stored.index, sealed_header(stored.sealed).nonce),
    )
    check_commitments(opened, stored.fields_root)
    filled: dict[str, Any] = {}
    for name in LARGE_FIELDS:
        ref = getattr(opened.record, name)
        if isinstance(ref, BlobRef):
            ciphertext = blob((stored.record_id, ref.sealed_digest))
            if ciphertext is None:
                raise RowTampered(table=BLOB.name, row=ref.sealed_digest.hex())
            filled[name] = open_large_field(name, ciphertext, ref, opened.secret)
    return replace(opened.record, **filled), opened.secret
