"""The one canonical encoding of a record: deterministic CBOR, strictly decoded.

A decoder encodes again what it read and compares, field by field: whatever is not the canonical form of what it says is refused. So
every accepted record has exactly one encoding, and its hashes are about its meaning. `layout` says how each structure is written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import cbor2

from tallystick.encoding import parts
from tallystick.encoding.atoms import free_value
from tallystick.encoding.keepsakes import Keepsakes
from tallystick.encoding.reading import read_record, same_keys
from tallystick.errors import EncodingError, RecordError
from tallystick.record import (
    FIELD_NAMES,
    LARGE_FIELDS,
    MAX_BLOB_BYTES,
    MAX_DEPTH,
    MAX_INLINE_BYTES,
    MAX_RECORD_BYTES,
    VERSION,
    Gpu,
    Model,
    ProofOfCompute,
    Provider,
    Record,
    Sender,
    Value,
)

RECORD_PREFIX: Final = bytes((0xA0 | len(FIELD_NAMES),))
"""The head of a map of twenty entries."""

# The record, a blob reference or a response, and the containers that a free value may nest.
_MAX_NESTING = MAX_DEPTH + 3
_KEYS: Final = tuple(cbor2.dumps(name) for name in FIELD_NAMES)
_VERSION_FIELD: Final = _KEYS[0] + cbor2.dumps(VERSION)


def encode_fields(record: Record) -> list[bytes]:
    """The record's fields in canonical order, each its encoded key followed by its encoded value.

    Large fields may be of any size here: sealing moves them out.
    Raises: RecordError if a field breaks its bound.
    Source: SPEC 1 and 3.
    """
    if type(record) is not Record:
        raise RecordError("record", "is not a record")
    return [
        _VERSION_FIELD,
        parts.write_id(record.id),
        _shared(record.gpu, Gpu, parts.write_gpu),
        parts.write_http(record.http),
        parts.write_task(record.task),
        parts.write_time(record.time),
        parts.write_error(record.error),
        _shared(record.model, Model, parts.write_model),
        parts.write_price(record.price),
        parts.write_state(record.state),
        parts.write_usage(record.usage),
        parts.write_prompt(record.prompt),
        _shared(record.sender, Sender, parts.write_sender),
        _shared(record.provider, Provider, parts.write_provider),
        parts.write_response(record.response),
        parts.write_parameters(record.parameters),
        parts.write_sender_seq(record.sender_seq),
        parts.write_instructions(record.instructions),
        parts.write_admission_seq(record.admission_seq),
        _shared(record.proof_of_compute, ProofOfCompute, parts.write_proof_of_compute),
    ]


def encode_record(record: Record) -> bytes:
    """The record's canonical bytes.

    Raises: RecordError.
    Source: SPEC 1.
    """
    return RECORD_PREFIX + b"".join(encode_fields(record))


def decode_record(data: bytes) -> Record:
    """The record that these bytes are the canonical form of.

    Raises: EncodingError if they are the canonical form of nothing; RecordError for an unknown version, an unknown or missing
    field, or a value beyond its bound.
    Source: SPEC 1.
    """
    return decode_with_fields(data)[0]


def decode_with_fields(data: bytes) -> tuple[Record, list[bytes]]:
    """`decode_record` together with `split_fields`, at the price of one. Raises: as `decode_record`."""
    if len(data) > MAX_RECORD_BYTES:
        raise EncodingError(f"{len(data)} bytes are more than the {MAX_RECORD_BYTES} of any record")
    tree = _loads(data)
    _check_version_and_names(tree)
    record = read_record(tree, _keepsakes)
    fields = encode_fields(record)
    again = RECORD_PREFIX + b"".join(fields)
    if again != data:
        encode_fields(
            read_record(tree, Keepsakes())
        )  # a kept part may equal what stands here only by Python's 1 == True
        raise _not_canonical(again, data)
    for name, position in _LARGE_POSITIONS:
        size = len(fields[position]) - len(_KEYS[position])
        if size > MAX_INLINE_BYTES:
            raise RecordError(name, f"has {size} bytes; above {MAX_INLINE_BYTES} it belongs in a blob")
    return record, fields


def split_fields(data: bytes) -> list[bytes]:
    """A record's fields as they stand in its bytes. Raises: as `decode_record`."""
    return decode_with_fields(data)[1]


def encode_value(value: Value) -> bytes:
    """The deterministic encoding of one free value.

    Raises: RecordError if it holds what no record can.
    Source: RFC 8949 4.2.1.
    """
    return free_value(value, "value")


def decode_value(data: bytes) -> Value:
    """The value that these bytes are the deterministic encoding of.

    Raises: EncodingError; RecordError if it holds what no record can.
    """
    if len(data) > MAX_BLOB_BYTES:
        raise EncodingError(f"{len(data)} bytes are more than the {MAX_BLOB_BYTES} of any value")
    value: Value = _loads(data)
    again = encode_value(value)
    if again != data:
        raise _not_canonical(again, data)
    return value


def decode_field(data: bytes) -> tuple[str, Value]:
    """The name and value of one field's bytes.

    Raises: EncodingError; RecordError.
    """
    name, value = _split_key(data)
    return name, decode_value(value)


def field_value(data: bytes) -> bytes:
    """The encoded value in one field's bytes. Raises: EncodingError."""
    return _split_key(data)[1]


def _shared(part: Any, kind: type, write: Callable[[Any], bytes]) -> bytes:
    if type(part) is not kind:  # null, or a part in another's place, which must not meet what was kept for its own
        return write(part)
    field = _keepsakes.field(part)
    if field is None:
        field = write(part)
        _keepsakes.keep_field(part, field)
    return field


def _check_version_and_names(tree: Any) -> None:
    if type(tree) is not dict:
        raise EncodingError("a record is a map")
    version = tree.get("v")
    if "v" in tree and (type(version) is not int or version != VERSION):
        raise RecordError("v", f"is version {version!r:.40}; this release knows version {VERSION}")
    same_keys("record", tree, FIELD_NAMES)


def _split_key(data: bytes) -> tuple[str, bytes]:
    for name, key in zip(FIELD_NAMES, _KEYS, strict=True):
        if data.startswith(key):
            return name, data[len(key) :]
    raise EncodingError("does not start with the key of a field", offset=0)


def _loads(data: bytes) -> Any:
    try:
        return cbor2.loads(
            data,
            max_depth=_MAX_NESTING,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
            tag_hook=_refuse_tag,
            semantic_decoders=_NO_TAGS,
        )
    except (cbor2.CBORDecodeError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise EncodingError(f"is not deterministic CBOR: {error!s:.100}") from error


def _refuse_tag(*_: object) -> Any:
    raise EncodingError("holds a tag")


def _not_canonical(canonical: bytes, data: bytes) -> EncodingError:
    length = min(len(canonical), len(data))
    offset = next((at for at in range(length) if canonical[at] != data[at]), length)
    return EncodingError("is not the canonical encoding of what it says", offset=offset)


_LARGE_POSITIONS: Final = tuple((name, FIELD_NAMES.index(name)) for name in LARGE_FIELDS)
_keepsakes: Final = Keepsakes()
# Tags that the library knows must be refused by name: shared references would let a few bytes stand for gigabytes.
_NO_TAGS: Final = dict.fromkeys((*range(64), *range(100, 128), *range(256, 300), 1004, 43000, 55799), _refuse_tag)
