"""Worker places: what runs at each, and whether its first worker came up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tallystick_platform.dispatch.link import Link
from tallystick_platform.protocol import Hello, ProviderInfo, VersionConfig, WorkerConfig

MAX_FUTILE_STARTS = 5
DEFAULT_SILENCE_S = 60.0
"""Longer than any engine step; a worker that says nothing for so long hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """What the standing places run, and what holds for all. Units: seconds.

    `version_engine` computes registered versions; anything but torch is for tests.
    """

    workers: int
    engine: str
    model: str
    models_dir: Path
    run_dir: Path
    provider: ProviderInfo
    max_requests: int
    start_timeout_s: float
    step_s: float = 0.0
    silence_s: float = DEFAULT_SILENCE_S
    version_engine: Literal["torch", "constant"] = "torch"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceConfig:
    """What a place runs. Without a version it is a standing place: it serves what the pool's configuration names.

    A standing place is tried for ever. One with a version is given up when its first worker does not come up, or later
    MAX_FUTILE_STARTS in a row.
    """

    name: str
    provider: ProviderInfo
    version: VersionConfig | None = None

    @property
    def standing(self) -> bool:
        """Whether it belongs to the pool itself."""
        return self.version is None


class Place:
    """A place that is open. `first` is done once its first worker serves (True), or once it is known why not (the reason)."""

    __slots__ = ("config", "first", "futile", "link", "task")

    def __init__(self, config: PlaceConfig) -> None:
        self.config = config
        self.first: asyncio.Future[bool | str] = asyncio.get_running_loop().create_future()
        self.link: Link | None = None
        self.futile = 0
        self.task: asyncio.Task[None] | None = None

    def offer(self, provider: ProviderInfo) -> None:
        """Serve under this price from the next request on."""
        if provider != self.config.provider:
            self.config = replace(self.config, provider=provider)
            if self.link is not None:
                self.link.placement = replace(self.link.placement, provider=provider)

    @property
    def over(self) -> bool:
        """Whether nothing will ever run here again."""
        return self.task is not None and self.task.done()

    def hopeless(self) -> bool:
        """Whether one more failed start is enough of them. Requires: its latest worker has ended."""
        if self.config.standing:
            return False
        return self.first.result() is not True or self.futile >= MAX_FUTILE_STARTS

    def settle(self, outcome: bool | str) -> None:
        """Note what became of the first worker; only the first call counts."""
        if not self.first.done():
            self.first.set_result(outcome)


def worker_config(pool: PoolConfig, place: PlaceConfig, endpoint: str, worker_id: str) -> WorkerConfig:
    """What one worker of a place is told."""
    version = place.version
    engine = pool.engine if version is None else pool.version_engine
    return WorkerConfig(
        endpoint=endpoint,
        worker_id=worker_id,
        engine="constant" if engine == "constant" else "torch",
        model=pool.model if version is None else version.folder,
        models_dir=str(pool.models_dir),
        max_requests=pool.max_requests,
        step_s=pool.step_s,
        version=version,
    )


def misfit(place: PlaceConfig, hello: Hello) -> str | None:
    """Why what a worker serves is not what its place is for. The worker's own check comes first; this one trusts nobody."""
    version, model = place.version, hello.model
    if version is None:
        return None
    if (model.id, model.version, model.weights_digest.hex()) == (version.model_id, version.version, version.digest):
        return None
    return f"it serves {model.id}@{model.version} with digest {model.weights_digest.hex()}, not what it was told to"
