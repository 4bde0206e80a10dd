"""Work that is cut into pieces."""

import threading

import pytest

from tallystick_platform.engine.turns import GivenUp, in_turns


def test_work_stands_still_until_it_is_asked_to_go_on():
    seen = []

    def work(turn):
        for at in range(3):
            seen.append(at)
            turn()
        return "done"

    going = in_turns(work)
    assert seen == []
    for at in range(3):
        assert next(going) is None
        assert seen == list(range(at + 1))
    assert list(going) == ["done"]


def test_what_the_work_raises_is_raised_to_who_waits():
    def work(turn):
        turn()
        raise RuntimeError("out of memory")

    going = in_turns(work)
    assert next(going) is None
    with pytest.raises(RuntimeError, match="out of memory"):
        next(going)


def test_work_that_nobody_waits_for_ends():
    ended = []

    def work(turn):
        try:
            while True:
                turn()
        except GivenUp:
            ended.append(threading.current_thread())
            raise

    going = in_turns(work)
    next(going)
    going.close()
    assert len(ended) == 1
    assert not ended[0].is_alive()
