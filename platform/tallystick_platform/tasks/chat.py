"""Chat: the next turn of a conversation, written by the model's own chat template."""

from __future__ import annotations

from collections.abc import Mapping

from tallystick.record import Output, Value
from tallystick.tasks import chat
from tallystick.tasks.neutral import CHAT
from tallystick_platform.tasks.drawing import Draw, TextTask, encode_call


class Chat(TextTask):
    """Messages to a message."""

    name = chat.NAME
    neutral = CHAT
    templated = True

    def call(self, prompt: Mapping[str, Value], used: Draw) -> bytes:
        return encode_call(used, turns=chat.turns_of(prompt))

    def output(self, text: str, finish_reason: str | None) -> Output:
        return chat.chat_output(text, finish_reason)
