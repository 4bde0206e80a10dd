"""The entry point that `tallystick verify --replay` finds where a worker is installed. torch is imported when it runs, not before."""

from __future__ import annotations

from pathlib import Path

from tallystick.record import Record
from tallystick.verify.model_checks import Replayed
from tallystick_platform.engine.cpu import share_cores


def replay(folder: Path, record: Record, base: Path | None = None) -> Replayed:
    """Load the model in the folder as the record says, and run the record's prompt. `base` is the folder that an adapter belongs to.

    Raises: ReplayRefused; ImportError where the worker's packages are not installed.
    """
    share_cores()
    from tallystick_platform.engine.rerun import rerun

    return rerun(folder, record, base)
