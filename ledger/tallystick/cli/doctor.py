"""`tallystick doctor`: what stands between this machine and a verification."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from importlib import import_module
from importlib.metadata import PackageNotFoundError, entry_points, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

import click

from tallystick.chain.artifact import load_artifact
from tallystick.chain.events import EPOCH_OPENED, EpochOpened
from tallystick.chain.reader import LedgerReader
from tallystick.cli.model_folder import NO_WORKER, REPLAY_GROUP
from tallystick.cli.options import (
    AUDITOR_KEY_ENV,
    CONTRACT_ENV,
    LOG_ENV,
    RPC_ENV,
    LogOptions,
    json_option,
    load_auditor_keys,
    log_options,
    open_transport,
    trust_path,
)
from tallystick.cli.output import put_json
from tallystick.cli.program import COULD_NOT_CHECK, release
from tallystick.errors import ChainError, KeyFileError, TrustError
from tallystick.ids import Address, LogId, to_hex
from tallystick.keys import WRAP_BYTES
from tallystick.trust.file import read_trust
from tallystick.verify.whole_log import DEFAULT_MAX_AGE_S, MAX_CLOCK_AHEAD_S

EXAMPLES: Final = """\b
Examples:
  tallystick doctor
  tallystick doctor --trust work --rpc https://node.example --auditor-key auditor.key
