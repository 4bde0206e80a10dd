"""Sealed records that an honest sealer would not make: whoever holds the epoch's key can."""

from __future__ import annotations

from dataclasses import replace

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tallystick.compression import compress
from tallystick.encoding import encode_record
from tallystick.ids import FieldsRoot, LogId
from tallystick.keys import EpochKey, hkdf_expand
from tallystick.merkle import leaf_hash
from tallystick.record import Record
from tallystick.sealing import SealedRecord, pad, record_secret, seal


def forge(
    record: Record,
    epoch_key: EpochKey,
    index: int,
    *,
    record_bytes: bytes | None = None,
    fields_root: bytes | None = None,
    header: bytes | None = None,
) -> SealedRecord:
    """Seal a record, or other bytes in its place, under a fields root or header of the forger's choosing."""
    honest = seal(record, epoch_key=epoch_key, index=index)
    root = honest.fields_root if fields_root is None else FieldsRoot(fields_root)
    head = honest.sealed[:6] if header is None else header
    plain = encode_record(record) if record_bytes is None else record_bytes
    log_id = LogId(epoch_key.log_id)
    key = hkdf_expand(record_secret(epoch_key, index), b"tallystick/v1/dek" + root)
    associated = head + log_id + index.to_bytes(8, "big")
    sealed = head + AESGCM(key).encrypt(bytes(12), pad(compress(plain)), associated)
    return replace(honest, fields_root=root, sealed=sealed, leaf=leaf_hash(log_id, index, root, sealed))
