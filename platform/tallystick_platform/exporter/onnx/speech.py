"""Whisper: an encoder graph and a decoder graph with its cache, written by onnxruntime-genai's builder, run by onnxruntime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from tallystick_platform.exporter.onnx.encoder import source_model
from tallystick_platform.exporter.onnx.language import CARRIED, GREEDY_FILE, STEPS_FILE, carry, run_builder
from tallystick_platform.exporter.onnx.stages import REFERENCE, StageJob
from tallystick_platform.exporter.spec import Progress

MEL_FRAMES: Final = 3_000  # thirty seconds, what whisper hears at once


def build(job: StageJob, progress: Progress) -> None:
    """Write both graphs, the tokenizer and the sound's preprocessing. Raises: ExportRefused."""
    run_builder(job, progress)
    carry(
        job.spec.source,
        job.spec.target,
        (*CARRIED, "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"),
    )


def sound(bins: int) -> Any:
    """A log-mel spectrogram of no sound in particular: waves over the bins that drift in time. Shapes: [1, bins, frames]."""
    import numpy as np

    times, heights = np.arange(MEL_FRAMES) / MEL_FRAMES, np.arange(bins) / bins
    sound = sum(np.sin(2 * np.pi * (9 * k * times[None, :] + (k + 1) * heights[:, None])) / k for k in (1, 2, 3))
    return np.asarray(sound, dtype=np.float32)[None] * np.float32(0.4)


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
    cache = _cross_cache(encoder, sound(config["num_mel_bins"]))
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


def reference(job: StageJob, progress: Progress) -> None:
    """Let the source hear the sound and read the tokens that the export chose."""
    import numpy as np
    import torch

    progress("computing with the source", 0.1)
    model = source_model(job)
    chosen = np.load(job.scratch / GREEDY_FILE, allow_pickle=False)
    start = start_tokens(job.spec.source)
    heard = torch.from_numpy(sound(model.config.num_mel_bins))
    whole = torch.tensor([[*start, *chosen[:-1].tolist()]])
    with torch.no_grad():
        steps = model(input_features=heard, decoder_input_ids=whole, use_cache=False).logits[0, len(start) - 1 :]
    np.save(job.scratch / (REFERENCE + STEPS_FILE), steps.numpy())
