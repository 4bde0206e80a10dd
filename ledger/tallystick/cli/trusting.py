"""`tallystick trust`: the logs that this user knows to be the right ones, and the question whether one is."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from tallystick.chain.reader import LedgerReader
from tallystick.cli.options import json_option, node_options, open_reader, trust_file_option, trust_path
from tallystick.cli.output import put_json
from tallystick.errors import TrustError
from tallystick.heads import LogTerms, derive_log_id
from tallystick.ids import Address, LogId, checksum_address, to_hex
from tallystick.report.documents import plain
from tallystick.report.printable import printable
from tallystick.trust.file import change_trust, read_trust
from tallystick.trust.logs import SeenHead, Trust, TrustedLog
from tallystick.verify.log_walk import Standing
from tallystick.verify.verdict import LogSubject, Verdict
from tallystick.verify.vouching import Vouch

ADD_EXAMPLES: Final = """\b
Examples:
  tallystick trust add work --rpc https://node.example --contract 0x.. --log 0x..
  tallystick trust add work --rpc ... --contract ... --log ... --yes --how "from the operator's letter"
  tallystick verify --trust work --rpc https://node.example
"""
LIST_EXAMPLES: Final = """\b
Examples:
  tallystick trust list
  tallystick trust list --json
"""
REMOVE_EXAMPLES: Final = """\b
Example:
  tallystick trust remove work
"""
TYPED: Final = "confirmed on a terminal"
IN_SCRIPT: Final = "added in a script, with --yes"
BY_OPTION: Final = "named on the command line"
BY_WRITER: Final = "its writer was named on the command line"


@click.group(short_help="Say whose logs you trust.")
def trust() -> None:
    """Say whose logs you trust: evidence names its log itself, so the trust has to come from you.

    A log's identifier fixes its chain, contract, first writer and keeper. Compare it with what its operator published elsewhere.
    """


@trust.command(epilog=ADD_EXAMPLES)
@click.argument("name")
@node_options
@trust_file_option
@click.option("--how", metavar="TEXT", help="Where you know the log from; it is kept beside it.")
@click.option("--yes", is_flag=True, help="Do not ask. Without a terminal nothing is added otherwise.")
@json_option
def add(
    name: str,
    rpc: str | None,
    contract: Address | None,
    log_id: LogId | None,
    trust_file: Path | None,
    how: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Show a log as a node has it, and add it to the trust file under NAME.

    The identifier is computed anew from the log's terms, so the node cannot show another writer or keeper than the log has.
    """
    log = _look(open_reader(rpc, contract, log_id), name, how or (IN_SCRIPT if yes else TYPED))
    if not yes:
        require_terminal("the log is added only when somebody says yes: --yes in a script")
        click.echo("Is this the log that you know from elsewhere?", err=True)
        click.confirm("Trust it", abort=True, err=True)
    path = trust_path(trust_file)
    change_trust(path, lambda trust: trust.added(log))
    if as_json:
        put_json(_document(log))
    else:
        click.echo(f"{path}: {name} added")


@trust.command("list", epilog=LIST_EXAMPLES)
@trust_file_option
@json_option
def list_logs(trust_file: Path | None, as_json: bool) -> None:
    """Show the trusted logs, and how far each was verified."""
    known = read_trust(trust_path(trust_file))
    if as_json:
        put_json({"file": str(known.path), "logs": [_document(log) for log in known.logs]})
        return
    if not known.logs:
        click.echo(f"{known.path}: no log is trusted")
    for log in known.logs:
        for line in _lines(log):
            click.echo(line)


@trust.command(epilog=REMOVE_EXAMPLES)
@click.argument("name")
@trust_file_option
def remove(name: str, trust_file: Path | None) -> None:
    """Take a log out of the trust file."""
    path = trust_path(trust_file)
    change_trust(path, lambda trust: trust.removed(name))
    click.echo(f"{path}: {name} removed")


def vouch_for(
    log_id: LogId, trusted: TrustedLog | None, named: LogId | None, writers: Sequence[Address] = ()
) -> Vouch | None:
    """Who says whose log it is: the trust file, the identifier that was named, or the writer that was."""
    signers = tuple(writers)
    if trusted is not None and trusted.log_id == log_id:
        how = f"trusted as {trusted.name} ({trusted.how})"
        return Vouch(how=how, log_known=True, writers=tuple(trusted.writers), named=signers)
    if named == log_id:
        return Vouch(how=BY_OPTION, log_known=True, named=signers)
    if signers:
        return Vouch(how=BY_WRITER, log_known=False, named=signers)
    return None


