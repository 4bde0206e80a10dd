"""Weights in another form to a folder in the safetensors layout: a GGUF file by the transformers library's own reader, Whisper by ours."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tallystick_platform.errors import ModelUnusable, kind_of
from tallystick_platform.formats.errors import FormatError
from tallystick_platform.formats.gguf_file import GgufHeader, read_header

Progress = Callable[[str, float], None]

PROVENANCE_FILE = "tallystick.json"
STORED_DTYPE = "bfloat16"
REVISION = 2  # of what a conversion gives; another one is another model
MAX_PROVENANCE_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a converted model comes from; a file of the model folder, so the weights digest covers it."""

    source: str
    source_sha256: str
    quantisation: str | None
    converter: str


def convert_gguf(source: Path, target: Path, progress: Progress) -> Provenance:
    """Write the model, its tokenizer, template and provenance into an empty folder, durably.

    Raises: ModelUnusable where the file is not a model that the reader knows.
    """
    # Nothing here may reach for the network: everything needed is in the file.
    os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
    progress("reading the packaged model", 0.0)
    header = _header(source)
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    provenance = Provenance(
        source=source.name,
        source_sha256=file_sha256(source),
        quantisation=_quantisation(source, header),
        converter=f"transformers {transformers.__version__}",
    )
    where: dict[str, Any] = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    try:
        progress("converting the tokenizer", 0.1)
        transformers.AutoTokenizer.from_pretrained(**where).save_pretrained(target)
        _cut_as(header.metadata.get("tokenizer.ggml.pre"), target / "tokenizer.json")
        progress("converting the weights", 0.35)
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=getattr(torch, STORED_DTYPE))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelUnusable(reason=f"{source.name} cannot be converted: {kind_of(error)}") from error
    # The library would write the file's quantisation into the config although the weights are now plain numbers.
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    progress("writing the converted weights", 0.85)
    model.save_pretrained(target)
    _complete(target, provenance)
    progress("converted", 1.0)
    return provenance


def convert_packaged_whisper(source: Path, target: Path, progress: Progress) -> Provenance:
    """The same for Whisper in CTranslate2's form.

    Raises: ModelUnusable.
    """
    from tallystick_platform.engine.ctranslate import convert_whisper

    progress("converting the weights", 0.1)
    convert_whisper(source, target)
    provenance = Provenance(
        source=source.name, source_sha256=file_sha256(source), quantisation=None, converter=f"tallystick {REVISION}"
    )
    _complete(target, provenance)
    progress("converted", 1.0)
    return provenance


def _complete(target: Path, provenance: Provenance) -> None:
    (target / PROVENANCE_FILE).write_text(json.dumps(asdict(provenance), indent=2, sort_keys=True) + "\n")
    _sync(target)


def read_provenance(folder: Path) -> Provenance | None:
    """What a converted folder says of itself; None for a folder that came from elsewhere. Raises: ModelUnusable."""
    path = folder / PROVENANCE_FILE
    if not path.exists():
        return None
    try:
        if path.stat().st_size > MAX_PROVENANCE_BYTES:
            raise ModelUnusable(reason=f"{path.name} is larger than {MAX_PROVENANCE_BYTES} bytes")
        return Provenance(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise ModelUnusable(reason=f"{path.name} cannot be read: {kind_of(error)}") from error


def file_sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _quantisation(source: Path, header: GgufHeader) -> str:
    """The name of the file's main quantisation, such as Q4_1, from its own header."""
    if "general.file_type" not in header.metadata:
        return "unknown"
    if header.file_type is None:
        raise ModelUnusable(reason=f"{source.name} is quantised in an unknown way")
    return header.file_type


def _header(source: Path) -> GgufHeader:
    """The file's header. The library's own reader takes seconds for one with a large vocabulary. Raises: ModelUnusable."""
    try:
        return read_header(source)
    except (FormatError, OSError) as error:
        raise ModelUnusable(reason=f"{source.name} is not a GGUF file: {kind_of(error)}") from error


def _cut_as(way: object, tokenizer_file: Path) -> None:
    """Cut text into words as the file says, where the library's reader forgets it: digit by digit in SmolLM's way."""
    if way != "smollm":
        return
    from tokenizers import Tokenizer
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.pre_tokenizer = Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
    tokenizer.save(str(tokenizer_file))


def _sync(folder: Path) -> None:
    for path in [*folder.iterdir(), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
