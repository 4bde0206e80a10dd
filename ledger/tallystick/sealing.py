"""Sealing: canonical bytes -> field commitments -> compress -> pad -> encrypt, and every step back.

    E  (epoch key, wrapped for each auditor)
    |  HKDF over log, index and custody nonce
    S_i  (opens record i, alone; the sender gets it with the receipt)
    |-- salt_j -> commitment_j -> fields_root                (stands in the leaf, in clear)
    |-- DEK_i, which depends on fields_root                 (so no key ever meets two plaintexts)
    `-- blob keys                                           (fields too large for the chain)

Opening is a chain of small steps, so that the verifier can number them: `decrypt`, then `decode_record`, then `commitments`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import shake_256
from struct import Struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tallystick.compression import compress, decompress
from tallystick.encoding import (
    RECORD_PREFIX,
    decode_field,
    decode_value,
    decode_with_fields,
    encode_fields,
    field_value,
    split_fields,
)
from tallystick.errors import DisclosureError, EncodingError, OpenError, RecordError
from tallystick.hashing import keccak256
from tallystick.ids import HASH_BYTES, MAX_INDEX, FieldsRoot, Leaf, LogId
from tallystick.keys import SECRET_BYTES, EpochKey, hkdf_expand
from tallystick.merkle import leaf_hash
from tallystick.record import (
    FIELD_NAMES,
    LARGE_FIELDS,
    MAX_BLOB_BYTES,
    MAX_INLINE_BYTES,
    MAX_RECORD_BYTES,
    BlobRef,
    Record,
    Value,
)

VERSION: Final = 1
HEADER_BYTES: Final = 6
TAG_BYTES: Final = 16
SALT_BYTES: Final = 32
FLAG_VAULT: Final = 0x01
CUSTODY_NONCE_BYTES: Final = 32
MAX_COMPRESSION_GROWTH: Final = 32
"""What zstd adds to an incompressible record: its frame's head, and three bytes for each 128 KiB."""

_RECORD_INFO = b"tallystick/v1/record"
_FIELDS_INFO = b"tallystick/v1/fields"
_DEK_INFO = b"tallystick/v1/dek"
_BLOB_INFO = b"tallystick/v1/blob"
# Constant, because no key is ever used with two plaintexts: SPEC 4 has the argument, test_sealing.py its tests.
_NONCE = bytes(12)
_SPLIT_SALTS = Struct(f"{SALT_BYTES}s" * len(FIELD_NAMES)).unpack
_POSITIONS = {name: position for position, name in enumerate(FIELD_NAMES)}


def padme(length: int) -> int:
    """The padded length: it tells an observer no more than about log log of the true one.

    Source: Padme in "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", PETS 2019.
    """
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    low_bits = exponent - exponent.bit_length()
    mask = (1 << low_bits) - 1
    return (length + mask) & ~mask


