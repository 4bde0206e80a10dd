"""Images: pictures that a model draws from a text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tallystick.record import Value
from tallystick.tasks import image
from tallystick.tasks.neutral import IMAGE
from tallystick_platform.errors import ParameterOutOfRange
from tallystick_platform.protocol import ModelInfo
from tallystick_platform.tasks.speech import Media
from tallystick_platform.tasks.task import Task

MAX_PIXELS = 1_048_576
"""Of one picture, which so has 3 million bytes; with MAX_PICTURES of them an answer fits a frame."""
MAX_PICTURES = 4
MAX_STEPS = 100
MIN_SIDE = 16
DEFAULT_SIDE = 512
DEFAULT_STEPS = 30
DEFAULT_GUIDANCE = 7.5
_SIZE = re.compile(r"([1-9][0-9]{1,4})x([1-9][0-9]{1,4})")


class Drawing(msgspec.Struct, frozen=True, kw_only=True):
    """How pictures are drawn, as the record states it. Each of the `n` has a seed of its own, counted on from `seed`."""

    n: int
    size: str
    seed: int
    steps: int
    guidance: float
    negative_prompt: str


class ImageCall(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine draws. It answers with one piece for each picture: a PNG."""

    text: str
    how: Drawing


_calls = msgspec.msgpack.Decoder(ImageCall)


def decode_call(body: bytes) -> ImageCall:
    """What an engine was told. Raises: msgspec.DecodeError."""
    return _calls.decode(body)


def sides_of(size: str) -> tuple[int, int] | None:
    """Width and height in pixels; None for what is no size within the bounds."""
    found = _SIZE.fullmatch(size)
    if found is None:
        return None
    width, height = int(found[1]), int(found[2])
    return (width, height) if min(width, height) >= MIN_SIDE and width * height <= MAX_PIXELS else None


class Image(Task[str, Drawing]):
    """Text to pictures."""

    name = image.NAME
    parameters = Drawing
    neutral = IMAGE

    def defaults(self, model: ModelInfo, draw_seed: Callable[[], int]) -> dict[str, Any]:
        own = model.defaults
        return {
            "n": 1,
            "size": own.get("size", f"{DEFAULT_SIDE}x{DEFAULT_SIDE}"),
            "seed": draw_seed(),
            "steps": own.get("steps", DEFAULT_STEPS),
            "guidance": own.get("guidance", DEFAULT_GUIDANCE),
            "negative_prompt": "",
        }

    def check(self, used: Drawing, model: ModelInfo) -> None:
        sides = sides_of(used.size)
        if sides is None:
            reason = f"is no WIDTHxHEIGHT of {MIN_SIDE} pixels and more a side, and {MAX_PIXELS} in all"
            raise ParameterOutOfRange(param="size", reason=reason)
        multiple = int(model.defaults.get("multiple_of", 1))
        if any(side % multiple for side in sides):
            raise ParameterOutOfRange(param="size", reason=f"has a side that is no multiple of {multiple}")

    def given(self, prompt: Mapping[str, Value], _asked: Mapping[str, Value]) -> str:
        return image.text_of(prompt)

    def call(self, given: str, used: Drawing) -> bytes:
        return msgspec.msgpack.encode(ImageCall(text=given, how=used))

    def gather(self, _given: str, _used: Drawing) -> Media:
        return Media(image.TYPE)
