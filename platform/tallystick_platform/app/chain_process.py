"""The embedded chain as a supervised child: started, watched, started again when it dies, gone when this process is.

The child learns that its parent is gone from the end of its standard input, so not even a SIGKILL of the parent leaves it behind.
It runs in a session of its own: a Ctrl-C in the terminal is for the parent, which still anchors while it drains.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from tallystick.ids import Address, checksum_address
from tallystick_platform.errors import PlatformError

READY_LIMIT_S = 60.0
STOP_LIMIT_S = 10.0
STEADY_S = 30.0  # a child that lived this long starts again without a pause
MAX_BACKOFF_S = 10.0
FIRST_BACKOFF_S = 0.1
MAX_READY_LINE_BYTES = 4_096
EMBEDDED_CHAIN_PACKAGES = ("eth", "eth_bloom", "rlp")

_log = structlog.get_logger(__name__)


def how_to_install(extra: str) -> str:
    """The commands that bring the packages of an extra, from a checkout or without one."""
    return f"pip install 'tallystick[{extra}]' (in a checkout: pip install '.[{extra}]')"


class ChainNotStarted(PlatformError):
    """The embedded chain's process did not become ready."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"the embedded chain did not start: {reason}")


class ChainNotInstalled(PlatformError):
    """The embedded chain was asked for, and its packages are not here."""

    def __init__(self) -> None:
        super().__init__(
            "no chain to write to: set TALLYSTICK_CHAIN_RPC to a node of your own, "
            f"or install the embedded chain: {how_to_install('devchain')}"
        )


def embedded_chain_installed() -> bool:
    """Whether the packages of the embedded chain are here; nothing is imported to find out."""
    return all(importlib.util.find_spec(name) is not None for name in EMBEDDED_CHAIN_PACKAGES)


@dataclass(kw_only=True, eq=False)
class ChainProcess:
    """One embedded chain. `command` is for tests, which start something smaller."""

    path: Path
    port: int
    chain_id: int
    prefund: Sequence[Address]
    command: Sequence[str] | None = None
    restarts: int = field(default=0, init=False)
    rpc_url: str = field(default="", init=False)
    _child: asyncio.subprocess.Process | None = field(default=None, init=False)
    _supervisor: asyncio.Task[None] | None = field(default=None, init=False)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    @property
    def pid(self) -> int | None:
        """The child's process id, while there is one."""
        return None if self._child is None or self._child.returncode is not None else self._child.pid

    async def start(self) -> str:
        """Start the child and wait until it answers; gives its RPC URL.

        Raises: ChainNotInstalled, ChainNotStarted
        """
        if self.command is None and not embedded_chain_installed():
            raise ChainNotInstalled
        try:
            await self._spawn()
        except BaseException:
            await self._end_child()
            raise
        self._supervisor = asyncio.create_task(self._supervise(), name="chain-supervisor")
        return self.rpc_url

    async def stop(self) -> None:
        """End the child for good."""
        self._stopping.set()
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        await self._end_child()

    async def _spawn(self) -> None:
        command = self.command or (sys.executable, "-m", "tallystick_platform.embedded_chain")
        self._child = child = await asyncio.create_subprocess_exec(
            *command,
            "--path", str(self.path),
            "--port", str(self.port),
            "--chain-id", str(self.chain_id),
            *[word for address in self.prefund for word in ("--prefund", checksum_address(address))],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=MAX_READY_LINE_BYTES,
        )  # fmt: skip
        if child.stdout is None:
            raise ChainNotStarted(reason="it has no standard output")
        try:
            async with asyncio.timeout(READY_LIMIT_S):
                line = await child.stdout.readline()
            ready = json.loads(line) if line else None
            url = ready["rpc_url"] if isinstance(ready, dict) else None
        except TimeoutError as error:
            raise ChainNotStarted(reason=f"it was not ready after {READY_LIMIT_S:g} s") from error
        except (ValueError, KeyError) as error:
            raise ChainNotStarted(reason="it said something that is not the ready line") from error
        if not isinstance(url, str):
            code = await self._exit_code(child)
            raise ChainNotStarted(reason=f"it ended with exit code {code}; its own words are above")
        self.rpc_url = url
        self.port = int(url.rsplit(":", 1)[1].rstrip("/"))  # started again, it must be where everyone knows it

    async def _supervise(self) -> None:
        backoff_s = FIRST_BACKOFF_S
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            child, since = self._child, loop.time()
            code = None if child is None else await child.wait()
            lived_s = loop.time() - since
            _log.error("chain.ended", exit_code=code, lived_s=round(lived_s, 1))
            backoff_s = FIRST_BACKOFF_S if lived_s >= STEADY_S else min(backoff_s * 2, MAX_BACKOFF_S)
            await asyncio.sleep(backoff_s)
            self.restarts += 1
            try:
                await self._spawn()
                _log.info("chain.restarted", restarts=self.restarts)
            except (ChainNotStarted, OSError) as error:
                _log.error("chain.not_restarted", reason=str(error))
                await self._end_child()

    async def _end_child(self) -> None:
        child = self._child
        if child is None:
            return
        if child.returncode is None:
            if child.stdin is not None:
                child.stdin.close()  # the polite way: it finishes its block and closes its database
            try:
                async with asyncio.timeout(STOP_LIMIT_S):
                    await child.wait()
            except TimeoutError:
                child.kill()
                await child.wait()

    async def _exit_code(self, child: asyncio.subprocess.Process) -> int | None:
        try:
            async with asyncio.timeout(STOP_LIMIT_S):
                return await child.wait()
        except TimeoutError:
            return None
