"""Models that answer texts in one go: what a folder is for, loaded as a kind of the one-shot engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from tallystick_platform.engine import causal, encoder, heads, seq2seq
from tallystick_platform.engine.kind import Loaded, Loader
from tallystick_platform.engine.model_store import MODULES_FILE
from tallystick_platform.engine.oneshot import STEP_SIZE
from tallystick_platform.engine.prompt import TextEncoder, load_tokenizer
from tallystick_platform.engine.states import FEWEST
from tallystick_platform.formats.report import Task
from tallystick_platform.formats.tasks import served_by, task_of


def text_loader(folder: Path) -> Loader | None:
    """How a folder is loaded; None where it is for nothing of this. Raises: ModelUnusable."""
    return LOADERS.get(_task(folder))


def _task(folder: Path) -> Task:
    config = causal.read_json(folder / "config.json", causal.MAX_CONFIG_BYTES)
    found = task_of(config, chat_template=False, sentence_encoder=(folder / MODULES_FILE).is_file())
    writes = found in (Task.SEQ2SEQ, Task.TRANSLATION)
    return Task.OTHER if writes and config.get("is_encoder_decoder") is False else found


def _embedding(folder: Path, dtype: torch.dtype, device: torch.device) -> Loaded:
    kind = encoder.load_encoder(folder, TextEncoder(load_tokenizer(folder)), dtype, device)
    return _rows(kind, kind.states.probe, Task.EMBEDDING, dtype, device, dimensions=kind.dimensions)


def _classification(folder: Path, dtype: torch.dtype, device: torch.device) -> Loaded:
    kind = heads.load_classifier(folder, TextEncoder(load_tokenizer(folder)), dtype, device)
    return _rows(kind, kind.headed.probe, _task(folder), dtype, device)


def _entities(folder: Path, dtype: torch.dtype, device: torch.device) -> Loaded:
    kind = heads.load_tagger(folder, TextEncoder(load_tokenizer(folder)), dtype, device)
    return _rows(kind, kind.headed.probe, Task.ENTITIES, dtype, device)


def _rows(
    kind: encoder.Encoder | heads.Classifier | heads.Tagger,
    probe: Callable[[], bool],
    task: Task,
    dtype: torch.dtype,
    device: torch.device,
    dimensions: int | None = None,
) -> Loaded:
    """A kind over rows of tokens. Where nothing is exact anyway, rows share a pass unasked."""
    exact = dtype is torch.float32 and device.type == "cpu"
    if exact:
        probe()
    served = served_by(task)
    return Loaded(
        kind=kind,
        engine=encoder.ENGINE_NAME,
        engine_version=causal.engine_version(),
        task=served[0],
        tasks=served,
        exact=exact,
        context_length=kind.states.longest,
        rows=max(1, kind.states.room // FEWEST),
        step_size=max(kind.states.room, STEP_SIZE),
        dimensions=dimensions,
    )


def _translation(folder: Path, dtype: torch.dtype, device: torch.device) -> Loaded:
    kind = seq2seq.load_translator(folder, dtype, device)
    exact = dtype is torch.float32 and device.type == "cpu"
    if exact:
        kind.probe()
    return Loaded(
        kind=kind,
        engine=seq2seq.ENGINE_NAME,
        engine_version=causal.engine_version(),
        task=served_by(Task.TRANSLATION)[0],
        exact=exact,
        context_length=kind.most_tokens,
        longest=kind.longest,
        rows=kind.rows(kind.defaults["num_beams"]),
        defaults=kind.defaults,
    )


LOADERS: Mapping[Task, Loader] = {
    Task.EMBEDDING: _embedding,
    Task.RERANK: _classification,
    Task.CLASSIFICATION: _classification,
    Task.ENTITIES: _entities,
    Task.TRANSLATION: _translation,
    Task.SEQ2SEQ: _translation,
}
