"""Chat: the next turn of a conversation, written by the model's own chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from tallystick.record import Output, Value
from tallystick.tasks import chat, structure
from tallystick.tasks.neutral import CHAT
from tallystick.tasks.reading import biases_in
from tallystick.tasks.structure import Structure
from tallystick_platform.protocol import TokenEntry
from tallystick_platform.tasks.drawing import Draw, TextTask, Turn, encode_call
from tallystick_platform.tasks.structure import structure_checked


class ChatDraw(Draw, frozen=True, kw_only=True, omit_defaults=True):
    """The same of a chat. `top_logprobs` is how many alternatives each token comes with, where `logprobs` are wanted."""

    logprobs: bool = False
    top_logprobs: int | None = None


class GivenTurns(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation, and what its answer is held to."""

    turns: tuple[Turn, ...]
    structure: Structure | None = None
    logit_bias: Mapping[int, float] = {}


class Chat(TextTask[GivenTurns]):
    """Messages to a message."""

    name = chat.NAME
    parameters = ChatDraw
    neutral = CHAT
    given_by = structure.SCALARS
    templated = True

    def given(self, prompt: Mapping[str, Value], asked: Mapping[str, Value]) -> GivenTurns:
        return GivenTurns(
            turns=chat.turns_of(prompt),
            structure=structure_checked(structure.structure_in(prompt, asked)),
            logit_bias=biases_in(prompt),
        )

    def call(self, given: GivenTurns, used: Draw) -> bytes:
        wanted = isinstance(used, ChatDraw) and used.logprobs
        return encode_call(
            used,
            turns=given.turns,
            structure=given.structure,
            logit_bias=given.logit_bias,
            logprobs=(getattr(used, "top_logprobs", None) or 0) if wanted else None,
        )

    def output(self, text: str, finish_reason: str | None, entries: Sequence[TokenEntry] | None) -> Output:
        return chat.chat_output(text, finish_reason, logprobs=logprobs_of(entries))


def logprobs_of(entries: Sequence[TokenEntry] | None) -> Value:
    """Tokens as OpenAI's chats list them."""
    if entries is None:
        return None
    content: list[Value] = [
        {
            **_token(entry.text, entry.data, entry.logprob),
            "top_logprobs": [_token(one.text, one.data, one.logprob) for one in entry.top],
        }
        for entry in entries
    ]
    return {"content": content}


def _token(text: str, data: bytes, logprob: float | None) -> dict[str, Value]:
    return {"token": text, "bytes": list(data), "logprob": logprob}
