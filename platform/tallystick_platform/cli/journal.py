"""`tallystick-server journal check` and `journal adopt`."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import click

from tallystick.chain.reader import LedgerReader
from tallystick.chain.rpc import HttpTransport
from tallystick.errors import ChainError
from tallystick.receipts.messages import Domain
from tallystick_platform.anchor.adoption import Adopted, Adoption, adoption_margin
from tallystick_platform.anchor.location import LedgerLocation
from tallystick_platform.app.chain_process import ChainNotInstalled, ChainNotStarted
from tallystick_platform.cli.chains import location_of, reached
from tallystick_platform.cli.opening import Opened, opened
from tallystick_platform.cli.output import EXIT_FOUND, fail, show
from tallystick_platform.clock import SystemClock
from tallystick_platform.errors import StoreLocked
from tallystick_platform.ledger_chain.client import LedgerClient
from tallystick_platform.ledger_chain.keys import read_key_file
from tallystick_platform.ledger_chain.signers import KeySigner
from tallystick_platform.store.adoption import AdoptionStore
from tallystick_platform.store.batches import Batches
from tallystick_platform.store.check import ChainStanding, Checked, check_journal
from tallystick_platform.store.epoch_keys import EpochKeyFiles
from tallystick_platform.store.jobs import JobStore
from tallystick_platform.store.row_macs import RowMacs
from tallystick_platform.store.row_writes import rekey
from tallystick_platform.store.sealer import Sealer

MAX_SHOWN = 1_000  # findings; a journal that was replaced has as many as rows
LOOK_TIMEOUT_S = 5.0


def check(*, as_json: bool) -> None:
    """Walk the journal."""
    with opened() as home:
        location = _location(home)
        if location is None:
            fail("this home folder has no log yet: start the service once", as_json=as_json)
        domain = Domain(chain_id=location.chain_id, contract=location.contract)
        sealer = Sealer(
            wallet=home.keys.operator,
            domain=domain,
            log_id=location.log_id,
            auditors=home.keys.auditors,
            keys_dir=home.settings.paths.epoch_keys_dir,
            epoch_seconds=home.settings.epoch_seconds,
        )
        standing, not_asked = _standing(home, location)
        checked = Checked()
        findings = []
        for finding in check_journal(
            home.database,
            home.macs,
            log_id=location.log_id,
            domain=domain,
            writer=home.keys.operator.address,
            reveal=sealer.reveal_draft,
            checked=checked,
            chain=standing,
        ):
            findings.append(finding)
            if len(findings) == MAX_SHOWN:
                break
    rows = dict(sorted(checked.rows.items()))
    lines = [str(finding) for finding in findings]
    lines += [f"{table}: {count} {'row' if count == 1 else 'rows'} checked" for table, count in rows.items()]
    lines.append(not_asked or "held against the chain")
    lines.append(f"{len(findings)} findings" if findings else "the journal is whole")
    shown = {
        "whole": not findings,
        "chain": not_asked is None,
        "checked": rows,
        "findings": [asdict(finding) for finding in findings],
    }
    show(shown, as_json=as_json, text="\n".join(lines))
    if findings:
        sys.exit(EXIT_FOUND)


def adopt(*, restored: bool, margin: int | None, previous_key: Path | None, as_json: bool) -> None:
    """Let a restored journal go on behind its chain."""
    with opened() as home:
        home.database.lock()
        if previous_key is not None:
            before = read_key_file(previous_key, home.settings.operator_password_file)
            rows = rekey(home.database, RowMacs(before.secret), home.macs)
            click.echo(f"{rows} rows are under the new key now", err=True)
        with reached(home.settings, home.keys.operator.address) as transport:
            location = location_of(home.settings, transport)
            if location is None:
                fail("this home folder has no log: set TALLYSTICK_CONTRACT and TALLYSTICK_LOG_ID", as_json=as_json)
            adoption = Adoption(
                batches=Batches(home.database, home.macs, location.log_id),
                store=AdoptionStore(home.database, home.macs),
                reader=LedgerReader(transport, location.contract, location.log_id),
                sender=LedgerClient(transport, KeySigner(home.keys.operator), location.chain_id),
                clock=SystemClock(),
                confirmations=home.settings.confirmations,
                jobs=JobStore(home.database, home.macs),
                keys=EpochKeyFiles(home.settings.paths.epoch_keys_dir, location.log_id).load,
            )
            chosen = adoption_margin(home.settings) if margin is None else margin
            adopted = adoption.run(margin=chosen, restored=restored)
    show(_shown(adopted), as_json=as_json, text=_told(adopted))


def _shown(adopted: Adopted) -> dict[str, object]:
    return {
        "entries": adopted.entries,
        "records": adopted.records,
        "next_index": adopted.size,
        "next_number": adopted.floor + 1,
        "void": [list(span) for span in adopted.voids],
        "exports_ended": adopted.ended,
        "exports_open": adopted.open_exports,
    }


def _told(adopted: Adopted) -> str:
    spans = ", ".join(f"{first} to {last}" if first < last else str(first) for first, last in adopted.voids)
    return "\n".join(
        [
            f"taken over: {adopted.entries} entries and {adopted.records} records that this journal did not have",
            f"declared void: {adopted.void_numbers} admission numbers ({spans or 'none'}); every verdict will count them",
            f"goes on: records from index {adopted.size}, numbers from {adopted.floor + 1}",
            *_exports(adopted),
            "Start the server: it puts the void numbers on the chain first, then opens a new epoch.",
        ]
    )


def _location(home: Opened) -> LedgerLocation | None:
    """The log of this home; one that the settings name and the folder does not know yet is asked for on the chain."""
    location, url = location_of(home.settings), home.settings.chain_rpc
    if location is not None or url is None:
        return location
    with closing(HttpTransport(url, LOOK_TIMEOUT_S)) as transport:
        return location_of(home.settings, transport)


def _exports(adopted: Adopted) -> list[str]:
    lines = [f"exports that had ended: {adopted.ended}"] if adopted.ended else []
    if adopted.open_exports:
        lines.append(
            f"exports that go on: {adopted.open_exports}. They may have ended already, in records whose keys are not here; then the log "
            "holds two ends of one job. Cancel them before they run if that matters"
        )
    return lines


def _standing(home: Opened, location: LedgerLocation) -> tuple[ChainStanding | None, str | None]:
    """What the chain holds of the log, or why it was not asked: that is for the one who reads the result to judge."""
    try:
        url = home.settings.chain_rpc or _running(home)
        if url is not None:
            with closing(HttpTransport(url, LOOK_TIMEOUT_S)) as transport:
                return _look(transport, location), None
        if not home.settings.paths.chain_path.exists():
            return None, "not held against the chain: there is none yet"
        with reached(home.settings, home.keys.operator.address) as transport:
            return _look(transport, location), None
    except (ChainError, ChainNotInstalled, ChainNotStarted) as error:
        return None, f"not held against the chain: {error}"


def _running(home: Opened) -> str | None:
    """The embedded chain of a server that runs; None if none does."""
    try:
        home.database.lock()
    except StoreLocked:
        return f"http://127.0.0.1:{home.settings.chain_port}"
    return None


def _look(transport: HttpTransport, location: LedgerLocation) -> ChainStanding:
    state = LedgerReader(transport, location.contract, location.log_id).log_state()
    return ChainStanding(size=state.size, entries=state.entries)
