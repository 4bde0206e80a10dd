"""Identifiers, hashes and addresses: names for bytes, and their texts."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NewType

from tallystick.errors import IdError
from tallystick.hashing import keccak256

Hash32 = NewType("Hash32", bytes)
LogId = NewType("LogId", bytes)
Leaf = NewType("Leaf", bytes)
Root = NewType("Root", bytes)
Head = NewType("Head", bytes)
FieldsRoot = NewType("FieldsRoot", bytes)
Address = NewType("Address", bytes)
RecordId = NewType("RecordId", bytes)
Index = NewType("Index", int)
Epoch = NewType("Epoch", int)

HASH_BYTES = 32
ADDRESS_BYTES = 20
RECORD_ID_BYTES = 16
MAX_EPOCH = 2**32 - 1
MAX_INDEX = 2**53 - 1
"""Every index fits a JSON number without loss; the formats themselves leave 64 bits for it."""

_RECORD_ID_GROUPS = (8, 4, 4, 4, 12)


def new_record_id(now_us: int, random: Callable[[int], bytes]) -> RecordId:
    """Make a UUIDv7 whose order follows microseconds.

    Requires: `random(n)` gives n unpredictable bytes; `now_us` is microseconds since 1970.
    Source: RFC 9562 5.7, with method 3 of 6.2 for the twelve bits after the millisecond.
    """
    milliseconds, microseconds = divmod(now_us, 1000)
    if not 0 <= milliseconds < 1 << 48:
        raise IdError("record id", str(now_us), "the time is outside 48 bits of milliseconds")
    fraction = (microseconds << 12) // 1000
    tail = int.from_bytes(random(8), "big") & ((1 << 62) - 1)
    value = milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | tail
    return RecordId(value.to_bytes(RECORD_ID_BYTES, "big"))


def is_record_id(value: bytes) -> bool:
    """Tell whether bytes are a UUID of version 7."""
    return len(value) == RECORD_ID_BYTES and value[6] >> 4 == 0x7 and value[8] >> 6 == 0b10


def format_record_id(record_id: RecordId) -> str:
    """Write a record id in UUID form, 8-4-4-4-12."""
    text = record_id.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def parse_record_id(text: str) -> RecordId:
    """Read a UUIDv7 in 8-4-4-4-12 form, either case.

    Raises: IdError.
    """
    groups = text.split("-")
    if tuple(len(group) for group in groups) != _RECORD_ID_GROUPS:
        raise IdError("record id", text, "is not in the form 8-4-4-4-12")
    value = _from_hex_digits("record id", "".join(groups), text)
    if not is_record_id(value):
        raise IdError("record id", text, "is not a UUID of version 7")
    return RecordId(value)


def to_hex(value: bytes) -> str:
    """Write bytes as lower-case hex with the prefix 0x."""
    return "0x" + value.hex()


def parse_hex(text: str, size: int | None = None) -> bytes:
    """Read 0x-prefixed hex, of `size` bytes if given.

    Raises: IdError.
    """
    if not text.startswith("0x"):
        raise IdError("hex", text, "does not start with 0x")
    if len(text) % 2:
        raise IdError("hex", text, "has an odd number of digits")
    if size is not None and len(text) != 2 + 2 * size:
        raise IdError("hex", text, f"has {len(text) // 2 - 1} bytes, not {size}")
    return _from_hex_digits("hex", text[2:], text)


def parse_hash(text: str) -> bytes:
    """Read 32 bytes of 0x-prefixed hex.

    Raises: IdError.
    """
    return parse_hex(text, HASH_BYTES)


def parse_address(text: str) -> Address:
    """Read an address; one in mixed case must carry a right checksum.

    Raises: IdError.
    Source: EIP-55.
    """
    address = Address(parse_hex(text, ADDRESS_BYTES))
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper()) and text != checksum_address(address):
        raise IdError("address", text, "the mixed-case checksum is wrong")
    return address


def checksum_address(address: Address) -> str:
    """Write an address with its mixed-case checksum.

    Source: EIP-55.
    """
    return _checksummed(address)


@lru_cache(maxsize=1024)
def _checksummed(address: bytes) -> str:
    digits = address.hex()
    nibbles = keccak256(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if int(nibble, 16) >= 8 else digit for digit, nibble in zip(digits, nibbles, strict=False)
    )


def _from_hex_digits(what: str, digits: str, text: str) -> bytes:
    # bytes.fromhex also skips white space, so a digit that is not one must be refused before.
    if not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        raise IdError(what, text, "holds a character that is not a hex digit")
    return bytes.fromhex(digits)
