"""Progress on standard error, where a person looks at it: a bar for one piece of work, and what a start of the service waits for."""

from __future__ import annotations

import os
import pty
import sys
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

STDERR = 2
REDRAW_S = 0.1
LAST_LINES_S = 0.2  # for what was written before the display was left; children may hold its terminal open for ever


@contextmanager
def progress_bar(*, as_json: bool) -> Iterator[Callable[[str, float], None]]:
    """Give a function that is told what is being done, and how much of it, from 0 to 1."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=as_json or not console.is_terminal) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda stage, fraction: bar.update(task, description=stage, completed=fraction)


class StartDisplay:
    """A row for each thing that a start waits for, below the lines that are printed through it. Once it is left it shows nothing more.

    Whoever draws holds the lock: rich's own thread would move the cursor by a height that a line from another thread has changed.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows = Progress(
            SpinnerColumn("line"),  # in ASCII: a terminal may know nothing else
            TextColumn("{task.description}", markup=False),
            BarColumn(20),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._row_of: dict[str, TaskID] = {}
        self._lock = threading.Lock()
        self._left = threading.Event()

    def __enter__(self) -> Self:
        self._rows.start()
        threading.Thread(target=self._tick, name="start-display-clock", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Show nothing more."""
        with self._lock:
            self._left.set()
            self._rows.stop()

    def show(self, what: str, stage: str, fraction: float) -> bool:
        """Show how far something is; whether it is shown. Called from any thread. What begins again once it was done gets another row."""
        with self._lock:
            if self._left.is_set():
                return False
            row = self._row_of.get(what)
            if row is None or (fraction < 1 and self._rows.tasks[row].finished):
                row = self._row_of[what] = self._rows.add_task(f"{what}: {stage}", total=1.0)
            self._rows.update(row, description=f"{what}: {stage}", completed=min(fraction, 1.0))
            return True

    def line(self, text: str) -> None:
        """A line above the rows, with the colours that it has."""
        with self._lock:
            self._console.print(Text.from_ansi(text), soft_wrap=True)

    def _tick(self) -> None:
        while not self._left.wait(REDRAW_S):
            with self._lock:
                if not self._left.is_set():
                    self._rows.refresh()


@contextmanager
def start_display() -> Iterator[StartDisplay]:
    """A display on standard error. Requires: that is a terminal.

    What was written there past it would tear its rows. So this process, and the children that it starts meanwhile, write to a terminal of
    their own; what arrives there is printed above the rows, of the children until they end.
    """
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    terminal = os.dup(STDERR)
    file = os.fdopen(terminal, "w", encoding=sys.stderr.encoding, errors="backslashreplace")
    display = StartDisplay(Console(file=file))
    os.dup2(theirs, STDERR)
    os.close(theirs)
    printing = threading.Thread(target=_print_lines, args=(ours, display), name="start-display", daemon=True)
    printing.start()
    try:
        with display:
            yield display
    finally:
        sys.stderr.flush()
        os.dup2(terminal, STDERR)
        printing.join(LAST_LINES_S)


def _print_lines(source: int, display: StartDisplay) -> None:
    """Until nobody is left who could write."""
    with (
        open(source, encoding="utf-8", errors="replace") as lines,
        suppress(OSError),
    ):  # Linux says EIO when the last one has left
        for line in lines:
            display.line(line.rstrip("\r\n"))
