"""Which engine a worker runs. torch is imported here, and only when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tallystick_platform.engine.interface import Engine
from tallystick_platform.protocol import WorkerConfig

Report = Callable[[str, float], None]
"""Told the stage of loading and the fraction of it that is done."""


def build_engine(config: WorkerConfig, report: Report) -> Engine:
    """The engine of this worker, loaded.

    Raises: ModelUnusable.
    """
    from tallystick_platform.engine.hardware import probe_hardware

    if config.engine == "constant":
        from tallystick_platform.engine.constant import ConstantConfig, ConstantEngine

        constant = ConstantConfig(max_requests=config.max_requests, step_s=config.step_s)
        return ConstantEngine(constant, probe_hardware())
    from tallystick_platform.engine.loading import load_engine

    return load_engine(config.model, Path(config.models_dir), config.max_requests, report)
