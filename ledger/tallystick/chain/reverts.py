"""The contract's custom errors, by name and arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tallystick.chain import words
from tallystick.chain.wire import UINT32_MAX, UINT64_MAX, UINT256_MAX
from tallystick.errors import ChainRejected
from tallystick.hashing import keccak256
from tallystick.ids import to_hex

_LIMITS: Final = {"uint8": 2**8 - 1, "uint32": UINT32_MAX, "uint64": UINT64_MAX, "uint256": UINT256_MAX}
_REASON: Final = keccak256(b"Error(string)")[:4]
_PANIC: Final = keccak256(b"Panic(uint256)")[:4]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorShape:
    """A custom error: its name, and the name and type of each argument."""

    name: str
    arguments: tuple[tuple[str, str], ...]

    @property
    def selector(self) -> bytes:
        """The four bytes that name it in revert data."""
        types = ",".join(kind for _, kind in self.arguments)
        return keccak256(f"{self.name}({types})".encode())[:4]


class ContractReverted(ChainRejected):
    """The contract refused a call, and said why."""

    def __init__(self, code: int, name: str, arguments: Mapping[str, int | bytes], data: bytes) -> None:
        shown = ", ".join(f"{key}={to_hex(v) if isinstance(v, bytes) else v}" for key, v in arguments.items())
        super().__init__(code, f"{name}({shown})", data)
        self.name = name
        self.arguments = dict(arguments)


ERRORS: Final = (
    ErrorShape(name="UnknownLog", arguments=(("logId", "bytes32"),)),
    ErrorShape(name="LogExists", arguments=(("logId", "bytes32"),)),
    ErrorShape(name="ZeroWriter", arguments=()),
    ErrorShape(name="BadMode", arguments=(("given", "uint8"),)),
    ErrorShape(name="BadPromise", arguments=(("given", "uint256"), ("min", "uint256"), ("max", "uint256"))),
    ErrorShape(name="BadSkew", arguments=(("given", "uint256"), ("max", "uint256"))),
    ErrorShape(name="NotWriter", arguments=(("logId", "bytes32"), ("caller", "address"))),
    ErrorShape(name="NotKeeper", arguments=(("logId", "bytes32"), ("caller", "address"))),
    ErrorShape(name="StaleHead", arguments=(("logId", "bytes32"), ("expected", "bytes32"), ("given", "bytes32"))),
    ErrorShape(name="WrongMode", arguments=(("logId", "bytes32"), ("mode", "uint8"))),
    ErrorShape(name="EpochOutOfOrder", arguments=(("logId", "bytes32"), ("expected", "uint32"), ("given", "uint32"))),
    ErrorShape(name="BadWraps", arguments=(("given", "uint256"), ("size", "uint256"), ("max", "uint256"))),
    ErrorShape(name="NoOpenEpoch", arguments=(("logId", "bytes32"),)),
    ErrorShape(name="BadCount", arguments=(("given", "uint256"), ("max", "uint256"))),
    ErrorShape(name="TruncatedRecord", arguments=(("position", "uint256"),)),
    ErrorShape(
        name="BadCiphertext",
        arguments=(("position", "uint256"), ("given", "uint256"), ("min", "uint256"), ("max", "uint256")),
    ),
    ErrorShape(name="BadHeader", arguments=(("position", "uint256"),)),
    ErrorShape(name="BadNumbers", arguments=(("first", "uint64"), ("last", "uint64"), ("max", "uint64"))),
    ErrorShape(name="BadLastAdmission", arguments=(("given", "uint64"), ("min", "uint64"), ("max", "uint64"))),
    ErrorShape(name="UnknownBatch", arguments=(("logId", "bytes32"), ("batch", "uint64"))),
    ErrorShape(name="UnknownIndex", arguments=(("logId", "bytes32"), ("index", "uint64"))),
    ErrorShape(name="UnknownSpan", arguments=(("logId", "bytes32"), ("span", "uint64"))),
)
_BY_SELECTOR: Final = {shape.selector: shape for shape in ERRORS}


def explain(error: ChainRejected) -> ChainRejected:
    """Turn a refusal into a `ContractReverted` where its data is one of the contract's errors, else give it back."""
    decoded = decode_revert(error.data)
    if decoded is None:
        return error
    name, arguments = decoded
    return ContractReverted(error.code, name, arguments, error.data)


def decode_revert(data: bytes) -> tuple[str, dict[str, int | bytes]] | None:
    """Read revert data; None when it is none of the contract's errors, nor one of the language's own."""
    selector, rest = data[:4], data[4:]
    try:
        if selector == _PANIC:
            words.require_end(rest, words.WORD)
            return "Panic", {"code": words.read_uint(rest, 0, UINT256_MAX)}
        if selector == _REASON:
            words.require_offset(rest, 0, words.WORD)
            reason, _ = words.read_dynamic(rest, words.WORD)
            return "Error", {"reason": reason}
        shape = _BY_SELECTOR.get(selector)
        if shape is None:
            return None
        words.require_end(rest, words.WORD * len(shape.arguments))
        return shape.name, {name: _read(rest, n * words.WORD, kind) for n, (name, kind) in enumerate(shape.arguments)}
    except words.WordError:
        return None


def _read(data: bytes, position: int, kind: str) -> int | bytes:
    if kind == "bytes32":
        return words.read_fixed(data, position)
    if kind == "address":
        return words.read_address(data, position)
    return words.read_uint(data, position, _LIMITS[kind])
