"""The canonical export: every tensor's bytes as they are, in files of a bounded size, with everything a loader needs.

Nothing is decoded. Bytes are streamed and hashed on the way, then read back and compared with the source; only after
that does the model run, once from the source and once from what was written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from tallystick.manifest import FileEntry
from tallystick_platform.exporter.copying import HashedFile, copy_range, reading, require_same
from tallystick_platform.exporter.errors import ExportFailed, ExportRefused
from tallystick_platform.exporter.parity import compared, follow, largest_difference, measure, parity_input
from tallystick_platform.exporter.source import carried, names, require_digest
from tallystick_platform.exporter.spec import (
    GREEDY_AGREEMENT,
    MAX_LOGIT_DIFFERENCE,
    PERPLEXITY_DIFFERENCE,
    ExportSpec,
    ParityReport,
    Progress,
    scaled,
)
from tallystick_platform.exporter.weights import INDEX_NAME, SINGLE_NAME, SUFFIX, Place, Weights
from tallystick_platform.exporter.whole import architecture
from tallystick_platform.formats.safetensors_file import DTYPE_BITS
from tallystick_platform.formats.tasks import GENERATORS

HEADER_ALIGNMENT = 8
WRITE_SHARE = 0.7  # of the writing's progress; the rest is comparing


BOUND = {MAX_LOGIT_DIFFERENCE: 0.0, GREEDY_AGREEMENT: 1.0, PERPLEXITY_DIFFERENCE: 0.0}
"""The same bytes through the same code: nothing may differ."""
IDENTICAL = "every byte of every tensor was read back from the written files and compared with the source's"


def write_safetensors(spec: ExportSpec, progress: Progress) -> tuple[FileEntry, ...]:
    """Write the weights and what goes with them, durably, and compare; the files with their hashes.

    Raises: ExportRefused, ExportFailed, FormatError, OSError.
    """
    files = names(spec.source)
    whole = tuple(name for name in files if name.endswith(SUFFIX))
    top = tuple(name for name in whole if "/" not in name)
    if not whole:
        raise ExportRefused(reason="the source holds no safetensors files")
    resharded: tuple[str, ...] = ()
    if any((spec.source / name).stat().st_size > spec.shard_bytes for name in top):
        resharded = tuple(name for name in top if name == SINGLE_NAME or name.startswith("model-"))
    alongside = {name: place for name, place in carried(files).items() if not (resharded and name == INDEX_NAME)}
    verbatim = {**{name: name for name in whole if name not in resharded}, **alongside}
    told = _Meter(sum((spec.source / name).stat().st_size for name in (*verbatim, *resharded)), progress)
    written: list[FileEntry] = []
    known: dict[str, bytes] = {}
    for name, place in sorted(verbatim.items()):
        entry = _copy(spec.source / name, spec.target, place, told)
        known[name] = entry.sha256
        written.append(entry)
    if resharded:
        written += _reshard(Weights.of(spec.source, resharded), spec, told)
    require_digest(spec.source, spec.source_digest, known)
    return tuple(written)


def export_safetensors(spec: ExportSpec, progress: Progress) -> tuple[ParityReport, tuple[FileEntry, ...]]:
    """Write the model into the target and run it from there.

    Raises: ExportRefused, ExportFailed, FormatError, OSError.
    """
    if spec.quantization is not None:
        raise ExportRefused(reason="safetensors keeps the weights as they are; there is no quantization to choose")
    written = write_safetensors(spec, scaled(progress, 0.0, 0.5))
    named = architecture(spec.source)
    if named is not None and named.endswith(GENERATORS):
        return run_both(spec, scaled(progress, 0.5, 1.0)), written
    return run_other(spec, named, scaled(progress, 0.5, 1.0)), written


def run_both(spec: ExportSpec, progress: Progress) -> ParityReport:
    """The source and then the written folder, over the same input. Raises: ExportRefused, ExportFailed, FormatError."""
    from tallystick_platform.exporter.streamed import folder_model, release

    progress("running the source", 0.0)
    model = folder_model(spec.source, "the source")
    given = parity_input(spec.source, model.config.vocab_size, model.context, spec.parity_tokens)
    reference = measure(model, given, spec.parity_tokens)
    del model
    release()
    progress("running the export", 0.8)
    candidate = follow(folder_model(spec.target, "the export"), given, reference.greedy)
    return compared(reference, candidate, given, BOUND, notes=(IDENTICAL,))


def run_other(spec: ExportSpec, named: str | None, progress: Progress) -> ParityReport:
    """Any other model: both outputs where the library can run it, else what the comparison of the bytes showed.

    Raises: ExportFailed, FormatError.
    """
    from tallystick_platform.exporter.whole import NotRun, output

    difference: float | None = 0.0
    runtime, notes = "the written bytes", [IDENTICAL]
    progress("running the source", 0.0)
    try:
        expected = output(spec.source, named)
    except NotRun as reason:
        notes.append(f"not run: {reason}")
    else:
        progress("running the export", 0.5)
        runtime = f"{named} of the transformers library, whole, 32-bit"
        try:
            difference = largest_difference(expected, output(spec.target, named))
        except NotRun as reason:
            raise ExportFailed(reason=f"the source runs and the export does not: {reason}") from reason
    return ParityReport(
        reference="the source",
        runtime=runtime,
        bound={MAX_LOGIT_DIFFERENCE: 0.0},
        max_logit_difference=difference,
        notes=tuple(notes),
    )


def plan_shards(places: Mapping[str, Place], shard_bytes: int) -> dict[str, tuple[str, ...]]:
    """The files to be written: tensors in their order, as many in a file as fit, one that is larger than a file in one of its own.

    Wider types come first within a file, so that every tensor begins at a multiple of its type's size.
    """
    groups: list[list[str]] = [[]]
    filled = 0
    for name, place in places.items():
        if groups[-1] and filled + place.size > shard_bytes:
            groups.append([])
            filled = 0
        groups[-1].append(name)
        filled += place.size
    ordered = [tuple(sorted(group, key=lambda name: -DTYPE_BITS[places[name].entry.dtype])) for group in groups]
    if len(ordered) == 1:
        return {SINGLE_NAME: ordered[0]}
    count = len(ordered)
    return {f"model-{number:05d}-of-{count:05d}{SUFFIX}": tensors for number, tensors in enumerate(ordered, start=1)}


def _copy(source: Path, target: Path, place: str, told: _Meter) -> FileEntry:
    (target / place).parent.mkdir(parents=True, exist_ok=True)
    with reading(source) as descriptor:
        size = os.fstat(descriptor).st_size
        with HashedFile(target / place) as file, reading(target / place) as found:
            copy_range(descriptor, 0, size, file, told)
            digest = file.finish()
            require_same(descriptor, 0, found, 0, size, place)
    told(size, compared=True)
    return FileEntry(name=place, size=size, sha256=digest)


def _reshard(weights: Weights, spec: ExportSpec, told: _Meter) -> list[FileEntry]:
    shards = plan_shards(weights.places, spec.shard_bytes)
    written = [_write_shard(weights, file, tensors, spec.target, told) for file, tensors in shards.items()]
    if len(shards) > 1:
        index = {
            "metadata": {"total_size": sum(place.size for place in weights.places.values())},
            "weight_map": {name: file for file, tensors in shards.items() for name in sorted(tensors)},
        }
        with HashedFile(spec.target / INDEX_NAME) as file:
            file.write(json.dumps(index, indent=2, sort_keys=True).encode() + b"\n")
            written.append(FileEntry(name=INDEX_NAME, size=file.size, sha256=file.finish()))
    return written


def _write_shard(weights: Weights, file_name: str, tensors: tuple[str, ...], target: Path, told: _Meter) -> FileEntry:
    header = _header(weights, tensors)
    with HashedFile(target / file_name) as file, reading(target / file_name) as found:
        file.write(header)
        for name in tensors:
            place = weights.places[name]
            with reading(weights.folder / place.file) as source:
                copy_range(source, place.start, place.size, file, told)
        digest, at = file.finish(), len(header)
        for name in tensors:
            place = weights.places[name]
            with reading(weights.folder / place.file) as source:
                require_same(source, place.start, found, at, place.size, name)
            told(place.size, compared=True)
            at += place.size
    return FileEntry(name=file_name, size=at, sha256=digest)


def _header(weights: Weights, tensors: tuple[str, ...]) -> bytes:
    header: dict[str, object] = {"__metadata__": {"format": "pt", **weights.metadata}}
    at = 0
    for name in tensors:
        place = weights.places[name]
        shape = list(place.entry.shape)
        header[name] = {"dtype": place.entry.dtype, "shape": shape, "data_offsets": [at, at + place.size]}
        at += place.size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % HEADER_ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


class _Meter:
    """Bytes written and compared, as one share of all."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._total = max(1, total)
        self._progress = progress
        self._share = 0.0

    def __call__(self, count: int, *, compared: bool = False) -> None:
        self._share += count / self._total * ((1 - WRITE_SHARE) if compared else WRITE_SHARE)
        self._progress("comparing" if compared else "writing", min(1.0, self._share))
