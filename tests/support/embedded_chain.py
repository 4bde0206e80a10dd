"""The embedded chain as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tallystick.ids import Address, to_hex
from tallystick_platform.embedded_chain.rules import DEFAULT_CHAIN_ID


@dataclass(kw_only=True)
class ChainProcess:
    """A running chain and where it listens."""

    process: subprocess.Popen[str]
    url: str
    ready: dict[str, object]

    def kill(self) -> None:
        """Kill it as nothing can be caught."""
        self.process.kill()
        self.process.wait()


def start_chain(
    folder: Path, *, prefund: Sequence[Address] = (), chain_id: int = DEFAULT_CHAIN_ID, port: int = 0
) -> ChainProcess:
    """Start a chain and wait until it says that it is ready."""
    command = [sys.executable, "-m", "tallystick_platform.embedded_chain", "--path", str(folder), "--port", str(port)]
    command += ["--chain-id", str(chain_id)]
    for address in prefund:
        command += ["--prefund", to_hex(address)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        _, errors = process.communicate()
        raise RuntimeError(f"the chain stopped with {process.returncode}: {errors}")
    ready = json.loads(line)
    return ChainProcess(process=process, url=ready["rpc_url"], ready=ready)


@contextmanager
def running_chain(folder: Path, **options: object) -> Iterator[ChainProcess]:
    """A chain process that is stopped at the end by closing its input, and must then end well."""
    chain = start_chain(folder, **options)  # type: ignore[arg-type]
    try:
        yield chain
    finally:
        if chain.process.poll() is None:
            _, errors = chain.process.communicate(timeout=20)
            assert chain.process.returncode == 0, errors
        for stream in (chain.process.stdin, chain.process.stdout, chain.process.stderr):
            if stream is not None:
                stream.close()
