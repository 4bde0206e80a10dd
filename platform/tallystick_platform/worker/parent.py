"""A worker must not outlive the process that started it, however that one ended."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

PR_SET_PDEATHSIG = 1


def leave_with_parent() -> None:
    """End this process at once when the parent dies (Linux), or when standard input ends (everywhere)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_wait_for_end_of_input, daemon=True, name="parent").start()


def _wait_for_end_of_input() -> None:
    while os.read(0, 4096):
        continue
    os._exit(0)  # the engine may be in the middle of a long step; nothing here needs an orderly end
