"""The same computations by torch, from the source's files, in float32."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tallystick_platform.exporter.onnx import encoder, language, samples, speech
from tallystick_platform.exporter.onnx.plan import Family
from tallystick_platform.exporter.onnx.stages import StageJob
from tallystick_platform.exporter.spec import Progress

PREFIX = "reference-"


def compute(job: StageJob, progress: Progress) -> None:
    """Compute what the run stage computed, into files of the same names with a prefix."""
    import torch

    torch.set_grad_enabled(False)
    model = load(job.spec.source, job.plan.architecture)
    progress("computing with the source", 0.3)
    compare = {Family.LANGUAGE: _language, Family.ENCODER: _encoder, Family.SPEECH: _speech}
    compare[job.plan.family](job, model)


def load(folder: Path, architecture: str) -> Any:
    """The model as its own class, its weights left in the precision and, where they are mapped, in the file they lie in."""
    import transformers

    model_class = getattr(transformers, architecture)
    model = model_class.from_pretrained(folder, dtype="auto", local_files_only=True, trust_remote_code=False)
    return compute_in_float32(model.eval())


def compute_in_float32(model: Any) -> Any:
    """Every module widens its own weights while it runs and drops them afterwards.

    The results are those of a float32 model bit for bit, because widening loses nothing; only one module at a time is held wide.
    """
    import torch

    for module in model.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            if buffer.is_floating_point() and buffer.dtype != torch.float32:
                setattr(module, name, buffer.float())
        if any(weight.dtype != torch.float32 for weight in module.parameters(recurse=False)):
            kept = dict(module.named_parameters(recurse=False))
            module.register_forward_pre_hook(lambda module, _inputs, kept=kept: _widen(module, kept))
            module.register_forward_hook(lambda module, _inputs, _output, kept=kept: _restore(module, kept))
    return model


def _widen(module: Any, kept: dict[str, Any]) -> None:
    import torch

    for name, weight in kept.items():
        setattr(module, name, torch.nn.Parameter(weight.float(), requires_grad=False))


def _restore(module: Any, kept: dict[str, Any]) -> None:
    for name, weight in kept.items():
        setattr(module, name, weight)


def _language(job: StageJob, model: Any) -> None:
    """Torch reads the prompt and the tokens that the export chose: where each one is the largest, torch would have chosen the same."""
    import numpy as np
    import torch

    prompts = json.loads((job.scratch / language.PROMPTS_FILE).read_text())
    chosen = np.load(job.scratch / language.GREEDY_FILE, allow_pickle=False)
    whole = torch.tensor([[*prompts["prompt"], *chosen[:-1].tolist()]])
    steps = model(whole, use_cache=False).logits[0, len(prompts["prompt"]) - 1 :]
    np.save(job.scratch / (PREFIX + language.STEPS_FILE), steps.numpy())
    text = model(torch.tensor([prompts["text"]]), use_cache=False).logits[0]
    np.save(job.scratch / (PREFIX + language.TEXT_FILE), text.numpy())


def _encoder(job: StageJob, model: Any) -> None:
    import numpy as np
    import torch

    batches = np.load(job.scratch / encoder.INPUTS_FILE, allow_pickle=False)
    for number, inputs in enumerate(encoder.batches(batches)):
        output = model(**{name: torch.from_numpy(value) for name, value in inputs.items()})[0]
        np.save(job.scratch / f"{PREFIX}{encoder.output_file(number)}", output.numpy())


def _speech(job: StageJob, model: Any) -> None:
    import numpy as np
    import torch

    chosen = np.load(job.scratch / speech.GREEDY_FILE, allow_pickle=False)
    start = speech.start_tokens(job.spec.source)
    heard = torch.from_numpy(samples.sound(model.config.num_mel_bins))
    whole = torch.tensor([[*start, *chosen[:-1].tolist()]])
    steps = model(input_features=heard, decoder_input_ids=whole, use_cache=False).logits[0, len(start) - 1 :]
    np.save(job.scratch / (PREFIX + speech.STEPS_FILE), steps.numpy())
