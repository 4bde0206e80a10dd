"""Models on their way at a client's word: in turns, watched by who asked, bounded, broken off without a trace."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from tallystick_platform.api.error_table import describe
from tallystick_platform.errors import Overloaded
from tallystick_platform.registry import registrations as module
from tallystick_platform.registry.entries import ModelVersion
from tallystick_platform.registry.errors import SourceUnusable
from tallystick_platform.registry.registrations import Interrupted, Registrations
from tallystick_platform.registry.registry import Progress
from tests.support.journals import ALICE, BOB
from tests.support.registries import Shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


async def test_a_registration_is_seen_by_who_asked_alone(shelf: Shelf) -> None:
    registrations = Registrations()
    started = registrations.start(ALICE, "tiny", lambda _: shelf.add("tiny"))
    assert started.state == "queued"
    await registrations.settled()
    found = registrations.find(started.id, ALICE)
    assert found is not None
    assert (found.state, found.version) == ("finished", shelf.registry.find("tiny", None))
    assert registrations.find(started.id, BOB) is None
    assert registrations.find("reg_none", ALICE) is None


async def test_they_run_one_after_another(shelf: Shelf) -> None:
    registrations, running, most = Registrations(), [0], [0]

    def bring(_: Progress) -> ModelVersion:
        running[0] += 1
        most[0] = max(most[0], running[0])
        running[0] -= 1
        raise SourceUnusable(source="x", reason="y")

    for _ in range(5):
        registrations.start(ALICE, "tiny", bring)
    await registrations.settled()
    assert most == [1]


async def test_one_that_fails_says_why() -> None:
    registrations = Registrations()

    def bring(progress: Progress) -> ModelVersion:
        progress("downloading", 0.5)
        raise SourceUnusable(source="acme/tiny", reason="no such repository")

    started = registrations.start(ALICE, "tiny", bring)
    await registrations.settled()
    assert (started.state, started.stage, started.progress) == ("failed", "downloading", 0.5)
    assert str(started.error) == "acme/tiny: no such repository"


async def test_an_error_that_nobody_expected_ends_it_too_and_leaves_nothing_half_written(shelf: Shelf) -> None:
    registrations = Registrations()

    def bring(progress: Progress) -> ModelVersion:
        with shelf.folders.stage() as staged:
            (staged.folder / "half").write_bytes(b"written")
            progress("copying", 0.5)
            raise ZeroDivisionError("of a library")

    started = registrations.start(ALICE, "tiny", bring)
    await registrations.settled()
    assert (started.state, shelf.left()) == ("failed", [])
    assert started.error is not None
    assert describe(started.error).status == 500


async def test_stopping_breaks_off_what_runs_and_what_waits(shelf: Shelf) -> None:
    registrations, reached = Registrations(), threading.Event()

    def bring(progress: Progress) -> ModelVersion:
        with shelf.folders.stage():
            reached.set()
            while True:
                progress("copying", 0.1)

    running = registrations.start(ALICE, "tiny", bring)
    waiting = registrations.start(ALICE, "other", bring)
    await asyncio.to_thread(reached.wait)
    await registrations.stop()
    assert (running.state, waiting.state) == ("failed", "failed")
    assert isinstance(running.error, Interrupted)
    assert shelf.left() == []


async def test_what_waits_and_what_is_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    monkeypatch.setattr(module, "MAX_KEPT", 2)
    registrations = Registrations()

    def bring(_: Progress) -> ModelVersion:
        raise SourceUnusable(source="x", reason="y")

    started = [registrations.start(ALICE, f"m{number}", bring) for number in range(3)]
    with pytest.raises(Overloaded):
        registrations.start(ALICE, "one-more", bring)
    await registrations.settled()
    assert [registrations.find(one.id, ALICE) is not None for one in started] == [False, True, True]
