"""How fast journaled records reach the embedded chain: its own process, over HTTP, with the service's anchorer and database.

The chain makes at most one block a second, so what counts is how much a block takes: one transaction of `batch_max_bytes` with
`max_in_flight` 1, several with more.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from harness import ROOT, options
from prometheus_client import CollectorRegistry

from tallystick.chain.reader import LedgerReader
from tallystick.chain.rpc import HttpTransport
from tallystick.ids import new_record_id
from tallystick.keys import AuditorKey, Wallet
from tallystick.receipts.messages import Domain
from tallystick.record import RecordTime, State
from tallystick_platform.anchor.anchorer import Anchorer
from tallystick_platform.anchor.bootstrap import bootstrap
from tallystick_platform.anchor.location import LedgerLocation
from tallystick_platform.anchor.policy import AnchorPolicy
from tallystick_platform.anchor.service import AnchorService
from tallystick_platform.clock import SystemClock
from tallystick_platform.ledger_chain.client import LedgerClient
from tallystick_platform.ledger_chain.signers import KeySigner
from tallystick_platform.settings import load_settings
from tallystick_platform.store import settlement
from tallystick_platform.store.batches import Batches
from tallystick_platform.store.database import Database
from tallystick_platform.store.journal import Journal
from tallystick_platform.store.row_macs import RowMacs
from tallystick_platform.store.sealer import Sealer
from tests.support.typical_record import typical_record

RECORDS = 2_000
SHORT_RECORDS = 300
IN_FLIGHT = (1, 4)
GROUP = 100
LIMIT_S = 300
SPAN_US = 1_000_000


@contextmanager
def embedded_chain(home: Path, wallet: Wallet) -> Iterator[str]:
    """A chain process of its own; gives its URL."""
    command = [sys.executable, "-m", "tallystick_platform.embedded_chain", "--path", str(home), "--port", "0"]
    command += ["--prefund", "0x" + wallet.address.hex()]
    environment = {"PYTHONPATH": f"{ROOT / 'ledger'}:{ROOT / 'platform'}", "PATH": ""}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the chain process has no pipes")
        yield str(json.loads(process.stdout.readline())["rpc_url"])
        process.stdin.close()


async def fill(database: Database, sealer: Sealer, macs: RowMacs, count: int) -> None:
    """Journal copies of a typical record."""
    clock, template = SystemClock(), typical_record()
    journal = Journal(database, sealer, macs, clock=clock, promise_s=3_600)
    await journal.start()
    journal.release()  # the log is new: there is nothing to compare

    async def one(number: int) -> None:
        now = clock.now_us() + number * 1_000
        moments = {"admitted_at": now, "started_at": now, "finished_at": now + SPAN_US}
        same = replace(
            template, id=new_record_id(now, os.urandom), admission_seq=0, sender_seq=0, time=RecordTime(**moments)
        )
        open_record = replace(same, state=State.INTERRUPTED, error=settlement.INTERRUPTED)
        numbers = (await journal.admit(open_record, token_id=str(template.sender.token_id))).record
        await journal.commit(replace(same, admission_seq=numbers.admission_seq, sender_seq=numbers.sender_seq))

    for first in range(0, count, GROUP):
        await asyncio.gather(*(one(number) for number in range(first, min(first + GROUP, count))))
    await journal.close()


async def anchor(url: str, wallet: Wallet, place: LedgerLocation, batches: Batches, policy: AnchorPolicy) -> float:
    """Anchor everything. Units: seconds."""
    transport = HttpTransport(url)
    reader = LedgerReader(transport, place.contract, place.log_id)
    sender = LedgerClient(transport, KeySigner(wallet), place.chain_id)
    anchorer = Anchorer(store=batches, reader=reader, sender=sender, policy=policy, clock=SystemClock())
    service = AnchorService(anchorer, batches, SystemClock(), CollectorRegistry())
    started = time.monotonic()
    await service.compare()
    await service.start()
    while batches.depth().records:
        if time.monotonic() - started > LIMIT_S or service.status().halted:
            raise RuntimeError(f"not anchored: {service.status()}")
        await asyncio.sleep(0.1)
    taken_s = time.monotonic() - started
    await service.stop()
    return taken_s


def measure(count: int, in_flight: int) -> float:
    """Records per second through a fresh chain."""
    wallet = Wallet(b"\x11" * 32)
    with (
        tempfile.TemporaryDirectory(prefix="tallystick-bench-") as folder,
        embedded_chain(Path(folder) / "chain", wallet) as url,
    ):
        home = Path(folder)
        settings = load_settings(home=home)
        place = bootstrap(settings, HttpTransport(url), KeySigner(wallet), wallet.address)
        sealer = Sealer(
            wallet=wallet,
            domain=Domain(chain_id=place.chain_id, contract=place.contract),
            log_id=place.log_id,
            auditors=[AuditorKey.generate().public],
            keys_dir=home / "keys",
            epoch_seconds=settings.epoch_seconds,
        )
        macs = RowMacs(wallet.secret)
        database = Database.open(settings.paths.journal_path)
        asyncio.run(fill(database, sealer, macs, count))
        policy = replace(AnchorPolicy.from_settings(settings), max_in_flight=in_flight)
        batches = Batches(database, macs, place.log_id)
        taken_s = asyncio.run(anchor(url, wallet, place, batches, policy))
        totals = batches.totals()
        database.close()
    if totals.records_mined != count:
        raise RuntimeError(f"{totals.records_mined} of {count} records were anchored")
    return count / taken_s


def main() -> int:
    given = options(__doc__, f"{SHORT_RECORDS} records instead of {RECORDS}").parse_args()
    count = SHORT_RECORDS if given.short else RECORDS
    for in_flight in IN_FLIGHT:
        rate = measure(count, in_flight)
        print(f"anchoring, {count} chat records, {in_flight} in flight: {rate:,.0f} records/s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
