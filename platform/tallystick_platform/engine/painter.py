"""Text to pictures: a pipeline of the diffusers library, one step of its noise at a time.

Each picture is drawn by itself from a seed of its own, so that neither neighbours nor the number of pictures change it.
"""

from __future__ import annotations

import inspect
import io
import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from tallystick_platform.engine.kind import Answer, Input
from tallystick_platform.engine.sampler import NotFinite
from tallystick_platform.engine.turns import in_turns
from tallystick_platform.errors import ModelUnusable, PromptRejected, kind_of
from tallystick_platform.protocol import Call
from tallystick_platform.tasks.image import ImageCall, decode_call, sides_of

ENGINE_NAME = "tallystick-painter"
INPUT_SIZE = 256
_TAKEN = frozenset(("prompt", "height", "width", "num_inference_steps", "generator", "output_type"))


class Painter:
    """Implements `Kind` for a pipeline from text to pictures."""

    def __init__(self, pipeline: Any, *, device: torch.device) -> None:
        self._pipeline, self._device = pipeline, device
        takes = inspect.signature(pipeline.__call__).parameters
        if not takes.keys() >= _TAKEN:
            raise ModelUnusable(reason=f"{type(pipeline).__name__} draws no pictures from texts")
        self._takes = frozenset(takes)
        multiple = int(getattr(pipeline, "vae_scale_factor", 8))
        part = getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)
        side = getattr(getattr(part, "config", None), "sample_size", None)
        side = side * multiple if isinstance(side, int) else 512
        self.defaults = {
            "size": f"{side}x{side}",
            "steps": takes["num_inference_steps"].default,
            "multiple_of": multiple,
        }
        if "guidance_scale" in takes:
            self.defaults["guidance"] = float(takes["guidance_scale"].default)

    def inputs(self, call: Call) -> Texts:
        """Raises: msgspec.DecodeError."""
        return Texts(self, decode_call(call.body))

    def room(self, _group: Hashable) -> int:
        """Each is computed alone."""
        return 0

    def compute(self, inputs: Sequence[Input]) -> Iterator[Sequence[bytes] | None]:
        """One step after another, then the picture."""
        (one,) = inputs
        return in_turns(lambda turn: [self._drawn(one.data, turn)])

    def tells_no(self, name: str) -> bool:
        """Whether the pipeline has no parameter of this name."""
        return name not in self._takes

    def _drawn(self, data: tuple[ImageCall, int], turn: Callable[[], None]) -> bytes:
        asked, at = data
        how, (width, height) = asked.how, sides_of(asked.how.size) or (0, 0)
        own: dict[str, Any] = {"guidance_scale": how.guidance, "negative_prompt": how.negative_prompt or None}

        def stepped(_pipeline: Any, _step: int, _time: Any, given: dict[str, Any]) -> dict[str, Any]:
            turn()
            return given

        if "callback_on_step_end" in self._takes:
            own["callback_on_step_end"] = stepped
        found = self._pipeline(
            prompt=asked.text,
            width=width,
            height=height,
            num_inference_steps=how.steps,
            generator=torch.Generator(self._device).manual_seed(how.seed + at),
            output_type="np",
            **{name: value for name, value in own.items() if name in self._takes},
        ).images[0]
        if not np.isfinite(found).all():
            raise NotFinite("the model's numbers are not finite")
        return png((found.clip(0, 1) * 255).round().astype(np.uint8))


def png(pixels: np.ndarray[Any, Any]) -> bytes:
    """Shapes: [height, width, 3]."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class Texts:
    """The pictures of a request, as many as were asked for."""

    def __init__(self, painter: Painter, asked: ImageCall) -> None:
        self._painter, self._asked = painter, asked

    def __len__(self) -> int:
        return self._asked.how.n

    def read(self, at: int) -> Input:
        """One picture. Raises: PromptRejected for what the pipeline cannot be told."""
        if self._asked.how.negative_prompt and self._painter.tells_no("negative_prompt"):
            raise PromptRejected(reason="this model takes no negative prompt")
        return Input(data=(self._asked, at), group=0, size=INPUT_SIZE, looked_at=len(self._asked.text))

    def answer(self, result: bytes) -> Answer:
        """A picture."""
        return Answer(piece=result, counts={"images": 1})


def load_painter(folder: Path, dtype: torch.dtype, device: torch.device) -> Painter:
    """A pipeline's folder. Raises: ModelUnusable."""
    # Nothing here may reach for the network: everything needed is in the folder.
    os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
    import diffusers

    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    try:
        pipeline: Any = diffusers.DiffusionPipeline.from_pretrained(  # type: ignore[no-untyped-call]
            folder, dtype=dtype, use_safetensors=True, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # the library raises nothing narrower over pipelines that it does not know
        raise ModelUnusable(reason=f"it cannot be loaded: {kind_of(error)}") from error
    pipeline.set_progress_bar_config(disable=True)
    return Painter(pipeline.to(device), device=device)
