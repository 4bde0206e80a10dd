"""What a folder holds that somebody calls a model, or the reason why it is not taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tallystick_platform.formats import soundness, tasks
from tallystick_platform.formats.card import licence_of
from tallystick_platform.formats.configs import read_configs, top_object
from tallystick_platform.formats.errors import FormatError, UnsafeModel
from tallystick_platform.formats.gguf_file import GgufHeader, read_header
from tallystick_platform.formats.json_text import short_text, whole_number
from tallystick_platform.formats.kinds import Kind, kind_of, may_hold_tensors
from tallystick_platform.formats.limits import MAX_ONNX_FILES
from tallystick_platform.formats.listing import Listed, list_folder
from tallystick_platform.formats.onnx_file import OnnxSummary, read_model
from tallystick_platform.formats.report import Facts, ModelFormat, Task
from tallystick_platform.formats.skops_file import SkopsSummary, read
from tallystick_platform.formats.weights import Weights, gguf_weights, is_leftover, safetensors_weights

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
NO_SKOPS_TRUST = "use estimators whose types skops trusts by itself, or convert it to ONNX (skl2onnx) and bring that"
_CHAT_TEMPLATES = ("chat_template.jinja", "chat_template.json")
_PACKED_TYPES = frozenset({"U8", "I4", "U4", "I2", "U2", "F4"})
_PACKED = frozenset({"awq", "gptq", "bitsandbytes", "aqlm", "hqq", "mxfp4"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """A folder that was found safe: its files by kind, and everything that their headers say."""

    format: ModelFormat
    files: tuple[Listed, ...]
    kinds: Mapping[str, Kind]
    configs: Mapping[str, Any]
    config: Mapping[str, Any]
    weights: Weights
    gguf: GgufHeader | None
    onnx: Mapping[str, OnnxSummary]
    skops: SkopsSummary | None


def inspect_folder(folder: Path) -> Facts:
    """Look at every file's name, kind and header; nothing is loaded, nothing is followed out of the folder.

    Raises: FormatError where the files contradict themselves or are no model, UnsafeModel with the remedy where they could run
    code.
    """
    found = look_into(folder)
    names = {item.name for item in found.files}
    task = task_in(found)
    licence = licence_of(folder, names) or (
        short_text(found.gguf.metadata.get("general.license")) if found.gguf else None
    )
    return Facts(
        format=found.format.value,
        task=task.value,
        architecture=_architecture(found),
        licence=licence,
        dtype=(found.gguf.file_type if found.gguf else None) or found.weights.dtype,
        parameters=None if _packed(found) else found.weights.parameters,
        context_length=_context_length(found),
        size_bytes=sum(item.size for item in found.files),
        warnings=tuple(_warnings(found, licence, task)),
    )


def look_into(folder: Path) -> Contents:
    """What `inspect_folder` reports, in full. Raises: FormatError, UnsafeModel."""
    with _named_within(folder):
        files = list_folder(folder)
        configs = read_configs(folder, files)
        kinds, onnx = _kinds(folder, files)
        form = _format(folder, kinds, configs)
        gguf, skops = None, None
        weights = Weights()
        if Kind.SAFETENSORS in kinds.values():
            weights = safetensors_weights(folder, kinds)
        for name, kind in kinds.items():
            if kind is Kind.GGUF:
                gguf = read_header(folder / name)
            elif kind is Kind.SKOPS:
                skops = _trusted(name, read(folder / name))
        if form is ModelFormat.GGUF and gguf is not None:
            weights = gguf_weights(gguf)
        elif form is ModelFormat.ONNX:
            weights = max((model.weights for model in onnx.values()), key=lambda found: found.total_bytes)
        if not weights.parameters and (gguf is not None or Kind.SAFETENSORS in kinds.values()):
            raise FormatError(path=folder, reason="its weights are none")
        config = top_object(configs, "config.json") or {}
        if form is ModelFormat.SAFETENSORS:
            soundness.check(folder, config, weights)
    return Contents(
        format=form,
        files=files,
        kinds=kinds,
        configs=configs,
        config=config,
        weights=weights,
        gguf=gguf if form is ModelFormat.GGUF else None,
        onnx=onnx,
        skops=skops,
    )


@contextmanager
def _named_within(folder: Path) -> Iterator[None]:
    """Errors name files as the folder's owner does, and not where the folder happens to lie."""
    try:
        yield
    except FormatError as error:
        if isinstance(error.path, Path) and error.path.is_relative_to(folder):
            within = error.path.relative_to(folder).as_posix()
            raise FormatError(path=(folder.name or ".") if within == "." else within, reason=error.reason) from error
        raise


def _kinds(folder: Path, files: tuple[Listed, ...]) -> tuple[dict[str, Kind], dict[str, OnnxSummary]]:
    """What each file is. Files of raw numbers belong to the ONNX model that names them, so these come first."""
    onnx: dict[str, OnnxSummary] = {}
    numbers: set[str] = set()
    for listed in files:
        if listed.name.lower().endswith(".onnx") and kind_of(folder, listed.name) is Kind.ONNX:
            if len(onnx) == MAX_ONNX_FILES:
                raise FormatError(path=folder, reason=f"more than {MAX_ONNX_FILES} ONNX files")
            onnx[listed.name] = read_model(folder / listed.name)
            parent = PurePosixPath(listed.name).parent
            numbers.update((parent / beside).as_posix() for beside in onnx[listed.name].external_files)
    kinds = {}
    for listed in files:
        if listed.name in numbers and may_hold_tensors(listed.name):
            kinds[listed.name] = Kind.ONNX
        else:
            kinds[listed.name] = kind_of(folder, listed.name)
    return kinds, onnx


