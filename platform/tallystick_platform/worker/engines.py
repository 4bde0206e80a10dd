"""Which engine a worker runs. torch is imported here, and only when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tallystick_platform.engine.cpu import share_cores
from tallystick_platform.engine.interface import Engine
from tallystick_platform.protocol import VersionConfig, WorkerConfig

if TYPE_CHECKING:
    from tallystick_platform.engine.constant import ConstantConfig

Report = Callable[[str, float], None]
"""Told the stage of loading and the fraction of it that is done."""


def build_engine(config: WorkerConfig, report: Report) -> Engine:
    """The engine of this worker, loaded.

    Raises: ModelUnusable.
    """
    if config.engine == "constant":
        from tallystick_platform.engine.constant import ConstantConfig, ConstantEngine
        from tallystick_platform.engine.hardware import probe_cpu

        constant = ConstantConfig(max_requests=config.max_requests, step_s=config.step_s)
        return ConstantEngine(_stand_in(constant, config.version), probe_cpu())
    share_cores()
    from tallystick_platform.engine.loading import EngineConfig, load_engine

    return load_engine(
        EngineConfig(
            model=config.model,
            models_dir=Path(config.models_dir),
            version=config.version,
            max_requests=config.max_requests,
        ),
        report,
    )


def _stand_in(constant: ConstantConfig, version: VersionConfig | None) -> ConstantConfig:
    """The engine without a model under a registered version's name: the check of the files is the real one."""
    if version is None:
        return constant
    from tallystick_platform.engine import weights_digest

    folder = Path(version.folder)
    digest = weights_digest.check(folder, version.digest).digest
    return replace(constant, model_id=version.model_id, version=version.version, weights_digest=digest, folder=folder)
