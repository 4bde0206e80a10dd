"""A ready engine from a configuration: model folder, digest, tokenizer, weights, and the check of its own promise."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer

from tallystick_platform.engine import causal, weights_digest
from tallystick_platform.engine.audit import ENGINE_NAME, ENGINE_VERSION, AuditEngine
from tallystick_platform.engine.causal import CausalModel, load_causal
from tallystick_platform.engine.chat_template import load_chat_template
from tallystick_platform.engine.choice import TextCodec
from tallystick_platform.engine.concurrency import find_concurrency
from tallystick_platform.engine.conversion import Progress, read_provenance
from tallystick_platform.engine.forms import LIBRARY, Forms
from tallystick_platform.engine.hardware import available_cores, probe_cpu, probe_cuda
from tallystick_platform.engine.kind import Loaded
from tallystick_platform.engine.llama import LlamaModel, is_plain_llama, load_llama
from tallystick_platform.engine.media import media_loader
from tallystick_platform.engine.model_store import resolve_model
from tallystick_platform.engine.oneshot import STEP_SIZE, OneShotEngine
from tallystick_platform.engine.prompt import PromptEncoder, TextEncoder, load_tokenizer
from tallystick_platform.engine.scheduler import SchedulerConfig
from tallystick_platform.engine.text import metaspace_bytes, token_bytes
from tallystick_platform.engine.text_kinds import text_loader
from tallystick_platform.engine.weights_digest import DigestCache
from tallystick_platform.errors import ModelUnusable
from tallystick_platform.formats.packaged import PACKAGED
from tallystick_platform.formats.sampling import recommended_sampling
from tallystick_platform.protocol import GpuInfo, ModelInfo, VersionConfig
from tallystick_platform.tasks import CHAT, COMPLETION
from tallystick_platform.tasks.tool_calls import ANNOUNCING, tool_format_of

Dtype = Literal["auto", "float32", "bfloat16"]
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """What to serve and how. `auto` is float32 on a CPU, bfloat16 on a GPU; `threads` None means every core.

    How many of `max_requests` are computed side by side follows the machine, unless a `scheduler` says it.
    A registered `version` is served in place of `model`, under its own name, if its files have its digest.
    """

    model: str
    models_dir: Path
    version: VersionConfig | None = None
    dtype: Dtype = "auto"
    device: Device = "auto"
    threads: int | None = None
    max_prompt_tokens: int = 8_192
    max_requests: int = 64
    scheduler: SchedulerConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where and in what numbers is computed."""

    gpu: GpuInfo
    device: torch.device
    dtype: torch.dtype

    @property
    def exact(self) -> bool:
        """Whether sums can be repeated to the last bit here."""
        return self.dtype is torch.float32 and self.device.type == "cpu"


def load_engine(config: EngineConfig, progress: Progress) -> AuditEngine | OneShotEngine:
    """The engine that serves a model: what its files say it is for decides which. Raises: ModelUnusable."""
    torch.set_num_threads(config.threads or available_cores())
    place = _place(config)
    folder, adapter = _files(config, progress)
    progress("loading the weights", 0.0)
    # The digest of what lies on disk is computed while the weights load, and stands before anything is served.
    with ThreadPoolExecutor(1) as hasher:
        hashed = hasher.submit(_digest, config, folder)
        if adapter is None and (load := media_loader(folder) or text_loader(folder)) is not None:
            loaded = load(folder, place.dtype, place.device)
            return _one_shot(config, place, folder, loaded, hashed.result(), progress)
        forward = load_forward(folder, place.dtype, place.device, adapter)
        codec = load_codec(folder) if adapter is None else load_codec(adapter, folder)
        digest = hashed.result()
    progress("checking that requests do not disturb each other", 0.8)
    found = find_concurrency(forward, None if config.scheduler is None else config.scheduler.max_active)
    template = codec.template
    model = _described(
        config,
        place,
        folder,
        digest,
        engine=ENGINE_NAME if isinstance(forward, LlamaModel) else causal.ENGINE_NAME,
        engine_version=_engine_version(forward, adapter),
        task=COMPLETION.name if template is None else CHAT.name,
        tasks=(COMPLETION.name,) if template is None else (CHAT.name, COMPLETION.name),
        context_length=forward.context_length,
        max_prompt_tokens=min(config.max_prompt_tokens, forward.context_length - 1),
        chat_template=None if template is None else template.source,
        chat_template_digest=None if template is None else template.digest,
        tool_format=None if template is None else tool_format_of(template.source),
        reproducibility=found.reproducibility,
        sampling=recommended_sampling(folder if adapter is None else adapter, folder),
    )
    progress("ready", 1.0)
    return AuditEngine(
        model=model,
        gpu=place.gpu,
        forward=forward,
        codec=codec,
        config=config.scheduler or found.scheduler(config.max_requests),
        decode_rows=found.rows,
        folder=adapter or folder,
    )


def _one_shot(
    config: EngineConfig, place: _Place, folder: Path, loaded: Loaded, digest: bytes, progress: Progress
) -> OneShotEngine:
    """The engine of a model that answers in one go."""
    model = _described(
        config,
        place,
        folder,
        digest,
        engine=loaded.engine,
        engine_version=loaded.engine_version,
        task=loaded.task,
        tasks=loaded.tasks or (loaded.task,),
        context_length=loaded.context_length,
        max_prompt_tokens=loaded.longest or loaded.context_length,
        chat_template=None,
        chat_template_digest=None,
        reproducibility="reproducible" if loaded.exact else "statistical",
        dimensions=loaded.dimensions,
        defaults=loaded.defaults,
        schema=loaded.schema,
    )
    progress("ready", 1.0)
    return OneShotEngine(
        model=model,
        gpu=place.gpu,
        kind=loaded.kind,
        rows=loaded.rows,
        step_size=loaded.step_size or STEP_SIZE,
        max_requests=config.max_requests,
        folder=folder,
    )


