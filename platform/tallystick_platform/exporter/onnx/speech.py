"""Whisper: an encoder graph and a decoder graph with its cache, written by onnxruntime-genai's builder, run by onnxruntime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tallystick_platform.exporter.onnx import samples
from tallystick_platform.exporter.onnx.language import CARRIED, carry, run_builder
from tallystick_platform.exporter.onnx.stages import StageJob
from tallystick_platform.exporter.spec import Progress

GREEDY_FILE, STEPS_FILE = "greedy.npy", "steps.npy"


def build(job: StageJob, progress: Progress) -> None:
    """Write both graphs, the tokenizer and the sound's preprocessing. Raises: ExportRefused."""
    run_builder(job, progress)
    carry(
        job.spec.source,
        job.spec.target,
        (*CARRIED, "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"),
    )


def start_tokens(source: Path) -> list[int]:
    """What the decoder is given first."""
    return [int(json.loads((source / "config.json").read_text())["decoder_start_token_id"])]


def run(job: StageJob, progress: Progress) -> None:
    """Hear the fixed sound once, then choose tokens greedily, each with the cache of those before."""
    import numpy as np
    import onnxruntime

    config = json.loads((job.spec.source / "config.json").read_text())
    encoder, decoder = (
        onnxruntime.InferenceSession(job.spec.target / f"{name}.onnx", providers=["CPUExecutionProvider"])
        for name in ("encoder", "decoder")
    )
    cache = _cross_cache(encoder, samples.sound(config["num_mel_bins"]))
    heads, width = config["decoder_attention_heads"], config["d_model"] // config["decoder_attention_heads"]
    for value in decoder.get_inputs():
        if value.name.startswith("past_") and "self" in value.name:
            cache[value.name] = np.zeros((1, heads, 0, width), dtype=np.float32)
    names = [value.name for value in decoder.get_outputs()]
    given, steps, tokens = start_tokens(job.spec.source), [], []
    count = min(job.spec.parity_tokens, config["max_target_positions"] - len(given))
    for index in range(count):
        out = dict(
            zip(names, decoder.run(names, {"input_ids": np.array([given], dtype=np.int32), **cache}), strict=True)
        )
        cache |= {
            name.replace("present_", "past_"): value for name, value in out.items() if name.startswith("present_")
        }
        steps.append(out["logits"][0, -1])
        given = [int(steps[-1].argmax())]
        tokens += given
        progress("transcribing with the exported files", (index + 1) / count)
    np.save(job.scratch / GREEDY_FILE, np.array(tokens, dtype=np.int64))
    np.save(job.scratch / STEPS_FILE, np.stack(steps))


def _cross_cache(encoder: Any, sound: Any) -> dict[str, Any]:
    names = [value.name for value in encoder.get_outputs()]
    out = dict(zip(names, encoder.run(names, {"audio_features": sound}), strict=True))
    return {name.replace("present_", "past_"): value for name, value in out.items() if name.startswith("present_")}
