"""What a transaction asks of the contract, read from its calldata: the words that a writer or a keeper has signed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tallystick.chain import calldata, words
from tallystick.chain.wire import UINT32_MAX, UINT64_MAX
from tallystick.errors import TallystickError
from tallystick.ids import Address, Epoch, Head, LogId, Root


class CallError(TallystickError):
    """Calldata that is no call of one of the functions that write to a log."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"calldata: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenEpochCall:
    """A transaction that opens an epoch. `head` is the one that it follows, as in every call below."""

    log_id: LogId
    head: Head
    epoch: Epoch
    wraps: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendCall:
    """A transaction that appends packed records."""

    log_id: LogId
    head: Head
    records: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitCall:
    """A transaction that commits to a root."""

    log_id: LogId
    head: Head
    count: int
    root: Root


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateWriterCall:
    """A transaction that names another writer."""

    log_id: LogId
    head: Head
    writer: Address
    last_admission: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VoidNumbersCall:
    """A transaction that declares admission numbers void."""

    log_id: LogId
    head: Head
    first: int
    last: int


LedgerCall = OpenEpochCall | AppendCall | CommitCall | RotateWriterCall | VoidNumbersCall


def read_call(data: bytes) -> LedgerCall:
    """Read calldata exactly as the contract does.

    An argument of changing length lies where its offset says, its padding is not looked at, and bytes that no argument names
    are not either: a stricter reader would refuse transactions that the contract has taken.
    Raises: CallError.
    """
    reader = _READERS.get(data[: calldata.SELECTOR_BYTES])
    if reader is None:
        raise CallError("names none of the functions that write to a log")
    try:
        return reader(data[calldata.SELECTOR_BYTES :])
    except words.WordError as error:
        raise CallError(str(error)) from error


def _open_epoch(arguments: bytes) -> OpenEpochCall:
    return OpenEpochCall(
        log_id=LogId(words.read_fixed(arguments, 0)),
        head=Head(words.read_fixed(arguments, 32)),
        epoch=Epoch(words.read_uint(arguments, 64, UINT32_MAX)),
        wraps=_bytes_at(arguments, 96),
    )


def _append(arguments: bytes) -> AppendCall:
    return AppendCall(
        log_id=LogId(words.read_fixed(arguments, 0)),
        head=Head(words.read_fixed(arguments, 32)),
        records=_bytes_at(arguments, 64),
    )


def _commit(arguments: bytes) -> CommitCall:
    return CommitCall(
        log_id=LogId(words.read_fixed(arguments, 0)),
        head=Head(words.read_fixed(arguments, 32)),
        count=words.read_uint(arguments, 64, UINT32_MAX),
        root=Root(words.read_fixed(arguments, 96)),
    )


def _rotate_writer(arguments: bytes) -> RotateWriterCall:
    return RotateWriterCall(
        log_id=LogId(words.read_fixed(arguments, 0)),
        head=Head(words.read_fixed(arguments, 32)),
        writer=Address(words.read_address(arguments, 64)),
        last_admission=words.read_uint(arguments, 96, UINT64_MAX),
    )


def _void_numbers(arguments: bytes) -> VoidNumbersCall:
    return VoidNumbersCall(
        log_id=LogId(words.read_fixed(arguments, 0)),
        head=Head(words.read_fixed(arguments, 32)),
        first=words.read_uint(arguments, 64, UINT64_MAX),
        last=words.read_uint(arguments, 96, UINT64_MAX),
    )


def _bytes_at(arguments: bytes, position: int) -> bytes:
    offset = words.read_uint(arguments, position, UINT64_MAX)
    size = words.read_uint(arguments, offset, UINT64_MAX)
    start = offset + words.WORD
    if start + size > len(arguments):
        raise words.WordError(f"the bytes at byte {offset} run past the end")
    return arguments[start : start + size]


_READERS: Final[dict[bytes, Callable[[bytes], LedgerCall]]] = {
    calldata.OPEN_EPOCH: _open_epoch,
    calldata.APPEND: _append,
    calldata.COMMIT: _commit,
    calldata.ROTATE_WRITER: _rotate_writer,
    calldata.VOID_NUMBERS: _void_numbers,
}
