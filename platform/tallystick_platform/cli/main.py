"""The commands, without what they do: that is imported when one runs."""

from __future__ import annotations

from pathlib import Path

import click

from tallystick_platform.cli.model_commands import model
from tallystick_platform.cli.output import json_option, reports_errors

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}


@click.group(
    context_settings=CONTEXT,
    epilog="Settings come from TALLYSTICK_* environment variables; `tallystick-server config show` lists them.",
)
@click.version_option(package_name="tallystick", prog_name="tallystick-server")
def main() -> None:
    """Serve inference that proves what it did."""


@main.command(epilog="Example: TALLYSTICK_PORT=9000 tallystick-server serve")
@json_option
@reports_errors
def serve(as_json: bool) -> None:
    """Serve until stopped. SIGTERM or Ctrl-C finishes what is under way; a second one ends at once."""
    from tallystick_platform.cli.serving import run

    run(as_json=as_json)


main.add_command(model)


@main.group()
def token() -> None:
    """API tokens: bound to a sender's address, hashed at rest, shown once."""


@token.command(
    "create",
    epilog="Example: tallystick-server token create --name my-app --address 0x52908400098527886E0F7030069857D2E4169EE7",
)
@click.option("--name", required=True, help="What the token is for, 1 to 128 characters.")
@click.option(
    "--address", required=True, help="The sender that requests with this token are from, 0x and 40 hex digits."
)
@click.option(
    "--expires-days", type=click.FloatRange(min=0, min_open=True), help="Days until it expires. Unset: never."
)
@json_option
@reports_errors
def token_create(name: str, address: str, expires_days: float | None, as_json: bool) -> None:
    """Make a token and print it, this once."""
    from tallystick_platform.cli.tokens import create

    create(name=name, address=address, expires_days=expires_days, as_json=as_json)


@token.command("list", epilog="Example: tallystick-server token list --json")
@json_option
@reports_errors
def token_list(as_json: bool) -> None:
    """List every token ever made, without the tokens themselves."""
    from tallystick_platform.cli.tokens import list_all

    list_all(as_json=as_json)


@token.command("revoke", epilog="Example: tallystick-server token revoke 0192f3c4-...")
@click.argument("token_id")
@json_option
@reports_errors
def token_revoke(token_id: str, as_json: bool) -> None:
    """Withdraw a token for good; a running server refuses it within a second."""
    from tallystick_platform.cli.tokens import revoke

    revoke(token_id=token_id, as_json=as_json)


@main.group()
def config() -> None:
    """The settings."""


@config.command("show", epilog="Example: TALLYSTICK_MODE=production tallystick-server config show")
@json_option
@reports_errors
def config_show(as_json: bool) -> None:
    """Show every setting as it would be used, secrets redacted."""
    from tallystick_platform.cli.configuration import show_settings

    show_settings(as_json=as_json)


@main.group()
def journal() -> None:
    """The journal."""


@journal.command("check", epilog="Example: tallystick-server journal check && echo intact")
@json_option
@reports_errors
def journal_check(as_json: bool) -> None:
    """Walk the whole journal and name whatever does not fit. Exit code 1 if anything does not."""
    from tallystick_platform.cli.journal import check

    check(as_json=as_json)


@main.group()
def log() -> None:
    """The log on the chain."""


@log.command("create", epilog="Example: tallystick-server log create --rpc https://node.example")
@click.option("--rpc", required=True, help="JSON-RPC URL of the node.")
@click.option("--contract", help="An InferenceLedger that is deployed already. Unset: one is deployed.")
@click.option(
    "--key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Wallet file of the log's writer. Unset: the operator's.",
)
@json_option
@reports_errors
def log_create(rpc: str, contract: str | None, key: Path | None, as_json: bool) -> None:
    """Make a log on a chain of your choice, and print the settings that name it. The wallet pays."""
    from tallystick_platform.cli.logs import create

    create(rpc=rpc, contract=contract, key=key, as_json=as_json)


@main.command(epilog="Example: tallystick-server doctor --json")
@json_option
@reports_errors
def doctor(as_json: bool) -> None:
    """Look for what would keep the service from starting or working. Exit code 1 if something would."""
    from tallystick_platform.cli.doctor import examine

    examine(as_json=as_json)
