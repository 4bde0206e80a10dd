"""Models of sound, pictures and tables: which of them a folder holds, loaded as a kind of the one-shot engine."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import torch

from tallystick_platform.engine import causal
from tallystick_platform.engine.classical import load_classical, model_file
from tallystick_platform.engine.kind import Loaded, Loader
from tallystick_platform.engine.model_store import INDEX_FILE
from tallystick_platform.engine.prompt import load_tokenizer
from tallystick_platform.formats.report import Task
from tallystick_platform.formats.tasks import task_of


def media_loader(folder: Path) -> Loader | None:
    """How a folder is loaded; None where it is for nothing of this. Raises: ModelUnusable."""
    return LOADERS.get(_task(folder))


def _task(folder: Path) -> Task:
    config = folder / "config.json"
    if (folder / INDEX_FILE).is_file():
        return Task.IMAGE
    if not config.is_file():
        return Task.OTHER if model_file(folder) is None else Task.CLASSICAL
    return task_of(causal.read_json(config, causal.MAX_CONFIG_BYTES), chat_template=False, sentence_encoder=False)


def _transcription(folder: Path, dtype: torch.dtype, device: torch.device) -> Loaded:
    from tallystick_platform.engine import transcriber
    from tallystick_platform.tasks import TRANSCRIPTION

    kind = transcriber.load_transcriber(folder, load_tokenizer(folder), dtype, device)
    return Loaded(
        kind=kind,
        engine=transcriber.ENGINE_NAME,
        engine_version=causal.engine_version(None, f"av {version('av')}"),
        task=TRANSCRIPTION.name,
        exact=dtype is torch.float32 and device.type == "cpu",
        context_length=kind.longest_prompt,
    )


def _speech(folder: Path, dtype: torch.dtype, device: torch.device) -> Loaded:
    from tallystick_platform.engine import speaker
    from tallystick_platform.tasks import SPEECH

    kind = speaker.load_speaker(folder, dtype, device)
    return Loaded(
        kind=kind,
        engine=speaker.ENGINE_NAME,
        engine_version=causal.engine_version(None, f"av {version('av')}"),
        task=SPEECH.name,
        exact=dtype is torch.float32 and device.type == "cpu",
        context_length=speaker.MAX_SENTENCE_CHARS,
        schema=kind.schema,
    )


def _image(folder: Path, dtype: torch.dtype, device: torch.device) -> Loaded:
    from tallystick_platform.engine import painter
    from tallystick_platform.tasks import IMAGE

    kind = painter.load_painter(folder, dtype, device)
    libraries = [f"{name} {version(name)}" for name in ("diffusers", "pillow")]
    return Loaded(
        kind=kind,
        engine=painter.ENGINE_NAME,
        engine_version=causal.engine_version(None, *libraries),
        task=IMAGE.name,
        exact=dtype is torch.float32 and device.type == "cpu",
        context_length=1,
        defaults=kind.defaults,
    )


def _classical(folder: Path, _dtype: torch.dtype, _device: torch.device) -> Loaded:
    return load_classical(folder)


LOADERS: Mapping[Task, Loader] = {
    Task.TRANSCRIPTION: _transcription,
    Task.SPEECH: _speech,
    Task.IMAGE: _image,
    Task.CLASSICAL: _classical,
}
