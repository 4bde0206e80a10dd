"""A Rig whose records went through the real journal, sealing and database, so that the auditor's verifier can judge."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from tallystick.chain.reader import LedgerReader
from tallystick.keys import AuditorKey
from tallystick.receipts.messages import Domain
from tallystick.verify.verdict import Verdict
from tallystick.verify.whole_log import VerifyOptions, verify_log
from tallystick_platform.store.batches import Batches
from tallystick_platform.store.database import Database
from tallystick_platform.store.journal import Journal
from tallystick_platform.store.row_macs import RowMacs
from tallystick_platform.store.rows import Batch, Epoch, PendingRecord, Void
from tallystick_platform.store.sealer import Sealer
from tallystick_platform.store.tables import EPOCH, VOID
from tests.support.anchoring import KEEPER, LOG, WALLET, Rig
from tests.support.clocks import FixedClock
from tests.support.journals import PROMISE_S, record_many
from tests.support.model_chain import CHAIN_ID, ModelChain

EPOCH_SECONDS = 3_600
CREATED_BEFORE_S = 60
"""The log is that much older than its first record."""
RECORDS = (5, 4)
"""Records of the first epoch and of the second."""
MACS = RowMacs(WALLET.secret)


class DatabaseRows(Batches):
    """The real rows, with the two lists that a Rig looks at."""

    @property
    def sealed(self) -> Sequence[PendingRecord]:
        return self.records(0, 1_024)

    @property
    def epochs(self) -> Sequence[Epoch]:
        with self._database.reading() as connection:
            return self._read(connection, EPOCH)

    @property
    def voids(self) -> Sequence[Void]:
        with self._database.reading() as connection:
            return self._read(connection, VOID)

    @property
    def batches(self) -> Sequence[Batch]:
        return list(reversed(self.page(None, 1_024)))


async def journal_template(home: Path, auditor: AuditorKey) -> Path:
    """A journal of two epochs with nothing anchored; copy its file to use it."""
    rig, clock = Rig(), FixedClock()
    sealer = Sealer(
        wallet=WALLET,
        domain=Domain(chain_id=CHAIN_ID, contract=rig.contract),
        log_id=rig.log_id,
        auditors=[auditor.public],
        keys_dir=home / "keys",
        epoch_seconds=EPOCH_SECONDS,
    )
    path = home / "template" / "journal.sqlite"
    database = Database.open(path)
    journal = Journal(database, sealer, MACS, clock=clock, promise_s=PROMISE_S)
    await journal.start()
    journal.release()
    for count in RECORDS:
        await record_many(journal, clock, count)
        clock.advance(EPOCH_SECONDS + 1)
    await journal.close()
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return path


class JournaledRig(Rig):
    """A Rig over a copy of the template."""

    def __init__(self, template: Path, home: Path, **options: object) -> None:
        path = home / "journal.sqlite"
        shutil.copyfile(template, path)
        self.database = Database.open(path)
        clock = FixedClock()
        created_s = clock.now_us() // 1_000_000 - CREATED_BEFORE_S
        clock.advance(2 * EPOCH_SECONDS + 60)
        chain = ModelChain(WALLET.address, KEEPER.address, genesis_time=created_s)
        super().__init__(chain, rows=DatabaseRows(self.database, MACS, LOG.log_id), clock=clock, **options)  # type: ignore[arg-type]
        chain.now_s = lambda: self.clock.now_us() // 1_000_000

    def verify(self, auditor: AuditorKey) -> Verdict:
        """The auditor's verdict on the log as the chain has it, with no record left unopened."""
        return verify_log(LedgerReader(self.chain, self.contract, self.log_id), VerifyOptions(auditor_keys=[auditor]))

    def crash(self) -> None:
        self.database.close()
        self.database = Database.open(self.database.path)
        self.rows = DatabaseRows(self.database, MACS, LOG.log_id)
        self.store._target = self.rows
        super().crash()

    def close(self) -> None:
        self.database.close()
