"""How commands speak: one result on standard output, as text or as JSON, and errors on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import click
import msgspec

from tallystick.errors import TallystickError
from tallystick_platform.errors import PlatformError

EXIT_FOUND = 1
EXIT_COULD_NOT = 2

Command = Callable[..., None]
FILE = click.Path(path_type=Path, dir_okay=False)


def reports(command: Command) -> Command:
    """Give a command `--json`, and turn the service's own errors into a message and exit code 2; others are defects with a traceback."""

    @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except (PlatformError, TallystickError) as error:
            fail(str(error), as_json=bool(options.get("as_json")))

    return run


def show(value: object, *, as_json: bool, text: str) -> None:
    """The result of a command."""
    click.echo(json.dumps(value, indent=2, default=msgspec.to_builtins) if as_json else text)


def fail(message: str, *, as_json: bool, code: int = EXIT_COULD_NOT) -> NoReturn:
    """Say why it could not be done, and end."""
    if as_json:
        click.echo(json.dumps({"error": message}))
    click.echo(f"error: {message}", err=True)
    sys.exit(code)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns."""
    widths = [max(len(row[column]) for row in [headings, *rows]) for column in range(len(headings))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [headings, *rows]
    ]
    return "\n".join(lines)
