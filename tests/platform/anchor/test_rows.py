"""The rows over the journal's database and the plain rows in memory, through the same passes, reorgs included."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick.keys import AuditorKey
from tallystick_platform.store.rows import AnchorState, Signed
from tests.support.anchor_rows import MemoryRows
from tests.support.anchoring import WALLET, Rig, policy
from tests.support.clocks import FixedClock
from tests.support.journaled_rig import JournaledRig, journal_template
from tests.support.model_chain import ModelChain

POLICY = policy(batch_max_bytes=2_600, confirmations=2)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return asyncio.run(journal_template(tmp_path_factory.mktemp("journal"), AuditorKey.generate()))


@pytest.fixture
def both(template: Path, tmp_path: Path) -> Iterator[tuple[Rig, Rig]]:
    real = JournaledRig(template, tmp_path, policy=POLICY)
    plain = MemoryRows(real.log_id)
    plain.sealed, plain.epochs = list(real.rows.sealed), list(real.rows.epochs)
    chain = ModelChain(WALLET.address, genesis_time=real.chain.blocks[0].timestamp)
    rig = Rig(chain, rows=plain, policy=POLICY, clock=FixedClock(real.clock.now_us()))
    chain.now_s = lambda: rig.clock.now_us() // 1_000_000
    yield rig, real
    real.close()


def view(rig: Rig) -> dict[str, object]:
    rows = rig.rows
    last = rows.last_batch()
    return {
        "unfinished": list(rows.unfinished()),
        "next_epoch": rows.next_epoch(),
        "last_batch": last,
        "depth": rows.depth(),
        "totals": rows.totals(),
        "tip": rows.tip(),
        "heads": [rows.head_at(entries) for entries in range(8)],
        "next_void": rows.next_void(),
        "before": None if last is None else rows.block_before(last),
        "beyond": [list(rows.rows_beyond(entries)) for entries in range(6)],
        "records": list(rows.records(3, 4)),
    }


def test_both_see_the_same_after_every_pass_of_a_log_that_grows_and_is_reorganised(both):
    finished = 0
    for step in range(40):
        for rig in both:
            rig.turn()
            if step in {9, 21}:
                depth = len(rig.chain.blocks) - rig.first_blocks
                rig.chain.reorganise(depth if step == 21 else 3, keep_transactions=step == 9)
            rig.chain.mine()
        plain, real = map(view, both)
        assert real == plain
        finished += not real["unfinished"]
    assert finished
    assert {rig.chain_size for rig in both} == {9}


def test_a_batch_that_is_taken_back_waits_again_and_can_be_signed_again(both):
    for rig in both:
        rig.settle()
        batch = rig.rows.last_batch()
        rig.rows.take_back([batch])
        assert rig.rows.last_batch().state is AnchorState.SENT
        rig.rows.save_signed(rig.rows.last_batch(), Signed(nonce=9, tx_hash=b"h" * 32, raw=b"raw"), 1)
        assert rig.rows.last_batch().signed.nonce == 9
        assert rig.rows.depth().records == batch.count
