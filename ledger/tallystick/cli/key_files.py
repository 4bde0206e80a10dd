"""`tallystick keys new`: an auditor's key pair, or a wallet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click

from tallystick.cli.options import json_option, path_option
from tallystick.cli.output import put_json
from tallystick.errors import KeyFileError
from tallystick.ids import checksum_address
from tallystick.keys import AuditorKey, Wallet, write_secret_file

EXAMPLES: Final = """\b
Examples:
  tallystick keys new auditor --out auditor     writes auditor.key and auditor.pub
  tallystick keys new wallet --out alice        writes alice.key
"""


@click.group(short_help="Make keys.")
def keys() -> None:
    """Make keys."""


@keys.command(epilog=EXAMPLES)
@click.argument("kind", type=click.Choice(["auditor", "wallet"]))
@path_option("--out", metavar="PATH", help="Where to write, without the ending; else the kind's name.")
@json_option
def new(kind: str, out: Path | None, as_json: bool) -> None:
    """Make a key and write it to a file that only its owner can read.

    An auditor's key opens records: give the operator the .pub file, and from the next epoch on each epoch's key is wrapped
    for it on the chain. A wallet signs. An existing file is never overwritten.
    """
    base = Path(kind) if out is None else out
    secret_path = base.with_name(base.name + ".key")
    if kind == "wallet":
        wallet = Wallet.generate()
        write_secret_file(secret_path, wallet.to_text())
        made = {"key": str(secret_path), "address": checksum_address(wallet.address)}
    else:
        public_path = base.with_name(base.name + ".pub")
        if public_path.exists():
            raise KeyFileError(str(public_path), "exists already; it is never overwritten")
        auditor = AuditorKey.generate()
        write_secret_file(secret_path, auditor.to_text())
        _write_public(public_path, auditor.public.to_text())
        made = {"key": str(secret_path), "public": str(public_path), "key_id": auditor.key_id.hex()}
    if as_json:
        put_json({"kind": kind, **made})
    else:
        for name, value in made.items():
            click.echo(f"{name} {value}")


def _write_public(path: Path, line: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(descriptor, "w") as file:
            file.write(line + "\n")
    except OSError as error:
        raise KeyFileError(str(path), error.strerror or str(error)) from error
