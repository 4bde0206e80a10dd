"""A process that was started must not outlive the one that started it, however that one ended."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

PR_SET_PDEATHSIG = 1


def leave_with_parent(status: int) -> None:
    """End this process at once when the parent dies (Linux), or with this status when standard input ends (everywhere)."""
    end_with_parent(signal.SIGKILL)
    threading.Thread(target=_wait_for_end_of_input, args=(status,), daemon=True, name="parent").start()


def end_with_parent(by: signal.Signals) -> None:
    """Be sent a signal when the process that started this one is gone (Linux alone)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, by)


def _wait_for_end_of_input(status: int) -> None:
    while os.read(0, 4096):
        continue
    os._exit(status)  # a long step may be under way, and nothing here needs an orderly end
