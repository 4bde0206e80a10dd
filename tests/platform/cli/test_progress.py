"""What a person sees of a start: rows that move, log lines that stay whole, and neither where nobody looks."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from tallystick_platform.cli.progress import StartDisplay
from tallystick_platform.cli.serving import is_shown
from tests.support.service import BIN, START_LIMIT_S, STOP_LIMIT_S, Service

MOVES = re.compile(r"\x1b\[(\d*)([A-Za-z])|\x1b\[\?25[lh]|([\r\n])|([^\x1b\r\n]+)")


class Terminal(io.StringIO):
    """A stream at which a person sits, and what stands on the screen."""

    def isatty(self) -> bool:
        return True

    @property
    def screen(self) -> list[str]:
        return shown(self.getvalue())


def shown(written: str) -> list[str]:
    """The lines of a wide terminal after all that was written to it. It knows the movements that the display makes, and no others."""
    lines, row, column = [""], 0, 0
    for count, move, control, text in MOVES.findall(re.sub(r"\x1b\[[\d;]*m", "", written)):
        if text:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
            column += len(text)
        elif control == "\r":
            column = 0
        elif control == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif move == "A":
            row -= int(count or 1)
        elif move == "K":
            assert count == "2"
            lines[row] = ""
        else:
            assert not move, f"a movement that no one asked for: {move}"
    return [line.rstrip() for line in lines]


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


@pytest.fixture
def display(terminal: Terminal) -> StartDisplay:
    return StartDisplay(Console(file=terminal, force_terminal=True, width=120, color_system=None))


def test_each_thing_has_a_row_and_what_begins_again_gets_another(terminal: Terminal, display: StartDisplay) -> None:
    with display:
        assert display.show("worker-0", "converting [the] weights", 0.35)
        display.show("registration", "hashing", 0.5)
        display.show("worker-0", "converting [the] weights", 0.3)  # another worker in its place
        display.show("worker-0", "converted", 1.0)
        display.show("worker-0", "loading the weights", 0.0)
    rows = [" ".join(re.findall(r"[\w\[][\w:\[\] %-]*", line)) for line in terminal.screen if line]
    assert [re.sub(r" +\d:\d\d:\d\d$", "", re.sub(r"  +", " ", row)) for row in rows] == [
        "worker-0: converted 100%",
        "registration: hashing 50%",
        "worker-0: loading the weights 0%",
    ]


def test_lines_stand_whole_above_the_rows(terminal: Terminal, display: StartDisplay) -> None:
    long = "journal.recovered path=" + "x" * 200
    with display:
        display.show("worker-0", "loading the weights", 0.1)
        display.line(long)
        display.show("worker-0", "ready", 1.0)
        display.line("\x1b[33manchoring waits\x1b[0m [bold]no answer[/bold]")
    display.line("service.draining")
    first, second, row, third = [line for line in terminal.screen if line]
    assert (first, second, third) == (long, "anchoring waits [bold]no answer[/bold]", "service.draining")
    assert "worker-0: ready" in row


def test_once_left_it_shows_nothing_and_says_so(terminal: Terminal, display: StartDisplay) -> None:
    with display:
        display.show("log", "found", 1.0)
    before = terminal.getvalue()
    assert not display.show("worker-1", "loading the weights", 0.5)
    display.leave()
    assert terminal.getvalue() == before


@pytest.mark.parametrize(
    ("stream", "variables", "log_format", "as_json", "expected"),
    [
        (Terminal(), {}, "auto", False, True),
        (Terminal(), {}, "text", False, True),
        (io.StringIO(), {}, "text", False, False),
        (Terminal(), {"NO_COLOR": "1"}, "auto", False, False),
        (Terminal(), {"TERM": "dumb"}, "auto", False, False),
        (Terminal(), {}, "json", False, False),
        (Terminal(), {}, "auto", True, False),
    ],
)
def test_it_is_shown_to_a_person_who_wants_it(
    stream: io.StringIO,
    variables: dict[str, str],
    log_format: str,
    as_json: bool,
    expected: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_shown(stream, log_format=log_format, as_json=as_json) is expected


CHILD = "import os; os.write(2, b'from a child\\n')"
OWN_LINES = f"""
import os, subprocess, sys
from tallystick_platform.cli.progress import start_display
with start_display() as display:
    display.show("worker-0", "starting", 0.0)
    subprocess.run([sys.executable, "-c", {CHILD!r}])
    print("from here", file=sys.stderr, flush=True)
    display.show("worker-0", "ready", 1.0)
os.write(2, b"the end\\n")
"""


def test_what_this_process_and_its_children_write_stands_whole_above_the_rows() -> None:
    ours, its = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm"}
    command = [sys.executable, "-c", OWN_LINES]
    with subprocess.Popen(command, env=environment, stdin=its, stdout=its, stderr=its) as process:
        lines = [line for line in shown(read_until(ours, "the end")) if line]
        assert process.wait(STOP_LIMIT_S) == 0
    os.close(its)
    os.close(ours)
    assert {"from a child", "from here", "the end"} < set(lines), lines
    (row,) = [line for line in lines if "worker-0" in line]
    assert "worker-0: ready" in row
    assert lines.index(row) < lines.index("the end")


@pytest.mark.parametrize("log_format", ["auto", "json"])
def test_a_server_started_at_a_terminal_shows_what_it_waits_for_and_then_the_banner(
    tmp_path: Path, log_format: str
) -> None:
    service = Service(home=tmp_path / "home", environment={"TERM": "xterm", "TALLYSTICK_LOG_FORMAT": log_format})
    environment = {name: value for name, value in service.settings().items() if name != "NO_COLOR"}
    ours, its = pty.openpty()
    command = [str(BIN / "tallystick-server"), "serve"]
    with subprocess.Popen(
        command, env=environment | {"COLUMNS": "120"}, stdin=its, stdout=its, stderr=its, start_new_session=True
    ) as server:
        os.close(its)
        try:
            written = read_until(ours, "auditor.key")
        finally:
            server.send_signal(signal.SIGTERM)
            read_until(ours, None)
            os.close(ours)
        assert server.wait(STOP_LIMIT_S) == 0
    lines = shown(written)
    rows = [line for line in lines if re.search(r"\d+% \d:\d\d:\d\d$", line)]
    if log_format == "json":
        assert rows == []
        assert "\x1b" not in written
        return
    for row, expected in zip(rows, ("service: packages loaded", "log: found", "worker-0: ready"), strict=True):
        assert re.search(rf"^ +{expected} +\S+ 100% \d:\d\d:\d\d$", row)
    logged = [line for line in lines if re.match(r"\d{4}-\d\d-\d\dT", line)]
    assert any("worker.ready" in line for line in logged)
    banner = lines.index("Tallystick is ready (development mode).")
    assert max(lines.index(line) for line in rows) < banner
    assert {line for line in lines[:banner] if line} == {*rows, *logged}


def read_until(terminal: int, text: str | None) -> str:
    """What arrives up to a text, or, without one, until the other side is gone."""
    written, deadline = b"", time.monotonic() + START_LIMIT_S
    while text is None or text.encode() not in written:
        assert time.monotonic() < deadline, written.decode()
        try:
            data = os.read(terminal, 65_536)
        except OSError:  # Linux says so when the last one on the other side has left
            data = b""
        if not data:
            break
        written += data
    return written.decode()
