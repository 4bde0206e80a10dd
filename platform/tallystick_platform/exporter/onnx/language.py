"""Causal language models with their KV cache: written by the model builder of onnxruntime-genai, run by onnxruntime-genai."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tallystick_platform.errors import kind_of
from tallystick_platform.exporter.errors import ExportFailed
from tallystick_platform.exporter.onnx.stages import REFERENCE, StageJob
from tallystick_platform.exporter.parity import parity_input
from tallystick_platform.exporter.spec import Progress
from tallystick_platform.exporter.streamed import folder_model

CARRIED = (
    "config.json",
    "generation_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "LICENSE",
    "NOTICE",
)
PROMPTS_FILE = "prompts.json"
TOKENS_AT_ONCE = 16
# In 4 bits the head (which a tied embedding shares) and the matrices that suffer most keep 8: what the demonstration model loses
# is less than half, for a quarter more bytes.
_OPTIONS = {"fp32": (), "int8": (), "int4": ("matmul_mixed_precision=last_matmul:int8,mixed_layers:int8",)}
GREEDY_FILE, STEPS_FILE, TEXT_FILE = "greedy.npy", "steps.npy", "text.npy"


def build(job: StageJob, progress: Progress) -> None:
    """Write graph, weights, tokenizer and the runtime's configuration. Raises: ExportFailed."""
    run_builder(job, progress)
    carry(job.spec.source, job.spec.target, CARRIED)
    written = json.loads((job.spec.target / "genai_config.json").read_text())["model"]
    given = parity_input(job.spec.source, written["vocab_size"], written["context_length"], job.spec.parity_tokens)
    (job.scratch / PROMPTS_FILE).write_text(json.dumps({"prompt": given.prompt, "text": given.text}))


def run_builder(job: StageJob, progress: Progress) -> None:
    """Have the library write the model."""
    from onnxruntime_genai.models import builder

    source, target, cache = str(job.spec.source), str(job.spec.target), str(job.scratch / "cache")
    where = ("", source, target, job.plan.precision, "cpu", cache)
    options = builder.parse_extra_options(*where, ["hf_token=false", "hf_remote=false", *_OPTIONS[job.plan.precision]])
    _tell_rotations(options["hf_details"]["hf_config"])
    progress("writing the ONNX graph", 0.1)
    with _frugal(builder.Model, job.scratch / "weights", progress):
        builder.create_model(*where, **options)
    progress("the ONNX graph is written", 0.95)


def _tell_rotations(config: Any) -> None:
    """Where layers rotate in two ways (Gemma 3), say it in the words that the builder reads: one way for all, and another's base apart."""
    ways = getattr(config, "rope_parameters", None) or {}
    if {"full_attention", "sliding_attention"} <= ways.keys():
        config.rope_local_base_freq = ways["sliding_attention"]["rope_theta"]
        config.rope_theta = ways["full_attention"]["rope_theta"]
        config.rope_parameters = dict(ways["full_attention"])


@contextmanager
def _frugal(model: Any, spilled: Path, progress: Progress) -> Iterator[None]:
    """The library's class with two methods of ours: as it stands it needs four times the model's size."""
    from tallystick_platform.exporter.onnx.frugal import Spill, stream_initializers
    from tallystick_platform.exporter.onnx.quantising import quantise_by_node

    kept = model.make_initializer, model.to_nbits
    model.make_initializer = stream_initializers(model.make_initializer)
    model.to_nbits = quantise_by_node(model.to_nbits, Spill(spilled), progress)
    try:
        yield
    finally:
        model.make_initializer, model.to_nbits = kept


def carry(source: Path, target: Path, names: tuple[str, ...]) -> None:
    """Copy the files that the target lacks."""
    for name in names:
        if (source / name).is_file() and not (target / name).exists():
            shutil.copyfile(source / name, target / name)


def run(job: StageJob, progress: Progress) -> None:
    """Generate greedily and read the fixed text, both with the exported files and their cache.

    Raises: ExportFailed where the files do not load or run.
    """
    import numpy as np

    prompts = json.loads((job.scratch / PROMPTS_FILE).read_text())
    count = job.spec.parity_tokens
    generator = _generator(job, max(len(prompts["prompt"]) + count, len(prompts["text"]), _window(job.spec.target)))
    np.save(job.scratch / TEXT_FILE, _read(generator, prompts["text"]))
    generator.rewind_to(0)
    generator.append_tokens(np.array(prompts["prompt"], dtype=np.int32))
    tokens, steps = [], []
    for index in range(count):
        steps.append(_whole_logits(generator)[-1].copy())
        tokens.append(int(steps[-1].argmax()))
        if index + 1 < count:
            # Tokens are given rather than generated, so that an end token in the middle does not end the comparison.
            generator.append_tokens(np.array(tokens[-1:], dtype=np.int32))
        progress("generating with the exported files", (index + 1) / count)
    np.save(job.scratch / GREEDY_FILE, np.array(tokens, dtype=np.int64))
    np.save(job.scratch / STEPS_FILE, np.stack(steps))


def _window(target: Path) -> int:
    """What a sliding cache must have room for, however short the text. Units: tokens."""
    decoder = json.loads((target / "genai_config.json").read_text())["model"]["decoder"]
    return int(decoder.get("sliding_window", {}).get("window_size", 0))


def _generator(job: StageJob, length: int) -> Any:
    import onnxruntime_genai as genai

    try:
        config = genai.Config(str(job.spec.target))
        if job.plan.precision == "fp32":
            # Without this the runtime keeps a second copy of every weight, laid out for its kernels; weights in few bits need it.
            options = {"session.disable_prepacking": "1"}
            config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
        model = genai.Model(config)
        parameters = genai.GeneratorParams(model)
        parameters.set_search_options(do_sample=False, max_length=length)
        return genai.Generator(model, parameters)
    except RuntimeError as error:
        raise ExportFailed(reason=f"the exported files do not load: {kind_of(error)}") from error


def _read(generator: Any, tokens: list[int]) -> Any:
    """The logits of every token. A few at a time, each part with the cache of those before: fewer numbers are held at once."""
    import numpy as np

    rows = []
    for begin in range(0, len(tokens), TOKENS_AT_ONCE):
        generator.append_tokens(np.array(tokens[begin : begin + TOKENS_AT_ONCE], dtype=np.int32))
        rows.append(_whole_logits(generator).copy())
    return np.concatenate(rows)


def _whole_logits(generator: Any) -> Any:
    return generator.get_output("logits")[0]


def reference(job: StageJob, progress: Progress) -> None:
    """Torch reads the prompt and the tokens that the export chose: where each one is the largest, torch would have chosen the same."""
    import numpy as np

    progress("computing with the source", 0.1)
    prompts = json.loads((job.scratch / PROMPTS_FILE).read_text())
    chosen = np.load(job.scratch / GREEDY_FILE, allow_pickle=False)
    source = folder_model(job.spec.source, "the source")
    steps = source.logits([*prompts["prompt"], *chosen[:-1].tolist()])[len(prompts["prompt"]) - 1 :]
    np.save(job.scratch / (REFERENCE + STEPS_FILE), steps)
    np.save(job.scratch / (REFERENCE + TEXT_FILE), source.logits(prompts["text"]))
