"""`tallystick-server journal check`."""

from __future__ import annotations

import sys
from dataclasses import asdict

from tallystick.ids import LogId, parse_address, parse_hash
from tallystick.receipts import Domain
from tallystick_platform.anchor.location import FILE_NAME, LedgerLocation, read_location
from tallystick_platform.cli.opening import opened
from tallystick_platform.cli.output import EXIT_FOUND, fail, show
from tallystick_platform.sealing import LedgerSealer
from tallystick_platform.settings import Settings
from tallystick_platform.store.check import Checked, check_journal

MAX_SHOWN = 1_000  # findings; a journal that was replaced has as many as rows


def check(*, as_json: bool) -> None:
    """Walk the journal."""
    with opened() as home:
        location = _location(home.settings)
        if location is None:
            fail("this home folder has no log yet: start the service once", as_json=as_json)
        domain = Domain(chain_id=location.chain_id, contract=location.contract)
        sealer = LedgerSealer(
            wallet=home.keys.operator,
            domain=domain,
            log_id=location.log_id,
            auditors=home.keys.auditors,
            keys_dir=home.settings.paths.epoch_keys_dir,
            epoch_seconds=home.settings.epoch_seconds,
        )
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
        ):
            findings.append(finding)
            if len(findings) == MAX_SHOWN:
                break
    rows = dict(sorted(checked.rows.items()))
    lines = [str(finding) for finding in findings]
    lines += [f"{table}: {count} rows checked" for table, count in rows.items()]
    lines.append(f"{len(findings)} findings" if findings else "the journal is whole")
    shown = {"whole": not findings, "checked": rows, "findings": [asdict(finding) for finding in findings]}
    show(shown, as_json=as_json, text="\n".join(lines))
    if findings:
        sys.exit(EXIT_FOUND)


def _location(settings: Settings) -> LedgerLocation | None:
    if settings.contract is not None and settings.log_id is not None:
        return LedgerLocation(
            chain_id=settings.chain_id,
            contract=parse_address(settings.contract),
            log_id=LogId(parse_hash(settings.log_id)),
        )
    return read_location(settings.paths.home / FILE_NAME)
