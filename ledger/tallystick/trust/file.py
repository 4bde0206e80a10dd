"""The file of trusted logs: read strictly, and replaced as a whole."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tallystick.errors import IdError, TrustError
from tallystick.ids import Address, Head, LogId, checksum_address, parse_address, parse_hash, to_hex
from tallystick.record import MAX_INTEGER
from tallystick.strict_json import is_shallow
from tallystick.trust.logs import SeenHead, Trust, TrustedLog

FILE_NAME: Final = "trust.toml"
FOLDER_NAME: Final = "tallystick"
MAX_FILE_BYTES: Final = 1_048_576
OTHERS_MAY_WRITE: Final = 0o022

_MEMBERS: Final = ("chain_id", "contract", "code_hash", "log_id", "writers", "added", "how")
_SEEN_MEMBERS: Final = ("entries", "size", "head")


def default_path(environment: Mapping[str, str], home: Path) -> Path:
    """Where the file is: in the user's configuration folder.

    Source: XDG Base Directory Specification: a relative path in the variable is ignored.
    """
    configured = Path(environment.get("XDG_CONFIG_HOME", ""))
    return (configured if configured.is_absolute() else home / ".config") / FOLDER_NAME / FILE_NAME


def read_trust(path: Path) -> Trust:
    """Read the file; where there is none, nothing is trusted.

    Raises: TrustError.
    Source: SPEC 10.
    """
    data = _read(path)
    if data is None:
        return Trust(path)
    if not is_shallow(data):
        raise TrustError(str(path), "nests too deep")
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except ValueError as error:  # of UTF-8 or of TOML
        raise TrustError(str(path), f"is not TOML: {error!s:.200}") from error
    _require(path, None, "the file", document, ("log",) if document else ())
    trust = Trust(path)
    for name, members in _table(path, None, "log", document.get("log", {})).items():
        trust = trust.added(_log_from(path, name, members))
    return trust


def change_trust(path: Path, change: Callable[[Trust], Trust]) -> Trust:
    """Read, change and write the file while no other process of this kind does; the new file replaces the old one at once.

    What a person wrote into it besides, comments above all, is not kept.
    Raises: TrustError, also what `change` raises; then nothing is changed.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(path):
            changed = change(read_trust(path))
            text = trust_text(changed).encode()
            if len(text) > MAX_FILE_BYTES:
                raise TrustError(str(path), f"would have {len(text)} bytes; at most {MAX_FILE_BYTES} are read")
            _replace(path, text)
    except OSError as error:
        raise TrustError(str(path), error.strerror or str(error)) from error
    return changed


def trust_text(trust: Trust) -> str:
    """The text of the file. Source: SPEC 10."""
    lines = ["# The logs that this user trusts. Written by 'tallystick trust'; see SPEC 10 of the ledger format."]
    for log in trust.logs:
        writers = ", ".join(f'"{checksum_address(writer)}"' for writer in log.writers)
        lines += [
            "",
            f"[log.{log.name}]",
            f"chain_id = {log.chain_id}",
            f'contract = "{checksum_address(log.contract)}"',
            f'code_hash = "{to_hex(log.code_hash)}"',
            f'log_id = "{to_hex(log.log_id)}"',
            f"writers = [{writers}]",
            f"added = {log.added.astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%SZ')}",
            f'how = "{_escaped(log.how)}"',
        ]
        if log.seen is not None:
            lines += [
                f"[log.{log.name}.seen]",
                f"entries = {log.seen.entries}",
                f"size = {log.seen.size}",
                f'head = "{to_hex(log.seen.head)}"',
            ]
    return "\n".join(lines) + "\n"


def _log_from(path: Path, name: str, data: object) -> TrustedLog:
    members = _table(path, name, "the entry", data)
    _require(path, name, "the entry", members, _MEMBERS, optional=("seen",))
    writers, added, how = members["writers"], members["added"], members["how"]
    if not isinstance(writers, list):
        raise TrustError(str(path), "writers is not a list", name=name)
    if not isinstance(added, datetime) or added.tzinfo is None:
        raise TrustError(str(path), "added is not a time with its offset", name=name)
    if not isinstance(how, str):
        raise TrustError(str(path), "how is not text", name=name)
    return TrustedLog(
        name=name,
        chain_id=_integer(path, name, "chain_id", members["chain_id"]),
        contract=Address(_hex(path, name, "contract", members["contract"], parse_address)),
        code_hash=_hex(path, name, "code_hash", members["code_hash"], parse_hash),
        log_id=LogId(_hex(path, name, "log_id", members["log_id"], parse_hash)),
        writers=tuple(Address(_hex(path, name, "writers", one, parse_address)) for one in writers),
        added=added,
        how=how,
        seen=_seen_from(path, name, members["seen"]) if "seen" in members else None,
    )


def _seen_from(path: Path, name: str, data: object) -> SeenHead:
    members = _table(path, name, "seen", data)
    _require(path, name, "seen", members, _SEEN_MEMBERS)
    return SeenHead(
        entries=_integer(path, name, "seen.entries", members["entries"]),
        size=_integer(path, name, "seen.size", members["size"]),
        head=Head(_hex(path, name, "seen.head", members["head"], parse_hash)),
    )


def _read(path: Path) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TrustError(str(path), error.strerror or str(error)) from error
    try:
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise TrustError(str(path), "is not a regular file")
            if status.st_uid not in (os.geteuid(), 0):
                raise TrustError(str(path), "belongs to another user, who could write any log into it")
            if status.st_mode & OTHERS_MAY_WRITE:
                mode = stat.S_IMODE(status.st_mode)
                raise TrustError(str(path), f"has mode {mode:04o}: others may write to it. Run: chmod 600 {path}")
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise TrustError(str(path), error.strerror or str(error)) from error
    if len(data) > MAX_FILE_BYTES:
        raise TrustError(str(path), f"is larger than {MAX_FILE_BYTES} bytes")
    return data


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # The lock is on a file beside it: the file itself is replaced, and a lock on it would go with the old one.
    descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: bytes) -> None:
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)  # whatever the umask is
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _require(
    path: Path,
    name: str | None,
    where: str,
    members: Mapping[str, Any],
    names: tuple[str, ...],
    optional: tuple[str, ...] = (),
) -> None:
    for member in names:
        if member not in members:
            raise TrustError(str(path), f"{where} lacks {member}", name=name)
    for member in members:
        if member not in names and member not in optional:
            raise TrustError(str(path), f"{where} has {member!a:.40}, which is unknown", name=name)


def _table(path: Path, name: str | None, where: str, data: object) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        raise TrustError(str(path), f"{where} is not a table", name=name)
    return data


def _integer(path: Path, name: str, where: str, value: object) -> int:
    if type(value) is not int or not 0 <= value <= MAX_INTEGER:
        raise TrustError(str(path), f"{where} is not an integer from 0 to {MAX_INTEGER}", name=name)
    return value


def _hex(path: Path, name: str, where: str, text: object, parse: Callable[[str], bytes]) -> bytes:
    if not isinstance(text, str):
        raise TrustError(str(path), f"{where} is not text", name=name)
    try:
        return parse(text)
    except IdError as error:
        raise TrustError(str(path), f"{where}: {error}", name=name) from error


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')  # the rest is printable, which TOML takes as it is
