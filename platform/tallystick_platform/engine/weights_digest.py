"""The name of a model's content: 32 bytes that every record carries and anyone with the files can compute again.

    manifest  = OpenSSF model-signing manifest of the folder: every file but Git's own and the signature, hashed whole with SHA-256
    resources = [{"algorithm": "sha256", "digest": hex, "name": path relative to the folder, with slashes}, ...] by name
    digest    = SHA-256 of the RFC 8785 JSON of `resources`

`resources` has the entries that a model-signing signature of the same folder carries in its predicate, so a publisher's
signature and a record name the same thing. Why not the signature's own subject digest: docs/decisions/0005.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import rfc8785
from model_signing import hashing

from tallystick.manifest import SIGNATURE_NAME
from tallystick_platform.errors import ModelUnusable, kind_of

MAX_CACHE_BYTES = 8 * 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsDigest:
    """A model folder's digest and the files that it covers. `resources` maps names to SHA-256."""

    digest: bytes
    resources: Mapping[str, bytes]


def compute(folder: Path) -> WeightsDigest:
    """Hash every file of a model folder. Raises: ModelUnusable, also for symbolic links, which name nothing fixed."""
    try:
        manifest = _hasher().hash(folder)
    except (OSError, ValueError) as error:
        raise ModelUnusable(reason=f"its files cannot be hashed: {kind_of(error)}") from error
    resources = {item.identifier: bytes(item.digest.digest_value) for item in manifest.resource_descriptors()}
    if not resources:
        raise ModelUnusable(reason="there are no files")
    return WeightsDigest(digest=combine(resources), resources=resources)


def check(folder: Path, expected: str) -> WeightsDigest:
    """The digest of a folder that must have this one. Raises: ModelUnusable with both digests where it has another."""
    found = compute(folder)
    if found.digest.hex() != expected:
        reason = (
            f"its files have the digest {found.digest.hex()}, not {expected} as registered: they were changed since"
        )
        raise ModelUnusable(reason=reason)
    return found


def combine(resources: Mapping[str, bytes]) -> bytes:
    """The digest over the files' names and SHA-256 digests."""
    listed = [{"algorithm": "sha256", "digest": resources[name].hex(), "name": name} for name in sorted(resources)]
    return hashlib.sha256(rfc8785.dumps(listed)).digest()


class DigestCache:
    """Remembers digests by folder, and by size and modification time of every file in it.

    A remembered digest lets a worker say at once what it is about to serve; `verify` decides whether it may.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def recall(self, folder: Path) -> bytes | None:
        """The digest of a folder whose files look untouched since it was remembered."""
        try:
            if self._file(folder).stat().st_size > MAX_CACHE_BYTES:
                return None
            entry = json.loads(self._file(folder).read_text())
            if entry["stamps"] != _stamps(folder):
                return None
            return bytes.fromhex(entry["digest"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def remember(self, folder: Path, digest: bytes) -> None:
        """Keep a digest for as long as the folder looks the same; replaced in one piece."""
        self._directory.mkdir(parents=True, exist_ok=True)
        entry = {"folder": str(folder.resolve()), "stamps": _stamps(folder), "digest": digest.hex()}
        descriptor, name = tempfile.mkstemp(dir=self._directory, prefix=".digest-")
        with os.fdopen(descriptor, "w") as file:
            json.dump(entry, file)
        Path(name).replace(self._file(folder))

    def verify(self, folder: Path) -> WeightsDigest:
        """Hash everything, and refuse files that look untouched but are not what was remembered.

        Raises: ModelUnusable where a file was changed behind its modification time, as bit rot or an intruder would.
        """
        remembered = self.recall(folder)
        found = compute(folder)
        if remembered is not None and remembered != found.digest:
            reason = (
                f"its files were changed without a trace: their digest was {remembered.hex()}, is {found.digest.hex()}"
            )
            raise ModelUnusable(reason=reason)
        if remembered is None:
            self.remember(folder, found.digest)
        return found

    def _file(self, folder: Path) -> Path:
        return self._directory / f"{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:32]}.json"


def _hasher() -> hashing.Config:
    config: hashing.Config = hashing.Config()  # type: ignore[no-untyped-call]
    config = config.set_ignored_paths(paths=[SIGNATURE_NAME], ignore_git_paths=True)
    return config.use_file_serialization(hashing_algorithm="sha256")


def _stamps(folder: Path) -> dict[str, list[int]]:
    stamps = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            status = path.stat()
            stamps[path.relative_to(folder).as_posix()] = [status.st_size, status.st_mtime_ns]
    return stamps
