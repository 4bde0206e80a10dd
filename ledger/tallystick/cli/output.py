"""Where results and progress go."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

MAX_FILE_BYTES: Final = 4_194_304
"""Lists of files and keys are far smaller; a larger file is something else."""


class Page(Console):
    """A console that leaves it to the edge to end the program."""

    def on_broken_pipe(self) -> None:
        """Tell the edge: the exit code that the library would end with means something else here."""
        raise BrokenPipeError


def put_json(document: object) -> None:
    """Print one JSON document on standard output; escaped to ASCII, so that what a record holds cannot steer a terminal."""
    click.echo(json.dumps(document, indent=2))


def put_page(page: Text) -> None:
    """Print a page on standard output: coloured on a terminal unless NO_COLOR is set, never wrapped."""
    Page(file=sys.stdout, soft_wrap=True, highlight=False, emoji=False, markup=False).print(page)


@contextmanager
def progress(what: str, *, in_bytes: bool = False) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on standard error that takes (done, total); None where standard error is no terminal."""
    console = Page(stderr=True)
    if not console.is_terminal:
        yield None
        return
    counts = (DownloadColumn(), TransferSpeedColumn()) if in_bytes else (MofNCompleteColumn(),)
    columns = (TextColumn("{task.description}"), BarColumn(), *counts, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)

        def tell(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield tell


def read_file(path: Path, most: int = MAX_FILE_BYTES) -> bytes:
    """The bytes of a file that was named on the command line.

    Raises: ClickException, which ends with exit code 2.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise click.FileError(str(path), error.strerror or str(error)) from error
    if len(data) > most:
        raise click.FileError(str(path), f"is longer than {most} bytes")
    return data
