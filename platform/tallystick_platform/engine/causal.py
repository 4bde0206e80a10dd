"""Any causal language model of the transformers library, by that library's own forward pass, behind the audit engine.

Each request runs alone, over a cache of its own: slower than a shared batch, and no neighbour can change an answer. Adapters of the
PEFT library are merged into their base's weights as they are loaded.

Nothing of a model's folder is executed: no code from it, no pickle, and nothing is fetched.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tallystick_platform.errors import ModelUnusable, kind_of
from tallystick_platform.formats.errors import FormatError
from tallystick_platform.formats.weights import ENTRY, read_config

ENGINE_NAME = "tallystick-causal"
ENGINE_VERSION = "1"
MAX_CONFIG_BYTES = 8 * 1_048_576
MAX_ADAPTER_CONFIG_BYTES = 1_048_576
DEFAULT_CONTEXT_LENGTH = (
    2_048  # where the configuration bounds nothing, as with positions that are computed, not learned
)
BASE_FILE = "tallystick-base.json"  # written when an adapter is registered, so that its digest covers its base's
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


class CausalCache:
    """What the library keeps of one request."""

    __slots__ = ("capacity", "length", "states")

    def __init__(self, states: Any, capacity: int) -> None:
        self.states = states
        self.capacity = capacity
        self.length = 0


class CausalModel:
    """Implements `Forward` over a model of the library."""

    def __init__(self, model: Any, *, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype, self.device = dtype, device
        self._model = model
        config = model.config.get_text_config()
        self.vocabulary = int(model.get_input_embeddings().weight.shape[0])
        self.context_length = int(getattr(config, "max_position_embeddings", None) or DEFAULT_CONTEXT_LENGTH)

    @property
    def cache_bytes_per_token(self) -> int:
        """A key and a value for every layer and head of keys, where the configuration names them; else 0."""
        config = self._model.config.get_text_config()
        layers, heads = getattr(config, "num_hidden_layers", 0), getattr(config, "num_attention_heads", 0)
        if not layers or not heads:
            return 0
        width = getattr(config, "head_dim", None) or getattr(config, "hidden_size", 0) // heads
        return int(2 * layers * (getattr(config, "num_key_value_heads", None) or heads) * width * self.dtype.itemsize)

    def new_cache(self, capacity: int) -> CausalCache:
        """Room for one request; the library takes the memory as the request grows."""
        from transformers import DynamicCache

        return CausalCache(DynamicCache(config=self._model.config), capacity)

    @torch.inference_mode()
    def prefill(self, cache: CausalCache, tokens: Sequence[int]) -> Tensor:
        """Append a piece of a prompt. Shapes: answers the last token's logits, [vocabulary] float32."""
        return self._append(cache, tokens, keep=1)[-1]

    @torch.inference_mode()
    def score(self, cache: CausalCache, tokens: Sequence[int]) -> Tensor:
        """The same with the logits of each token, [tokens, vocabulary]. The last one's may differ from `prefill`'s in their last bits."""
        return self._append(cache, tokens, keep=0)

    def fork(self, cache: CausalCache) -> CausalCache:
        """Another cache that holds the same."""
        fresh = CausalCache(copy.deepcopy(cache.states), cache.capacity)
        fresh.length = cache.length
        return fresh

    def _append(self, cache: CausalCache, tokens: Sequence[int], keep: int) -> Tensor:
        found = self._model(
            input_ids=torch.tensor([list(tokens)], device=self.device),
            past_key_values=cache.states,
            use_cache=True,
            logits_to_keep=keep,
        )
        cache.length += len(tokens)
        logits: Tensor = found.logits[0].float()
        return logits

    def decode(self, caches: Sequence[CausalCache], tokens: Sequence[int]) -> Tensor:
        """One further token for each request, one after the other. Shapes: answers logits [requests, vocabulary] float32."""
        return torch.stack([self.prefill(cache, [token]) for cache, token in zip(caches, tokens, strict=True)])


def load_causal(folder: Path, dtype: torch.dtype, device: torch.device, adapter: Path | None = None) -> CausalModel:
    """A model folder in the safetensors layout, with an adapter's weights merged in if there is one.

    Raises: ModelUnusable.
    """
    return CausalModel(library_model(folder, dtype, adapter).to(device), dtype=dtype, device=device)


def library_model(folder: Path, dtype: torch.dtype, adapter: Path | None = None) -> Any:
    """The same as the library's own model. Raises: ModelUnusable."""
    import transformers

    model = load_library_model(transformers.AutoModelForCausalLM, folder, dtype)
    if adapter is not None:
        model = _merged(model, adapter)
    if getattr(model.config, "is_encoder_decoder", False):
        raise ModelUnusable(reason="it is an encoder and a decoder, not a causal language model")
    return model.eval()


