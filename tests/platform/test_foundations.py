"""Clock, logs and metrics."""

from __future__ import annotations

import errno
import io
import json
import time

import pytest
import structlog

from tallystick_platform.clock import SystemClock
from tallystick_platform.logs import PRIVATE_FIELDS, REDACTED, configure_logs
from tallystick_platform.metrics import Metrics


def test_the_system_clock_never_runs_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([5_000_000, 3_000_000, 7_000_000])
    monkeypatch.setattr(time, "time_ns", lambda: next(readings))
    clock = SystemClock()
    assert [clock.now_us() for _ in range(3)] == [5_000, 5_000, 7_000]


def test_the_system_clock_says_how_far_it_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([7_000_000_000, 1_500_000_000, 1_500_000_000, 8_000_000_000])
    monkeypatch.setattr(time, "time_ns", lambda: next(readings))
    clock = SystemClock()
    assert (clock.now_us(), clock.now_us()) == (7_000_000, 7_000_000)
    assert [clock.held_s() for _ in range(2)] == [5.5, 0.0]


def test_a_log_line_is_one_json_object_with_a_time_and_a_level() -> None:
    stream = io.StringIO()
    configure_logs("info", stream)
    structlog.get_logger().info("journal.opened", size=3)
    line = json.loads(stream.getvalue())
    assert (line["event"], line["size"], line["level"]) == ("journal.opened", 3, "info")
    assert line["timestamp"].endswith("Z")


class Terminal(io.StringIO):
    """A stream at which a person sits."""

    def isatty(self) -> bool:
        return True


def test_a_person_at_a_terminal_reads_lines_and_a_program_reads_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for form, at_terminal, as_json in (
        ("auto", False, True),
        ("auto", True, False),
        ("json", True, True),
        ("text", False, False),
    ):
        stream = Terminal() if at_terminal else io.StringIO()
        configure_logs("info", stream, form=form)
        structlog.get_logger().info("journal.opened", size=3, prompt="What is a tally stick?")
        line = stream.getvalue()
        assert line.startswith("{") is as_json
        assert "journal.opened" in line
        assert "tally stick" not in line
        assert ("\x1b[" in line) is (at_terminal and not as_json)


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_without_colours_gets_none(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    stream = Terminal()
    configure_logs("info", stream, form="auto")
    structlog.get_logger().info("journal.opened")
    assert "journal.opened" in stream.getvalue()
    assert "\x1b[" not in stream.getvalue()


def test_a_traceback_for_a_person_has_no_local_variables_either() -> None:
    stream = io.StringIO()
    configure_logs("info", stream, form="text")
    prompt = "What is a tally stick?"
    try:
        {}[len(prompt)]
    except KeyError as error:
        structlog.get_logger().error("engine.failed", exc_info=error)
    assert "KeyError" in stream.getvalue()
    assert prompt not in stream.getvalue()


@pytest.mark.parametrize("name", sorted(PRIVATE_FIELDS))
def test_what_a_request_said_is_never_logged(name: str) -> None:
    stream = io.StringIO()
    configure_logs("debug", stream)
    structlog.get_logger().info("exchange.done", **{name: "What is a tally stick?"})
    assert json.loads(stream.getvalue())[name] == REDACTED


class FullDisk(io.StringIO):
    """A log that has room again after a while."""

    full = True

    def flush(self) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")


def test_a_line_that_cannot_be_written_ends_nothing_and_the_next_one_may_stand() -> None:
    stream = FullDisk()
    configure_logs("info", stream)
    log = structlog.get_logger()
    log.error("journal.group_failed", error="database or disk is full")
    stream.full = False
    log.info("journal.opened")
    assert json.loads(stream.getvalue().splitlines()[-1])["event"] == "journal.opened"


def test_a_traceback_is_logged_without_local_variables() -> None:
    stream = io.StringIO()
    configure_logs("debug", stream)
    prompt = "What is a tally stick?"
    try:
        {}[len(prompt)]
    except KeyError as error:
        structlog.get_logger().error("engine.failed", exc_info=error)
    assert "KeyError" in stream.getvalue()
    assert prompt not in stream.getvalue()


def test_lines_below_the_level_are_not_written() -> None:
    stream = io.StringIO()
    configure_logs("warning", stream)
    structlog.get_logger().info("journal.opened")
    assert stream.getvalue() == ""


def test_two_servers_in_one_process_have_metrics_of_their_own() -> None:
    first, second = Metrics(), Metrics()
    first.journal_failures.inc()
    assert second.registry.get_sample_value("tallystick_journal_failures_total") == 0


def teardown_module() -> None:
    structlog.reset_defaults()
