"""Answers of a database that are asked for in threads and remembered for less than a second."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tallystick_platform.store import remembered as module
from tallystick_platform.store.remembered import REFRESH_NS, REMEMBER_NS, Remembered
from tests.support.clocks import FixedClock

NS_PER_S = 1_000_000_000


class SlowDatabase:
    """Answers with how often it was asked, once it is let go; `asked` tells that a question has reached it."""

    def __init__(self) -> None:
        self.answers = 0
        self.fault: Exception | None = None
        self.asked = threading.Event()
        self.go = threading.Event()
        self.go.set()

    def ask(self, key: str) -> str:
        self.asked.set()
        assert self.go.wait(30)
        if self.fault is not None:
            raise self.fault
        self.answers += 1
        return f"{key}{self.answers}"

    def hold(self) -> None:
        """Let the next questions wait."""
        self.asked.clear()
        self.go.clear()


@pytest.fixture
def database() -> SlowDatabase:
    return SlowDatabase()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def remembered(database: SlowDatabase, clock: FixedClock) -> Remembered[str, str]:
    return Remembered(database.ask, clock)


async def refreshed(remembered: Remembered[str, str]) -> None:
    """Wait for what is asked for in the background."""
    await asyncio.gather(*remembered._asking.values(), return_exceptions=True)


async def test_the_loop_goes_on_while_a_question_waits(
    remembered: Remembered[str, str], database: SlowDatabase
) -> None:
    database.hold()
    waiting = [asyncio.create_task(remembered.get("a")) for _ in range(3)]
    await asyncio.to_thread(database.asked.wait, 30)
    for _ in range(100):  # turns of the loop that a query in it would not have given
        await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    database.go.set()
    assert await asyncio.gather(*waiting) == ["a1"] * 3  # one question served all who asked


async def test_what_is_asked_for_all_the_time_is_renewed_before_it_is_too_old(
    remembered: Remembered[str, str], database: SlowDatabase, clock: FixedClock
) -> None:
    assert await remembered.get("a") == "a1"
    clock.advance(REFRESH_NS / NS_PER_S)
    database.hold()
    assert await remembered.get("a") == "a1"  # without waiting for the database
    database.go.set()
    await refreshed(remembered)
    assert await remembered.get("a") == "a2"


async def test_nothing_older_than_the_bound_is_given_however_slow_the_database_is(
    remembered: Remembered[str, str], database: SlowDatabase, clock: FixedClock
) -> None:
    await remembered.get("a")
    clock.advance(REMEMBER_NS / NS_PER_S)
    database.hold()
    waiting = asyncio.create_task(remembered.get("a"))
    await asyncio.to_thread(database.asked.wait, 30)
    assert not waiting.done()
    database.go.set()
    assert await waiting == "a2"


async def test_the_age_counts_from_the_question_not_from_the_answer(
    remembered: Remembered[str, str], database: SlowDatabase, clock: FixedClock
) -> None:
    database.hold()
    waiting = asyncio.create_task(remembered.get("a"))
    await asyncio.to_thread(database.asked.wait, 30)
    clock.advance(2)
    database.go.set()
    assert await waiting == "a1"
    assert await remembered.get("a") == "a2"


async def test_what_was_forgotten_is_asked_for_anew_also_by_a_question_under_way(
    remembered: Remembered[str, str], database: SlowDatabase
) -> None:
    database.hold()
    before = asyncio.create_task(remembered.get("a"))
    await asyncio.to_thread(database.asked.wait, 30)
    await asyncio.to_thread(remembered.forget)
    database.go.set()
    await before
    assert await remembered.get("a") == "a2"


async def test_what_the_database_raises_is_told_and_not_remembered(
    remembered: Remembered[str, str], database: SlowDatabase, clock: FixedClock
) -> None:
    await remembered.get("a")
    clock.advance(REMEMBER_NS / NS_PER_S)
    database.fault = OSError("disk")
    with pytest.raises(OSError, match="disk"):
        await remembered.get("a")
    database.fault = None
    assert await remembered.get("a") == "a2"


async def test_who_leaves_while_it_waits_does_not_take_the_answer_from_the_others(
    remembered: Remembered[str, str], database: SlowDatabase
) -> None:
    database.hold()
    leaving, staying = (asyncio.create_task(remembered.get("a")) for _ in range(2))
    await asyncio.to_thread(database.asked.wait, 30)
    leaving.cancel()
    database.go.set()
    assert await staying == "a1"


async def test_no_more_is_remembered_than_the_bound(
    remembered: Remembered[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert module.MAX_REMEMBERED == 4_096
    monkeypatch.setattr(module, "MAX_REMEMBERED", 2)
    for key in "abca":
        await remembered.get(key)
    assert list(remembered._answers) == ["c", "a"]


async def test_no_more_questions_are_asked_at_once_than_the_bound(
    database: SlowDatabase, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    most, now, lock = 0, 0, threading.Lock()
    monkeypatch.setattr(module, "MAX_ASKING", 2)

    def ask(key: str) -> str:
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
        database.ask(key)
        with lock:
            now -= 1
        return key

    remembered = Remembered(ask, clock)
    database.hold()
    waiting = [asyncio.create_task(remembered.get(str(number))) for number in range(8)]
    await asyncio.to_thread(database.asked.wait, 30)
    database.go.set()
    await asyncio.gather(*waiting)
    assert most <= 2
