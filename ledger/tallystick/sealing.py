"""Sealing: canonical bytes -> field commitments -> compress -> pad -> encrypt, and every step back.

    E  (epoch key, wrapped for each auditor)
    |  HKDF over log, index, a nonce of this sealing alone, and the vault's share
    S_i  (opens record i, alone; the sender gets it with the receipt)
    |-- salt_j -> commitment_j -> fields_root                (stands in the leaf, in clear)
    |-- DEK_i, which depends on header and fields_root      (so no key ever meets two plaintexts)
    `-- blob keys                                           (fields too large for the chain)

The verifier numbers the steps of opening, so each is a function: `decrypt`, then `decode_record`, then `commitments`.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import shake_256
from struct import Struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tallystick.binding import record_request_hash, response_digest_of_fields, response_hash
from tallystick.compression import compress, decompress
from tallystick.encoding import (
    RECORD_PREFIX,
    LargeValue,
    check_items,
    decode_field,
    decode_large,
    decode_with_fields,
    encode_fields,
    encode_reference,
    field_value,
)
from tallystick.errors import DisclosureError, EncodingError, OpenError, RecordError
from tallystick.hashing import keccak256
from tallystick.ids import HASH_BYTES, MAX_EPOCH, MAX_INDEX, FieldsRoot, Leaf, LogId
from tallystick.keys import SECRET_BYTES, EpochKey, hkdf_expand
from tallystick.merkle import HEADER_BYTES, MAX_CIPHERTEXT_BYTES, MIN_CIPHERTEXT_BYTES, leaf_hash
from tallystick.record import (
    FIELD_NAMES,
    LARGE_FIELDS,
    MAX_BLOB_BYTES,
    MAX_INTEGER,
    MAX_PADDED_BYTES,
    MAX_RECORD_BYTES,
    MIN_BLOB_BYTES,
    BlobRef,
    Record,
    Request,
    Value,
)

NONCE_BYTES: Final = 16
VAULT_BYTES: Final = 32
FRESH_BYTES: Final = 32
"""What each sealing draws from the random generator."""
SALT_BYTES: Final = 32
FLAGS_CHAIN: Final = 0x20
FLAGS_VAULT: Final = 0x21
MIN_SEALED_BYTES: Final = HEADER_BYTES + MIN_CIPHERTEXT_BYTES
MAX_SEALED_BYTES: Final = HEADER_BYTES + MAX_CIPHERTEXT_BYTES

_RECORD_INFO = b"tallystick/v2/record"
_FIELDS_INFO = b"tallystick/v2/fields"
_DEK_INFO = b"tallystick/v2/dek"
_BLOB_INFO = b"tallystick/v2/blob"
# Constant, because no key is ever used with two plaintexts: SPEC 4 has the argument, test_sealing.py its tests.
_AES_NONCE = bytes(12)
_COMMITMENT_PREFIX = b"\x05"
_FIELDS_ROOT_PREFIX = b"\x06"
_SPLIT_SALTS = Struct(f"{SALT_BYTES}s" * len(FIELD_NAMES)).unpack
_HEADER = Struct(f">BQ{NONCE_BYTES}s")
_POSITIONS = {name: position for position, name in enumerate(FIELD_NAMES)}
_ERROR, _RESPONSE = _POSITIONS["error"], _POSITIONS["response"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedHeader:
    """What stands in clear before the ciphertext."""

    vault: bool
    admission_seq: int
    nonce: bytes


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
    request_hash: bytes
    response_hash: bytes
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


def record_secret(epoch_key: EpochKey, index: int, nonce: bytes, vault: bytes = b"") -> bytes:
    """The secret that opens one record.

    Requires: `nonce` is the one in the record's header; `vault` is empty (chain custody) or 32 bytes (vault custody).
    Raises: OpenError.
    Source: SPEC 2.
    """
    if len(nonce) != NONCE_BYTES:
        raise OpenError(f"a record's nonce has {NONCE_BYTES} bytes")
    if len(vault) not in (0, VAULT_BYTES):
        raise OpenError(f"the vault's share of a secret has {VAULT_BYTES} bytes, or none")
    return hkdf_expand(epoch_key.extracted, _RECORD_INFO + _uint64(index) + nonce + vault)


def response_salt(secret: bytes) -> bytes:
    """The salt of the field `response`, which also salts the response hash. Source: SPEC 3 and 7."""
    return _salts(secret)[_RESPONSE]


def seal(
    record: Record, *, epoch_key: EpochKey, index: int, random: Callable[[int], bytes], vault: bytes = b""
) -> SealedRecord:
    """Seal a record for its place in the log.

    Requires: the record's large fields are inline. `random(n)` gives n unpredictable bytes; where it repeats itself (a cloned
    machine), or an index is given out twice (a restored backup), two records still never share a secret.
    Raises: RecordError if the record breaks a bound; EncodingError if it is too large even without its large fields.
    Source: SPEC 2, 3, 4 and 8.
    """
    fields = encode_fields(record)
    request = _inline_request(record)
    nonce = _nonce(epoch_key, index, RECORD_PREFIX + b"".join(fields), random)
    secret = record_secret(epoch_key, index, nonce, vault)
    salts = _salts(secret)
    request_hash = record_request_hash(record.http, request)
    outcome = response_digest_of_fields(fields[_ERROR], fields[_RESPONSE])
    sealed_fields, padded, blobs = _fitted(fields, secret)
    fields_root = _fields_root(_commitments(sealed_fields, salts))
    header = _HEADER.pack(FLAGS_VAULT if vault else FLAGS_CHAIN, record.admission_seq, nonce)
    log_id = epoch_key.log_id
    associated = _associated(header, log_id, index, epoch_key.epoch)
    key = hkdf_expand(secret, _DEK_INFO + header + fields_root)
    sealed = header + AESGCM(key).encrypt(_AES_NONCE, padded, associated)
    return SealedRecord(
        index=index,
        epoch=epoch_key.epoch,
        fields_root=fields_root,
        sealed=sealed,
        leaf=leaf_hash(log_id, index, fields_root, sealed),
        secret=secret,
        request_hash=request_hash,
        response_hash=response_hash(salts[_RESPONSE], outcome),
        blobs=blobs,
    )


def sealed_header(sealed: bytes) -> SealedHeader:
    """Read what stands in clear.

    Raises: OpenError for another format or custody, an admission number out of range, or sizes that cannot be.
    """
    if not MIN_SEALED_BYTES <= len(sealed) <= MAX_SEALED_BYTES:
        raise OpenError(f"a sealed record has {MIN_SEALED_BYTES} to {MAX_SEALED_BYTES} bytes, not {len(sealed)}")
    flags, admission_seq, nonce = _HEADER.unpack_from(sealed)
    if flags not in (FLAGS_CHAIN, FLAGS_VAULT):
        raise OpenError(f"the sealed record has the flags 0x{flags:02x}; this release opens 0x20 and 0x21")
    if not 1 <= admission_seq <= MAX_INTEGER:
        raise OpenError(f"the sealed record has the admission number {admission_seq}, not 1 to {MAX_INTEGER}")
    return SealedHeader(vault=flags == FLAGS_VAULT, admission_seq=admission_seq, nonce=nonce)


def decrypt(sealed: bytes, *, log_id: LogId, index: int, epoch: int, fields_root: FieldsRoot, secret: bytes) -> bytes:
    """The record's bytes, not yet decoded.

    Requires: `epoch` is that of the batch.
    Raises: OpenError if anything that the encryption binds was changed: ciphertext, header, log, index, epoch or fields root.
    Source: SPEC 4.
    """
    sealed_header(sealed)
    if len(secret) != SECRET_BYTES:
        raise OpenError(f"a record secret has {SECRET_BYTES} bytes")
    header = sealed[:HEADER_BYTES]
    key = hkdf_expand(secret, _DEK_INFO + header + fields_root)
    associated = _associated(header, log_id, index, epoch)
    try:
        padded = AESGCM(key).decrypt(_AES_NONCE, sealed[HEADER_BYTES:], associated)
    except InvalidTag as error:
        raise OpenError("the sealed record does not open with this key at this place") from error
    return decompress(unpad(padded), MAX_RECORD_BYTES)


def open_sealed(
    sealed: bytes, *, log_id: LogId, index: int, epoch: int, fields_root: FieldsRoot, secret: bytes
) -> OpenedRecord:
    """Decrypt and strictly decode; the commitments are the caller's next step.

    Raises: OpenError; EncodingError and RecordError if what was sealed is not a canonical record, or has another admission number
    than its header.
    """
    record_bytes = decrypt(sealed, log_id=log_id, index=index, epoch=epoch, fields_root=fields_root, secret=secret)
    record, fields = decode_with_fields(record_bytes)
    in_clear = sealed_header(sealed).admission_seq
    if record.admission_seq != in_clear:
        raise RecordError("admission_seq", f"is {record.admission_seq}, the header says {in_clear}")
    return OpenedRecord(index=index, record=record, record_bytes=record_bytes, fields=fields, secret=secret)


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
    if keccak256(_COMMITMENT_PREFIX + shown.salt + shown.field_bytes) != commitments[position]:
        raise DisclosureError(name, "is not what the record committed to under this name")
    try:
        found_name, value = decode_field(shown.field_bytes)
    except (EncodingError, RecordError) as error:
        raise DisclosureError(name, str(error)) from error
    if found_name != name:
        raise DisclosureError(name, f"the bytes are of the field {found_name!r}")
    return value


def open_large_field(name: str, ciphertext: bytes, ref: BlobRef, secret: bytes) -> LargeValue:
    """The content of one of the large fields, from its blob.

    Raises: OpenError if the blob is not the one referred to; EncodingError or RecordError if it is not the content of this field.
    Source: SPEC 8.
    """
    return decode_large(name, decrypt_blob(ciphertext, ref, secret))


def decrypt_blob(ciphertext: bytes, ref: BlobRef, secret: bytes) -> bytes:
    """The bytes of the value that a blob reference stands for, not yet decoded.

    Raises: OpenError.
    Source: SPEC 8.
    """
    if ref.length > MAX_BLOB_BYTES:
        raise OpenError(f"the blob claims {ref.length} bytes; at most {MAX_BLOB_BYTES} are opened")
    if keccak256(ciphertext) != ref.sealed_digest:
        raise OpenError("the blob has another digest than the record says")
    try:
        frame = AESGCM(hkdf_expand(secret, _BLOB_INFO + ref.digest)).decrypt(_AES_NONCE, ciphertext, ref.digest)
    except InvalidTag as error:
        raise OpenError("the blob does not open with this record's secret") from error
    value = decompress(frame, ref.length)
    if len(value) != ref.length or keccak256(value) != ref.digest:
        raise OpenError("the blob's content has another digest or length than the record says")
    return value


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


def _inline_request(record: Record) -> Request | None:
    for name in LARGE_FIELDS:
        if isinstance(getattr(record, name), BlobRef):
            raise RecordError(name, "is a blob reference already; sealing makes these, under the record's own secret")
    return record.request if isinstance(record.request, Request) else None


def _nonce(epoch_key: EpochKey, index: int, record_bytes: bytes, random: Callable[[int], bytes]) -> bytes:
    # Fresh, and bound to what is sealed: neither a repeated index nor a repeated random generator repeats it for another record.
    fresh = random(FRESH_BYTES)
    return hmac.digest(epoch_key.nonce_key, fresh + _uint64(index) + record_bytes, "sha256")[:NONCE_BYTES]


def _fitted(encoded: Sequence[bytes], secret: bytes) -> tuple[Sequence[bytes], bytes, tuple[SealedBlob, ...]]:
    """The fields as they are sealed, their padded frame, and the blobs: the largest field moves out until the rest fits."""
    fields = list(encoded)
    inline: list[str] = list(LARGE_FIELDS)
    blobs: list[SealedBlob] = []
    while True:
        record_bytes = RECORD_PREFIX + b"".join(fields)
        if len(record_bytes) <= MAX_RECORD_BYTES:
            padded = pad(compress(record_bytes))
            if len(padded) <= MAX_PADDED_BYTES:
                return fields, padded, tuple(blobs)
        values = {name: field_value(fields[_POSITIONS[name]]) for name in inline}
        name = max(values, key=lambda name: len(values[name]), default=None)  # the first of equals, in canonical order
        if name is None or len(values[name]) < MIN_BLOB_BYTES:
            raise EncodingError(f"the record has {len(record_bytes)} bytes without its large fields, which is too many")
        blob = _sealed_blob(name, values[name], secret)
        blobs.append(blob)
        inline.remove(name)
        fields[_POSITIONS[name]] = encode_reference(name, blob.ref)


def _sealed_blob(name: str, value: bytes, secret: bytes) -> SealedBlob:
    if len(value) > MAX_BLOB_BYTES:
        raise EncodingError(f"the {name} has {len(value)} bytes; at most {MAX_BLOB_BYTES} are recorded")
    check_items(name, value)
    digest = keccak256(value)
    ciphertext = AESGCM(hkdf_expand(secret, _BLOB_INFO + digest)).encrypt(_AES_NONCE, compress(value), digest)
    ref = BlobRef(digest=digest, length=len(value), sealed_digest=keccak256(ciphertext))
    return SealedBlob(ref=ref, ciphertext=ciphertext)


def _salts(secret: bytes) -> tuple[bytes, ...]:
    return _SPLIT_SALTS(shake_256(secret + _FIELDS_INFO).digest(SALT_BYTES * len(FIELD_NAMES)))


def _commitments(fields: Sequence[bytes], salts: Sequence[bytes]) -> list[bytes]:
    return [keccak256(_COMMITMENT_PREFIX + salt + encoded) for salt, encoded in zip(salts, fields, strict=True)]


def _fields_root(commitments: Sequence[bytes]) -> FieldsRoot:
    return FieldsRoot(keccak256(_FIELDS_ROOT_PREFIX + b"".join(commitments)))


def _position(name: str) -> int:
    try:
        return _POSITIONS[name]
    except KeyError as error:
        raise DisclosureError(name, f"no record has this field; it has {', '.join(FIELD_NAMES)}") from error


def _associated(header: bytes, log_id: LogId, index: int, epoch: int) -> bytes:
    if not 1 <= epoch <= MAX_EPOCH:
        raise OpenError(f"epoch {epoch} is outside 1 to {MAX_EPOCH}")
    return header + log_id + _uint64(index) + epoch.to_bytes(4, "big")


def _uint64(index: int) -> bytes:
    if not 0 <= index <= MAX_INDEX:
        raise OpenError(f"index {index} is outside 0 to {MAX_INDEX}")
    return index.to_bytes(8, "big")
