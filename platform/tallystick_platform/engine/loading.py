"""A ready audit engine from a configuration: model folder, digest, tokenizer, weights, and the check of its own promise."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from tokenizers import Tokenizer

from tallystick_platform.engine.audit import ENGINE_NAME, ENGINE_VERSION, AuditEngine, TextCodec, rows_are_independent
from tallystick_platform.engine.chat_template import load_chat_template
from tallystick_platform.engine.conversion import Progress, read_provenance
from tallystick_platform.engine.hardware import available_cores, probe_cpu, probe_cuda
from tallystick_platform.engine.llama import LlamaModel, load_llama
from tallystick_platform.engine.model_store import resolve_model
from tallystick_platform.engine.scheduler import SchedulerConfig
from tallystick_platform.engine.text import token_bytes
from tallystick_platform.engine.weights_digest import DigestCache
from tallystick_platform.errors import ModelUnusable
from tallystick_platform.protocol import GpuInfo, ModelInfo, Reproducibility

Dtype = Literal["auto", "float32", "bfloat16"]
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """What to serve and how. `auto` is float32 on a CPU, bfloat16 on a GPU; `threads` None means every core."""

    model: str
    models_dir: Path
    dtype: Dtype = "auto"
    device: Device = "auto"
    threads: int | None = None
    max_prompt_tokens: int = 8_192
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)


def load_audit_engine(config: EngineConfig, progress: Progress) -> AuditEngine:
    """Raises: ModelUnusable."""
    torch.set_num_threads(config.threads or available_cores())
    gpu = _hardware(config.device)
    device = torch.device("cuda" if gpu.kind == "gpu" else "cpu")
    name = config.dtype if config.dtype != "auto" else ("float32" if gpu.kind == "cpu" else "bfloat16")
    dtype = torch.float32 if name == "float32" else torch.bfloat16
    folder = resolve_model(config.model, config.models_dir, progress)
    progress("loading the weights", 0.0)
    # The digest of what lies on disk is computed while the weights load, and stands before anything is served.
    with ThreadPoolExecutor(1) as hasher:
        hashed = hasher.submit(DigestCache(config.models_dir / "digests").verify, folder)
        llama = load_llama(folder, dtype, device)
        codec = load_codec(folder)
        digest = hashed.result().digest
    progress("checking that requests do not disturb each other", 0.8)
    rows, reproducibility = _promise(llama, config.scheduler.max_active)
    provenance = read_provenance(folder)
    model = ModelInfo(
        id=folder.resolve().name.lower() if provenance is None else folder.parent.name,
        version=digest.hex()[:12],
        task="chat",
        weights_digest=digest,
        engine=ENGINE_NAME,
        engine_version=f"{ENGINE_VERSION} (torch {torch.__version__})",
        dtype=name,
        quantisation=None if provenance is None else f"{provenance.quantisation}, dequantised",
        device=device.type,
        context_length=llama.shape.context_length,
        max_prompt_tokens=min(config.max_prompt_tokens, llama.shape.context_length - 1),
        chat_template=codec.template.source,
        chat_template_digest=codec.template.digest,
        reproducibility=reproducibility,
        created_at=int((folder / "config.json").stat().st_mtime),
    )
    progress("ready", 1.0)
    return AuditEngine(model=model, gpu=gpu, llama=llama, codec=codec, config=config.scheduler, decode_rows=rows)


def load_codec(folder: Path) -> TextCodec:
    """Tokenizer, template and end tokens of a model folder. Raises: ModelUnusable."""
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library raises nothing narrower
        raise ModelUnusable(reason=f"{folder / 'tokenizer.json'} cannot be read: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    added = tokenizer.get_added_tokens_decoder()
    special = frozenset(token_id for token_id, token in added.items() if token.special)
    table = token_bytes(
        tokenizer.get_vocab(with_added_tokens=False),
        {token_id: token.content for token_id, token in added.items()},
        special,
    )

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    return TextCodec(
        template=load_chat_template(folder), encode=encode, token_bytes=table, end_tokens=_end_tokens(folder)
    )


def _end_tokens(folder: Path) -> frozenset[int]:
    found: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        if path.exists():
            value = json.loads(path.read_text()).get("eos_token_id")
            found.update(value if isinstance(value, list) else [] if value is None else [value])
    return frozenset(found)


def _hardware(device: Device) -> GpuInfo:
    gpu = None if device == "cpu" else probe_cuda()
    if gpu is None and device == "cuda":
        raise ModelUnusable(reason="a CUDA device was asked for and there is none")
    return gpu if gpu is not None else probe_cpu()


def _promise(llama: LlamaModel, max_active: int) -> tuple[int, Reproducibility]:
    """How many rows to decode together, and what class that is.

    In float32 on a CPU the promise is kept whatever it costs: rows share a batch only where this machine showed that they
    stay the same to the last bit. Elsewhere speed comes first and the record says so.
    """
    if llama.dtype is not torch.float32 or llama.device.type != "cpu":
        return max_active, "statistical"
    return (max_active if rows_are_independent(llama, max_active) else 1), "reproducible"
