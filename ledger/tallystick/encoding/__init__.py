"""The one canonical encoding of a record: deterministic CBOR, strictly decoded.

A decoder encodes again what it read and compares, field by field: whatever is not the canonical form of what it says is refused. So
every accepted record has exactly one encoding, and its hashes are about its meaning. `parts` and `outputs` write the
structures, `reading` is the way back.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import cbor2

from tallystick.encoding import parts
from tallystick.encoding.atoms import ARRAY, MAP, NULL, Writer, free_value, head
from tallystick.encoding.items import MAX_ITEMS, has_more_items
from tallystick.encoding.keepsakes import Keepsakes
from tallystick.encoding.outputs import write_outputs
from tallystick.encoding.reading import read_large, read_record, same_keys
from tallystick.errors import EncodingError, RecordError
from tallystick.record import (
    FIELD_NAMES,
    MAX_BLOB_BYTES,
    MAX_DEPTH,
    MAX_RECORD_BYTES,
    VERSION,
    BlobRef,
    Gpu,
    Instructions,
    Model,
    Output,
    ProofOfCompute,
    Provider,
    Record,
    RecordFault,
    Request,
    Response,
    Sender,
    State,
    Value,
)

LargeValue: TypeAlias = dict[str, Value] | Request | Response | Instructions

RECORD_PREFIX: Final = head(MAP, len(FIELD_NAMES))

OUTCOME_PREFIX: Final = head(MAP, 2)
OUTPUTS_KEY: Final = cbor2.dumps("outputs")
_NO_OUTPUTS: Final = head(ARRAY, 0)
# The record itself, and the containers that the value of a field may nest.
_MAX_NESTING = 1 + MAX_DEPTH
_KEYS: Final = tuple(cbor2.dumps(name) for name in FIELD_NAMES)


def encode_fields(record: Record) -> list[bytes]:
    """The record's fields in canonical order, each its encoded key followed by its encoded value.

    Large fields may be of any size here: sealing moves them out.
    Raises: RecordError if a field breaks its bound.
    Source: SPEC 1 and 3.
    """
    if type(record) is not Record:
        raise RecordError("record", "is not a record")
    fields = [key + write(getattr(record, name), name) for key, name, write in _FIELDS]
    _check_accepted(record)
    return fields


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
    """`decode_record` together with the fields as they stand in the bytes. Raises: as `decode_record`."""
    if len(data) > MAX_RECORD_BYTES:
        raise EncodingError(f"{len(data)} bytes are more than the {MAX_RECORD_BYTES} of any record")
    tree = _loads(data)
    _check_version_and_names(tree)
    record = read_record(tree, _keepsakes)
    fields = encode_fields(record)
    again = RECORD_PREFIX + b"".join(fields)
    if again != data:
        # A kept part may equal what stands here only by Python's 1 == True: then it is the types that are wrong.
        encode_fields(read_record(tree, Keepsakes()))
        raise _not_canonical(again, data)
    return record, fields


def encode_outcome(error: RecordFault | None, outputs: tuple[Output, ...]) -> bytes:
    """The deterministic encoding of `{"error": error, "outputs": outputs}`, which the response hash is about.

    Raises: RecordError.
    Source: SPEC 7.
    """
    return OUTCOME_PREFIX + _field("error", error) + OUTPUTS_KEY + write_outputs(outputs)


def outcome_of_fields(error_field: bytes, response_field: bytes) -> bytes:
    """`encode_outcome` from the two fields as they stand in a record whose response is inline or null."""
    response = response_field[len(_KEYS[FIELD_NAMES.index("response")]) :]
    return OUTCOME_PREFIX + error_field + (OUTPUTS_KEY + _NO_OUTPUTS if response == NULL else response[1:])


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
    value: Value = _loads_bounded(data)
    again = encode_value(value)
    if again != data:
        raise _not_canonical(again, data)
    return value


def decode_large(name: str, data: bytes) -> LargeValue:
    """The content of a large field, from the bytes of its value: what was in a blob.

    Raises: EncodingError; RecordError if it has not the shape of this field, or is a reference itself.
    Source: SPEC 1 and 8.
    """
    if len(data) > MAX_BLOB_BYTES:
        raise EncodingError(f"{len(data)} bytes are more than the {MAX_BLOB_BYTES} of any value")
    value: LargeValue = read_large(name, _loads_bounded(data))
    if type(value) is not _LARGE_KINDS[name]:
        raise RecordError(name, "is not the content of this field")
    again = parts.VALUES[name](value, name)
    if again != data:
        raise _not_canonical(again, data)
    return value


def encode_reference(name: str, ref: BlobRef) -> bytes:
    """The field with a blob reference in place of its content. Raises: RecordError."""
    return _field(name, ref)


def check_items(name: str, data: bytes) -> None:
    """Refuse a value that would take a reader more memory than its bytes suggest.

    Raises: RecordError.
    Source: SPEC 1.
    """
    if has_more_items(data, MAX_ITEMS):
        raise RecordError(name, f"has more than {MAX_ITEMS} items")


def decode_field(data: bytes) -> tuple[str, Value]:
    """The name and value of one field's bytes.

    Raises: EncodingError; RecordError.
    """
    name, value = _split_key(data)
    return name, decode_value(value)


def field_value(data: bytes) -> bytes:
    """The encoded value in one field's bytes. Raises: EncodingError."""
    return _split_key(data)[1]


