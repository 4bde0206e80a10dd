"""Where models come from. Every source puts plain files into a staging folder; what they are is found out there, in one way for all."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import rfc8785

from tallystick.ids import Address
from tallystick_platform.errors import kind_of
from tallystick_platform.formats.archive import extract_tar, extract_zip
from tallystick_platform.formats.gguf_file import read_header
from tallystick_platform.formats.packaged import DEMO, DEMO_EMBEDDING, DEMO_TRANSCRIPTION, PACKAGED
from tallystick_platform.formats.report import Facts
from tallystick_platform.registry.conversion import Progress, converted, packaged_file
from tallystick_platform.registry.copying import Found, copy_files, files_below, full_disk, link_files
from tallystick_platform.registry.entries import UPSTREAM_FORMAT, ModelVersion
from tallystick_platform.registry.errors import SourceUnusable
from tallystick_platform.registry.folders import Staged
from tallystick_platform.registry.intake import BASE_FILE, WIDENED, Arrival
from tallystick_platform.registry.names import MAX_ID_CHARS, parse_model_id
from tallystick_platform.registry.registry import Registry, silent

UPSTREAM_FILE = "upstream.json"
WRAPPER = "\n"  # no file that was taken has a name like it
MAX_URL_CHARS = 2_048
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_ENV_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_QUANTISATION = re.compile(r"[.-](i?q[0-9]\w*|b?f16|f32)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What a source says of the files that it brought. `facts` where the files cannot say it, `base` for an adapter."""

    source: Mapping[str, object]
    facts: Facts | None = None
    base: str | None = None
    licence: str | None = None


