"""What a transaction asks of the contract, read from its calldata: the words that a writer or a keeper has signed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tallystick.chain import words
from tallystick.chain.wire import UINT64_MAX
from tallystick.errors import TallystickError
from tallystick.ids import Address, Epoch, Head, LogId, Root


class CallError(TallystickError):
    """Calldata that is no call of one of the functions that write to a log."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"calldata: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """A transaction that writes to a log. `head` is the one that it follows."""

    log_id: LogId
    head: Head


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenEpochCall(_Call):
    """A transaction that opens an epoch."""

    epoch: Epoch
    wraps: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendCall(_Call):
    """A transaction that appends packed records."""

    records: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitCall(_Call):
    """A transaction that commits to a root."""

    count: int
    root: Root


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateWriterCall(_Call):
    """A transaction that names another writer."""

    writer: Address
    last_admission: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VoidNumbersCall(_Call):
    """A transaction that declares admission numbers void."""

    first: int
    last: int


LedgerCall = OpenEpochCall | AppendCall | CommitCall | RotateWriterCall | VoidNumbersCall

_FUNCTIONS: Final[Mapping[str, type[LedgerCall]]] = {
    "openEpoch(bytes32 log_id,bytes32 head,uint32 epoch,bytes wraps)": OpenEpochCall,
    "append(bytes32 log_id,bytes32 head,bytes records)": AppendCall,
    "commit(bytes32 log_id,bytes32 head,uint32 count,bytes32 root)": CommitCall,
    "rotateWriter(bytes32 log_id,bytes32 head,address writer,uint64 last_admission)": RotateWriterCall,
    "voidNumbers(bytes32 log_id,bytes32 head,uint64 first,uint64 last)": VoidNumbersCall,
}
_BY_SELECTOR: Final = {
    words.selector(shape.signature): (kind, shape)
    for shape, kind in ((words.Shape.of(text), kind) for text, kind in _FUNCTIONS.items())
}


def read_call(data: bytes) -> LedgerCall:
    """Read calldata exactly as the contract does.

    An argument of changing length lies where its offset says, its padding is not looked at, and bytes that no argument names
    are not either: a stricter reader would refuse transactions that the contract has taken.
    Raises: CallError.
    """
    kind, shape = _BY_SELECTOR.get(data[: words.SELECTOR_BYTES], (None, None))
    if kind is None or shape is None:
        raise CallError("names none of the functions that write to a log")
    arguments = data[words.SELECTOR_BYTES :]
    values: dict[str, Any] = {}
    try:
        for place, (name, of) in enumerate(shape.arguments):
            position = place * words.WORD
            values[name] = _bytes_at(arguments, position) if of == "bytes" else words.read_word(of, arguments, position)
    except words.WordError as error:
        raise CallError(str(error)) from error
    return kind(**values)


def _bytes_at(arguments: bytes, position: int) -> bytes:
    offset = words.read_uint(arguments, position, UINT64_MAX)
    size = words.read_uint(arguments, offset, UINT64_MAX)
    start = offset + words.WORD
    if start + size > len(arguments):
        raise words.WordError(f"the bytes at byte {offset} run past the end")
    return arguments[start : start + size]
