"""Every operation of the anchorer on the journal and on the chain, failing once: before it did anything, or after it did everything.

After every pass the auditor's verifier judges the whole log from the chain alone; in the end everything stands on it exactly once. The
same again with the process ending at the fault, and several transactions in flight.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from tallystick.keys import AuditorKey
from tallystick.verify.verdict import Step, Verdict
from tallystick_platform.store.batches import Batches
from tallystick_platform.store.rows import AnchorState
from tests.support.anchor_rows import MemoryRows
from tests.support.anchoring import policy
from tests.support.fault_plan import Fault
from tests.support.journaled_rig import RECORDS, JournaledRig, journal_template

NOT_IN_A_PASS = {"last_batch", "depth", "totals"}
READ_OR_WRITTEN = sorted(
    name for name in vars(MemoryRows) if name in vars(Batches).keys() - NOT_IN_A_PASS and name[0] != "_"
)
ASKED = ["eth_getTransactionCount", "eth_call", "eth_getBlockByNumber", "eth_maxPriorityFeePerGas", "eth_sendRawTransaction",
         "eth_getTransactionReceipt"]  # fmt: skip
NTH = (1, 2)
POLICY = {"batch_max_bytes": 3_400, "confirmations": 1}
RARELY_USED = {"take_back", "block_before", "begins_here"}
"""After a reorg, when a dearer copy landed, and while the chain's log is empty."""


@pytest.fixture(scope="module")
def auditor() -> AuditorKey:
    return AuditorKey.generate()


@pytest.fixture(scope="module")
def template(auditor: AuditorKey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return asyncio.run(journal_template(tmp_path_factory.mktemp("journal"), auditor))


@pytest.fixture
def rig(template: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[JournaledRig]:
    rig = JournaledRig(template, tmp_path, policy=policy(**POLICY, max_in_flight=getattr(request, "param", 1)))
    yield rig
    rig.close()


either_way = pytest.mark.parametrize(
    ("rig", "crash"), [(1, False), (3, True)], indirect=["rig"], ids=["goes on", "restarts"]
)


def judge(rig: JournaledRig, auditor: AuditorKey) -> Verdict:
    """What the auditor's own verifier says of the log, from the chain alone."""
    verdict = rig.verify(auditor)
    assert verdict.failures == ()
    return verdict


def run(rig: JournaledRig, auditor: AuditorKey, *, crash_at_faults: bool = False) -> None:
    """Passes, each followed by a verification, until everything is final."""
    faults = 0
    for _ in range(60):
        rig.turn()
        judge(rig, auditor)
        raised = rig.node.raised + rig.store.raised
        if crash_at_faults and raised > faults:
            rig.crash()
        faults = raised
        rig.chain.mine()
        if rig.chain_size == sum(RECORDS) and not rig.rows.unfinished():
            break
    rig.audit()
    assert judge(rig, auditor).check(Step.DECRYPTION).held == sum(RECORDS)
    assert {batch.state for batch in rig.rows.batches} == {AnchorState.FINAL}
    status = rig.service.status()
    assert (status.halted, status.unanchored_records, status.reverts) == (False, 0, 0)


def test_without_a_fault_two_epochs_and_all_records_land(rig, auditor):
    run(rig, auditor)
    assert rig.rows.tip().epoch == 2
    assert rig.service.status().sends == 2 + len(rig.rows.batches)


@either_way
@pytest.mark.parametrize(("operation", "fault", "nth"), [*product(READ_OR_WRITTEN, Fault, NTH)])
def test_a_failing_operation_of_the_journal_loses_and_repeats_nothing(rig, auditor, operation, fault, nth, crash):
    rig.store.arm(operation, fault, nth=nth)
    run(rig, auditor, crash_at_faults=crash)
    assert rig.store.raised == 1 or operation in RARELY_USED


@either_way
@pytest.mark.parametrize(("method", "fault", "nth"), [*product(ASKED, Fault, NTH)])
def test_a_failing_question_to_the_chain_loses_and_repeats_nothing(rig, auditor, method, fault, nth, crash):
    rig.node.arm(method, fault, nth=nth)
    run(rig, auditor, crash_at_faults=crash)
    assert rig.node.raised == 1


@either_way
@pytest.mark.parametrize(("operation", "fault"), [*product(("take_back", "rows_beyond", "unfinished"), Fault)])
def test_a_failing_operation_during_a_reorg_loses_and_repeats_nothing(rig, auditor, operation, fault, crash):
    run(rig, auditor)
    rig.chain.auto_mine = False
    rig.chain.reorganise(len(rig.chain.blocks) - rig.first_blocks, keep_transactions=False)
    rig.advance_ms(60_000)
    rig.store.arm(operation, fault)
    rig.turn()
    if crash:
        rig.crash()
    run(rig, auditor)


@pytest.mark.parametrize("fault", list(Fault))
def test_a_chain_that_answers_only_now_and_then_gets_everything_once(rig, auditor, fault):
    for nth in range(4, 120, 4):
        rig.node.arm("eth_call", fault, nth=nth)
        rig.node.arm("eth_sendRawTransaction", fault, nth=1)
        rig.turn()
        judge(rig, auditor)
        rig.chain.mine()
    rig.node.disarm()
    run(rig, auditor)
