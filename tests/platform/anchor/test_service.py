"""Passes as a task: what an error means for the next, and what the figures say."""

from __future__ import annotations

import asyncio
import re

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy.exc import OperationalError

from tallystick.errors import ChainUnavailable
from tallystick_platform.anchor.policy import BACKOFF_CAP_MS, HALTED_MS, MIN_PAUSE_MS
from tallystick_platform.anchor.service import AnchorService, wait_for_event
from tallystick_platform.store.rows import AnchorState
from tests.support.anchoring import WALLET, Rig
from tests.support.fault_plan import Fault
from tests.support.model_chain import ModelChain

MINUTE_MS = 60_000


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.open_epoch()
    rig.settle()
    return rig


def test_a_chain_that_is_down_for_minutes_is_asked_ever_more_rarely_and_loses_nothing(rig):
    rig.node.arm("eth_getTransactionCount", Fault.FAILED, times=10**6)
    pauses = []
    for _ in range(20):
        rig.journal()
        pauses.append(rig.turn().ms)
    assert pauses == sorted(pauses)
    assert pauses[-1] == BACKOFF_CAP_MS
    status = rig.service.status()
    assert (status.error_type, status.healthy) == ("ChainUnavailable", True)
    assert status.unanchored_records == 20
    assert status.lag_ms >= 5 * MINUTE_MS
    rig.node.disarm()
    rig.settle()
    rig.audit()
    status = rig.service.status()
    assert (status.error, status.unanchored_records, status.lag_ms) == (None, 0, 0)


def test_the_pause_starts_small_again_after_a_success(rig):
    rig.node.arm("eth_getTransactionCount", Fault.FAILED, times=8)
    rig.journal()
    rig.advance_ms(1_000)
    for _ in range(8):
        rig.turn()
    rig.turn()
    rig.node.arm("eth_getTransactionCount", Fault.FAILED)
    assert rig.turn().ms == 250


def test_a_fault_of_our_own_halts_instead_of_ending_unseen(rig, monkeypatch):
    def broken() -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(rig.anchorer, "step", broken)
    assert rig.service.turn().ms == HALTED_MS
    status = rig.service.status()
    assert (status.halted, status.error_type) == (True, "ZeroDivisionError")