"""
PACKAGES: Final = {
    "cbor2": "cbor2",
    "click": "click",
    "coincurve": "coincurve",
    "cryptography": "cryptography",
    "rfc8785": "rfc8785",
    "rich": "rich",
    "tiny-keccak": "tiny_keccak",
    "zstandard": "zstandard",
}
MAX_BLOCK_AGE_S: Final = DEFAULT_MAX_AGE_S
"""A newest block older than this means a chain that stands still, a node that is behind, or a clock that is wrong. The embedded chain makes
a block only when there is something to put in it, so there it means nothing."""


class State(StrEnum):
    """How one line reads."""

    OK = "ok"
    MISSING = "missing"
    NOTE = "note"


class Finding(NamedTuple):
    """One thing that was looked at, and what to do about it."""

    what: str
    state: State
    detail: str


@click.command(epilog=EXAMPLES, short_help="Say what is missing.")
@log_options
@json_option
@click.pass_context
def doctor(
    ctx: click.Context,
    log: LogOptions,
    as_json: bool,
) -> None:
    """Say what is missing for a verification: packages, node, contract, log, clock, keys.

    Ends with 0 if nothing is missing, else with 2.
    """
    if log.trust_name is not None:
        trusted = read_trust(trust_path(log.trust_file)).named(log.trust_name)
        log = replace(log, contract=log.contract or trusted.contract, log_id=log.log_id or trusted.log_id)
    findings = [*_packages(), _replay(), *_keys(log.auditor_keys), _trust(log.trust_file, log.log_id), *_node(log)]
    missing = sum(finding.state is State.MISSING for finding in findings)
    if as_json:
        put_json({"version": release(), "missing": missing, "findings": [finding._asdict() for finding in findings]})
    else:
        for finding in findings:
            click.echo(f"{finding.state:<8}{finding.what:<22}{finding.detail}")
        click.echo(f"{missing} missing" if missing else "nothing is missing")
    ctx.exit(COULD_NOT_CHECK if missing else 0)


def _packages() -> Iterator[Finding]:
    for distribution, module in PACKAGES.items():
        try:
            import_module(module)
            yield Finding(distribution, State.OK, version(distribution))
        except (ImportError, PackageNotFoundError) as error:
            yield Finding(distribution, State.MISSING, f"{error}; run: pip install {distribution}")
    yield Finding("tallystick", State.OK, release())


def _replay() -> Finding:
    """Whether a model can be run again; only `verify --replay` needs it."""
    if entry_points(group=REPLAY_GROUP) and find_spec("torch") is not None:
        return Finding("replay", State.OK, "verify --model DIR --replay can run a model again")
    return Finding("replay", State.NOTE, NO_WORKER)


def _keys(paths: tuple[Path, ...]) -> Iterator[Finding]:
    if not paths:
        yield Finding(
            "auditor key",
            State.NOTE,
            f"none given (--auditor-key or {AUDITOR_KEY_ENV}): records stay closed, and checks 9 to 17 are not asked for",
        )
    for path in paths:
        try:
            (key,) = load_auditor_keys((path,))
            yield Finding("auditor key", State.OK, f"{path}, key id {key.key_id.hex()}")
        except KeyFileError as error:
            yield Finding("auditor key", State.MISSING, str(error))


def _trust(trust_file: Path | None, log_id: LogId | None) -> Finding:
    """Whether the trust file can be read, and holds the log."""
    path = trust_path(trust_file)
    try:
        known = read_trust(path)
    except TrustError as error:
        return Finding("trust file", State.MISSING, str(error))
    found = None if log_id is None else known.find(log_id)
    if log_id is not None and found is None:
        detail = f"{path} does not hold this log: tallystick trust add"
        return Finding("trust file", State.NOTE, detail)
    held = "1 log is" if len(known.logs) == 1 else f"{len(known.logs)} logs are"
    detail = f"{path}: {held} trusted" + ("" if found is None else f", this one as {found.name}")
    return Finding("trust file", State.OK if known.logs else State.NOTE, detail)


def _node(log: LogOptions) -> Iterator[Finding]:
    if log.rpc is None:
        detail = f"none given (--rpc or {RPC_ENV}): only files can be checked, by themselves"
        yield Finding("chain node", State.NOTE, detail)
        return
    try:
        reader = LedgerReader(
            open_transport(log.rpc), log.contract or Address(bytes(20)), log.log_id or LogId(bytes(32))
        )
        chain_id, block = reader.chain_id(), reader.latest_block()
    except ChainError as error:
        yield Finding("chain node", State.MISSING, str(error))
        return
    yield Finding("chain node", State.OK, f"chain {chain_id}, block {block.number}")
    yield _clock(block.timestamp, time.time())
    if log.contract is None:
        yield Finding("contract", State.MISSING, f"none given (--contract or {CONTRACT_ENV})")
        return
    yield _contract(reader)
    if log.log_id is None:
        yield Finding("log", State.MISSING, f"none given (--log or {LOG_ENV})")
        return
    yield from _log(reader, log.auditor_keys)


def _clock(block_time: int, now_s: float) -> Finding:
    age_s = now_s - block_time
    if age_s < -MAX_CLOCK_AHEAD_S:
        detail = f"the newest block is {-age_s:.0f} s in this machine's future: one of the two clocks is wrong"
        return Finding("clock", State.MISSING, detail)
    if age_s > MAX_BLOCK_AGE_S:
        detail = f"the newest block is {age_s:.0f} s old: an idle chain, a node that is behind, or a wrong clock"
        return Finding("clock", State.NOTE, detail)
    return Finding("clock", State.OK, f"the newest block is {age_s:.0f} s old")


def _contract(reader: LedgerReader) -> Finding:
    expected = load_artifact().code_hash
    try:
        found = reader.code_hash()
    except ChainError as error:
        return Finding("contract", State.MISSING, str(error))
    if found != expected:
        detail = f"its code hash is {to_hex(found)}; this release knows {to_hex(expected)}"
        return Finding("contract", State.MISSING, detail)
    return Finding("contract", State.OK, f"code hash {to_hex(found)}")


def _log(reader: LedgerReader, auditor_keys: tuple[Path, ...]) -> Iterator[Finding]:
    try:
        state = reader.log_state()
        yield Finding("log", State.OK, f"{state.size} records in {state.batch_count} batches, epoch {state.epoch}")
        opened = [
            event
            for event in reader.events_of(EPOCH_OPENED, reader.creation_block(), reader.latest_block().number)
            if isinstance(event, EpochOpened)
        ]
        for path in auditor_keys:
            yield _wraps(path, opened)
    except ChainError as error:
        yield Finding("log", State.MISSING, str(error))


def _wraps(path: Path, opened: list[EpochOpened]) -> Finding:
    try:
        (key,) = load_auditor_keys((path,))
    except KeyFileError:
        return Finding("epochs", State.NOTE, f"not looked at: {path} cannot be read")
    mine = [
        event.epoch
        for event in opened
        if any(event.wraps.startswith(key.key_id, at) for at in range(0, len(event.wraps), WRAP_BYTES))
    ]
    detail = f"{len(mine)} of {len(opened)} have their key wrapped for {key.key_id.hex()}"
    return Finding("epochs", State.OK if mine else State.MISSING, detail)