def _described(config: EngineConfig, place: _Place, folder: Path, digest: bytes, **own: Any) -> ModelInfo:
    """The model as records name it; `own` is what its kind of engine adds."""
    model_id, version = _name(config, folder, digest)
    provenance = read_provenance(folder)
    return ModelInfo(
        id=model_id,
        version=version,
        weights_digest=digest,
        dtype="float32" if place.dtype is torch.float32 else "bfloat16",
        quantisation=None
        if provenance is None or provenance.quantisation is None
        else f"{provenance.quantisation}, dequantised",
        device=place.device.type,
        created_at=int(next(path for path in (folder / "config.json", folder) if path.exists()).stat().st_mtime),
        **own,
    )


def load_forward(
    folder: Path, dtype: torch.dtype, device: torch.device, adapter: Path | None = None
) -> LlamaModel | CausalModel:
    """The forward pass for a model folder: our own for a plain Llama, the transformers library's for everything else.

    Raises: ModelUnusable.
    """
    if adapter is None and is_plain_llama(folder):
        return load_llama(folder, dtype, device)
    return load_causal(folder, dtype, device, adapter)


def _files(config: EngineConfig, progress: Progress) -> tuple[Path, Path | None]:
    """The folder with the model's weights, and the adapter's if there is one."""
    version = config.version
    if version is None:
        return resolve_model(config.model, config.models_dir, progress), None
    if version.base_folder is None:
        return Path(version.folder), None
    return Path(version.base_folder), Path(version.folder)


def _digest(config: EngineConfig, folder: Path) -> bytes:
    """The digest that the model is known by. Raises: ModelUnusable for files that are not what they were."""
    version = config.version
    if version is None:
        return DigestCache(config.models_dir / "digests").verify(folder).digest
    if version.base_folder is not None:
        base = weights_digest.check(Path(version.base_folder), version.base_digest or "")
        causal.check_base(Path(version.folder), base.digest)
    return weights_digest.check(Path(version.folder), version.digest).digest


def _name(config: EngineConfig, folder: Path, digest: bytes) -> tuple[str, str]:
    """Id and version: as registered, else from the folder's name and digest."""
    if config.version is not None:
        return config.version.model_id, config.version.version
    if config.model in PACKAGED:
        return PACKAGED[config.model].name, digest.hex()[:12]
    converted = folder.resolve().is_relative_to(config.models_dir.resolve()) and read_provenance(folder) is not None
    return (folder.parent.name if converted else folder.resolve().name.lower()), digest.hex()[:12]


def _engine_version(forward: LlamaModel | CausalModel, adapter: Path | None) -> str:
    if isinstance(forward, LlamaModel):
        return f"{ENGINE_VERSION} (torch {torch.__version__}, {LIBRARY})"
    return causal.engine_version(adapter, LIBRARY)


def load_codec(*folders: Path) -> TextCodec:
    """Tokenizer, template, if there is one, and end tokens of a model, each from the first folder that has it. Raises: ModelUnusable."""
    tokenizer = load_tokenizer(_first(folders, "tokenizer.json"))
    added = tokenizer.get_added_tokens_decoder()
    special = frozenset(
        token_id for token_id, token in added.items() if token.special and token.content not in ANNOUNCING
    )
    spells = set(_decoders(tokenizer))
    table = (metaspace_bytes if spells & {"Metaspace", "Replace"} else token_bytes)(
        tokenizer.get_vocab(with_added_tokens=False),
        {token_id: token.content for token_id, token in added.items()},
        special,
    )

    template = next(filter(None, map(load_chat_template, folders)), None)
    end_tokens = _end_tokens(_first(folders, "config.json"))
    return TextCodec(
        template=template,
        prompt=TextEncoder(tokenizer, end_tokens)
        if template is None
        else PromptEncoder(template, tokenizer, end_tokens),
        token_bytes=table,
        end_tokens=end_tokens,
        special={token_id: added[token_id].content for token_id in special},
        forms=Forms(tokenizer, end_tokens),
        strips_first_space=bool(spells & {"Metaspace", "Strip"}),
    )


def _decoders(tokenizer: Tokenizer) -> Iterator[str]:
    """The kinds of steps by which a tokenizer turns tokens into text."""
    if tokenizer.decoder is not None:
        state = json.loads(tokenizer.decoder.__getstate__())
        yield state["type"]
        yield from (step["type"] for step in state.get("decoders", ()))


def _first(folders: Sequence[Path], name: str) -> Path:
    """The first folder that has a file, else the last one, whose lack of it is then told."""
    return next((folder for folder in folders if (folder / name).is_file()), folders[-1])


def _end_tokens(folder: Path) -> frozenset[int]:
    found: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        if path.exists():
            value = json.loads(path.read_text()).get("eos_token_id")
            found.update(value if isinstance(value, list) else [] if value is None else [value])
    return frozenset(found)


def _place(config: EngineConfig) -> _Place:
    gpu = None if config.device == "cpu" else probe_cuda()
    if gpu is None and config.device == "cuda":
        raise ModelUnusable(reason="a CUDA device was asked for and there is none")
    gpu = gpu or probe_cpu()
    exact = config.dtype == "float32" or (config.dtype == "auto" and gpu.kind == "cpu")
    return _Place(
        gpu=gpu,
        device=torch.device("cuda" if gpu.kind == "gpu" else "cpu"),
        dtype=torch.float32 if exact else torch.bfloat16,
    )
