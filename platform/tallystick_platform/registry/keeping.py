"""What the store keeps beside the models: each one's list of files, and the signatures."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from tallystick.errors import ManifestError
from tallystick.manifest import LEFT_OUT, Manifest, hash_folder
from tallystick_platform.errors import kind_of
from tallystick_platform.formats.errors import FormatError
from tallystick_platform.formats.limits import MAX_SIGNATURE_BYTES
from tallystick_platform.registry.entries import ModelVersion, VersionFiles
from tallystick_platform.registry.errors import FolderBroken
from tallystick_platform.registry.folders import ModelFolders, remove_tree, sync
from tallystick_platform.registry.signatures import Signature

MAX_MANIFEST_BYTES = 8 * 1_048_576
MAX_NAMED = 5


class Keeping:
    """Files named by digests: a wrong one is never taken for a right one."""

    def __init__(self, folders: ModelFolders) -> None:
        self._folders = folders

    def keep(self, manifest: Manifest, signature: Signature) -> None:
        """Write both, durably, each in one piece."""
        _write(self.manifest_path(manifest.digest), json.dumps(manifest.to_json()).encode())
        if signature.data is not None and signature.digest is not None:
            _write(self.signature_path(signature.digest), signature.data)

    def manifest(self, digest: bytes) -> Manifest | None:
        """The list of files of a version; None where it is lost."""
        path = self.manifest_path(digest)
        try:
            if path.stat().st_size > MAX_MANIFEST_BYTES:
                return None
            found = Manifest.from_json(json.loads(path.read_bytes()))
        except (OSError, ValueError, ManifestError):
            return None
        return found if found.digest == digest else None

    def signature(self, digest: bytes) -> bytes:
        """A signature file. Raises: FolderBroken."""
        path = self.signature_path(digest)
        try:
            if path.stat().st_size > MAX_SIGNATURE_BYTES:
                raise FolderBroken(path=path, reason="it has grown")
            data = path.read_bytes()
        except OSError as error:
            raise FolderBroken(path=path, reason=kind_of(error)) from error
        if hashlib.sha256(data).digest() != digest:
            raise FolderBroken(path=path, reason="it is not what its name says")
        return data

    def files(self, version: ModelVersion) -> VersionFiles:
        """A version's files, by its list. Raises: FolderBroken where the list is lost and the files are others."""
        folder, manifest = self._folders.path(version.digest), self.manifest(version.digest)
        if manifest is None:
            try:
                manifest = hash_folder(folder)
            except ManifestError as error:
                raise FolderBroken(path=folder, reason="its files cannot be listed") from error
            if manifest.digest != version.digest:
                raise FolderBroken(path=folder, reason="its files changed")
        digest = version.signature_digest
        return VersionFiles(
            version=version,
            manifest=manifest,
            folder=folder,
            signature=None if digest is None else self.signature_path(digest),
        )

    def compare(self, version: ModelVersion, hashed: Callable[[Path], Manifest]) -> tuple[Manifest | None, str | None]:
        """What a version's folder holds now, and why that is not the version; None where it is."""
        folder = self._folders.path(version.digest)
        if not folder.is_dir():
            return None, "its files are gone"
        try:
            found = hashed(folder)
        except FormatError as error:
            return None, str(error)
        if found.digest == version.digest:
            return found, None
        expected = self.manifest(version.digest)
        return found, "its files changed" if expected is None else _difference(expected, found)

    def manifest_path(self, digest: bytes) -> Path:
        """Where the list of files of this digest lies, or would."""
        return self._folders.store / f"{digest.hex()}.json"

    def signature_path(self, digest: bytes) -> Path:
        """Where the signature of this digest lies, or would."""
        return self._folders.signatures / f"{digest.hex()}.sig"


def strip_uncovered(folder: Path) -> None:
    """Take away what the digest does not cover: nothing unnamed may lie beside the model."""
    for name in LEFT_OUT:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            remove_tree(path)
        else:
            path.unlink(missing_ok=True)


def _difference(expected: Manifest, found: Manifest) -> str:
    wanted = {entry.name: entry.sha256 for entry in expected.files}
    here = {entry.name: entry.sha256 for entry in found.files}
    changed = sorted(name for name in wanted.keys() & here.keys() if wanted[name] != here[name])
    parts = (
        ("changed", changed),
        ("missing", sorted(wanted.keys() - here.keys())),
        ("extra", sorted(here.keys() - wanted.keys())),
    )
    return "; ".join(f"{word}: {_some(names)}" for word, names in parts if names)


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:MAX_NAMED])
    return shown if len(names) <= MAX_NAMED else f"{shown} and {len(names) - MAX_NAMED} more"


def _write(path: Path, data: bytes) -> None:
    if path.exists():
        return
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    fd = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
    sync(path.parent)
