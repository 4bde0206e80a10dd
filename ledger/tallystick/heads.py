"""The head chain of a log: one hash over everything that the log says, one step for each entry.

A log begins with its identifier as head. Every entry (a batch, an epoch, another writer, void numbers) gives the next head, so two
readers with the same head and number of entries have read the same log. Pure functions; the contract computes the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from tallystick.errors import TallystickError
from tallystick.hashing import keccak256
from tallystick.ids import ADDRESS_BYTES, HASH_BYTES, Address, Head, LogId, Root
from tallystick.merkle import MAX_BATCH_RECORDS

HEAD_PREFIX: Final = b"\x04"
FORMAT: Final = 2
MODE_APPEND: Final = 1
"""The sealed records stand on the chain."""
MODE_COMMIT: Final = 2
"""Only the batches' roots stand on the chain."""

MIN_PROMISE_S: Final = 60
MAX_PROMISE_S: Final = 2_592_000
MAX_SKEW_S: Final = 3_600
MAX_NUMBER: Final = 2**53 - 1
"""The highest admission number: exact in JSON."""


class EntryKind(IntEnum):
    """What an entry says; the value is the byte that stands in the hash."""

    BATCH = 1
    COMMIT = 2
    EPOCH = 3
    WRITER = 4
    VOID = 5


class HeadError(TallystickError):
    """A part of an entry, or a term of a log, that no log can have; `part` names it."""

    def __init__(self, part: str, reason: str) -> None:
        super().__init__(f"{part}: {reason}")
        self.part = part
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class LogTerms:
    """What a log promised when it was created. `writer` is the first one; a keeper of zero means that no other can follow.

    Units: `promise` and `skew` in seconds.
    Raises: HeadError for terms that the contract refuses.
    Source: SPEC 6.
    """

    creator: Address
    salt: bytes
    writer: Address
    keeper: Address
    format: int
    mode: int
    promise: int
    skew: int

    def __post_init__(self) -> None:
        for part in ("creator", "writer", "keeper"):
            _sized(part, getattr(self, part), ADDRESS_BYTES)
        _sized("salt", self.salt, HASH_BYTES)
        if not any(self.writer):
            raise HeadError("writer", "is the zero address")
        if self.format != FORMAT:
            raise HeadError("format", f"is {self.format}; this is the reader of format {FORMAT}")
        if self.mode not in (MODE_APPEND, MODE_COMMIT):
            raise HeadError("mode", f"is {self.mode}, neither {MODE_APPEND} nor {MODE_COMMIT}")
        _within("promise", self.promise, MIN_PROMISE_S, MAX_PROMISE_S)
        _within("skew", self.skew, 0, MAX_SKEW_S)


def derive_log_id(chain_id: int, contract: Address, terms: LogTerms) -> LogId:
    """The identifier of the log that has these terms on this contract.

    Raises: HeadError for a chain id beyond 256 bits, or a contract that is no address.
    Source: SPEC 6.
    """
    _within("chain id", chain_id, 0, 2**256 - 1)
    _sized("contract", contract, ADDRESS_BYTES)
    numbers_after = (terms.format, terms.mode, terms.promise, terms.skew)
    words = (
        chain_id.to_bytes(32, "big"),
        *(bytes(12) + address for address in (contract, terms.creator)),
        terms.salt,
        *(bytes(12) + address for address in (terms.writer, terms.keeper)),
        *(number.to_bytes(32, "big") for number in numbers_after),
    )
    return LogId(keccak256(b"".join(words)))


def next_head(head: Head, kind: EntryKind, entry: int, body: bytes) -> Head:
    """The head after one more entry; entry 0 follows the head that is the log's identifier.

    Requires: a body made by the function of that kind.
    Raises: HeadError.
    Source: SPEC 6.
    """
    _sized("head", head, HASH_BYTES)
    _sized("body", body, _BODY_BYTES[kind])
    return Head(keccak256(HEAD_PREFIX + head + bytes((kind,)) + _uint64("entry", entry) + body))


def batch_body(epoch: int, first_index: int, count: int, root: Root) -> bytes:
    """The body of a batch, whether its records stand on the chain or not.

    Raises: HeadError.
    """
    _within("count", count, 1, MAX_BATCH_RECORDS)
    _sized("root", root, HASH_BYTES)
    return _uint32("epoch", epoch) + _uint64("first index", first_index) + _uint32("count", count) + root


def epoch_body(epoch: int, first_index: int, wraps: bytes) -> bytes:
    """The body of an epoch, which binds every byte of its wraps.

    Raises: HeadError.
    """
    return _uint32("epoch", epoch) + _uint64("first index", first_index) + keccak256(wraps)


def writer_body(previous: Address, writer: Address, size: int, last_admission: int) -> bytes:
    """The body of a change of the writer: admission numbers above `last_admission` do not bind the previous one.

    Raises: HeadError.
    """
    _sized("previous writer", previous, ADDRESS_BYTES)
    _sized("writer", writer, ADDRESS_BYTES)
    return previous + writer + _uint64("size", size) + _uint64("last admission", last_admission)


def void_body(first: int, last: int) -> bytes:
    """The body of an entry that says which admission numbers the writer does not know.

    Raises: HeadError.
    """
    _within("first", first, 1, MAX_NUMBER)
    _within("last", last, first, MAX_NUMBER)
    return _uint64("first", first) + _uint64("last", last)


_BODY_BYTES: Final = {
    EntryKind.BATCH: 48,
    EntryKind.COMMIT: 48,
    EntryKind.EPOCH: 44,
    EntryKind.WRITER: 56,
    EntryKind.VOID: 16,
}


def _sized(part: str, value: bytes, size: int) -> None:
    if len(value) != size:
        raise HeadError(part, f"has {len(value)} bytes, not {size}")


def _within(part: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise HeadError(part, f"is {value}, outside {low} to {high}")


def _uint32(part: str, value: int) -> bytes:
    _within(part, value, 0, 2**32 - 1)
    return value.to_bytes(4, "big")


def _uint64(part: str, value: int) -> bytes:
    _within(part, value, 0, 2**64 - 1)
    return value.to_bytes(8, "big")
