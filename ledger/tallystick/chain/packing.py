"""The records of a batch as one byte string, as they stand in calldata and in the batch's event.

Each record is three bytes of length, its fields root, its header and its ciphertext, with nothing between and nothing after.
Source: SPEC 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tallystick.chain import words
from tallystick.errors import TallystickError
from tallystick.heads import MAX_NUMBER
from tallystick.ids import HASH_BYTES, FieldsRoot
from tallystick.merkle import HEADER_BYTES, MAX_BATCH_RECORDS, MAX_CIPHERTEXT_BYTES, MIN_CIPHERTEXT_BYTES

LENGTH_BYTES: Final = 3
FLAGS: Final = (0x20, 0x21)
"""The first byte of a header: format 2, in chain custody or in vault custody."""
PREFIX_BYTES: Final = LENGTH_BYTES + HASH_BYTES + HEADER_BYTES
"""What stands before each ciphertext."""


class PackingError(TallystickError):
    """Bytes that are not the packed records of a batch; `position` is the record at fault, counted from 0."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"packed record {position}: {reason}")
        self.position = position
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedRecord:
    """One record of a batch. `sealed` is its header and ciphertext."""

    fields_root: FieldsRoot
    sealed: bytes

    @property
    def admission_seq(self) -> int:
        """The admission number that stands in clear in the header."""
        return int.from_bytes(self.sealed[1:9], "big")


def packed_size(sealed_size: int) -> int:
    """The bytes that a record of this sealed size takes among packed records."""
    return LENGTH_BYTES + HASH_BYTES + sealed_size


def append_size(sealed_sizes: Sequence[int]) -> int:
    """The bytes of calldata of an `append` of records with these sealed sizes."""
    records = sum(map(packed_size, sealed_sizes))
    # The selector; log, head and offset; the length.
    return words.SELECTOR_BYTES + 4 * words.WORD + records + -records % words.WORD


def pack_records(records: Sequence[tuple[FieldsRoot, bytes]]) -> bytes:
    """Pack records, each a fields root and the sealed bytes.

    Raises: PackingError for what the contract would refuse.
    """
    _require_count(len(records))
    parts: list[bytes] = []
    for position, (fields_root, sealed) in enumerate(records):
        size = len(sealed) - HEADER_BYTES
        if len(fields_root) != HASH_BYTES:
            raise PackingError(position, f"a fields root has {HASH_BYTES} bytes, not {len(fields_root)}")
        _require_ciphertext(position, size)
        _require_header(position, sealed)
        parts += (size.to_bytes(LENGTH_BYTES, "big"), fields_root, sealed)
    return b"".join(parts)


def unpack_records(packed: bytes) -> list[PackedRecord]:
    """Take packed records apart.

    Raises: PackingError for what the contract would refuse.
    """
    records: list[PackedRecord] = []
    offset = 0
    while offset < len(packed):
        position = len(records)
        _require_count(position + 1)
        header = offset + LENGTH_BYTES + HASH_BYTES
        size = int.from_bytes(packed[offset : offset + LENGTH_BYTES], "big")
        end = offset + PREFIX_BYTES + size
        if len(packed) < offset + PREFIX_BYTES:
            raise PackingError(
                position, f"{len(packed) - offset} bytes are left, of {PREFIX_BYTES} before a ciphertext"
            )
        _require_ciphertext(position, size)
        if len(packed) < end:
            raise PackingError(position, f"its ciphertext of {size} bytes runs {end - len(packed)} bytes past the end")
        sealed = packed[header:end]
        _require_header(position, sealed)
        records.append(PackedRecord(fields_root=FieldsRoot(packed[offset + LENGTH_BYTES : header]), sealed=sealed))
        offset = end
    _require_count(len(records))
    return records


def _require_count(count: int) -> None:
    if not 1 <= count <= MAX_BATCH_RECORDS:
        raise PackingError(count - 1 if count else 0, f"a batch holds 1 to {MAX_BATCH_RECORDS} records, not {count}")


def _require_ciphertext(position: int, size: int) -> None:
    if not MIN_CIPHERTEXT_BYTES <= size <= MAX_CIPHERTEXT_BYTES:
        bounds = f"{MIN_CIPHERTEXT_BYTES} to {MAX_CIPHERTEXT_BYTES}"
        raise PackingError(position, f"a ciphertext has {bounds} bytes, not {size}")


def _require_header(position: int, sealed: bytes) -> None:
    if sealed[0] not in FLAGS:
        raise PackingError(position, f"the header's flags are {sealed[0]:#04x}, none of format 2")
    number = int.from_bytes(sealed[1:9], "big")
    if not 1 <= number <= MAX_NUMBER:
        raise PackingError(position, f"the admission number {number} is outside 1 to {MAX_NUMBER}")
