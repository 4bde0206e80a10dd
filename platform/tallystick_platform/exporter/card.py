"""What an export says of itself: the model card, where it comes from, and how it compared with its source."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import metadata
from typing import Any

from tallystick_platform.exporter.spec import ExportSpec, ParityReport

CARD_NAME = "README.md"
PARITY_NAME = "parity.json"
PROVENANCE_NAME = "provenance.json"
PROVENANCE_FORMAT = "tallystick/provenance/v1"
TOOLS = (
    "tallystick", "torch", "transformers", "safetensors", "tokenizers", "gguf", "onnx", "onnxruntime", "onnxruntime-genai",
    "model-signing",
)  # fmt: skip
LICENCE_NOT_STATED = "not stated"
_PLAIN_LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}")


def provenance(spec: ExportSpec, report: ParityReport) -> dict[str, Any]:
    """Where the files come from. No time and no place of this machine: the same export has the same digest."""
    return {
        "format": PROVENANCE_FORMAT,
        "model": spec.model,
        "version": spec.version,
        "source_digest": spec.source_digest.hex(),
        **({} if spec.base_digest is None else {"base_digest": spec.base_digest.hex()}),
        "task": spec.task,
        "exported_as": spec.format,
        "quantization": spec.quantization,
        "command": spec.command,
        "licence": spec.licence,
        "tools": tool_versions(),
        "parity_passed": report.passed,
    }


@cache
def tool_versions() -> dict[str, str]:
    """The versions of the packages that write or run exports, as far as they are installed."""
    versions = {}
    for tool in TOOLS:
        try:
            versions[tool] = metadata.version(tool)
        except metadata.PackageNotFoundError:
            continue
    return versions


def document(value: dict[str, Any]) -> str:
    """JSON for people: indented, keys in order."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def model_card(spec: ExportSpec, report: ParityReport) -> str:
    """The card in Markdown, with the head that model hubs read."""
    licence = spec.licence or LICENCE_NOT_STATED
    head = {"license": licence.lower() if spec.licence and _PLAIN_LICENCE.fullmatch(licence) else "other"}
    if head["license"] == "other":
        head["license_name"] = licence
    head |= {"base_model": spec.model, "library_name": _LIBRARIES[spec.format]}
    lines = ["---", *(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in head.items()), "---", ""]
    lines += [f"# {_text(spec.model)}, version {_text(spec.version)}, as {spec.format}", "", *_origin(spec, licence)]
    lines += ["", "## Parity", "", *_parity(report), "", "## Use", "", *_use(spec), ""]
    return "\n".join(lines)


def _origin(spec: ExportSpec, licence: str) -> list[str]:
    rows = {
        "model": _code(spec.model),
        "version": _code(spec.version),
        "source digest": _code(spec.source_digest.hex()),
        **({} if spec.base_digest is None else {"digest of the adapter's base": _code(spec.base_digest.hex())}),
        "format": spec.format,
        "quantization": _code(spec.quantization) if spec.quantization else "none",
        "task": _text(spec.task),
        "licence": _text(licence),
        "command": _code(spec.command or "none recorded"),
        "tools": ", ".join(f"{name} {version}" for name, version in tool_versions().items()),
    }
    explained = (
        "The source digest is the SHA-256 over the names and SHA-256 digests of the source's files, as `tallystick` and "
        "OpenSSF model signing list them. Records of answers by the source carry the same 32 bytes."
    )
    return [explained, "", "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]


def _parity(report: ParityReport) -> list[str]:
    def number(value: float | None) -> str:
        return "not measured" if value is None else f"{value:.6g}"

    agreed = f"{report.greedy_equal} of {report.greedy_tokens}" if report.greedy_tokens else "not measured"
    rows = {
        "reference": _text(report.reference),
        "what ran": _text(report.runtime),
        "largest difference of a logit": number(report.max_logit_difference),
        "leading greedy tokens that agree": agreed,
        "perplexity of the source": number(report.perplexity_reference),
        "perplexity of the export": number(report.perplexity),
        "bounds": ", ".join(f"{name} {limit:g}" for name, limit in sorted(report.bound.items())),
    }
    lines = ["The exported files were run beside the source before this card was written.", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in rows.items()]
    return lines + ([""] + [f"- {_text(note)}" for note in report.notes] if report.notes else [])


def _use(spec: ExportSpec) -> list[str]:
    ways = {
        "safetensors": "`transformers.AutoModel` and its kin load this folder as it is, as does every tool that reads safetensors.",
        "gguf": "llama.cpp, Ollama and `transformers` (`gguf_file=`) load the `.gguf` file.",
        "onnx": "onnxruntime loads the `.onnx` files; onnxruntime-genai loads the folder where it holds `genai_config.json`.",
    }
    check = "`model.sig`, where it is there, is a signature in the form of OpenSSF model signing over every other file."
    return [ways[spec.format], "", check]


_LIBRARIES = {"safetensors": "transformers", "gguf": "gguf", "onnx": "onnx"}


def _text(value: str) -> str:
    """Words of others in a table: one line, and nothing that Markdown or HTML would act upon."""
    return re.sub(r"([\\`*_{}\[\]<>#|!])", r"\\\1", _line(value))


def _code(value: str) -> str:
    return "`" + _line(value).replace("`", "'").replace("|", "\\|") + "`"


def _line(value: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(value.split()))