def _format(folder: Path, kinds: Mapping[str, Kind], configs: Mapping[str, Any]) -> ModelFormat:
    present = set(kinds.values())
    if ADAPTER_CONFIG in configs:
        if ADAPTER_WEIGHTS not in kinds:
            raise FormatError(path=ADAPTER_CONFIG, reason=f"an adapter without {ADAPTER_WEIGHTS}")
        top_object(configs, ADAPTER_CONFIG)
        # Loaders that find both read the adapter and fetch its base from wherever it says.
        if "config.json" in configs:
            raise FormatError(
                path=ADAPTER_CONFIG, reason="a whole model and an adapter in one folder; bring them one by one"
            )
        return ModelFormat.ADAPTER
    if Kind.SAFETENSORS in present:
        if not {"config.json", "model_index.json", "modules.json"} & configs.keys():
            raise FormatError(path=folder, reason="weights without a config.json")
        return ModelFormat.SAFETENSORS
    if Kind.GGUF in present:
        if sum(kind is Kind.GGUF for kind in kinds.values()) > 1:
            reason = (
                "more than one GGUF file; a version is one, and one in parts is joined first (llama-gguf-split --merge)"
            )
            raise FormatError(path=folder, reason=reason)
        return ModelFormat.GGUF
    if Kind.ONNX in present:
        return ModelFormat.ONNX
    if Kind.SKOPS in present:
        if sum(kind is Kind.SKOPS for kind in kinds.values()) > 1:
            raise FormatError(path=folder, reason="more than one skops file; a version is one")
        return ModelFormat.SKOPS
    raise FormatError(path=folder, reason="no model: it holds no safetensors, GGUF, ONNX or skops file")


def _trusted(name: str, summary: SkopsSummary) -> SkopsSummary:
    if summary.untrusted:
        named = ", ".join(summary.untrusted[:5])
        raise UnsafeModel(file=name, reason=f"it holds types that skops does not trust: {named}", remedy=NO_SKOPS_TRUST)
    return summary


def task_in(found: Contents) -> Task:
    """What a model is for."""
    names = {item.name for item in found.files}
    tokenizer = found.configs.get("tokenizer_config.json")
    template = any(name in names for name in _CHAT_TEMPLATES) or (
        isinstance(tokenizer, dict) and bool(tokenizer.get("chat_template"))
    )
    if found.format is ModelFormat.SKOPS:
        return Task.CLASSICAL
    if found.gguf is not None:
        template = template or "tokenizer.chat_template" in found.gguf.metadata
        return tasks.task_of_gguf(found.gguf.architecture, chat_template=template)
    if found.format is ModelFormat.ADAPTER:
        kind = found.configs[ADAPTER_CONFIG].get("task_type")
        return tasks.task_of_adapter(short_text(kind))
    if "model_index.json" in found.configs:
        return Task.IMAGE
    if found.format is ModelFormat.ONNX and not found.config:
        if "genai_config.json" in names:
            return Task.CHAT if template else Task.COMPLETION
        return Task.CLASSICAL if any("ai.onnx.ml" in model.opsets for model in found.onnx.values()) else Task.OTHER
    return tasks.task_of(found.config, chat_template=template, sentence_encoder="modules.json" in found.configs)


def _architecture(found: Contents) -> str | None:
    if found.gguf is not None:
        return short_text(found.gguf.architecture)
    if found.skops is not None and found.format is ModelFormat.SKOPS:
        return short_text(found.skops.estimator)
    if found.format is ModelFormat.ADAPTER:
        return short_text(found.configs[ADAPTER_CONFIG].get("peft_type"))
    pipeline = found.configs.get("model_index.json")
    named = pipeline.get("_class_name") if isinstance(pipeline, dict) else None
    return short_text(named) or tasks.architecture_of(found.config)


def _context_length(found: Contents) -> int | None:
    if found.gguf is not None:
        value = found.gguf.metadata.get(f"{found.gguf.architecture}.context_length")
        return whole_number(value, tasks.MAX_CONTEXT_TOKENS)
    return tasks.context_length_of(found.config)


def _packed(found: Contents) -> bool:
    """Whether several weights share one stored number, so that numbers stored are not parameters."""
    if found.format is ModelFormat.ONNX and found.weights.dtype in _PACKED_TYPES:
        return True
    quantisation = found.config.get("quantization_config")
    if is_leftover(found.config, found.weights.elements):
        return False
    return isinstance(quantisation, dict) and quantisation.get("quant_method") in _PACKED


def _warnings(found: Contents, licence: str | None, task: Task) -> Iterator[str]:
    if licence is None:
        yield "the folder states no licence"
    if task is Task.OTHER:
        yield "nothing in the folder says what the model is for"
    if found.format is ModelFormat.SAFETENSORS and is_leftover(found.config, found.weights.elements):
        yield "its config.json names a quantisation that its weights do not have; they are served and exported as what they are"
    own = {ModelFormat.ADAPTER: Kind.SAFETENSORS}.get(found.format, found.format.value)
    also = sorted({kind.value for kind in found.kinds.values()} - {own, Kind.TEXT, Kind.MEDIA})
    if also:
        yield f"the folder also holds {', '.join(also)} files, which are not served"