def load_library_model(kind: Any, folder: Path, dtype: torch.dtype, unused: tuple[str, ...] = ()) -> Any:
    """A model of the library's, by one of its Auto classes. Tensors may lack whose names begin with one of `unused`.

    Raises: ModelUnusable.
    """
    refuse_foreign(folder)
    # Nothing here may reach for the network: everything needed is in the folder.
    os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
    import transformers

    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        settings: Any = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if hasattr(settings, ENTRY):  # what is left of it after `refuse_foreign` is contradicted by the weights
            delattr(settings, ENTRY)
        model, found = kind.from_pretrained(
            folder,
            config=settings,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:  # the library raises nothing narrower over models that it does not know
        raise ModelUnusable(reason=f"it cannot be loaded: {kind_of(error)}") from error
    _refuse_unfilled(found, unused)
    return model.eval()


def library_tokenizer(folder: Path) -> Any:
    """A folder's tokenizer as the library has it. Raises: ModelUnusable."""
    import transformers

    try:
        return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the library raises nothing narrower
        raise ModelUnusable(reason=f"its tokenizer cannot be read: {kind_of(error)}") from error


def refuse_foreign(folder: Path) -> None:
    """Raises: ModelUnusable for a folder whose configuration asks for code of its own or for quantised arithmetic."""
    read_json(folder / "config.json", MAX_CONFIG_BYTES)
    try:
        config = read_config(folder)
    except FormatError as error:
        raise ModelUnusable(reason=f"it cannot be loaded: {kind_of(error)}") from error
    if "auto_map" in config:
        raise ModelUnusable(
            reason="its config.json asks for Python code of its own (auto_map), which is never run here"
        )
    if ENTRY in config:
        raise ModelUnusable(reason="this engine does not compute quantised weights")


def _refuse_unfilled(found: Mapping[str, Any], unused: tuple[str, ...]) -> None:
    """Raises: ModelUnusable where the files did not fill the model: the library would go on with random numbers in those places."""
    missing = sorted(name for name in map(str, found.get("missing_keys", ())) if not name.startswith(unused))
    if missing:
        raise ModelUnusable(reason=f"its files lack {len(missing)} of the model's tensors, {missing[0]} among them")
    if found.get("mismatched_keys"):
        raise ModelUnusable(reason="some of its tensors have other sizes than its config.json gives them")


def check_base(adapter: Path, digest: bytes) -> None:
    """Raises: ModelUnusable for an adapter whose own files name another base than the one with this digest."""
    if not (adapter / BASE_FILE).exists():
        return
    named = read_json(adapter / BASE_FILE, MAX_ADAPTER_CONFIG_BYTES).get("base_digest")
    if named != digest.hex():
        raise ModelUnusable(reason=f"the adapter belongs to the base with digest {named}, not to {digest.hex()}")


def engine_version(adapter: Path | None = None, *others: str) -> str:
    """This engine's version with those of the libraries that compute; `others` have theirs already."""
    import transformers

    libraries = ", ".join((f"transformers {transformers.__version__}", f"torch {torch.__version__}", *others))
    if adapter is not None:
        import peft

        libraries += f", peft {peft.__version__}"
    return f"{ENGINE_VERSION} ({libraries})"


def _merged(model: Any, adapter: Path) -> Any:
    """The base with the adapter's weights added to its own. Raises: ModelUnusable where an adapter cannot be merged."""
    import peft

    read_json(adapter / ADAPTER_CONFIG, MAX_ADAPTER_CONFIG_BYTES)
    if not (adapter / ADAPTER_WEIGHTS).is_file():  # the library would go on to look for a pickle
        raise ModelUnusable(reason=f"the adapter has no {ADAPTER_WEIGHTS}")
    try:
        attached: Any = peft.PeftModel.from_pretrained(model, adapter, is_trainable=False, local_files_only=True)
        if hasattr(attached.base_model, "merge_and_unload"):
            return attached.merge_and_unload(safe_merge=True)
    except Exception as error:  # the library raises nothing narrower
        raise ModelUnusable(reason=f"the adapter cannot be attached to its base: {kind_of(error)}") from error
    kind = attached.peft_config["default"].peft_type
    raise ModelUnusable(reason=f"adapters of the kind {kind} cannot be merged into their base")


def read_json(path: Path, limit_bytes: int) -> dict[str, Any]:
    """A configuration. Raises: ModelUnusable."""
    try:
        found = json.loads(read_text(path, limit_bytes))
    except (ValueError, RecursionError) as error:
        raise ModelUnusable(reason=f"{path.name} is not JSON") from error
    if not isinstance(found, dict):
        raise ModelUnusable(reason=f"{path.name} does not hold an object")
    return found


def read_text(path: Path, limit_bytes: int) -> str:
    """A file of a model's. Raises: ModelUnusable."""
    try:
        if path.stat().st_size > limit_bytes:
            raise ModelUnusable(reason=f"{path.name} is larger than {limit_bytes} bytes")
        return path.read_text()
    except (OSError, ValueError) as error:
        raise ModelUnusable(reason=f"{path.name} cannot be read: {kind_of(error)}") from error
