"""The two sides' numbers set beside each other."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tallystick_platform.exporter.onnx import encoder, language
from tallystick_platform.exporter.onnx.plan import Family, Plan
from tallystick_platform.exporter.onnx.stages import REFERENCE, Stage
from tallystick_platform.exporter.parity import largest_difference, leading_equal, perplexity
from tallystick_platform.exporter.spec import ExportSpec, ParityReport

_MEGABYTE = 1_000_000


def compare(spec: ExportSpec, chosen: Plan, scratch: Path, peaks: Mapping[Stage, int]) -> ParityReport:
    """The report over what the run stage and the reference stage left."""
    measured = {Family.LANGUAGE: _language, Family.ENCODER: _encoder, Family.SPEECH: _speech}[chosen.family]
    runtime = f"onnxruntime {version('onnxruntime')}"
    if chosen.family is Family.LANGUAGE:
        runtime = f"onnxruntime-genai {version('onnxruntime-genai')}"
    memory = ", ".join(f"{stage} {peak // _MEGABYTE} MB" for stage, peak in peaks.items())
    found = measured(chosen, scratch)
    notes = (*found.pop("notes", ()), f"resident memory at most: {memory}")
    if chosen.family is not Family.ENCODER and found["greedy_tokens"] < spec.parity_tokens:
        notes = (*notes, f"the model's context allowed {found['greedy_tokens']} of {spec.parity_tokens} tokens")
    return ParityReport(
        reference=f"transformers {version('transformers')}, torch {version('torch')}, float32",
        runtime=runtime,
        bound=chosen.bound,
        notes=notes,
        **found,
    )


def _language(chosen: Plan, scratch: Path) -> dict[str, Any]:
    import numpy as np

    steps, wanted_steps = _both(scratch, language.STEPS_FILE)
    text, wanted_text = _both(scratch, language.TEXT_FILE)
    tokens = _load(scratch / language.GREEDY_FILE)
    prompts = json.loads((scratch / language.PROMPTS_FILE).read_text())
    return {
        "max_logit_difference": float(np.max([_difference(steps, wanted_steps), _difference(text, wanted_text)])),
        **_greedy(tokens, wanted_steps),
        "perplexity": perplexity(text, prompts["text"]),
        "perplexity_reference": perplexity(wanted_text, prompts["text"]),
        "notes": ()
        if chosen.precision == "fp32"
        else ("torch computes the float32 model, the export its few-bit weights",),
    }


def _speech(_chosen: Plan, scratch: Path) -> dict[str, Any]:
    steps, wanted = _both(scratch, language.STEPS_FILE)
    tokens = _load(scratch / language.GREEDY_FILE)
    return {"max_logit_difference": _difference(steps, wanted), **_greedy(tokens, wanted)}


def _encoder(chosen: Plan, scratch: Path) -> dict[str, Any]:
    """Full precision: every number of every real token. 8 bits: what users look at, see `_scores`."""
    import numpy as np

    largest, rows, equal = 0.0, 0, 0
    inputs = list(encoder.batches(np.load(scratch / encoder.INPUTS_FILE, allow_pickle=False)))
    classifier = chosen.architecture.endswith("ForSequenceClassification")
    for number, batch in enumerate(inputs):
        found, wanted = _both(scratch, encoder.output_file(number))
        mask = batch["attention_mask"].astype(bool)
        if chosen.precision != "fp32":
            found, wanted = (_scores(side, mask, classifier=classifier) for side in (found, wanted))
        elif found.shape[:2] == mask.shape:
            found, wanted = found[mask], wanted[mask]  # what stands at padding means nothing
        largest = float(np.max([largest, _difference(found, wanted)]))  # not a number stays not a number
        best, best_wanted = found.argmax(-1).ravel(), wanted.argmax(-1).ravel()
        rows, equal = rows + len(best), equal + int((best == best_wanted).sum())
    what = "every number of the first output" if chosen.precision == "fp32" else "scores"
    return {
        "max_logit_difference": largest,
        "greedy_tokens": rows,
        "greedy_equal": equal,
        "notes": (f"compared: {what}; the agreement counts rows whose largest entry is the same",),
    }


def _scores(output: Any, mask: Any, *, classifier: bool) -> Any:
    """A classifier's probabilities; else how alike the sentences' mean vectors are, each beside all the others."""
    import numpy as np

    if classifier:
        powers = np.exp(output - output.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)
    if output.shape[:2] == mask.shape:
        output = (output * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    output = output / np.linalg.norm(output, axis=-1, keepdims=True)
    return output @ output.T - 2 * np.eye(len(output), dtype=output.dtype)  # nothing is its own nearest neighbour


def _greedy(tokens: Any, wanted: Any) -> dict[str, int]:
    """How many leading tokens torch would have chosen too: each is compared after the same tokens before it."""
    return {"greedy_tokens": len(tokens), "greedy_equal": leading_equal(wanted.argmax(-1).tolist(), tokens.tolist())}


def _difference(found: Any, wanted: Any) -> float:
    largest = largest_difference(wanted, found)
    return math.nan if largest is None else largest


def _both(scratch: Path, name: str) -> tuple[Any, Any]:
    return _load(scratch / name), _load(scratch / (REFERENCE + name))


def _load(path: Path) -> Any:
    import numpy as np

    return np.load(path, allow_pickle=False)
