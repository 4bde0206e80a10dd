"""The command and its edge: results on standard output, the rest on standard error, three exit codes.

0 all that was asked for was checked and holds (or done), 1 somebody is proven to have contradicted himself, 2 something asked for could
not be checked: grep's convention. Nothing else ends with 1, not a malformed file and not a defect in this program, so that a script may
take 1 for what it says.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, NoReturn

import click

from tallystick.errors import Party, PullError, TallystickError, VerificationError

COULD_NOT_CHECK: Final = 2
COMMANDS: Final = {
    "verify": "tallystick.cli.verifying:verify",
    "show": "tallystick.cli.records:show",
    "disclose": "tallystick.cli.records:disclose",
    "trust": "tallystick.cli.trusting:trust",
    "fetch": "tallystick.cli.fetching:fetch",
    "pull": "tallystick.cli.pulling:pull",
    "keys": "tallystick.cli.key_files:keys",
    "doctor": "tallystick.cli.doctor:doctor",
}


def release() -> str:
    """The version that is installed, or what to say when nothing is."""
    try:
        return version("tallystick")
    except PackageNotFoundError:
        return "(not installed)"


class _ReaderGone(Exception):
    """Whoever read standard output went away."""


class Program(click.Group):
    """A group that loads a command when it is named, and turns every error into an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of first use, not of the alphabet."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command."""
        del ctx
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run, and leave with the exit code."""
        del standalone_mode  # this is the edge, always
        arguments = list(sys.argv[1:] if args is None else args)
        sys.exit(self._run(arguments, prog_name or "tallystick", complete_var, extra))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; click itself would end with 1 when nobody reads the output any more."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderGone from error

    def _run(self, arguments: list[str], prog_name: str, complete_var: str | None, extra: dict[str, Any]) -> int:
        as_json = "--json" in arguments
        try:
            result = super().main(arguments, prog_name, complete_var, standalone_mode=False, **extra)
            sys.stdout.flush()
        except click.ClickException as error:
            error.show()
            return _unchecked(error, error.format_message(), as_json=as_json)
        except (click.Abort, KeyboardInterrupt) as error:
            click.echo("stopped", err=True)
            return _unchecked(error, "stopped", as_json=as_json)
        except (_ReaderGone, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter complains once more while it ends
            return COULD_NOT_CHECK
        except TallystickError as error:
            return _told(error, as_json=as_json)
        except Exception as error:  # noqa: BLE001 - the edge: a defect must not end with Python's exit code 1, which means proven wrong
            traceback.print_exc()
            message = "this is a defect in tallystick; nothing was proven either way"
            click.echo(message, err=True)
            return _unchecked(error, message, as_json=as_json)
        return result if isinstance(result, int) else 0


def _told(error: TallystickError, *, as_json: bool) -> int:
    """Say what went wrong, and whether that proves anything."""
    from tallystick.report.printable import printable

    wrong = isinstance(error, VerificationError) and error.accused is not Party.NODE
    outcome = "proven wrong" if wrong else "could not check"
    said = "not fetched" if isinstance(error, PullError) else outcome
    accuses = ""
    if (
        isinstance(error, VerificationError) and error.accused is not Party.FOLDER
    ):  # nobody made a folder's files but who has them
        accuses = f" (accuses {error.accused})"
    click.echo(f"{said}: {printable(str(error))}{accuses}", err=True)
    if as_json:
        shown = {name: value for name, value in vars(error).items() if isinstance(value, str | int)}
        document = {
            "outcome": outcome,
            "exit_code": 1 if wrong else COULD_NOT_CHECK,
            "error": {"kind": type(error).__name__, "message": str(error), **shown},
        }
        click.echo(json.dumps(document, indent=2))
    return 1 if wrong else COULD_NOT_CHECK


def _unchecked(error: BaseException, message: str, *, as_json: bool) -> int:
    """What `--json` says about an end without result."""
    if as_json:
        document = {"outcome": "could not check", "error": {"kind": type(error).__name__, "message": message}}
        click.echo(json.dumps(document, indent=2))
    return COULD_NOT_CHECK


@click.group(
    name="tallystick",
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 all that was asked for holds, 1 somebody is proven to have contradicted himself, "
    "2 something asked for could not be checked. Shell completion: "
    'eval "$(_TALLYSTICK_COMPLETE=bash_source tallystick)".',
)
@click.version_option(version=release(), prog_name="tallystick", message="%(prog)s %(version)s")
def program() -> None:
    """Check what a Tallystick platform did: from a chain node and a key alone."""


def main() -> None:
    """Run the command."""
    program.main()