MAX_SEALED_BYTES: Final = HEADER_BYTES + padme(MAX_RECORD_BYTES + MAX_COMPRESSION_GROWTH + 1) + TAG_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedHeader:
    """What stands in clear before the ciphertext."""

    version: int
    vault: bool
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedBlob:
    """A field too large for the chain, encrypted; the record holds both digests."""

    ref: BlobRef
    ciphertext: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedRecord:
    """A record as the chain gets it, and the secret that opens it."""

    index: int
    epoch: int
    fields_root: FieldsRoot
    sealed: bytes = field(repr=False)
    leaf: Leaf
    secret: bytes = field(repr=False)
    blobs: tuple[SealedBlob, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedRecord:
    """A record that decrypted and decoded; `check_commitments` ties it to its leaf."""

    index: int
    record: Record
    record_bytes: bytes = field(repr=False)
    fields: Sequence[bytes] = field(repr=False)
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DisclosedField:
    """One field with the salt that makes its commitment."""

    field_bytes: bytes
    salt: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Disclosure:
    """Chosen fields of one record, by name, and the commitments of all, which tie them to the fields root."""

    fields: Mapping[str, DisclosedField]
    commitments: Sequence[bytes]


def record_secret(epoch_key: EpochKey, index: int, custody_nonce: bytes = b"") -> bytes:
    """The secret that opens one record.

    Requires: `custody_nonce` is empty (chain custody) or 32 bytes (vault custody).
    Source: SPEC 2.
    """
    if len(custody_nonce) not in (0, CUSTODY_NONCE_BYTES):
        raise OpenError(f"a custody nonce has {CUSTODY_NONCE_BYTES} bytes, or none")
    return hkdf_expand(epoch_key.extracted, _RECORD_INFO + _uint64(index) + custody_nonce)


def seal(record: Record, *, epoch_key: EpochKey, index: int, custody_nonce: bytes = b"") -> SealedRecord:
    """Seal a record for its place in the log.

    Raises: RecordError if the record breaks a bound; EncodingError if it is too large even without its large fields.
    Source: SPEC 3, 4 and 6.
    """
    secret = record_secret(epoch_key, index, custody_nonce)
    fields = encode_fields(record)
    blobs: tuple[SealedBlob, ...] = ()
    if sum(map(len, fields)) > MAX_INLINE_BYTES:
        record, blobs = _spill(record, fields, secret)
        fields = encode_fields(record) if blobs else fields
    record_bytes = RECORD_PREFIX + b"".join(fields)
    if len(record_bytes) > MAX_RECORD_BYTES:
        raise EncodingError(
            f"the record has {len(record_bytes)} bytes without its large fields; at most {MAX_RECORD_BYTES} fit"
        )
    fields_root = _fields_root(_commitments(fields, _salts(secret)))
    header = _header(vault=bool(custody_nonce), epoch=epoch_key.epoch)
    log_id = epoch_key.log_id
    key = hkdf_expand(secret, _DEK_INFO + fields_root)
    sealed = header + AESGCM(key).encrypt(_NONCE, pad(compress(record_bytes)), _associated(header, log_id, index))
    return SealedRecord(
        index=index,
        epoch=epoch_key.epoch,
        fields_root=fields_root,
        sealed=sealed,
        leaf=leaf_hash(log_id, index, fields_root, sealed),
        secret=secret,
        blobs=blobs,
    )


def sealed_header(sealed: bytes) -> SealedHeader:
    """Read what stands in clear.

    Raises: OpenError for an unknown version, named; for unknown flags or epoch 0; for sizes that cannot be.
    """
    _check_header(sealed)
    epoch = int.from_bytes(sealed[2:HEADER_BYTES], "big")
    return SealedHeader(version=VERSION, vault=bool(sealed[1] & FLAG_VAULT), epoch=epoch)


def _check_header(sealed: bytes) -> None:
    if not HEADER_BYTES + TAG_BYTES < len(sealed) <= MAX_SEALED_BYTES:
        least = HEADER_BYTES + TAG_BYTES + 1
        raise OpenError(f"a sealed record has {least} to {MAX_SEALED_BYTES} bytes, not {len(sealed)}")
    if sealed[0] != VERSION:
        raise OpenError(f"the sealed record is of version {sealed[0]}; this release opens version {VERSION}")
    if sealed[1] & ~FLAG_VAULT:
        raise OpenError(f"the sealed record has unknown flags 0x{sealed[1]:02x}")
    if sealed[2:HEADER_BYTES] == b"\x00\x00\x00\x00":
        raise OpenError("the sealed record names epoch 0; epochs start at 1")


def decrypt(sealed: bytes, *, log_id: LogId, index: int, fields_root: FieldsRoot, secret: bytes) -> bytes:
    """The record's bytes, not yet decoded.

    Raises: OpenError if anything that the encryption binds was changed: ciphertext, header, log, index or fields root.
    Source: SPEC 4.
    """
    _check_header(sealed)
    if len(secret) != SECRET_BYTES:
        raise OpenError(f"a record secret has {SECRET_BYTES} bytes")
    header = sealed[:HEADER_BYTES]
    key = hkdf_expand(secret, _DEK_INFO + fields_root)
    try:
        padded = AESGCM(key).decrypt(_NONCE, sealed[HEADER_BYTES:], _associated(header, log_id, index))
    except InvalidTag as error:
        raise OpenError("the sealed record does not open with this key at this place") from error
    return decompress(unpad(padded), MAX_RECORD_BYTES)


def open_sealed(sealed: bytes, *, log_id: LogId, index: int, fields_root: FieldsRoot, secret: bytes) -> OpenedRecord:
    """Decrypt and strictly decode; the commitments are the caller's next step.

    Raises: OpenError; EncodingError and RecordError if what was sealed is not a canonical record.
    """
    record_bytes = decrypt(sealed, log_id=log_id, index=index, fields_root=fields_root, secret=secret)
    record, fields = decode_with_fields(record_bytes)
    return OpenedRecord(index=index, record=record, record_bytes=record_bytes, fields=fields, secret=secret)


def fields_root_of(record_bytes: bytes, secret: bytes) -> FieldsRoot:
    """The root over the commitments of a record's fields. Source: SPEC 3."""
    return _fields_root(_commitments(split_fields(record_bytes), _salts(secret)))


def check_commitments(opened: OpenedRecord, fields_root: FieldsRoot) -> None:
    """Tie an opened record to the fields root in its leaf.

    Raises: OpenError if it gives another root.
    """
    found = _fields_root(_commitments(opened.fields, _salts(opened.secret)))
    if found != fields_root:
        raise OpenError(f"the fields give the root 0x{found.hex()}, the leaf holds 0x{fields_root.hex()}")


def disclose(opened: OpenedRecord, names: Sequence[str]) -> Disclosure:
    """Show chosen fields: their bytes and salts, and of the others the commitments, which open nothing.

    Raises: DisclosureError for a name that no record has.
    """
    fields, salts = opened.fields, _salts(opened.secret)
    shown = {}
    for name in names:
        position = _position(name)
        shown[name] = DisclosedField(field_bytes=fields[position], salt=salts[position])
    return Disclosure(fields=shown, commitments=_commitments(fields, salts))


def check_disclosure(disclosure: Disclosure, fields_root: FieldsRoot) -> dict[str, Value]:
    """The disclosed values, once each is tied to the fields root.

    Raises: DisclosureError naming the field that is not this record's.
    """
    commitments = disclosure.commitments
    if [len(one) for one in commitments] != [HASH_BYTES] * len(FIELD_NAMES):
        raise DisclosureError("commitments", f"a record has {len(FIELD_NAMES)} commitments of {HASH_BYTES} bytes")
    found = _fields_root(commitments)
    if found != fields_root:
        raise DisclosureError("commitments", f"give the root 0x{found.hex()}, the leaf holds 0x{fields_root.hex()}")
    return {name: _shown_value(name, shown, commitments) for name, shown in disclosure.fields.items()}


def _shown_value(name: str, shown: DisclosedField, commitments: Sequence[bytes]) -> Value:
    position = _position(name)
    if len(shown.salt) != SALT_BYTES:
        raise DisclosureError(name, f"a salt has {SALT_BYTES} bytes, not {len(shown.salt)}")
    if keccak256(b"\x00" + shown.salt + shown.field_bytes) != commitments[position]:
        raise DisclosureError(name, "is not what the record committed to under this name")
    try:
        found_name, value = decode_field(shown.field_bytes)
    except (EncodingError, RecordError) as error:
        raise DisclosureError(name, str(error)) from error
    if found_name != name:
        raise DisclosureError(name, f"the bytes are of the field {found_name!r}")
    return value


def open_blob(ciphertext: bytes, ref: BlobRef, secret: bytes) -> Value:
    """The value that a blob reference stands for.

    Raises: OpenError if the blob is not the one referred to.
    Source: SPEC 6.
    """
    if ref.length > MAX_BLOB_BYTES:
        raise OpenError(f"the blob claims {ref.length} bytes; at most {MAX_BLOB_BYTES} are opened")
    if keccak256(ciphertext) != ref.sealed_digest:
        raise OpenError("the blob has another digest than the record says")
    try:
        frame = AESGCM(hkdf_expand(secret, _BLOB_INFO + ref.digest)).decrypt(_NONCE, ciphertext, ref.digest)
    except InvalidTag as error:
        raise OpenError("the blob does not open with this record's secret") from error
    value = decompress(frame, ref.length)
    if len(value) != ref.length or keccak256(value) != ref.digest:
        raise OpenError("the blob's content has another digest or length than the record says")
    return decode_value(value)


def pad(data: bytes) -> bytes:
    """Append 0x80 and zeros up to the Padme length. Source: SPEC 4."""
    return (data + b"\x80").ljust(padme(len(data) + 1), b"\x00")


def unpad(padded: bytes) -> bytes:
    """Remove exactly the padding that `pad` adds.

    Raises: OpenError if it is another.
    """
    data = padded.rstrip(b"\x00")
    if not data.endswith(b"\x80") or padme(len(data)) != len(padded):
        raise OpenError("the padding is not the one of the format")
    return data[:-1]


def _spill(record: Record, fields: Sequence[bytes], secret: bytes) -> tuple[Record, tuple[SealedBlob, ...]]:
    changes: dict[str, BlobRef] = {}
    blobs = []
    for name in LARGE_FIELDS:
        value = field_value(fields[_POSITIONS[name]])
        if len(value) <= MAX_INLINE_BYTES or isinstance(getattr(record, name), BlobRef):
            continue
        if len(value) > MAX_BLOB_BYTES:
            raise EncodingError(f"the {name} has {len(value)} bytes; at most {MAX_BLOB_BYTES} are recorded")
        digest = keccak256(value)
        ciphertext = AESGCM(hkdf_expand(secret, _BLOB_INFO + digest)).encrypt(_NONCE, compress(value), digest)
        ref = BlobRef(digest=digest, length=len(value), sealed_digest=keccak256(ciphertext))
        changes[name] = ref
        blobs.append(SealedBlob(ref=ref, ciphertext=ciphertext))
    return replace(record, **changes), tuple(blobs)  # type: ignore[arg-type]  # each name is of a field that takes a BlobRef


def _salts(secret: bytes) -> tuple[bytes, ...]:
    return _SPLIT_SALTS(shake_256(secret + _FIELDS_INFO).digest(SALT_BYTES * len(FIELD_NAMES)))


def _commitments(fields: Sequence[bytes], salts: Sequence[bytes]) -> list[bytes]:
    return [keccak256(b"\x00" + salt + encoded) for salt, encoded in zip(salts, fields, strict=True)]


def _fields_root(commitments: Sequence[bytes]) -> FieldsRoot:
    return FieldsRoot(keccak256(b"\x01" + b"".join(commitments)))


def _position(name: str) -> int:
    try:
        return _POSITIONS[name]
    except KeyError as error:
        raise DisclosureError(name, f"no record has this field; it has {', '.join(FIELD_NAMES)}") from error


def _header(*, vault: bool, epoch: int) -> bytes:
    return bytes((VERSION, FLAG_VAULT if vault else 0)) + epoch.to_bytes(4, "big")


def _associated(header: bytes, log_id: LogId, index: int) -> bytes:
    return header + log_id + _uint64(index)


def _uint64(index: int) -> bytes:
    if not 0 <= index <= MAX_INDEX:
        raise OpenError(f"index {index} is outside 0 to {MAX_INDEX}")
    return index.to_bytes(8, "big")
