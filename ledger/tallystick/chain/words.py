"""The contract ABI in 32-byte words, for the few types that the ledger's contract uses.

Reading is strict: one value has one encoding, so an offset, length or padding other than a compiler's is refused.
Source: Solidity contract ABI specification, "Formal Specification of the Encoding".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

WORD: Final = 32
_PADDING: Final = bytes(WORD)


class WordError(ValueError):
    """Bytes are not the encoding of the type; the caller knows whose bytes they are and says so."""


def uint(value: int) -> bytes:
    """Encode an unsigned integer in one word."""
    return value.to_bytes(WORD, "big")


def fixed(value: bytes) -> bytes:
    """Encode bytes32 in one word."""
    if len(value) != WORD:
        raise WordError(f"a bytes32 has {len(value)} bytes")
    return value


def address(value: bytes) -> bytes:
    """Encode an address in one word."""
    if len(value) != 20:
        raise WordError(f"an address has {len(value)} bytes")
    return _PADDING[:12] + value


def dynamic(value: bytes) -> bytes:
    """Encode bytes: their length, then themselves padded to whole words."""
    return uint(len(value)) + value + _PADDING[: -len(value) % WORD]


def fixed_array(values: Sequence[bytes]) -> bytes:
    """Encode bytes32[]."""
    return uint(len(values)) + b"".join(map(fixed, values))


def with_tails(parts: Iterable[tuple[bytes, bool]]) -> bytes:
    """Encode arguments: a static one stands in the head, a dynamic one (`True`) in the tail with its offset in the head."""
    sequence = list(parts)
    position = sum(WORD if is_dynamic else len(part) for part, is_dynamic in sequence)
    heads, tails = [], []
    for part, is_dynamic in sequence:
        if is_dynamic:
            heads.append(uint(position))
            tails.append(part)
            position += len(part)
        else:
            heads.append(part)
    return b"".join(heads + tails)


def read_uint(data: bytes, position: int, max_value: int) -> int:
    """Read one word as an unsigned integer of at most `max_value`."""
    value = int.from_bytes(_word(data, position), "big")
    if value > max_value:
        raise WordError(f"the integer at byte {position} is beyond {max_value}")
    return value


def read_fixed(data: bytes, position: int) -> bytes:
    """Read one word as bytes32."""
    return _word(data, position)


def read_address(data: bytes, position: int) -> bytes:
    """Read one word as an address."""
    word = _word(data, position)
    if word[:12] != _PADDING[:12]:
        raise WordError(f"the address at byte {position} is longer than 20 bytes")
    return word[12:]


def read_bool(data: bytes, position: int) -> bool:
    """Read one word as a boolean."""
    return read_uint(data, position, 1) == 1


def read_dynamic(data: bytes, position: int) -> tuple[bytes, int]:
    """Read bytes; gives them and the position after their padding."""
    size = read_uint(data, position, len(data))
    start = position + WORD
    end = start + size
    after = end + -size % WORD
    if after > len(data):
        raise WordError(f"the bytes at byte {position} run past the end")
    if data[end:after] != _PADDING[: after - end]:
        raise WordError(f"the padding at byte {end} is not zero")
    return data[start:end], after


def require_offset(data: bytes, position: int, expected: int) -> None:
    """Refuse an offset word other than the one a compiler writes."""
    if read_uint(data, position, len(data)) != expected:
        raise WordError(f"the offset at byte {position} is not {expected}")


def require_end(data: bytes, position: int) -> None:
    """Refuse bytes after the last argument."""
    if len(data) != position:
        raise WordError(f"{len(data) - position} bytes follow the last argument")


def _word(data: bytes, position: int) -> bytes:
    word = data[position : position + WORD]
    if len(word) != WORD:
        raise WordError(f"there is no word at byte {position}")
    return word
