"""Completion: text that goes on where a prompt ends. No template and no roles: the model is given the prompt as it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from tallystick.record import Output, Value
from tallystick.tasks import completion, structure
from tallystick.tasks.neutral import COMPLETION
from tallystick.tasks.reading import biases_in
from tallystick.tasks.structure import Structure
from tallystick_platform.errors import ParameterOutOfRange
from tallystick_platform.protocol import ModelInfo, TokenEntry
from tallystick_platform.tasks.drawing import Draw, TextTask, encode_call
from tallystick_platform.tasks.structure import structure_checked


class CompletionDraw(Draw, frozen=True, kw_only=True, omit_defaults=True):
    """The same of a completion. `logprobs` is how many alternatives each token comes with; `echo` has the prompt stand before the text."""

    logprobs: int | bool | None = None
    echo: bool = False


class GivenText(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt as it stands, and what its answer is held to."""

    prompt: str | tuple[int, ...]
    structure: Structure | None = None
    logit_bias: Mapping[int, float] = {}


class Completion(TextTask[GivenText]):
    """A prompt to a text."""

    name = completion.NAME
    parameters = CompletionDraw
    neutral = COMPLETION
    given_by = structure.SCALARS

    def given(self, prompt: Mapping[str, Value], asked: Mapping[str, Value]) -> GivenText:
        return GivenText(
            prompt=completion.prompt_of(prompt),
            structure=structure_checked(structure.structure_in(prompt, asked)),
            logit_bias=biases_in(prompt),
        )

    def check(self, used: Draw, model: ModelInfo) -> None:
        super().check(used, model)
        if isinstance(used, CompletionDraw) and used.logprobs is True:
            raise ParameterOutOfRange(param="logprobs", reason="is true, and is the number of alternatives here")

    def call(self, given: GivenText, used: Draw) -> bytes:
        counted = getattr(used, "logprobs", None)
        return encode_call(
            used,
            prompt=given.prompt,
            structure=given.structure,
            logit_bias=given.logit_bias,
            logprobs=None if counted is False else counted,
            echo=getattr(used, "echo", False),
        )

    def output(self, text: str, finish_reason: str | None, entries: Sequence[TokenEntry] | None) -> Output:
        return completion.text_output(text, finish_reason, logprobs_of(entries))


def logprobs_of(entries: Sequence[TokenEntry] | None, offset: int = 0) -> Value:
    """Tokens as OpenAI's completions list them. `offset` is where their text begins. Units: characters."""
    if entries is None:
        return None
    offsets: list[Value] = []
    for entry in entries:
        offsets.append(offset)
        offset += len(entry.text)
    return {
        "tokens": [entry.text for entry in entries],
        "token_logprobs": [entry.logprob for entry in entries],
        "top_logprobs": [_alternatives(entry) for entry in entries],
        "text_offset": offsets,
    }


def _alternatives(entry: TokenEntry) -> Value:
    """By their texts; the token that came is always among them, and None stands where nothing was before."""
    if entry.logprob is None:
        return None
    return {**{one.text: one.logprob for one in reversed(entry.top)}, entry.text: entry.logprob}
