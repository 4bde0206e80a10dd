"""One GGUF export: shape and vocabulary first, then the file, then both models over the same texts."""

from __future__ import annotations

import re

from tallystick_platform.exporter.copying import HashedFile, copy_range, reading
from tallystick_platform.exporter.errors import ExportRefused
from tallystick_platform.exporter.gguf.architectures import read_shape
from tallystick_platform.exporter.gguf.quantization import DEFAULT, chosen
from tallystick_platform.exporter.gguf.vocabulary import read_vocabulary
from tallystick_platform.exporter.gguf.writing import plan, write_gguf
from tallystick_platform.exporter.parity import compared, follow, measure, parity_input
from tallystick_platform.exporter.source import names
from tallystick_platform.exporter.spec import ExportSpec, ParityReport, Progress, scaled
from tallystick_platform.exporter.weights import Weights
from tallystick_platform.formats.json_text import read_json_object

MAX_STEM = 96
_LICENCES = re.compile(r"(?:LICEN[CS]E|NOTICE|USE_POLICY)[^/]*", re.IGNORECASE)


def export_gguf(spec: ExportSpec, progress: Progress) -> ParityReport:
    """Write the model as one GGUF file into the target and run it from there.

    Raises: ExportRefused by name for what has no place in such a file, ExportFailed, FormatError, OSError.
    """
    quantization = chosen(spec.quantization)
    if not (spec.source / "config.json").is_file():
        raise ExportRefused(reason="the source has no config.json, from which GGUF's keys are written")
    shape = read_shape(read_json_object(spec.source / "config.json"))
    words = read_vocabulary(spec.source, shape.vocabulary)
    tensors, notes = plan(Weights.of_model(spec.source), shape, quantization)
    path = spec.target / file_name(spec)
    write_gguf(path, spec, shape, words, quantization, tensors, scaled(progress, 0.0, 0.3))
    del words, tensors
    _carry_licences(spec)

    from tallystick_platform.exporter.gguf.running import gguf_model
    from tallystick_platform.exporter.streamed import folder_model, release

    progress("running the source", 0.3)
    given = parity_input(spec.source, shape.vocabulary, shape.context, spec.parity_tokens)
    source = folder_model(spec.source, "the source")
    reference = measure(source, given, spec.parity_tokens)
    del source
    release()
    progress("running the export", 0.8)
    candidate = follow(gguf_model(path), given, reference.greedy)
    if quantization.embeddings != quantization.weights:
        notes = (*notes, f"layers are {quantization.weights}, word embeddings {quantization.embeddings}")
    return compared(reference, candidate, given, quantization.bound, notes)


def file_name(spec: ExportSpec) -> str:
    """The model's last name and the quantization, in letters that every file system takes."""
    stem = re.sub(r"[^A-Za-z0-9._-]", "-", spec.model.rsplit("/", 1)[-1])[:MAX_STEM].lstrip(".-") or "model"
    return f"{stem}-{(spec.quantization or DEFAULT).upper()}.gguf"


def _carry_licences(spec: ExportSpec) -> None:
    for name in names(spec.source):
        if _LICENCES.fullmatch(name):
            with reading(spec.source / name) as source, HashedFile(spec.target / name) as target:
                copy_range(source, 0, (spec.source / name).stat().st_size, target, lambda _count: None)
                target.finish()