def test_what_is_told_of_an_error_quotes_no_statement_and_no_row(rig, monkeypatch):
    for error, told in (
        (OperationalError("INSERT INTO batch", {"raw_tx": "secret"}, OSError("disk is full")), "disk is full"),
        (KeyError("secret"), "KeyError"),
    ):

        def broken(error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(rig.anchorer, "step", broken)
        rig.service.turn()
        shown = str(rig.service.status().error)
        assert told in shown
        assert not {"secret", "INSERT", "sqlalche"} & set(re.findall(r"\w+", shown))


def test_a_halt_asks_nothing_more_of_the_chain(rig):
    rig.rows.batches.clear()
    rig.journal(3)
    rig.settle()
    rig.rows.batches.clear()
    rig.journal()
    rig.advance_ms(1_000)
    rig.turn()
    asked = rig.node.calls.total()
    rig.turn()
    assert rig.node.calls.total() == asked


def test_depth_and_lag_are_of_the_records_not_of_the_last_pass(rig):
    rig.journal(2, size=100)
    rig.advance_ms(700)
    rig.journal(1, size=50)
    rig.advance_ms(5)
    status = rig.service.status()
    assert (status.unanchored_records, status.unanchored_bytes, status.lag_ms) == (3, 250, 705)


def test_a_sent_batch_still_counts_as_waiting_until_it_is_mined():
    rig = Rig(ModelChain(WALLET.address, auto_mine=False))
    rig.open_epoch()
    rig.settle()
    rig.journal(2)
    rig.advance_ms(1_000)
    rig.turn()
    assert rig.service.status().unanchored_records == 2
    rig.chain.mine()
    rig.turn()
    assert rig.service.status().unanchored_records == 0


def test_gas_is_the_sum_over_mined_transactions_and_shared_by_their_records(rig):
    rig.journal(10)
    rig.settle()
    rows = [*rig.rows.batches, *rig.rows.epochs]
    status = rig.service.status()
    assert status.gas_used == sum(row.mined.gas_used for row in rows)
    assert status.gas_per_record == status.gas_used / 10
    assert status.last_confirmed_index == 9
    assert status.batches[AnchorState.FINAL] == len(rig.rows.batches)


def exposed(registry: CollectorRegistry) -> dict[str, float]:
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


async def test_the_registry_shows_the_figures_while_the_service_runs(rig):
    rig.journal(3)
    rig.settle()
    rig.journal(2, size=100)
    registry = CollectorRegistry()
    service = AnchorService(rig.anchorer, rig.store, rig.clock, registry, wait=wait_for_event)
    assert exposed(registry) == {}
    await service.start()
    rig.advance_ms(500)
    shown = exposed(registry)
    await service.stop()
    assert exposed(registry) == {}
    assert shown["tallystick_anchor_depth_records"] == 2
    assert shown["tallystick_anchor_depth_bytes"] == 200
    assert shown["tallystick_anchor_lag_seconds"] == 0.5
    assert shown["tallystick_anchor_last_confirmed_index"] == 2
    assert shown['tallystick_anchor_batches{state="final"}'] == 1
    assert shown['tallystick_anchor_batches{state="sent"}'] == 0
    assert shown["tallystick_anchor_gas_used_total"] > 0
    assert shown["tallystick_anchor_sends_total"] == 2
    assert shown["tallystick_anchor_halted"] == 0


class Waits:
    """Waits that end at once, moving the clock instead; the task ends after `limit` of them."""

    def __init__(self, rig: Rig, limit: int) -> None:
        self.rig = rig
        self.limit = limit
        self.ended = asyncio.Event()
        self.seconds: list[float] = []

    async def __call__(self, event: asyncio.Event, seconds: float) -> None:
        self.seconds.append(seconds)
        if len(self.seconds) >= self.limit:
            self.ended.set()
            await event.wait()
        self.rig.clock.advance(seconds)
        await asyncio.sleep(0)


async def run_for(rig: Rig, waits: int) -> list[float]:
    wait = Waits(rig, waits)
    service = AnchorService(rig.anchorer, rig.store, rig.clock, CollectorRegistry(), wait=wait)
    await service.start()
    await wait.ended.wait()
    service.wake()
    await service.stop()
    return wait.seconds


async def test_the_task_anchors_what_is_journaled_and_ends_when_it_is_stopped(rig):
    rig.journal(10)
    await run_for(rig, 30)
    rig.audit()
    assert rig.chain_size == 10


class Held:
    """An admission that keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[str | None] = []

    def release(self) -> None:
        self.told.append(None)

    def hold(self, reason: str) -> None:
        self.told.append(reason)


async def test_admission_is_released_by_a_comparison_that_agrees_and_by_nothing_else(rig):
    admission = Held()
    service = AnchorService(rig.anchorer, rig.store, rig.clock, CollectorRegistry(), admission=admission)
    assert await service.compare()
    await service.start()
    await service.stop()
    assert admission.told == [None]


async def test_a_comparison_that_does_not_agree_holds_admission_and_halts(rig):
    rig.rows.epochs.clear()
    admission = Held()
    service = AnchorService(rig.anchorer, rig.store, rig.clock, CollectorRegistry(), admission=admission)
    assert not await service.compare()
    (told,) = admission.told
    assert "journal adopt" in str(told)
    assert service.status().halted


async def test_a_chain_that_does_not_answer_the_comparison_leaves_admission_as_it_was(rig):
    admission = Held()
    rig.node.arm("eth_call", Fault.FAILED)
    service = AnchorService(rig.anchorer, rig.store, rig.clock, CollectorRegistry(), admission=admission)
    with pytest.raises(ChainUnavailable):
        await service.compare()
    assert admission.told == []
    assert not service.status().halted


async def test_a_halt_in_the_middle_of_it_holds_admission_at_once(rig):
    admission = Held()
    service = AnchorService(
        rig.anchorer, rig.store, rig.clock, CollectorRegistry(), wait=Waits(rig, 4), admission=admission
    )
    assert await service.compare()
    rig.rows.epochs.clear()  # another server goes on with the log
    rig.advance_ms(MINUTE_MS)
    await service.start()
    await service._wait.ended.wait()
    service.wake()
    await service.stop()
    assert admission.told[0] is None
    assert "anchoring is halted" in str(admission.told[1])
    assert len(admission.told) == 2


async def test_passes_keep_their_distance_whatever_they_say(rig):
    rig.journal(10)
    seconds = await run_for(rig, 12)
    assert seconds[::2].count(MIN_PAUSE_MS / 1_000) == len(seconds[::2])


async def test_a_journaled_record_wakes_an_idle_task_from_any_thread(rig):
    rig.anchorer.step()
    waited: list[float] = []
    woken = asyncio.Event()

    async def wait(event: asyncio.Event, seconds: float) -> None:
        waited.append(seconds)
        if seconds > 1:
            rig.journal(12)
            await asyncio.get_running_loop().run_in_executor(None, service.wake)
            await event.wait()
            woken.set()

    service = AnchorService(rig.anchorer, rig.store, rig.clock, CollectorRegistry(), wait=wait)
    await service.start()
    await woken.wait()
    await service.stop()
    assert rig.rows.batches


async def test_the_real_wait_ends_with_its_event_or_its_time():
    event = asyncio.Event()
    await wait_for_event(event, 0.001)
    event.set()
    await wait_for_event(event, 3_600)
