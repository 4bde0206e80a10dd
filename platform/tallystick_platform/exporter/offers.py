"""What a version can be exported to, and why not to the rest: as far as its configuration tells, without loading anything.

Asked before a job is taken, and shown with each model. What only the weights or the tokenizer tell ends the job itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tallystick_platform.exporter.errors import ExportRefused
from tallystick_platform.exporter.spec import FORMATS, QUANTIZATIONS, Format
from tallystick_platform.formats.errors import FormatError
from tallystick_platform.formats.report import ModelFormat
from tallystick_platform.formats.tasks import GENERATORS
from tallystick_platform.formats.weights import ENTRY, read_config

KEPT = 1_024
"""Answers that are kept: a version's folder never changes."""
QUANTISED = "the model's weights are already quantised; export the model that they came from"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """The formats that are offered, each with its quantizations (none: the weights stay as they are); and why others are not."""

    formats: Mapping[str, tuple[str, ...]]
    refused: Mapping[str, str]

    def require(self, wanted: Format, quantization: str | None) -> None:
        """Raises: ExportRefused with the reason."""
        if wanted not in self.formats:
            raise ExportRefused(reason=self.refused.get(wanted, f"the format {wanted!a} is not known"))
        offered = self.formats[wanted]
        if quantization is not None and quantization.lower() not in {name.lower() for name in offered}:
            named = ", ".join(offered) or "it is stored"
            raise ExportRefused(reason=f"this model goes to {wanted} as {named}, not as {quantization!a}")


def offers(folder: Path, stored_as: str) -> Offers:
    """What a version in this folder can become; of an adapter ask with its base's folder, into which it is merged.

    `stored_as` is the version's format.
    """
    if stored_as != ModelFormat.SAFETENSORS:
        reason = f"it is stored as {stored_as}, and only safetensors models and adapters of them can be exported"
        return Offers(formats={}, refused=dict.fromkeys(FORMATS, reason))
    return _offers(folder)


@lru_cache(maxsize=KEPT)
def _offers(folder: Path) -> Offers:
    try:
        config = read_config(folder) if (folder / "config.json").is_file() else {}
    except FormatError as error:
        return Offers(formats={}, refused=dict.fromkeys(FORMATS, f"its configuration cannot be read: {error.reason}"))
    formats: dict[str, tuple[str, ...]] = {}
    refused: dict[str, str] = {}
    for name, ask in (("safetensors", _safetensors), ("onnx", _onnx), ("gguf", _gguf)):
        try:
            formats[name] = ask(config)
        except ExportRefused as error:
            refused[name] = error.reason
    return Offers(formats=formats, refused=refused)


def _safetensors(config: Mapping[str, Any]) -> tuple[str, ...]:
    named = (config.get("architectures") or [""])[0]
    if ENTRY in config and str(named).endswith(GENERATORS):
        raise ExportRefused(reason=QUANTISED)
    return QUANTIZATIONS["safetensors"]


def _gguf(config: Mapping[str, Any]) -> tuple[str, ...]:
    from tallystick_platform.exporter.gguf.architectures import read_shape

    read_shape(config)
    return QUANTIZATIONS["gguf"]


def _onnx(config: Mapping[str, Any]) -> tuple[str, ...]:
    from tallystick_platform.exporter.onnx.plan import precisions

    return precisions(config)
