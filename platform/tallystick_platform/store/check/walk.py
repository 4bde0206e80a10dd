"""All checks in order, over one consistent state of the journal. Memory stays flat as the journal grows."""

from __future__ import annotations

from collections.abc import Iterator

from tallystick.errors import TallystickError
from tallystick.ids import Address, LogId
from tallystick.receipts.messages import Domain
from tallystick_platform.store.check.batches import check_batches, check_entries, check_epochs, earlier_writers
from tallystick_platform.store.check.finding import ChainStanding, Checked, Finding, Reveal, Subject, check_macs
from tallystick_platform.store.check.inventory import check_chain, check_inventory
from tallystick_platform.store.check.records import check_blobs, check_records
from tallystick_platform.store.check.sequences import check_admissions, check_drafts, check_promises
from tallystick_platform.store.database import Database
from tallystick_platform.store.row_macs import RowMacs


def check_journal(
    database: Database,
    macs: RowMacs,
    *,
    log_id: LogId,
    domain: Domain,
    writer: Address,
    reveal: Reveal,
    checked: Checked | None = None,
    chain: ChainStanding | None = None,
) -> Iterator[Finding]:
    """Every fault in the journal, as it is found. `checked` is filled with the numbers of rows that were looked at.

    `chain` is what the chain holds of this log, None where it was not asked.
    """
    with database.reading() as connection:
        subject = Subject(
            connection=connection,
            macs=macs,
            log_id=log_id,
            domain=domain,
            writers=(writer, *earlier_writers(connection)),
            reveal=reveal,
            checked=checked or Checked(),
            chain=chain,
        )
        for check in (
            check_macs,
            check_inventory,
            check_admissions,
            check_promises,
            check_drafts,
            check_records,
            check_blobs,
            check_epochs,
            check_batches,
            check_entries,
            check_chain,
        ):
            try:
                yield from check(subject)
            except (ArithmeticError, TypeError, ValueError, TallystickError) as error:
                # a value of a kind or size that the service never writes; its row's MAC was a finding before
                name, found = check.__name__.removeprefix("check_"), f"{type(error).__name__}: {error}"
                yield Finding(name, "journal", "-", (), "values that can be checked", found)
