"""Sealed records that an honest sealer would not make: whoever holds the epoch's key can."""

from __future__ import annotations

from dataclasses import replace

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tallystick import sealing
from tallystick.compression import compress
from tallystick.encoding import encode_fields, encode_record
from tallystick.hashing import keccak256
from tallystick.ids import FieldsRoot, LogId
from tallystick.keys import EpochKey, hkdf_expand
from tallystick.merkle import leaf_hash
from tallystick.record import Record
from tallystick.sealing import HEADER_BYTES, SealedRecord, pad, record_secret, seal


def fields_root_of(record: Record, secret: bytes) -> FieldsRoot:
    """The root over the commitments of a record's fields as they stand, whatever their size."""
    return sealing._fields_root(sealing._commitments(encode_fields(record), sealing._salts(secret)))


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
    honest = seal(record, epoch_key=epoch_key, index=index, random=lambda count: keccak256(bytes([index]))[:count])
    head = honest.sealed[:HEADER_BYTES] if header is None else header
    secret = record_secret(epoch_key, index, head[9:HEADER_BYTES])
    plain = encode_record(record) if record_bytes is None else record_bytes
    root = fields_root_of(record, secret) if fields_root is None else FieldsRoot(fields_root)
    log_id = LogId(epoch_key.log_id)
    key = hkdf_expand(secret, b"tallystick/v2/dek" + head + root)
    associated = head + log_id + index.to_bytes(8, "big") + epoch_key.epoch.to_bytes(4, "big")
    sealed = head + AESGCM(key).encrypt(bytes(12), pad(compress(plain)), associated)
    leaf = leaf_hash(log_id, index, root, sealed)
    return replace(honest, fields_root=root, sealed=sealed, leaf=leaf, secret=secret)
