"""What the measurements share: where the packages lie, options, work in processes of its own, a whole service, and a line for each bar."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "ledger"), str(ROOT / "platform")]

if TYPE_CHECKING:
    from tallystick_platform.app.service import Service
    from tallystick_platform.exporter.spec import ExportSpec

CHILD_LIMIT_S = 1800


def options(about: str | None, short: str) -> argparse.ArgumentParser:
    """The options of a measurement: `--short`, with what that leaves out, and those that it adds itself."""
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("--short", action="store_true", help=short)
    return parser


def judged(figure: str, held: bool) -> bool:
    """Print a figure beside its bar, and whether that held."""
    print(f"{figure} {'ok' if held else 'MISSED'}", flush=True)
    return held


def in_child(script: str, *arguments: str) -> str:
    """What a measurement prints in a process of its own."""
    command = [sys.executable, script, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=CHILD_LIMIT_S).stdout


async def in_client(script: str, option: str, given: dict[str, Any]) -> dict[str, Any]:
    """The same for a client of a server in this process; it is told `given` and answers with JSON."""
    client = await asyncio.create_subprocess_exec(
        sys.executable, script, option, json.dumps(given), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await client.communicate()
    assert client.returncode == 0
    return dict(json.loads(out))


@asynccontextmanager
async def whole_service(home: Path, model: str) -> AsyncIterator[tuple[Service, str]]:
    """A service with everything but its HTTP server, and the token of its development client."""
    from tallystick_platform.app.service import Service
    from tallystick_platform.app.starting import started
    from tallystick_platform.settings import load_settings

    settings = load_settings(home=home, chain_port=0, model=model, batch_max_age_ms=200)
    async with started(settings, base_url="http://127.0.0.1:1") as running:
        assert running.client_file is not None
        with closing(Service(running)) as service:
            yield service, json.loads(running.client_file.read_text())["token"]


def exported(spec: ExportSpec, folder: Path, **environment: str) -> tuple[dict[str, Any], int]:
    """An export by the process that jobs start: the last thing that it said, and its largest resident size. Units: bytes."""
    with (folder / "lines").open("w+") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tallystick_platform.exporter", spec.to_json()],
            stdout=output,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path[:3]), **environment},
        )
        _, _, usage = os.wait4(process.pid, 0)
        output.seek(0)
        return json.loads(output.read().splitlines()[-1]), usage.ru_maxrss * 1024
