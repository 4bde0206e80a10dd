"""`tallystick-server log create`."""

from __future__ import annotations

from pathlib import Path

import click

from tallystick.chain import HttpTransport
from tallystick.ids import checksum_address, parse_address, to_hex
from tallystick.keys import Wallet, read_secret_file
from tallystick_platform.anchor import create_log
from tallystick_platform.cli.output import show
from tallystick_platform.sealing import open_keyring
from tallystick_platform.settings import load_settings


def create(*, rpc: str, contract: str | None, key: Path | None, as_json: bool) -> None:
    """Make a log."""
    wallet = Wallet.from_text(read_secret_file(key)) if key is not None else open_keyring(load_settings()).operator
    click.echo(f"making a log for writer {checksum_address(wallet.address)}; this waits for blocks", err=True)
    where = create_log(HttpTransport(rpc), wallet, contract=None if contract is None else parse_address(contract))
    settings = {
        "TALLYSTICK_CHAIN_ID": str(where.chain_id),
        "TALLYSTICK_CONTRACT": checksum_address(where.contract),
        "TALLYSTICK_LOG_ID": to_hex(where.log_id),
    }
    show(settings, as_json=as_json, text="\n".join(f"{name}={value}" for name, value in settings.items()))