def _field(name: str, value: object) -> bytes:
    return _KEYS[FIELD_NAMES.index(name)] + parts.VALUES[name](value, name)


def _shared(kind: type, write: Writer) -> Writer:
    """The writer of a part that many records share: it keeps what it wrote."""

    def value(part: object, path: str) -> bytes:
        # Null, or a part in another's place, must not meet what was kept for its own; a signature is of one request: nothing to keep.
        if type(part) is not kind or (isinstance(part, Sender) and part.signature is not None):
            return write(part, path)
        kept = _keepsakes.written(part)
        if kept is None:
            kept = write(part, path)
            _keepsakes.keep_written(part, kept)
        return kept

    return value


def _check_accepted(record: Record) -> None:
    """What an accepted record, and no other, must leave open. Requires: a record whose fields encode."""
    accepted = record.state is State.ACCEPTED
    if (record.time.due_by is not None) != accepted:
        raise RecordError("time.due_by", "stands in an accepted record, and in no other")
    ended = {"response": record.response, "price": record.price, "time.started_at": record.time.started_at}
    for name, value in ended.items():
        if accepted and value is not None:
            raise RecordError(name, "is not null, as an accepted record needs it")


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


def _loads_bounded(data: bytes) -> Any:
    check_items("value", data)
    return _loads(data)


def _refuse_tag(*_: object) -> Any:
    raise EncodingError("holds a tag")


def _not_canonical(canonical: bytes, data: bytes) -> EncodingError:
    length = min(len(canonical), len(data))
    offset = next((at for at in range(length) if canonical[at] != data[at]), length)
    return EncodingError("is not the canonical encoding of what it says", offset=offset)


_LARGE_KINDS: Final = {"prompt": dict, "request": Request, "response": Response, "instructions": Instructions}
_keepsakes: Final = Keepsakes()
_SHARED: Final = {
    "gpu": Gpu,
    "model": Model,
    "sender": Sender,
    "provider": Provider,
    "proof_of_compute": ProofOfCompute,
}
_WRITERS: Final = {**parts.VALUES} | {name: _shared(kind, parts.VALUES[name]) for name, kind in _SHARED.items()}
_FIELDS: Final = [(key, name, _WRITERS[name]) for key, name in zip(_KEYS, FIELD_NAMES, strict=True)]
# Tags that the library knows must be refused by name: shared references would let a few bytes stand for gigabytes.
_NO_TAGS: Final = dict.fromkeys((*range(64), *range(100, 128), *range(256, 300), 1004, 43000, 55799), _refuse_tag)
