"""What may be asked for beyond the standing model: registered versions, as the registry shows them to one who asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tallystick.ids import Address
from tallystick_platform.protocol import VersionConfig


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


class Catalog(Protocol):
    """The registered versions. Asked for every request in the event loop: it answers from memory, or nearly so."""

    def resolve(self, reference: str, viewer: Address | None) -> Servable:
        """The version that a reference names for this viewer; None is the operator.

        Raises: UnknownModel, also for what the viewer may not see.
        """
        ...

    def forget(self) -> None:
        """Something was changed in this process: what was remembered counts no longer."""
        ...

    def pinned(self) -> Sequence[Servable]:
        """The versions to be loaded from the start."""
        ...
