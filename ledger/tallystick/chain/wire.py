"""JSON-RPC values from a node that may be hostile: every type, digit and length is checked before it is used."""

from __future__ import annotations

from typing import Final

from tallystick.errors import ChainUnavailable

UINT8_MAX: Final = 2**8 - 1
UINT32_MAX: Final = 2**32 - 1
UINT64_MAX: Final = 2**64 - 1
UINT256_MAX: Final = 2**256 - 1
MAX_DATA_BYTES: Final = 1 << 22
"""No single value of this project's contract comes near: a transaction's calldata is at most 128 KiB."""


class MalformedAnswer(ChainUnavailable):
    """The node answered with something that the protocol does not allow, so nothing was learned."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__("answer", f"{what} {reason}")
        self.what = what


class AnswerTooLarge(ChainUnavailable):
    """The answer has more bytes or values than are read, or the node would not send it for its size."""


class AnswerTooSlow(ChainUnavailable):
    """The node took longer than the reader waits."""


class RateLimited(ChainUnavailable):
    """The node goes on refusing because it is asked too often."""


def read_object(value: object, what: str) -> dict[str, object]:
    """Take a JSON object."""
    if not isinstance(value, dict):
        raise MalformedAnswer(what, f"is {_kind(value)}, not an object")
    return value


def read_list(value: object, what: str, max_items: int) -> list[object]:
    """Take a JSON array of at most `max_items`."""
    if not isinstance(value, list):
        raise MalformedAnswer(what, f"is {_kind(value)}, not an array")
    if len(value) > max_items:
        raise MalformedAnswer(what, f"has {len(value)} items, more than {max_items}")
    return value


def read_quantity(value: object, what: str, max_value: int = UINT64_MAX) -> int:
    """Take a hex quantity of at most `max_value`; leading zeros are let through, as several nodes write them."""
    if not isinstance(value, str):
        raise MalformedAnswer(what, f"is {_kind(value)}, not a hex quantity")
    digits = value[2:]
    # int() also takes underscores, signs, spaces and the digits of other scripts.
    if value[:2] != "0x" or not 1 <= len(digits) <= 64 or not (digits.isascii() and digits.isalnum()):
        raise MalformedAnswer(what, f"is {value[:70]!r}, not a hex quantity")
    try:
        number = int(digits, 16)
    except ValueError:
        raise MalformedAnswer(what, f"is {value[:70]!r}, not a hex quantity") from None
    if number > max_value:
        raise MalformedAnswer(what, f"is {value}, beyond {hex(max_value)}")
    return number


def read_data(value: object, what: str, size: int | None = None, max_size: int = MAX_DATA_BYTES) -> bytes:
    """Take hex bytes: exactly `size` of them if given, at most `max_size` otherwise."""
    if not isinstance(value, str):
        raise MalformedAnswer(what, f"is {_kind(value)}, not hex bytes")
    if value[:2] != "0x":
        raise MalformedAnswer(what, f"is {value[:70]!r}, not hex bytes")
    if len(value) > 2 + 2 * max_size:
        raise MalformedAnswer(what, f"has {len(value) // 2 - 1} bytes, more than {max_size}")
    try:
        read = bytes.fromhex(value[2:])
    except ValueError:
        raise MalformedAnswer(what, f"is {value[:70]!r}, not hex bytes") from None
    # bytes.fromhex skips white space, so the length tells whether there was any.
    if 2 * len(read) + 2 != len(value):
        raise MalformedAnswer(what, "holds white space")
    if size is not None and len(read) != size:
        raise MalformedAnswer(what, f"has {len(read)} bytes, not {size}")
    return read


def _kind(value: object) -> str:
    return {dict: "an object", list: "an array", str: "text", bool: "a boolean", type(None): "null"}.get(
        type(value), "a number"
    )
