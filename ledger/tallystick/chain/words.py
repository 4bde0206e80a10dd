"""The contract ABI in 32-byte words, for the few types that the ledger's contract uses.

Reading is strict: one value has one encoding, so an offset, length or padding other than a compiler's is refused.
Source: Solidity contract ABI specification, "Formal Specification of the Encoding".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tallystick.hashing import keccak256

WORD: Final = 32
SELECTOR_BYTES: Final = 4
_PADDING: Final = bytes(WORD)
_ADDRESS: Final = 20
_LIMITS: Final = {"bool": 1} | {f"uint{bits}": 2**bits - 1 for bits in (8, 16, 32, 64, 256)}


class WordError(ValueError):
    """Bytes are not the encoding of the type; the caller knows whose bytes they are and says so."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A function, event or error of the contract: its name, and the name and type of each argument."""

    name: str
    arguments: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, text: str) -> Shape:
        """Read it as Solidity declares it: `StaleHead(bytes32 logId,bytes32 given)`."""
        name, _, arguments = text[:-1].partition("(")
        pairs = (argument.split(" ") for argument in arguments.split(",") if argument)
        return cls(name, tuple((called, kind) for kind, called in pairs))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The type of each argument."""
        return tuple(kind for _, kind in self.arguments)

    @property
    def signature(self) -> str:
        """What is hashed to name it."""
        return f"{self.name}({','.join(self.kinds)})"


def selector(signature: str) -> bytes:
    """The four bytes that name a function in calldata, or an error in revert data."""
    return keccak256(signature.encode())[:SELECTOR_BYTES]


def uint(value: int) -> bytes:
    """Encode an unsigned integer in one word."""
    return value.to_bytes(WORD, "big")


def fixed(value: bytes) -> bytes:
    """Encode bytes32 in one word."""
    if len(value) != WORD:
        raise WordError(f"a bytes32 has {len(value)} bytes")
    return value


def read_word(kind: str, data: bytes, position: int) -> int | bytes:
    """Read one word as a value of a type that takes no more."""
    if kind == "bytes32":
        return _word(data, position)
    if kind == "address":
        return _address(data, position)
    value = read_uint(data, position, _LIMITS[kind])
    return bool(value) if kind == "bool" else value


def read_all(kinds: Sequence[str], data: bytes) -> list[int | bytes]:
    """Read values one after another, of which the last may be `bytes`, and nothing after them."""
    end = WORD * len(kinds)
    tail: list[int | bytes] = []
    if kinds and kinds[-1] == "bytes":
        require_offset(data, end - WORD, end)
        content, end = read_dynamic(data, end)
        tail.append(content)
    if len(data) != end:
        raise WordError(f"{len(data) - end} bytes follow the last argument")
    words = kinds[: len(kinds) - len(tail)]
    return [read_word(kind, data, WORD * place) for place, kind in enumerate(words)] + tail


def read_uint(data: bytes, position: int, max_value: int) -> int:
    """Read one word as an unsigned integer of at most `max_value`."""
    value = int.from_bytes(_word(data, position), "big")
    if value > max_value:
        raise WordError(f"the integer at byte {position} is beyond {max_value}")
    return value


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


def _address(data: bytes, position: int) -> bytes:
    word = _word(data, position)
    if word[: WORD - _ADDRESS] != _PADDING[: WORD - _ADDRESS]:
        raise WordError(f"the address at byte {position} is longer than {_ADDRESS} bytes")
    return word[WORD - _ADDRESS :]


def _word(data: bytes, position: int) -> bytes:
    word = data[position : position + WORD]
    if len(word) != WORD:
        raise WordError(f"there is no word at byte {position}")
    return word
