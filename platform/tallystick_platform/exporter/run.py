"""One export from beginning to end: refuse, write, run, describe, sign, make durable. Or leave nothing."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tallystick.errors import ManifestError
from tallystick.manifest import FileEntry, Manifest
from tallystick_platform.errors import kind_of
from tallystick_platform.exporter.card import (
    CARD_NAME,
    PARITY_NAME,
    PROVENANCE_NAME,
    document,
    model_card,
    provenance,
)
from tallystick_platform.exporter.copying import file_sha256
from tallystick_platform.exporter.errors import ExportFailed, ExportRefused, ParityFailed
from tallystick_platform.exporter.merging import MERGED_NOTE, merged
from tallystick_platform.exporter.signing import require_key, sign_folder
from tallystick_platform.exporter.source import inspect_source, names, without_leftover
from tallystick_platform.exporter.spec import ExportResult, ExportSpec, ParityReport, Progress, scaled
from tallystick_platform.formats.archive import empty

LEFTOVER_NOTE = (
    "the source's config.json named a quantisation that its weights do not have:"
    " the entry was removed, and the weights exported as they are"
)


def run(spec: ExportSpec, progress: Progress) -> ExportResult:
    """Export a model into an empty folder and return what lies there.

    1. Refuse what cannot be exported; nothing is written before.
    2. Write the model in its new form and run it beside the source. A crash until step 5 leaves a folder without meaning,
       which the caller removes with the staging folder around it; an error empties it here.
    3. Compare: beyond a bound the export ends.
    4. Write the card, the provenance and the parity report, hash what is not hashed yet, sign the list.
    5. Make everything durable. The caller publishes by renaming.

    Raises: ExportRefused, ExportFailed, ParityFailed, ExportCancelled, FormatError, UnsafeModel; never OSError.
    """
    with _target(spec), _system_errors(spec):
        progress("inspecting the source", 0.0)
        if spec.signing_key is not None:
            require_key(spec.signing_key)
        with merged(spec) as whole:
            # Where bytes are only copied, their hashes come with the copying and are compared with the digest there.
            inspect_source(whole.source, None if spec.base or spec.format == "safetensors" else spec.source_digest)
            with without_leftover(whole) as seen:
                report, known = _export(seen, scaled(progress, 0.05, 0.95))
        notes = [
            note for note, holds in ((MERGED_NOTE, whole is not spec), (LEFTOVER_NOTE, seen is not whole)) if holds
        ]
        report = replace(report, notes=(*report.notes, *notes))
        if not report.passed:
            raise ParityFailed(report=report)
        progress("describing", 0.95)
        _describe(spec, report)
        manifest = _manifest(spec.target, known)
        if spec.signing_key is not None:
            sign_folder(spec.target, manifest, spec.signing_key)
        _sync(spec.target)
        progress("finished", 1.0)
    return ExportResult(files=manifest.files, digest=manifest.digest, parity=report)


def _export(spec: ExportSpec, progress: Progress) -> tuple[ParityReport, tuple[FileEntry, ...]]:
    """The format's own part; the files whose hashes it knows already."""
    if spec.format == "safetensors":
        from tallystick_platform.exporter.safetensors import export_safetensors

        return export_safetensors(spec, progress)
    if spec.format == "gguf":
        from tallystick_platform.exporter.gguf.export import export_gguf

        return export_gguf(spec, progress), ()
    from tallystick_platform.exporter.onnx.export import export_onnx

    return export_onnx(spec, progress), ()


def _describe(spec: ExportSpec, report: ParityReport) -> None:
    texts = {
        CARD_NAME: model_card(spec, report),
        PARITY_NAME: document(report.to_dict()),
        PROVENANCE_NAME: document(provenance(spec, report)),
    }
    for name, text in texts.items():
        (spec.target / name).write_text(text, encoding="utf-8")


def _manifest(target: Path, known: tuple[FileEntry, ...]) -> Manifest:
    hashed = {entry.name: entry for entry in known}
    entries = []
    for name in names(target):
        size = (target / name).stat().st_size
        entry = hashed.get(name)
        if entry is None:
            entry = FileEntry(name=name, size=size, sha256=file_sha256(target / name))
        elif entry.size != size:
            raise ExportFailed(reason=f"{name} changed after it was written: {entry.size} bytes, then {size}")
        entries.append(entry)
    return Manifest.of(entries)


@contextmanager
def _target(spec: ExportSpec) -> Iterator[None]:
    """The target as an empty folder; emptied again where anything at all goes wrong. Raises: ExportRefused, ExportFailed."""
    source, target = spec.source.resolve(), spec.target.absolute()
    if not source.is_dir():
        raise ExportRefused(reason="the source is not a folder")
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise ExportRefused(reason="the target is not a folder")
    resolved = target.resolve()
    if resolved == source or resolved.is_relative_to(source) or source.is_relative_to(resolved):
        raise ExportRefused(reason="the source and the target lie in one another")
    try:
        target.mkdir(parents=True, exist_ok=True)
        if any(target.iterdir()):
            raise ExportRefused(reason="the target folder is not empty")
    except OSError as error:
        raise ExportFailed(reason=f"the target folder cannot be used: {kind_of(error)}") from error
    try:
        yield
    except BaseException:
        empty(target)
        raise


@contextmanager
def _system_errors(spec: ExportSpec) -> Iterator[None]:
    try:
        yield
    except ManifestError as error:
        raise ExportRefused(reason=f"the files have no manifest: {error}") from error
    except MemoryError as error:
        raise ExportFailed(reason="this machine's memory does not suffice") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(spec.target).free
            raise ExportFailed(reason=f"the disk is full; {free} bytes are free and the target was emptied") from error
        named = Path(str(error.filename)).name if error.filename else spec.model
        raise ExportFailed(reason=f"{named}: {kind_of(error)}") from error


def _sync(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
