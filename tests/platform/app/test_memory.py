"""The collector after the start."""

from __future__ import annotations

import subprocess
import sys


def test_what_the_start_made_is_not_looked_at_again() -> None:
    code = (
        "import gc\n"
        "from tallystick_platform.app.memory import YOUNG_OBJECTS, settle_memory\n"
        "settle_memory()\n"
        "assert gc.get_freeze_count() > 1_000\n"
        "assert gc.get_threshold()[0] == YOUNG_OBJECTS\n"
        "assert gc.isenabled()\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
