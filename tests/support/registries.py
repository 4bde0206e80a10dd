"""A registry on a disk of its own, and small folders that are models to it without an inspection."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tallystick_platform.formats.report import Facts
from tallystick_platform.registry.conversion import Looks
from tallystick_platform.registry.desk import ModelDesk
from tallystick_platform.registry.entries import ModelVersion, Stage, Visibility
from tallystick_platform.registry.folders import ModelFolders, free_bytes
from tallystick_platform.registry.intake import Arrival
from tallystick_platform.registry.registrations import Registrations
from tallystick_platform.registry.registry import Registry
from tallystick_platform.registry.signatures import Signatures
from tallystick_platform.registry.uploads import Uploads
from tests.support.journals import WALLET, Setting

FILES = {"config.json": b'{"model_type": "test"}', "model.safetensors": b"weights", "sub/tokens.txt": b"a b c"}


def facts_of_test_folder(folder: Path) -> Facts:
    """Facts as the folder's config.json states them, without looking at weights."""
    config = json.loads((folder / "config.json").read_text())
    return Facts(
        format=config.get("format", "safetensors"),
        task=config.get("task", "chat"),
        architecture="TestForCausalLM",
        licence="mit",
        dtype="float32",
        parameters=7,
        context_length=64,
        size_bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    )


class Shelf:
    """A registry over a temporary home."""

    def __init__(
        self,
        home: Path,
        *,
        signatures: Signatures | None = None,
        quota_bytes: int = 1_000_000,
        free_bytes: Callable[[Path], int] = free_bytes,
        looks: Looks | None = None,
    ) -> None:
        self.setting = Setting(home)
        self.database = self.setting.database()
        self.models_dir = home / "models"
        self.folders = ModelFolders(self.models_dir, free_bytes=free_bytes)
        self.registry = Registry(
            self.database,
            self.setting.macs,
            self.folders,
            self.setting.clock,
            signatures=signatures,
            quota_bytes=quota_bytes,
            looks=looks or Looks(facts=facts_of_test_folder, numbers=lambda *_: None),
        )

    def add(
        self,
        model: str = "Acme/Tiny",
        *,
        owner: bytes | None = None,
        visibility: Visibility = Visibility.PUBLIC,
        stage: Stage = Stage.STAGING,
        files: dict[str, bytes] | None = None,
        **options: object,
    ) -> ModelVersion:
        """Register a folder of these files."""
        with self.folders.stage() as staged:
            write(staged.folder, files or FILES)
            arrival = Arrival(
                model=model,
                owner=owner,  # type: ignore[arg-type]
                visibility=visibility,
                source={"kind": "folder", "path": "test"},
                stage=stage,
                **options,  # type: ignore[arg-type]
            )
            return self.registry.add(staged, arrival)

    def uploads(self, *, lifetime_s: int = 60) -> Uploads:
        """Uploads into this registry."""
        return Uploads(
            self.registry,
            self.database,
            self.setting.macs,
            self.setting.clock,
            lifetime_s=lifetime_s,
            operator=WALLET.address,
        )

    def desk(self, **options: object) -> ModelDesk:
        """The registry as the HTTP side asks it."""
        return ModelDesk(
            self.registry,
            self.uploads(),
            Registrations(),
            operator=WALLET.address,
            **options,  # type: ignore[arg-type]
        )

    def left(self) -> list[str]:
        """What lies in the staging area."""
        return sorted(path.name for path in self.folders.staging.iterdir())


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files below a folder."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder
