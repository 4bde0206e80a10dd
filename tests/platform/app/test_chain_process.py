"""The embedded chain's supervision, over children that do as little as a test needs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tallystick.ids import Address
from tallystick_platform.app import chain_process
from tallystick_platform.app.chain_process import ChainNotStarted, ChainProcess

OBEDIENT = """
    import os, sys
    arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
    port = int(arguments["--port"]) or 4242
    print('{"ready": true, "rpc_url": "http://127.0.0.1:%d", "chain_id": 1}' % port, flush=True)
    open(arguments["--path"] + "/ports", "a").write(f"{port} {os.getpid()}\\n")
    while os.read(0, 100):
        pass
"""


def chain(folder: Path, script: str = OBEDIENT) -> ChainProcess:
    command = (sys.executable, "-c", textwrap.dedent(script))
    return ChainProcess(path=folder, port=0, chain_id=1, prefund=[Address(b"\x01" * 20)], command=command)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_it_is_ready_where_it_says(tmp_path: Path) -> None:
    child = chain(tmp_path)
    assert await child.start() == "http://127.0.0.1:4242"
    assert child.pid is not None
    await child.stop()
    assert child.pid is None


async def test_stopping_ends_the_child_by_closing_its_input(tmp_path: Path) -> None:
    child = chain(tmp_path)
    await child.start()
    pid = child.pid
    await child.stop()
    assert not is_alive(pid)


async def test_a_child_that_dies_is_started_again_on_the_same_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain_process, "FIRST_BACKOFF_S", 0.001)
    child = chain(tmp_path)
    await child.start()
    first = child.pid
    await until((tmp_path / "ports").exists)
    os.kill(first, signal.SIGKILL)
    await until(lambda: child.pid not in {None, first} and len((tmp_path / "ports").read_text().splitlines()) == 2)
    await child.stop()
    assert child.restarts == 1
    assert {line.split()[0] for line in (tmp_path / "ports").read_text().splitlines()} == {"4242"}


async def test_the_pause_between_quick_deaths_grows_and_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    short_lived = """
        import sys
        print('{"ready": true, "rpc_url": "http://127.0.0.1:4242", "chain_id": 1}', flush=True)
    """
    monkeypatch.setattr(chain_process, "MAX_BACKOFF_S", 0.4)
    child = chain(tmp_path, short_lived)
    await child.start()
    monkeypatch.setattr(chain_process.asyncio, "sleep", noted)
    async with asyncio.timeout(20):
        while child.restarts < 4:
            await sleep(0.01)
    await child.stop()
    assert pauses[:4] == [0.2, 0.4, 0.4, 0.4]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("raise SystemExit(2)", "exit code 2"),
        ("print('hello', flush=True); import sys; sys.stdin.read()", "not the ready line"),
        ("print('{}', flush=True); import sys; sys.stdin.read()", "not the ready line"),
    ],
)
async def test_a_child_that_is_never_ready_is_an_error_and_is_ended(tmp_path: Path, script: str, reason: str) -> None:
    child = chain(tmp_path, script)
    with pytest.raises(ChainNotStarted, match=reason):
        await child.start()
    assert child.pid is None


async def test_a_child_that_says_nothing_is_ended_at_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_process, "READY_LIMIT_S", 0.3)
    child = chain(tmp_path, "import sys; sys.stdin.read()")
    with pytest.raises(ChainNotStarted, match="not ready after"):
        await child.start()
    assert child.pid is None


def test_a_child_does_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = f"""
import asyncio, os, sys
from pathlib import Path
from tallystick.ids import Address
from tallystick_platform.app.chain_process import ChainProcess
async def main():
    child = ChainProcess(path=Path({str(tmp_path)!r}), port=0, chain_id=1, prefund=[Address(b"\\x01" * 20)],
        command=(sys.executable, "-c", {textwrap.dedent(OBEDIENT)!r}))
    await child.start()
    print(child.pid, flush=True)
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""
    ran = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=False, timeout=30)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    pid = int(ran.stdout)
    asyncio.run(until(lambda: not is_alive(pid)))
