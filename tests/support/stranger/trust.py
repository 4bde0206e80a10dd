"""The file of trusted logs (section 10)."""

import datetime as dt
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

from tests.support.stranger.crypto import checksummed
from tests.support.stranger.errors import TRUST, Refused
from tests.support.stranger.fields import exactly, number

MEMBERS = {"chain_id", "contract", "code_hash", "log_id", "writers", "added", "how"}
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
END = dt.datetime(9999, 1, 1, tzinfo=dt.UTC)
MAX_FILE = 1_048_576
MAX_LOGS = 1_000


def _hex(size: int, value: Any) -> bytes:
    if not isinstance(value, str) or not re.fullmatch(f"0x[0-9A-Fa-f]{{{2 * size}}}", value):
        raise Refused(TRUST, f"no {size} bytes of hex after 0x")
    return bytes.fromhex(value[2:])


def _address(value: Any) -> bytes:
    raw, digits = _hex(20, value), value[2:]
    if digits not in (digits.lower(), digits.upper()) and checksummed(raw) != value:
        raise Refused(TRUST, "an address in mixed case without its checksum")
    return raw


def _time(value: Any) -> None:
    if not isinstance(value, dt.datetime) or value.tzinfo is None:
        raise Refused(TRUST, "added is no time with an offset")
    try:
        outside = not EPOCH <= value.astimezone(dt.UTC) < END
    except OverflowError:
        outside = True
    if outside:
        raise Refused(TRUST, "added is not from 1970 to 9998")


def _log(name: str, log: Any) -> bytes:
    if not re.fullmatch("[A-Za-z0-9_-]{1,64}", name):
        raise Refused(TRUST, f"{name!r} is no name")
    exactly(TRUST, log, MEMBERS, optional={"seen"})
    number(TRUST, log["chain_id"])
    _address(log["contract"])
    _hex(32, log["code_hash"])
    writers = log["writers"]
    if not isinstance(writers, list) or not 1 <= len(writers) <= 256:
        raise Refused(TRUST, "not 1 to 256 writers")
    if len({_address(writer) for writer in writers}) != len(writers):
        raise Refused(TRUST, "a writer twice")
    _time(log["added"])
    how = log["how"]
    if not isinstance(how, str) or not 1 <= len(how) <= 200 or not how.isprintable():
        raise Refused(TRUST, "how is no 1 to 200 printable characters")
    if "seen" in log:
        seen = exactly(TRUST, log["seen"], {"entries", "size", "head"})
        number(TRUST, seen["entries"])
        number(TRUST, seen["size"])
        _hex(32, seen["head"])
    return _hex(32, log["log_id"])


def read_trust(text: str) -> dict[str, Any]:
    """The trusted logs of a file, by their names."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        raise Refused(TRUST, "not TOML") from None
    logs = exactly(TRUST, document, set(), optional={"log"}).get("log", {})
    if not isinstance(logs, dict):
        raise Refused(TRUST, "log is no table")
    if len(logs) > MAX_LOGS:
        raise Refused(TRUST, "more than 1,000 logs")
    if len({_log(name, log) for name, log in logs.items()}) != len(logs):
        raise Refused(TRUST, "one log under two names")
    return logs


def read_trust_file(path: Path) -> dict[str, Any]:
    """The same from a file that this user owns and nobody else may write to."""
    status = path.stat()
    if status.st_uid not in (0, os.getuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Refused(TRUST, "another user owns the file or may write to it")
    if status.st_size > MAX_FILE:
        raise Refused(TRUST, "beyond 1,048,576 bytes")
    try:
        return read_trust(path.read_bytes().decode())
    except UnicodeDecodeError:
        raise Refused(TRUST, "not UTF-8") from None
