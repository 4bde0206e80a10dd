"""Options that several commands share, and the reading of their values."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import click

from tallystick.chain.reader import LedgerReader
from tallystick.chain.rpc import HttpTransport
from tallystick.errors import IdError, KeyFileError
from tallystick.ids import Address, LogId, parse_address, parse_hash
from tallystick.keys import AuditorKey, read_secret_file
from tallystick.trust.file import default_path

F = TypeVar("F", bound=Callable[..., Any])

RPC_ENV: Final = "TALLYSTICK_RPC"
CONTRACT_ENV: Final = "TALLYSTICK_CONTRACT"
LOG_ENV: Final = "TALLYSTICK_LOG"
AUDITOR_KEY_ENV: Final = "TALLYSTICK_AUDITOR_KEY"
TRUST_FILE_ENV: Final = "TALLYSTICK_TRUST_FILE"


def address(text: str) -> Address:
    """Parse an address, or fail as a usage error."""
    try:
        return parse_address(text)
    except IdError as error:
        raise click.BadParameter(str(error)) from error


def log_identifier(text: str) -> LogId:
    """Parse a log's id, or fail as a usage error."""
    try:
        return LogId(parse_hash(text))
    except IdError as error:
        raise click.BadParameter(str(error)) from error


def path_option(*names: str, metavar: str = "FILE", **more: Any) -> Callable[[F], F]:
    """An option that names a file, or a folder where its `metavar` is DIR."""
    kind = click.Path(path_type=Path, file_okay=metavar != "DIR")
    return click.option(*names, **{"type": kind, "metavar": metavar, **more})


def all_of(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Options that go together, as one decorator; help shows them in this order."""

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


json_option: Final = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
blobs_option: Final = path_option(
    "--blobs",
    "blob_folder",
    metavar="DIR",
    help="A folder with large fields of records, as `tallystick fetch` fills one.",
)
auditor_key_option: Final = path_option(
    "--auditor-key",
    "auditor_keys",
    multiple=True,
    envvar=AUDITOR_KEY_ENV,
    show_envvar=True,
    help="An auditor's key, to open records. May be given several times.",
)
trust_file_option: Final = path_option(
    "--trust-file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar=TRUST_FILE_ENV,
    show_envvar=True,
    help="The file of trusted logs; else trust.toml in your configuration folder.",
)
trust_options: Final = all_of(
    trust_file_option,
    click.option("--trust", "trust_name", metavar="NAME", help="A log of the trust file, by its name there."),
)
"""Whose log is it?"""
_FROM_ENVIRONMENT: Final[dict[str, Any]] = {"show_envvar": True, "metavar": "0x.."}
node_options: Final = all_of(
    click.option("--rpc", envvar=RPC_ENV, show_envvar=True, metavar="URL", help="A chain node's JSON-RPC address."),
    click.option("--contract", type=address, envvar=CONTRACT_ENV, help="The contract's address.", **_FROM_ENVIRONMENT),
    click.option("--log", "log_id", type=log_identifier, envvar=LOG_ENV, help="The log's id.", **_FROM_ENVIRONMENT),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """Which log a command is about, and the keys that open its records, as the options say."""

    rpc: str | None
    contract: Address | None
    log_id: LogId | None
    trust_file: Path | None
    trust_name: str | None
    auditor_keys: tuple[Path, ...]


def log_options(command: F) -> F:
    """Add the options that name a log and its keys; the command takes them together, as `log`."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        log = LogOptions(**{field.name: options.pop(field.name) for field in fields(LogOptions)})
        return command(*arguments, log=log, **options)

    return all_of(node_options, trust_options, auditor_key_option)(cast(F, run))


def trust_path(given: Path | None) -> Path:
    """Where the trust file is."""
    return default_path(os.environ, Path.home()) if given is None else given


def open_transport(rpc: str) -> HttpTransport:
    """A connection to a node that is closed when the command ends."""
    transport = HttpTransport(rpc)
    click.get_current_context().call_on_close(transport.close)
    return transport


def open_reader(rpc: str | None, contract: Address | None, log_id: LogId | None) -> LedgerReader:
    """A reader of the log that the options name.

    Raises: UsageError naming what is missing and where it could come from.
    """
    given = (("--rpc", RPC_ENV, rpc), ("--contract", CONTRACT_ENV, contract), ("--log", LOG_ENV, log_id))
    missing = [f"{option} (or {variable})" for option, variable, value in given if value is None]
    if rpc is None or contract is None or log_id is None:
        raise click.UsageError(f"missing {', '.join(missing)}")
    return LedgerReader(open_transport(rpc), contract, log_id)


def load_auditor_keys(paths: tuple[Path, ...]) -> list[AuditorKey]:
    """Read auditors' key files.

    Raises: KeyFileError.
    """
    keys = []
    for path in paths:
        line = read_secret_file(path)
        try:
            keys.append(AuditorKey.from_text(line))
        except ValueError as error:
            raise KeyFileError(str(path), str(error)) from error
    return keys