class Source(Protocol):
    """A place that models come from."""

    @property
    def name(self) -> str:
        """What the model may be called, unless somebody says otherwise."""
        ...

    def bring(self, staged: Staged, registry: Registry, viewer: Address | None, progress: Progress) -> Brought:
        """Put the files into the staging folder.

        Raises: SourceUnusable, FormatError, UnsafeModel, UnsafeArchive, DiskFull, UnknownModel (an adapter's base), OSError
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFolder:
    """A folder on this machine, in any of the formats that are taken."""

    path: Path

    @property
    def name(self) -> str:
        """The folder's."""
        return name_from(self.path.absolute().name)

    def bring(self, staged: Staged, registry: Registry, viewer: Address | None, progress: Progress) -> Brought:  # noqa: ARG002
        """Copy it, after a look at what it holds: nothing that would be refused is copied first."""
        files = files_below(self.path)
        registry.looks.facts(self.path)
        copy_files(files, staged.folder, registry.folders, progress)
        return Brought(source={"kind": "folder", "path": str(self.path.absolute())})


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagedEncoder:
    """`demo-embedding`, the folder of a packaged encoder."""

    @property
    def name(self) -> str:
        """As its publisher calls it."""
        return PACKAGED[DEMO_EMBEDDING].name

    def bring(self, staged: Staged, registry: Registry, viewer: Address | None, progress: Progress) -> Brought:
        """Copy it."""
        folder = packaged_file(DEMO_EMBEDDING).parent
        LocalFolder(path=folder).bring(staged, registry, viewer, progress)
        return Brought(source={"kind": DEMO_EMBEDDING})


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagedTranscriber:
    """`demo-transcription`, the weights of a packaged Whisper. They are converted once."""

    @property
    def name(self) -> str:
        """As its publisher calls it."""
        return PACKAGED[DEMO_TRANSCRIPTION].name

    def bring(self, staged: Staged, registry: Registry, viewer: Address | None, progress: Progress) -> Brought:  # noqa: ARG002
        """Convert it, and take the converted files as they lie."""
        registry.folders.need(_file(packaged_file(DEMO_TRANSCRIPTION)).st_size)
        folder = converted(DEMO_TRANSCRIPTION, registry.folders.store.parent, progress)
        link_files(files_below(folder), staged.folder)
        return Brought(source={"kind": DEMO_TRANSCRIPTION}, licence=PACKAGED[DEMO_TRANSCRIPTION].licence)


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleFile:
    """One file that is a model by itself: skops or ONNX."""

    path: Path

    @property
    def name(self) -> str:
        """The file's, without its suffix."""
        return name_from(self.path.stem)

    def bring(self, staged: Staged, registry: Registry, viewer: Address | None, progress: Progress) -> Brought:  # noqa: ARG002
        """Copy it under a name that says what it is."""
        status = _file(self.path)
        kind = self.path.suffix.lower().removeprefix(".")
        found = Found(name=f"model.{kind}", path=self.path.resolve(), size=status.st_size)
        copy_files([found], staged.folder, registry.folders, progress)
        return Brought(source={"kind": kind, "file": self.path.name})


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A tar or zip file with a model folder in it."""

    path: Path

    @property
    def name(self) -> str:
        """The file's, without its suffixes."""
        return name_from(self.path.name.split(".tar")[0].removesuffix(".zip").removesuffix(".tgz"))

    def bring(self, staged: Staged, registry: Registry, viewer: Address | None, progress: Progress) -> Brought:  # noqa: ARG002
        """Unpack it; a single folder at its top is the model."""
        size = _file(self.path).st_size
        registry.folders.need(size)
        progress("unpacking", 0.0)
        with full_disk(registry.folders, size):
            extract = extract_zip if self.path.suffix.lower() == ".zip" else extract_tar
            extract(self.path, staged.folder, max_bytes=registry.folders.available_bytes())
        _unwrap(staged.folder)
        return Brought(source={"kind": "archive", "file": self.path.name})


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufFile:
    """A GGUF file, or `demo`, the packaged one. It is converted once; the version's files name the GGUF's SHA-256."""

    model: str

    @property
    def name(self) -> str:
        """The file's, without suffix and quantisation, as the worker calls it too."""
        if self.model == DEMO:
            return PACKAGED[DEMO].name
        return name_from(_QUANTISATION.sub("", Path(self.model).name.removesuffix(".gguf")).lower())

    def bring(self, staged: Staged, registry: Registry, viewer: Address | None, progress: Progress) -> Brought:  # noqa: ARG002
        """Convert it, and take the converted files as they lie: they are on the registry's own disk."""
        path = packaged_file(DEMO) if self.model == DEMO else Path(self.model)
        registry.folders.need(WIDENED * _file(path).st_size)
        licence = read_header(path).metadata.get(
            "general.license", PACKAGED[DEMO].licence if self.model == DEMO else None
        )
        folder = converted(self.model, registry.folders.store.parent, progress)
        link_files(files_below(folder), staged.folder)
        kind = DEMO if self.model == DEMO else "gguf"
        file = {} if self.model == DEMO else {"file": Path(self.model).name}
        return Brought(source={"kind": kind, **file}, licence=licence if isinstance(licence, str) else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter(LocalFolder):
    """A PEFT adapter for a registered model."""

    base: str

    def bring(self, staged: Staged, registry: Registry, viewer: Address | None, progress: Progress) -> Brought:
        """Copy it, and write down which content it belongs to: the adapter's digest covers its base's."""
        registry.find(self.base, viewer)
        brought = LocalFolder.bring(self, staged, registry, viewer, progress)
        base = mark_base(registry, staged, self.base, viewer)
        return Brought(source={**brought.source, "kind": "adapter"}, base=base)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """A model that another OpenAI-compatible server answers for. No weights: the digest is that of this description.

    `key_variable` names the environment variable with the key for it; the key itself stands nowhere.
    """

    base_url: str
    model: str
    task: str = "chat"
    key_variable: str | None = None

    @property
    def name(self) -> str:
        """The upstream model's."""
        return name_from(self.model)

    def bring(self, staged: Staged, registry: Registry, viewer: Address | None, progress: Progress) -> Brought:  # noqa: ARG002
        """Write the description."""
        parts = urlsplit(self.base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or len(self.base_url) > MAX_URL_CHARS:
            raise SourceUnusable(source=self.base_url[:128], reason="an upstream is an http:// or https:// URL")
        if parts.username or parts.password or parts.query or parts.fragment:
            reason = "the URL may hold neither a user nor a query: name a variable with the key instead"
            raise SourceUnusable(source=f"{parts.scheme}://{parts.hostname}", reason=reason)
        if self.key_variable is not None and _ENV_NAME.fullmatch(self.key_variable) is None:
            raise SourceUnusable(source=self.key_variable[:64], reason="that is no name of an environment variable")
        text = rfc8785.dumps(
            {
                "base_url": self.base_url.rstrip("/"),
                "key_variable": self.key_variable,
                "kind": "upstream",
                "model": self.model,
                "task": self.task,
            }
        )
        (staged.folder / UPSTREAM_FILE).write_bytes(text)
        facts = Facts(format=UPSTREAM_FORMAT, task=self.task, size_bytes=len(text))
        return Brought(source=json.loads(text), facts=facts)


def mark_base(registry: Registry, staged: Staged, base: str, viewer: Address | None) -> str:
    """Write down which content an adapter belongs to; gives the base's reference. Raises: UnknownModel, SourceUnusable"""
    found = registry.find(base, viewer)
    if found.base is not None or found.format == UPSTREAM_FORMAT:
        raise SourceUnusable(source=base, reason="an adapter's base is a model with weights of its own")
    (staged.folder / BASE_FILE).write_bytes(rfc8785.dumps({"base_digest": found.digest.hex()}) + b"\n")
    return found.reference


def register(registry: Registry, source: Source, arrival: Arrival, progress: Progress = silent) -> ModelVersion:
    """Bring a model and make it a version: the whole way, or nothing. What its source knows of it counts where `arrival` is silent.

    Raises: what `Source.bring` and `Registry.add` raise
    """
    parse_model_id(arrival.model)
    with registry.folders.stage() as staged:
        brought = source.bring(staged, registry, arrival.owner, progress)
        licence = arrival.licence or brought.licence
        arrival = replace(arrival, source=brought.source, licence=licence, base=brought.base, facts=brought.facts)
        with full_disk(registry.folders, 0):
            return registry.add(staged, arrival, progress)


def name_from(text: str) -> str:
    """A model's name out of a file's: what cannot stand in one becomes a dash."""
    name = _NOT_IN_NAMES.sub("-", text).replace("..", ".").strip("._-")
    return name[:MAX_ID_CHARS] or "model"


def packaged_source(model: str) -> Source:
    """A packaged model by its name. Requires: one of PACKAGED."""
    if model == DEMO_TRANSCRIPTION:
        return PackagedTranscriber()
    return GgufFile(model=model) if model == DEMO else PackagedEncoder()


def local_source(path: Path, *, base: str | None = None) -> Source:
    """The source that a path on this machine is. Raises: SourceUnusable"""
    suffix = path.suffix.lower()
    if path.is_dir():
        return LocalFolder(path=path) if base is None else Adapter(path=path, base=base)
    if base is not None:
        raise SourceUnusable(source=str(path), reason="an adapter is a folder")
    if not path.is_file():
        raise SourceUnusable(source=str(path), reason="there is no such file or folder")
    if suffix == ".gguf":
        return GgufFile(model=str(path))
    if suffix in {".skops", ".onnx"}:
        return SingleFile(path=path)
    if suffix in {".zip", ".tar", ".tgz"} or path.name.lower().endswith(".tar.gz"):
        return Archive(path=path)
    reason = (
        "a model is a folder, an archive of one, or a .gguf, .onnx or .skops file; save it with safe_serialization=True"
    )
    raise SourceUnusable(source=str(path), reason=reason)


def _file(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise SourceUnusable(source=str(path), reason=kind_of(error)) from error


def _unwrap(folder: Path) -> None:
    """Where an archive holds one folder and nothing else, that folder is the model."""
    entries = list(folder.iterdir())
    if len(entries) == 1 and entries[0].is_dir():
        inner = entries[0].rename(folder / WRAPPER)
        for entry in inner.iterdir():
            entry.rename(folder / entry.name)
        inner.rmdir()
