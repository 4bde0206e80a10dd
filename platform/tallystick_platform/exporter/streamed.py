"""A transformers model whose weights stay where they are: each layer reads its own when it runs, and drops them again.

Comparing in 32 bits would otherwise take several times the memory of a model that is stored in 16. The forward pass is
the library's own, so this is what the library computes from these files.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tallystick_platform.errors import kind_of
from tallystick_platform.exporter.errors import ExportFailed, ExportRefused
from tallystick_platform.exporter.parity import Logits
from tallystick_platform.exporter.weights import Weights

UNSTATED_CONTEXT = 1_024  # for models without positions, which take any length


class NotStreamable(Exception):
    """The files do not hold a tensor of this name; the library may put it together from others."""


class TensorSource(Protocol):
    """Where a model's tensors come from."""

    @property
    def names(self) -> frozenset[str]:
        """The tensors that are there, by the names of the transformers library."""

    def floats(self, name: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        """One of them, in 32 bits; the caller may keep it."""


class RunningModel:
    """A causal language model of the library in 32 bits, asked through its own forward pass."""

    def __init__(self, model: Any, name: str) -> None:
        import torch
        import transformers

        self.name = f"{name}, transformers {transformers.__version__} on torch {torch.__version__}, 32-bit"
        self.config = model.config.get_text_config()
        self._model = model.eval()

    @property
    def context(self) -> int:
        """How many tokens the model takes, as far as its configuration says. Units: tokens."""
        stated = getattr(self.config, "max_position_embeddings", None)
        return stated if type(stated) is int and stated > 0 else UNSTATED_CONTEXT

    def logits(self, ids: Sequence[int]) -> Logits:
        """Shapes: (len(ids), vocabulary)."""
        import torch

        with torch.inference_mode():
            found: Logits = self._model(torch.tensor([list(ids)]), use_cache=False).logits[0].numpy()
        return found

    def greedy(self, ids: Sequence[int], count: int) -> list[int]:
        """Continue a text with the most likely token, `count` times, through the library's own cache; without one, read it all anew."""
        import torch

        said: list[int] = []
        with torch.inference_mode():
            answer = self._model(torch.tensor([list(ids)]), use_cache=True)
            while True:
                said.append(int(answer.logits[0, -1].argmax()))
                if len(said) == count:
                    return said
                cache = getattr(answer, "past_key_values", None)
                if cache is None:
                    answer = self._model(torch.tensor([[*ids, *said]]), use_cache=False)
                else:
                    answer = self._model(torch.tensor([said[-1:]]), past_key_values=cache, use_cache=True)


class StreamedModel(RunningModel):
    """One whose weights are read when they are needed. The word embeddings, which every step needs twice, are kept.

    Raises: NotStreamable where the files name their tensors otherwise than the library's layers do.
    """

    def __init__(self, config: Any, tensors: TensorSource, name: str) -> None:
        quiet()
        import accelerate  # type: ignore[import-untyped]
        import torch
        import transformers

        self._held: dict[str, Any] = {}
        try:
            with accelerate.init_empty_weights():
                model: Any = transformers.AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
                    config, dtype=torch.float32
                )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ExportRefused(
                reason=f"the library has no language model for this configuration: {kind_of(error)}"
            ) from error
        model.tie_weights()
        super().__init__(model, name)
        self._attach(tensors)
        release()

    def _attach(self, tensors: TensorSource) -> None:
        shared: dict[int, list[str]] = {}
        for name, parameter in self._model.named_parameters(remove_duplicate=False):
            shared.setdefault(id(parameter), []).append(name)
        embeddings = self._model.get_input_embeddings()
        kept = {id(parameter) for parameter in embeddings.parameters()}
        for module in self._model.modules():
            own = dict(module.named_parameters(recurse=False))
            if own:
                sources = {name: _stored(shared[id(value)], tensors.names) for name, value in own.items()}
                held = {sources[name] for name, value in own.items() if id(value) in kept}
                before, after = self._hooks(own, sources, held, tensors)
                module.register_forward_pre_hook(before)
                module.register_forward_hook(after)
        self._load_buffers(tensors)

    def _hooks(
        self, own: dict[str, Any], sources: dict[str, str], held: set[str], tensors: TensorSource
    ) -> tuple[Callable[..., None], Callable[..., None]]:
        import torch

        def load(name: str) -> Any:
            if name in self._held:
                return self._held[name]
            loaded = torch.from_numpy(tensors.floats(name))
            if name in held:
                self._held[name] = loaded
            return loaded

        def before(module: Any, *_: Any) -> None:
            for name, source in sources.items():
                value = load(source)
                if value.shape != own[name].shape:
                    shapes = f"{tuple(value.shape)}, its layer takes {tuple(own[name].shape)}"
                    raise ExportFailed(reason=f"the tensor {source!a} has the shape {shapes}")
                setattr(module, name, torch.nn.Parameter(value, requires_grad=False))

        def after(module: Any, *_: Any) -> None:
            for name, value in own.items():
                setattr(module, name, value)

        return before, after

    def _load_buffers(self, tensors: TensorSource) -> None:
        import torch

        for name, buffer in self._model.named_buffers():
            if name in tensors.names:
                buffer.copy_(torch.from_numpy(tensors.floats(name)))


def folder_model(folder: Path, name: str) -> RunningModel:
    """A model folder, streamed where that is possible and else loaded whole, as the library does it.

    Raises: ExportRefused, ExportFailed, FormatError, OSError.
    """
    quiet()
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ExportRefused(reason=f"the configuration cannot be read: {kind_of(error)}") from error
    try:
        model = StreamedModel(config, Weights.of_model(folder), name)
        model.logits([0])
    except (NotStreamable, NotImplementedError, RuntimeError):
        # RuntimeError: some layers (Mamba's) use a part's weights without running that part, and so before they are there.
        release()
        return _whole_model(folder, name)
    return model


def _whole_model(folder: Path, name: str) -> RunningModel:
    import torch
    import transformers

    try:
        loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False, output_loading_info=True
        )
    except (ValueError, KeyError, TypeError, RuntimeError, OSError) as error:
        raise ExportFailed(reason=f"the library does not load the model: {kind_of(error)}") from error
    model, found = loaded
    wrong = sorted([*found["missing_keys"], *(str(each) for each in found["mismatched_keys"])])
    if wrong:
        # The library would go on with random numbers in their place.
        raise ExportRefused(reason=f"the files hold no tensor {wrong[0]!a}, which the architecture needs")
    return RunningModel(model, f"{name}, loaded whole")


def quiet() -> None:
    """No network, no progress bars, no warnings on the job's standard error."""
    os.environ.update(
        HF_HUB_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1", TRANSFORMERS_VERBOSITY="error", TQDM_DISABLE="1"
    )


def release() -> None:
    """Give memory back: models refer to themselves, and the C library keeps what is freed for later."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def _stored(names: list[str], stored: frozenset[str]) -> str:
    for name in names:
        if name in stored:
            return name
    raise NotStreamable(names[0])