def ask_first_use(
    trust_file: Path | None, chain_id: int, contract: Address, log_id: LogId, terms: LogTerms, code_hash: bytes
) -> TrustedLog | None:
    """On a terminal, show a log that nobody vouched for and ask whether it is the right one; elsewhere nothing is asked or trusted."""
    if not _on_terminal():
        return None
    click.echo("This log is not in your trust file. Whoever made the evidence chose it:", err=True)
    log = _shown(f"log-{log_id.hex()[:8]}", chain_id, contract, code_hash, log_id, terms, TYPED)
    if not click.confirm("Do you know from elsewhere that it is the right one, and trust it from now on", err=True):
        return None
    change_trust(trust_path(trust_file), lambda trust: trust.added(log))
    return log


def standing_of(log: TrustedLog | None) -> Standing | None:
    """Where a trusted log stood when it was last verified."""
    return None if log is None or log.seen is None else Standing(log.seen.entries, log.seen.head)


def remember(trust_file: Path | None, verdict: Verdict) -> None:
    """Keep the head that was just proven, and the writers found on the way to it."""
    subject = verdict.subject
    if not isinstance(subject, LogSubject) or subject.head is None:
        return
    seen = SeenHead(entries=subject.entries, size=subject.size, head=subject.head)

    def remembering(trust: Trust) -> Trust:
        return trust.remembering(subject.log_id, seen, subject.writers)

    change_trust(trust_path(trust_file), remembering)


def find_trusted(trust_file: Path | None, name: str | None, log_id: LogId | None) -> TrustedLog | None:
    """The log of that name, or with that identifier.

    Raises: TrustError if there is none of that name.
    """
    known = read_trust(trust_path(trust_file))
    if name is not None:
        return known.named(name)
    return None if log_id is None else known.find(log_id)


def open_log(
    rpc: str | None, contract: Address | None, log_id: LogId | None, trust_file: Path | None, trust_name: str | None
) -> LedgerReader:
    """A reader of the log that --trust names, or --contract and --log.

    Raises: TrustError; UsageError where the options name two logs, or none.
    """
    if trust_name is None:
        return open_reader(rpc, contract, log_id)
    trusted = find_trusted(trust_file, trust_name, None)
    if trusted is None or log_id not in {None, trusted.log_id} or contract not in {None, trusted.contract}:
        raise click.UsageError(f"--contract and --log name another log than {trust_name}")
    return open_reader(rpc, trusted.contract, trusted.log_id)


def require_terminal(why: str) -> None:
    """Raises: UsageError where nobody can be asked."""
    if not _on_terminal():
        raise click.UsageError(why)


def _on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _look(reader: LedgerReader, name: str, how: str) -> TrustedLog:
    chain_id, code_hash = reader.chain_id(), reader.require_contract()
    terms = reader.creation().terms
    found = derive_log_id(chain_id, reader.contract, terms)
    if found != reader.log_id:
        reason = f"the node shows terms that lead to the log {to_hex(found)}, not to {to_hex(reader.log_id)}"
        raise TrustError("(not written)", reason, name=name)
    how = re.sub(r"\s+", " ", how).strip()
    return _shown(name, chain_id, reader.contract, code_hash, reader.log_id, terms, how)


def _shown(
    name: str, chain_id: int, contract: Address, code_hash: bytes, log_id: LogId, terms: LogTerms, how: str
) -> TrustedLog:
    """A log as it would stand in the trust file, shown to whoever is asked about it."""
    for line in (
        f"chain      {chain_id}",
        f"contract   {checksum_address(contract)}",
        f"code hash  {to_hex(code_hash)}",
        f"log        {to_hex(log_id)}",
        f"writer     {checksum_address(terms.writer)}",
        f"keeper     {checksum_address(terms.keeper) if any(terms.keeper) else 'none: the writer never changes'}",
        f"promise    each record is on the chain within {terms.promise} s",
    ):
        click.echo(line, err=True)
    return TrustedLog(
        name=name,
        chain_id=chain_id,
        contract=contract,
        code_hash=code_hash,
        log_id=log_id,
        writers=(terms.writer,),
        added=datetime.now(UTC).replace(microsecond=0),
        how=how,
    )


def _lines(log: TrustedLog) -> list[str]:
    lines = [
        f"{log.name}",
        f"  chain {log.chain_id}, contract {checksum_address(log.contract)}, log {to_hex(log.log_id)}",
        f"  written by {', '.join(checksum_address(writer) for writer in log.writers)}",
        f"  added {log.added.isoformat()}: {printable(log.how)}",
    ]
    if log.seen is not None:
        lines.append(
            f"  verified up to {log.seen.size} records, {log.seen.entries} entries, head {to_hex(log.seen.head)}"
        )
    return lines


def _document(log: TrustedLog) -> dict[str, object]:
    return {**plain(log), "added": log.added.isoformat()}
