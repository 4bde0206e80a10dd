"""A set of trusted logs: whose they are, and the last head of each that was verified. Pure; `file` keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn

from tallystick.errors import TrustError
from tallystick.ids import Address, Head, LogId, to_hex
from tallystick.record import MAX_INTEGER

MAX_LOGS: Final = 1_000
MAX_WRITERS: Final = 256
"""Of one log: more than anybody rotates through."""
MAX_NAME_CHARS: Final = 64
MAX_HOW_CHARS: Final = 200
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(9999, 1, 1, tzinfo=UTC)

_NAME_CHARS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenHead:
    """The last head of a log that was verified, after so many entries and records."""

    entries: int
    size: int
    head: Head


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedLog:
    """A log, and who may write it: the first writer, and each that a verification found after it."""

    name: str
    chain_id: int
    contract: Address
    code_hash: bytes
    log_id: LogId
    writers: tuple[Address, ...]
    added: datetime
    how: str
    seen: SeenHead | None = None


@dataclass(frozen=True, slots=True)
class Trust:
    """All trusted logs of one file; a change gives another one. `path` is where the file is, for messages."""

    path: Path
    logs: tuple[TrustedLog, ...] = ()

    def named(self, name: str) -> TrustedLog:
        """The log of that name. Raises: TrustError."""
        for log in self.logs:
            if log.name == name:
                return log
        raise TrustError(str(self.path), "is not in it; 'tallystick trust list' shows what is", name=name)

    def find(self, log_id: LogId) -> TrustedLog | None:
        """The log with that identifier, if it is trusted."""
        return next((log for log in self.logs if log.log_id == log_id), None)

    def added(self, log: TrustedLog) -> Trust:
        """With one log more.

        Raises: TrustError if it cannot stand in the file, or its name or log is there already.
        """
        checked = _checked(self.path, log)
        if any(other.name == log.name for other in self.logs):
            raise TrustError(str(self.path), "is there already; remove it first", name=log.name)
        other = self.find(log.log_id)
        if other is not None:
            raise TrustError(str(self.path), f"is there already, as {other.name}", name=log.name)
        if len(self.logs) >= MAX_LOGS:
            raise TrustError(str(self.path), f"holds {MAX_LOGS} logs already")
        return replace(self, logs=(*self.logs, checked))

    def removed(self, name: str) -> Trust:
        """Without the log of that name. Raises: TrustError."""
        gone = self.named(name)
        return replace(self, logs=tuple(log for log in self.logs if log is not gone))

    def remembering(self, log_id: LogId, seen: SeenHead, writers: Sequence[Address] = ()) -> Trust:
        """With this head as the last verified one, and these writers among the known ones; an older head than the known one is left out.

        Requires: a log that passes through the head that was known.
        Raises: TrustError if the log is not in the file, or has too many writers.
        """
        log = self.find(log_id)
        if log is None:
            raise TrustError(str(self.path), f"does not hold the log {to_hex(log_id)}")
        known = tuple(dict.fromkeys((*log.writers, *writers)))
        newest = log.seen if log.seen is not None and log.seen.entries > seen.entries else seen
        changed = _checked(self.path, replace(log, writers=known, seen=newest))
        return replace(self, logs=tuple(changed if one is log else one for one in self.logs))


def _checked(path: Path, log: TrustedLog) -> TrustedLog:
    """The log, if it can stand in a file and be read again from it. Raises: TrustError."""

    def refuse(reason: str) -> NoReturn:
        raise TrustError(str(path), reason, name=log.name)

    if not 1 <= len(log.name) <= MAX_NAME_CHARS or not _NAME_CHARS.issuperset(log.name):
        refuse(f"a name has 1 to {MAX_NAME_CHARS} letters, digits, '_' or '-'")
    if not 1 <= len(log.writers) <= MAX_WRITERS or len(set(log.writers)) != len(log.writers):
        refuse(f"has not 1 to {MAX_WRITERS} writers, each once")
    if not 1 <= len(log.how) <= MAX_HOW_CHARS or not log.how.isprintable():
        refuse(f"how it was added is not 1 to {MAX_HOW_CHARS} printable characters")
    if log.added.tzinfo is None or not EARLIEST <= log.added < LATEST:
        refuse("the time when it was added has no offset, or is no time of this format")
    if not 0 <= log.chain_id <= MAX_INTEGER:
        refuse(f"chain_id is not an integer from 0 to {MAX_INTEGER}")
    return log
