"""Registered versions that a given sender may ask for, and the memory that each takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tallystick.ids import Address
from tallystick_platform import errors
from tallystick_platform.formats.memory import estimate
from tallystick_platform.formats.report import Task
from tallystick_platform.formats.tasks import served_by
from tallystick_platform.protocol import VersionConfig
from tallystick_platform.tasks import TASKS

SERVED_FORMATS = frozenset({"safetensors", "adapter"})
TABLE_FORMATS = frozenset({"onnx", "skops"})  # of models of tables
KV_TOKENS = 8_192  # caches that a worker is expected to fill: eight requests of a thousand tokens

Key = tuple[str, bytes]  # model id and digest: the same files under two names are served under each


@dataclass(frozen=True, slots=True, kw_only=True)
class Servable:
    """One registered version. Its folder must have its digest; an adapter names its base's folder and digest.

    `public` says whether everyone may see it. A price of its own stands above the provider's. Units: micro-units of the currency an hour.
    """

    model_id: str
    version: str
    digest: bytes
    folder: Path
    task: str
    format: str
    pinned: bool = False
    public: bool = True
    price_per_hour_micros: int | None = None
    currency: str | None = None
    base_folder: Path | None = None
    base_digest: bytes | None = None

    @property
    def reference(self) -> str:
        """`model@version`, which names it alone."""
        return f"{self.model_id}@{self.version}"

    @property
    def key(self) -> Key:
        """Under what it is kept."""
        return (self.model_id, self.digest)

    def config(self) -> VersionConfig:
        """The same for its worker."""
        return VersionConfig(
            model_id=self.model_id,
            version=self.version,
            folder=str(self.folder),
            digest=self.digest.hex(),
            task=self.task,
            base_folder=None if self.base_folder is None else str(self.base_folder),
            base_digest=None if self.base_digest is None else self.base_digest.hex(),
        )

    def check_served(self) -> None:
        """Raises: NotServable for a task or a format that no engine here computes."""
        for what, found, served in (
            ("task", served_by(self.task)[0], TASKS.keys()),
            ("format", self.format, TABLE_FORMATS if self.task == Task.CLASSICAL else SERVED_FORMATS),
        ):
            if found not in served:
                reason = f"its {what} is {found}, and workers here compute {' and '.join(sorted(served))}"
                raise errors.NotServable(model=self.reference, reason=reason)


class Catalog(Protocol):
    """The registered versions. Asked for every request in the event loop, which it never keeps waiting for a database."""

    async def resolve(self, reference: str, viewer: Address | None) -> Servable:
        """The version that answers a viewer who names it so; None is the operator.

        Raises: UnknownModel, also for what the viewer may not see and for what is retired.
        """
        ...

    async def offered(self, reference: str) -> tuple[Servable | None, bool]:
        """What answers the operator, None also where its signature does not count, and whether it is registered at whatever stage.

        Both are of one moment: what is just being registered is never taken for what was withdrawn.
        """
        ...

    def forget(self) -> None:
        """Something was changed in this process: what was remembered counts no longer. Called from any thread."""
        ...

    async def pinned(self) -> Sequence[Servable]:
        """The versions to be loaded from the start."""
        ...


def needed_bytes(servable: Servable) -> int:
    """What a worker of this version will take, from its files' headers. An adapter comes on top of its base.

    Weights count as float32, which is what a machine without a GPU computes in. Raises: FormatError.
    """
    if servable.base_folder is None:
        return estimate(servable.folder, kv_tokens=KV_TOKENS).total_bytes
    base = estimate(servable.base_folder, kv_tokens=KV_TOKENS).total_bytes
    return base + sum(path.stat().st_size for path in servable.folder.rglob("*") if path.is_file())
