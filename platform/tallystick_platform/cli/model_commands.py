"""The `model` commands, without what they do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tallystick_platform.cli.output import FILE, Command, reports

REFERENCE = "MODEL or MODEL@VERSION"


@click.group()
def model() -> None:
    """Models: registered, versioned, named by the digest of their files."""


@model.command(
    "add",
    epilog="Examples: tallystick-server model add ./my-model --production | "
    "tallystick-server model add hf:owner/name@main --name mine | "
    "tallystick-server model add ./adapter --base mine",
)
@click.argument("source")
@click.option("--name", help="What the model is called. Unset: after its folder, file or repository.")
@click.option("--base", help=f"For an adapter: the registered model that it belongs to, {REFERENCE}.")
@click.option("--owner", help="Address of its owner, 0x and 40 hex digits. Unset: the operator's.")
@click.option("--private", is_flag=True, help="Nobody but its owner sees it.")
@click.option("--licence", help="Its licence, where the files do not say or say it wrong.")
@click.option("--price-per-hour", type=click.FloatRange(min=0, max=1_000_000), help="Instead of the provider's price.")
@click.option("--currency", help="ISO 4217 code of the price. Unset: the provider's.")
@click.option("--production", is_flag=True, help="Offer it to everybody who may see it, at once.")
@click.option("--pin", is_flag=True, help="Keep it loaded.")
@click.option("--task", default="chat", show_default=True, help="For an upstream: what its model is for.")
@click.option("--upstream-model", help="For an upstream: its own name for the model. Unset: --name.")
@click.option("--key-variable", help="For an upstream: the environment variable that holds the key for it.")
@reports
def add(as_json: bool, **options: object) -> None:
    """Register a model.

    SOURCE is a folder, a .gguf, .onnx or .skops file, hf:OWNER/NAME[@REVISION], a URL, or a packaged model: `demo`, `demo-embedding` or
    `demo-transcription`.
    """
    from tallystick_platform.cli.models import Wanted
    from tallystick_platform.cli.models import add as run

    run(Wanted(**options), as_json=as_json)  # type: ignore[arg-type]  # click has checked each


@model.command("list", epilog="Example: tallystick-server model list --json")
@reports
def list_models(as_json: bool) -> None:
    """List every version of every model."""
    from tallystick_platform.cli.models import list_all

    list_all(as_json=as_json)


@model.command("show", epilog="Example: tallystick-server model show my-model")
@click.argument("reference", metavar="MODEL[@VERSION]")
@reports
def show(reference: str, as_json: bool) -> None:
    """Show a model with its versions, or one version."""
    from tallystick_platform.cli.models import show_one

    show_one(reference=reference, as_json=as_json)


@model.command("verify", epilog="Example: tallystick-server model verify my-model && echo intact")
@click.argument("reference", metavar="MODEL[@VERSION]")
@reports
def verify(reference: str, as_json: bool) -> None:
    """Hash a version's files anew and check its signature. Exit code 1 if they are not what was registered."""
    from tallystick_platform.cli.models import verify as run

    run(reference=reference, as_json=as_json)


@model.command(
    "upload",
    epilog="Example: tallystick-server model upload ./my-model --to https://server.example --token-file token.txt",
)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--to", required=True, help="Base URL of the server.")
@click.option(
    "--token-file",
    required=True,
    type=FILE,
    help="File with an API token, readable by its owner alone.",
)
@click.option("--name", help="What the model is called there. Unset: after the folder.")
@click.option("--public", is_flag=True, help="Everybody may see it once it is promoted.")
@click.option("--base", help="For an adapter: the model there that it belongs to.")
@reports
def upload(**options: Any) -> None:
    """Upload a folder to a server, in parts. Run it again after an interruption: it goes on where it stopped."""
    from tallystick_platform.cli.uploading import upload as run

    run(**options)


def _change(name: str, text: str) -> Command:
    @model.command(name, help=text, epilog=f"Example: tallystick-server model {name} my-model@0123456789ab")
    @click.argument("reference", metavar="MODEL[@VERSION]")
    @reports
    def command(reference: str, as_json: bool) -> None:
        from tallystick_platform.cli.models import change

        change(name, reference=reference, as_json=as_json)

    return command


CHANGES: dict[str, Callable[..., None]] = {
    name: _change(name, text)
    for name, text in {
        "promote": "Offer a version to everybody who may see the model.",
        "retire": "Withdraw a version: it answers nothing new and stays on disk.",
        "remove": "Forget a version and give its space back. Not one that is in production, pinned or another's base.",
        "pin": "Keep a version loaded; a running server loads it at its next start.",
        "unpin": "Let a version be unloaded when memory is short.",
    }.items()
}
