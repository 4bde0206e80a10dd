"""The contract's custom errors, by name and arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tallystick.chain import words
from tallystick.errors import ChainRejected
from tallystick.ids import to_hex

_REASON: Final = words.selector("Error(string)")
_PANIC: Final = words.selector("Panic(uint256)")


class ContractReverted(ChainRejected):
    """The contract refused a call, and said why."""

    def __init__(self, code: int, name: str, arguments: Mapping[str, int | bytes], data: bytes) -> None:
        shown = ", ".join(f"{key}={to_hex(v) if isinstance(v, bytes) else v}" for key, v in arguments.items())
        super().__init__(code, f"{name}({shown})", data)
        self.name = name
        self.arguments = dict(arguments)


ERRORS: Final = tuple(
    words.Shape.of(text)
    for text in (
        "UnknownLog(bytes32 logId)",
        "LogExists(bytes32 logId)",
        "ZeroWriter()",
        "BadMode(uint8 given)",
        "BadPromise(uint256 given,uint256 min,uint256 max)",
        "BadSkew(uint256 given,uint256 max)",
        "NotWriter(bytes32 logId,address caller)",
        "NotKeeper(bytes32 logId,address caller)",
        "StaleHead(bytes32 logId,bytes32 expected,bytes32 given)",
        "WrongMode(bytes32 logId,uint8 mode)",
        "EpochOutOfOrder(bytes32 logId,uint32 expected,uint32 given)",
        "BadWraps(uint256 given,uint256 size,uint256 max)",
        "NoOpenEpoch(bytes32 logId)",
        "BadCount(uint256 given,uint256 max)",
        "TruncatedRecord(uint256 position)",
        "BadCiphertext(uint256 position,uint256 given,uint256 min,uint256 max)",
        "BadHeader(uint256 position)",
        "BadNumbers(uint64 first,uint64 last,uint64 max)",
        "BadLastAdmission(uint64 given,uint64 min,uint64 max)",
        "UnknownBatch(bytes32 logId,uint64 batch)",
        "UnknownIndex(bytes32 logId,uint64 index)",
        "UnknownSpan(bytes32 logId,uint64 span)",
    )
)
_BY_SELECTOR: Final = {words.selector(shape.signature): shape for shape in ERRORS}


def explain(error: ChainRejected) -> ChainRejected:
    """Turn a refusal into a `ContractReverted` where its data is one of the contract's errors, else give it back."""
    decoded = decode_revert(error.data)
    if decoded is None:
        return error
    name, arguments = decoded
    return ContractReverted(error.code, name, arguments, error.data)


def decode_revert(data: bytes) -> tuple[str, dict[str, int | bytes]] | None:
    """Read revert data; None when it is none of the contract's errors, nor one of the language's own."""
    selector, rest = data[: words.SELECTOR_BYTES], data[words.SELECTOR_BYTES :]
    try:
        if selector == _PANIC:
            return "Panic", {"code": words.read_all(("uint256",), rest)[0]}
        if selector == _REASON:
            words.require_offset(rest, 0, words.WORD)
            reason, _ = words.read_dynamic(rest, words.WORD)
            return "Error", {"reason": reason}
        shape = _BY_SELECTOR.get(selector)
        if shape is None:
            return None
        values = words.read_all(shape.kinds, rest)
        return shape.name, {name: value for (name, _), value in zip(shape.arguments, values, strict=True)}
    except words.WordError:
        return None
