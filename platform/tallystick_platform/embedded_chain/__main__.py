"""The chain's own process: `python -m tallystick_platform.embedded_chain --path DIR`.

It prints one line of JSON when it is ready, and stops when its standard input closes: that is how it learns that whoever started
it is gone, however that happened.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from pathlib import Path

import click

from tallystick.errors import IdError
from tallystick.ids import Address, parse_address
from tallystick_platform.embedded_chain.chain import EmbeddedChain
from tallystick_platform.embedded_chain.rules import DEFAULT_CHAIN_ID
from tallystick_platform.embedded_chain.server import ChainServer
from tallystick_platform.errors import PlatformError
from tallystick_platform.logs import configure_logs

EXIT_CANNOT_OPEN = 2
SWITCH_INTERVAL_S = 0.0005
"""Executing is all Python: without shorter turns, a read would wait 5 ms for each of the steps between its threads."""


class _AddressType(click.ParamType[Address]):
    name = "address"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        try:
            return parse_address(value)
        except IdError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.option("--path", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the chain.")
@click.option("--port", type=click.IntRange(0, 65535), default=8545, show_default=True, help="0 takes a free one.")
@click.option("--chain-id", type=click.IntRange(1, 2**53 - 1), default=DEFAULT_CHAIN_ID, show_default=True)
@click.option("--prefund", type=_AddressType(), multiple=True, help="Address with a balance in the first block.")
def main(path: Path, port: int, chain_id: int, prefund: tuple[Address, ...]) -> None:
    """Serve the embedded chain on loopback until standard input closes."""
    configure_logs("info")
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        chain = EmbeddedChain(path, chain_id=chain_id, prefund=prefund)
    except PlatformError as error:
        click.echo(f"embedded chain: {error}", err=True)
        sys.exit(EXIT_CANNOT_OPEN)
    try:
        asyncio.run(_serve(chain, port))
    except OSError as error:
        click.echo(f"embedded chain: port {port}: {error.strerror or error}", err=True)
        sys.exit(EXIT_CANNOT_OPEN)
    finally:
        chain.close()


async def _serve(chain: EmbeddedChain, port: int) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    server = ChainServer(chain, port)
    await server.start()
    threading.Thread(target=_watch_input, args=(loop, stopped), daemon=True).start()
    click.echo(json.dumps({"ready": True, "rpc_url": server.url, "chain_id": chain.chain_id}))
    sys.stdout.flush()
    await stopped.wait()
    await server.stop()


def _watch_input(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    # The descriptor itself, not sys.stdin: a buffered reader blocked in a daemon thread can abort the interpreter's exit.
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        pass  # there is no standard input at all
    loop.call_soon_threadsafe(stopped.set)


if __name__ == "__main__":
    main()
