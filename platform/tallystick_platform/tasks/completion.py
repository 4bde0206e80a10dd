"""Completion: text that goes on where a prompt ends. No template and no roles: the model is given the prompt as it stands."""

from __future__ import annotations

from collections.abc import Mapping

from tallystick.record import Output, Value
from tallystick.tasks import completion
from tallystick.tasks.neutral import COMPLETION
from tallystick_platform.tasks.drawing import Draw, TextTask, encode_call


class Completion(TextTask[str | tuple[int, ...]]):
    """A prompt to a text."""

    name = completion.NAME
    neutral = COMPLETION

    def given(self, prompt: Mapping[str, Value]) -> str | tuple[int, ...]:
        return completion.prompt_of(prompt)

    def call(self, given: str | tuple[int, ...], used: Draw) -> bytes:
        return encode_call(used, prompt=given)

    def output(self, text: str, finish_reason: str | None) -> Output:
        return completion.text_output(text, finish_reason)
