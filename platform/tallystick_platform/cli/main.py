"""The commands, without what they do: that is imported when one runs."""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import Any

import click

from tallystick_platform.cli.model_commands import model
from tallystick_platform.cli.output import FILE, Command, reports

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}


@click.group(
    context_settings=CONTEXT,
    epilog="Settings come from TALLYSTICK_* environment variables; `tallystick-server config show` lists them.",
)
@click.version_option(package_name="tallystick", prog_name="tallystick-server")
def main() -> None:
    """Serve inference that proves what it did."""


@main.command(epilog="Example: TALLYSTICK_PORT=9000 tallystick-server serve")
@reports
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
@reports
def token_create(**options: Any) -> None:
    """Make a token and print it, this once."""
    from tallystick_platform.cli.tokens import create

    create(**options)


@token.command("list", epilog="Example: tallystick-server token list --json")
@reports
def token_list(as_json: bool) -> None:
    """List every token ever made, without the tokens themselves."""
    from tallystick_platform.cli.tokens import list_all

    list_all(as_json=as_json)


@token.command("revoke", epilog="Example: tallystick-server token revoke 0192f3c4-...")
@click.argument("token_id")
@reports
def token_revoke(token_id: str, as_json: bool) -> None:
    """Withdraw a token for good; a running server refuses it within a second."""
    from tallystick_platform.cli.tokens import revoke

    revoke(token_id=token_id, as_json=as_json)


@main.group()
def config() -> None:
    """The settings."""


@config.command("show", epilog="Example: TALLYSTICK_MODE=production tallystick-server config show")
@reports
def config_show(as_json: bool) -> None:
    """Show every setting as it would be used, secrets redacted."""
    from tallystick_platform.cli.opening import show_settings

    show_settings(as_json=as_json)


@main.group()
def journal() -> None:
    """The journal."""


@journal.command("check", epilog="Example: tallystick-server journal check && echo intact")
@reports
def journal_check(as_json: bool) -> None:
    """Walk the whole journal and name whatever does not fit. Exit code 1 if anything does not."""
    from tallystick_platform.cli.journal import check

    check(as_json=as_json)


@journal.command("adopt", epilog="Example: tallystick-server journal adopt")
@click.option(
    "--restored", is_flag=True, help="The journal is a backup, although the chain holds nothing more than it."
)
@click.option(
    "--margin",
    type=click.IntRange(min=1),
    help="Numbers to pass over: more than the lost server had admitted and not anchored. Unset: what the settings let it.",
)
@click.option(
    "--previous-key",
    type=FILE,
    help="The operator's key before the writer was changed: the journal is brought under the new one first.",
)
@reports
def journal_adopt(**options: Any) -> None:
    """Let a journal that was restored from a backup go on behind its chain.

    What the chain holds and the journal does not is read and checked; the numbers that nobody knows are declared void, in public and for
    ever. The server must be stopped. Nothing is changed where journal and chain went apart.
    """
    from tallystick_platform.cli.journal import adopt

    adopt(**options)


@main.group()
def log() -> None:
    """The log on the chain."""


def signing_options(command: Command) -> Command:
    """Who signs a command's transaction: gives it a `signing`."""

    @click.option("--key", type=FILE, help="Wallet file or keystore of the account that signs and pays.")
    @click.option("--password-file", type=FILE, help="File of mode 0600 with the keystore's password.")
    @click.option("--signer-url", help="JSON-RPC URL of a signer (web3signer, clef) that signs in its place.")
    @click.option("--account", help="The account that the signer signs for.")
    @wraps(command)
    def run(
        key: Path | None, password_file: Path | None, signer_url: str | None, account: str | None, **options: Any
    ) -> None:
        from tallystick_platform.cli.chains import Signing

        signing = Signing(key=key, password_file=password_file, signer_url=signer_url, account=account)
        command(signing=signing, **options)

    return run


@log.command(
    "create",
    epilog="Example: tallystick-server log create --rpc https://node.example --keeper 0x52908400098527886E0F7030069857D2E4169EE7",
)
@click.option("--rpc", required=True, help="JSON-RPC URL of the node.")
@click.option(
    "--keeper", required=True, help="Address that alone may name another writer, for life; its key can stay cold."
)
@click.option("--writer", help="Address that writes the log. Unset: the account that signs.")
@click.option(
    "--promise",
    "promise_s",
    type=click.IntRange(60, 2_592_000),
    help="Seconds within which each admission's record is on the chain, for life. Unset: TALLYSTICK_LOG_PROMISE_S.",
)
@click.option(
    "--skew",
    "skew_s",
    type=click.IntRange(0, 3_600),
    help="Seconds that the writer's clock may be from the chain's, for life. Unset: TALLYSTICK_LOG_SKEW_S.",
)
@click.option("--contract", help="An InferenceLedger that is deployed already. Unset: one is deployed.")
@signing_options
@reports
def log_create(**options: Any) -> None:
    """Make a log on a chain of your choice, and print the settings that name it. The account pays; unset, it is the operator's."""
    from tallystick_platform.cli.logs import create

    create(**options)


@log.command(
    "rotate",
    epilog="Example: tallystick-server log rotate --writer 0x52908400098527886E0F7030069857D2E4169EE7 --key keeper.key",
)
@click.option("--writer", required=True, help="Address that writes the log from now on.")
@click.option(
    "--last-admission",
    type=click.IntRange(min=0),
    help="Highest admission number of the present writer. Unset: by this home's journal, which must be anchored.",
)
@signing_options
@reports
def log_rotate(**options: Any) -> None:
    """Name another writer of this home's log, with the keeper's key. The server must be stopped."""
    from tallystick_platform.cli.logs import rotate

    rotate(**options)


@main.command(epilog="Example: tallystick-server doctor --json")
@reports
def doctor(as_json: bool) -> None:
    """Look for what would keep the service from starting or working. Exit code 1 if something would."""
    from tallystick_platform.cli.doctor import examine

    examine(as_json=as_json)
