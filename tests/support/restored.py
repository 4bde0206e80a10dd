"""A home folder with a journal, its keys and an anchorer over a chain in memory, which can be copied and put back like a backup."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry

from tallystick.chain.reader import LedgerReader
from tallystick.keys import AuditorKey
from tallystick.receipts.messages import Domain
from tallystick.verify.verdict import Verdict
from tallystick.verify.whole_log import VerifyOptions, verify_log
from tallystick_platform.anchor.adoption import Adopted, Adoption
from tallystick_platform.anchor.anchorer import Anchorer
from tallystick_platform.anchor.policy import IDLE_MS
from tallystick_platform.anchor.service import AnchorService
from tallystick_platform.store.adoption import AdoptionStore
from tallystick_platform.store.batches import Batches
from tallystick_platform.store.check import check_journal
from tallystick_platform.store.check.finding import Finding
from tallystick_platform.store.database import Database
from tallystick_platform.store.epoch_keys import EpochKeyFiles
from tallystick_platform.store.jobs import JobStore
from tallystick_platform.store.journal import Journal
from tallystick_platform.store.row_macs import RowMacs
from tallystick_platform.store.sealer import Sealer
from tests.support.anchoring import KEEPER, LOCATION, LOG, POLICY, WALLET, client_of, with_log
from tests.support.chains import PROMISE_S
from tests.support.clocks import FixedClock
from tests.support.model_chain import CHAIN_ID, ModelChain

MACS = RowMacs(WALLET.secret)
DOMAIN = Domain(chain_id=CHAIN_ID, contract=LOG.contract)
MARGIN = 100


@dataclass(kw_only=True)
class Serving:
    """A started journal and its anchorer. `agreed`: whether journal and chain were found to be one log."""

    home: Home
    journal: Journal
    batches: Batches
    service: AnchorService
    agreed: bool

    def anchor(self) -> None:
        """Passes until nothing waits for the chain."""
        for _ in range(60):
            self.service.turn()
            self.home.chain.mine()
            self.home.clock.advance(1)
            waits = self.batches.unfinished() or self.batches.next_epoch() or self.batches.next_void()
            if not waits and not self.service.status().unanchored_records:
                return
        raise AssertionError(f"not anchored: {self.service.status()}")


@dataclass(kw_only=True)
class Home:
    """The folder, the chain that outlives it, and the clock."""

    folder: Path
    auditor: AuditorKey = field(default_factory=AuditorKey.generate)
    clock: FixedClock = field(default_factory=FixedClock)
    chain: ModelChain = field(init=False)

    def __post_init__(self) -> None:
        now_s = self.clock.now_us() // 1_000_000
        self.chain = ModelChain(WALLET.address, KEEPER.address, genesis_time=now_s)
        with_log(self.chain)

    @property
    def reader(self) -> LedgerReader:
        return LedgerReader(self.chain, LOG.contract, LOG.log_id)

    def database(self) -> Database:
        return Database.open(self.folder / "journal" / "journal.sqlite")

    def sealer(self) -> Sealer:
        return Sealer(
            wallet=WALLET,
            domain=DOMAIN,
            log_id=LOG.log_id,
            auditors=[self.auditor.public],
            keys_dir=self.folder / "keys",
            epoch_seconds=86_400,
        )

    def back_up(self, to: Path) -> None:
        """Copy everything, as an operator does while the server is stopped."""
        shutil.copytree(self.folder, to)

    def put_back(self, backup: Path) -> None:
        """Put the copy in place of what is there."""
        shutil.rmtree(self.folder)
        shutil.copytree(backup, self.folder)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Serving]:
        """The service, as far as journal and anchoring go, in the order of app.starting."""
        database = self.database()
        journal = Journal(database, self.sealer(), MACS, clock=self.clock, promise_s=PROMISE_S)
        batches = Batches(database, MACS, LOG.log_id)
        anchorer = Anchorer(
            store=batches, reader=self.reader, sender=client_of(self.chain), policy=POLICY, clock=self.clock
        )
        service = AnchorService(anchorer, batches, self.clock, CollectorRegistry(), admission=journal)
        try:
            await journal.start()
            agreed = await service.compare()
            if agreed:
                await journal.recover()
            self.clock.advance(IDLE_MS / 1_000)
            yield Serving(home=self, journal=journal, batches=batches, service=service, agreed=agreed)
        finally:
            await journal.close()
            database.close()

    def adopt(self, *, margin: int = MARGIN, restored: bool = False, confirmations: int = 0) -> Adopted:
        """`tallystick-server journal adopt`."""
        database = self.database()
        try:
            adoption = Adoption(
                batches=Batches(database, MACS, LOG.log_id),
                store=AdoptionStore(database, MACS),
                reader=self.reader,
                sender=client_of(self.chain),
                clock=self.clock,
                confirmations=confirmations,
                jobs=JobStore(database, MACS),
                keys=EpochKeyFiles(self.folder / "keys", LOG.log_id).load,
            )
            return adoption.run(margin=margin, restored=restored)
        finally:
            database.close()

    def findings(self) -> list[Finding]:
        """What the check of the journal finds."""
        database = self.database()
        try:
            return list(
                check_journal(
                    database,
                    MACS,
                    log_id=LOG.log_id,
                    domain=DOMAIN,
                    writer=WALLET.address,
                    reveal=self.sealer().reveal_draft,
                )
            )
        finally:
            database.close()

    def verify(self) -> Verdict:
        """The auditor's verdict on the whole log, from the chain alone."""
        return verify_log(self.reader, VerifyOptions(auditor_keys=[self.auditor], writers=[LOCATION.terms.writer]))
