"""Chat: the next turn of a conversation, written by the model's own chat template."""

from __future__ import annotations

from collections.abc import Mapping

from tallystick.record import Output, Value
from tallystick.tasks import chat
from tallystick.tasks.neutral import CHAT
from tallystick_platform.tasks.drawing import Draw, TextTask, Turn, encode_call


class Chat(TextTask[tuple[Turn, ...]]):
    """Messages to a message."""

    name = chat.NAME
    neutral = CHAT
    templated = True

    def given(self, prompt: Mapping[str, Value]) -> tuple[Turn, ...]:
        return chat.turns_of(prompt)

    def call(self, given: tuple[Turn, ...], used: Draw) -> bytes:
        return encode_call(used, turns=given)

    def output(self, text: str, finish_reason: str | None) -> Output:
        return chat.chat_output(text, finish_reason)
