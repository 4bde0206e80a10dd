"""The same computations by torch, from the source's files, in float32."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tallystick_platform.exporter.onnx import encoder, language, samples, speech
from tallystick_platform.exporter.onnx.plan import Family
from tallystick_platform.exporter.onnx.stages import StageJob
from tallystick_platform.exporter.spec import Progress
from tallystick_platform.exporter.streamed import folder_model

PREFIX = "reference-"


def compute(job: StageJob, progress: Progress) -> None:
    """Compute what the run stage computed, into files of the same names with a prefix."""
    import torch

    progress("computing with the source", 0.1)
    compute_family = {Family.LANGUAGE: _language, Family.ENCODER: _encoder, Family.SPEECH: _speech}
    with torch.no_grad():
        compute_family[job.plan.family](job)


def load(folder: Path, architecture: str) -> Any:
    """The model as its own class, in float32."""
    import torch
    import transformers

    model_class = getattr(transformers, architecture)
    return model_class.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False
    ).eval()


def _language(job: StageJob) -> None:
    """Torch reads the prompt and the tokens that the export chose: where each one is the largest, torch would have chosen the same."""
    import numpy as np

    prompts = json.loads((job.scratch / language.PROMPTS_FILE).read_text())
    chosen = np.load(job.scratch / language.GREEDY_FILE, allow_pickle=False)
    source = folder_model(job.spec.source, "the source")
    steps = source.logits([*prompts["prompt"], *chosen[:-1].tolist()])[len(prompts["prompt"]) - 1 :]
    np.save(job.scratch / (PREFIX + language.STEPS_FILE), steps)
    np.save(job.scratch / (PREFIX + language.TEXT_FILE), source.logits(prompts["text"]))


def _encoder(job: StageJob) -> None:
    import numpy as np
    import torch

    model = load(job.spec.source, job.plan.architecture)
    batches = np.load(job.scratch / encoder.INPUTS_FILE, allow_pickle=False)
    for number, inputs in enumerate(encoder.batches(batches)):
        output = model(**{name: torch.from_numpy(value) for name, value in inputs.items()})[0]
        np.save(job.scratch / f"{PREFIX}{encoder.output_file(number)}", output.numpy())


def _speech(job: StageJob) -> None:
    import numpy as np
    import torch

    model = load(job.spec.source, job.plan.architecture)
    chosen = np.load(job.scratch / speech.GREEDY_FILE, allow_pickle=False)
    start = speech.start_tokens(job.spec.source)
    heard = torch.from_numpy(samples.sound(model.config.num_mel_bins))
    whole = torch.tensor([[*start, *chosen[:-1].tolist()]])
    steps = model(input_features=heard, decoder_input_ids=whole, use_cache=False).logits[0, len(start) - 1 :]
    np.save(job.scratch / (PREFIX + speech.STEPS_FILE), steps.numpy())
