"""Random bytes from a pool, and the collector after the start."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tallystick_platform.app import economy
from tallystick_platform.app.economy import POOL_BYTES, RandomPool


@pytest.mark.parametrize("size", [0, 1, 8, POOL_BYTES, POOL_BYTES + 1])
def test_as_many_bytes_as_asked_for(size: int) -> None:
    assert len(RandomPool()(size)) == size


def test_no_byte_of_the_system_is_handed_out_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = iter(range(1_000_000))
    monkeypatch.setattr(
        economy.os, "urandom", lambda size: b"".join(next(counted).to_bytes(4, "big") for _ in range(size // 4))
    )
    pool = RandomPool()
    found = [pool(8) for _ in range(5_000)]
    assert len(set(found)) == 5_000
    words = [word for piece in found for word in (piece[:4], piece[4:])]
    assert len(set(words)) == 10_000


def test_what_the_start_made_is_not_looked_at_again() -> None:
    code = (
        "import gc\n"
        "from tallystick_platform.app.economy import YOUNG_OBJECTS, settle_memory\n"
        "settle_memory()\n"
        "assert gc.get_freeze_count() > 1_000\n"
        "assert gc.get_threshold()[0] == YOUNG_OBJECTS\n"
        "assert gc.isenabled()\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
