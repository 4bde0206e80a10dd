"""The model folder that an export reads: what may be carried along, and whether it is the one that was named."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tallystick.errors import ManifestError
from tallystick.manifest import combine, hash_folder
from tallystick_platform.exporter.copying import file_sha256
from tallystick_platform.exporter.errors import ExportRefused
from tallystick_platform.exporter.spec import ExportSpec
from tallystick_platform.formats.folder import inspect_folder
from tallystick_platform.formats.json_text import read_json_object
from tallystick_platform.formats.listing import list_folder
from tallystick_platform.formats.weights import read_config

CONFIG = "config.json"

RESERVED = frozenset({"README.md", "parity.json", "provenance.json"})
"""Names that every export writes itself; the source's own of that name go into a folder."""
SOURCE_FOLDER = "source"
_CARRIED = re.compile(
    r"(?:.+\.(?:json|txt|jinja|model|spm|tiktoken|vocab|bpe|md)|LICEN[CS]E.*|NOTICE.*|USE_POLICY.*)\Z", re.IGNORECASE
)


def inspect_source(folder: Path, digest: bytes | None) -> None:
    """Refuse a folder that holds what could run code, and one that is not the folder of this digest.

    `digest` is None where the caller hashes the files while it copies them and asks `require_digest` at the end.
    Raises: FormatError, UnsafeModel, ExportRefused.
    """
    inspect_folder(folder)
    if digest is None:
        return
    try:
        found = hash_folder(folder).digest
    except ManifestError as error:
        raise ExportRefused(reason=f"the source folder has no digest: {error}") from error
    _require(digest, found)


@contextmanager
def without_leftover(spec: ExportSpec) -> Iterator[ExportSpec]:
    """The same export, from a source whose config.json names no quantisation that its weights contradict.

    Such a source is first held to its digest, then seen through a folder beside the target that has its files and another config.json.

    Raises: FormatError, ExportRefused, OSError.
    """
    path = spec.source / CONFIG
    config = read_json_object(path) if path.is_file() else {}
    if not config or read_config(spec.source) == config:
        yield spec
        return
    inspect_source(spec.source, spec.source_digest)
    with tempfile.TemporaryDirectory(dir=spec.target.parent, prefix=f"{spec.target.name}.source-") as scratch:
        view = Path(scratch) / spec.source.name
        for name in names(spec.source):
            (view / name).parent.mkdir(parents=True, exist_ok=True)
            if name == CONFIG:
                (view / name).write_text(json.dumps(read_config(spec.source), indent=2) + "\n", encoding="utf-8")
            else:
                _link(spec.source / name, view / name)
        # GGUF files name the digest that was registered; copied files are held to what is copied.
        digest = hash_folder(view).digest if spec.format == "safetensors" else spec.source_digest
        yield replace(spec, source=view, source_digest=digest)


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # another disk, or another owner's file
        shutil.copyfile(source, target)


def names(folder: Path) -> tuple[str, ...]:
    """Every file that the folder's digest covers, by name. Raises: FormatError, UnsafeModel for links, devices and odd names."""
    return tuple(listed.name for listed in list_folder(folder))


def require_digest(folder: Path, digest: bytes, known: dict[str, bytes]) -> None:
    """Refuse a source whose files are not those of the digest; `known` are the SHA-256 that copying computed.

    Raises: ExportRefused, OSError.
    """
    _require(digest, combine({name: known.get(name) or file_sha256(folder / name) for name in names(folder)}))


def carried(files: tuple[str, ...]) -> dict[str, str]:
    """Which files go along beside the weights, by their names here and there: tokenizer, template, configuration, licence."""
    placed = {name: f"{SOURCE_FOLDER}/{name}" if name in RESERVED else name for name in files if _CARRIED.match(name)}
    taken = set(files)
    return {name: place for name, place in placed.items() if place == name or place not in taken}


def _require(expected: bytes, found: bytes) -> None:
    if found != expected:
        raise ExportRefused(
            reason=f"the source folder is not the one that was named: its digest is {found.hex()}, not {expected.hex()}"
        )
