"""One answer to a request, from its beginning to its last token; a request may ask for several."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from tallystick_platform.engine.chat_template import ChatTemplate
from tallystick_platform.engine.forms import Forms
from tallystick_platform.engine.forward import Cache
from tallystick_platform.engine.prompt import TextEncoder
from tallystick_platform.engine.sampler import Sampler
from tallystick_platform.engine.shaping import Shaping
from tallystick_platform.engine.shown import ShownTokens, TokenNames
from tallystick_platform.engine.stops import StopScanner
from tallystick_platform.engine.text import TextStream
from tallystick_platform.errors import ParameterOutOfRange
from tallystick_platform.protocol import FinishReason, TokenEntry
from tallystick_platform.tasks.drawing import MAX_SHOWN_TOKENS, Draw, TextCall, choice_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class TextCodec:
    """The model's way between text and tokens. Without a template it knows no turns. `special` tokens have names and no text."""

    template: ChatTemplate | None
    prompt: TextEncoder
    token_bytes: list[bytes]
    end_tokens: frozenset[int]
    special: Mapping[int, str]
    forms: Forms
    strips_first_space: bool = False


@dataclass(slots=True, kw_only=True)
class Choice:
    """One answer. `ends` are the tokens that end it; `top` is how many alternatives each token is shown with, None where none is shown."""

    index: int
    draw: Draw
    sampler: Sampler
    shaping: Shaping
    stream: TextStream
    stops: StopScanner
    names: TokenNames
    ends: frozenset[int]
    top: int | None
    cache: Cache | None = None
    last_token: int = -1
    output_tokens: int = 0
    finish_reason: FinishReason | None = None
    _shown: ShownTokens = field(default_factory=ShownTokens)
    _complete: bool = False

    def next(self, logits: Tensor) -> TokenEntry | None:
        """Draw the next token, `last_token` from now on; how it is shown, if it is. Shapes: logits [vocabulary].

        Raises: NotFinite; ParameterOutOfRange for a form of the answer that costs too much.
        """
        logits = logits.cpu()
        token = self.last_token = self.sampler.draw(self.shaping.apply(logits))
        self.output_tokens += 1
        self._complete = self.shaping.note(token)
        return None if self.top is None else self.names.entry(logits, token, self.top)

    def accept(self, entry: TokenEntry | None, room: int) -> tuple[str, list[TokenEntry] | None]:
        """The text that the token makes certain, with its tokens where they are shown. Sets `finish_reason` where it was the last one.

        Units: `room` tokens for which there is a place after it.
        """
        token = self.last_token
        if token in self.ends:
            self.finish_reason = "stop"
            text = self.stops.push(self.stream.flush())
        else:
            text = self._said(self.stream.push(token), entry)
            if self.stops.stopped or self._complete:
                self.finish_reason = "stop"
            elif self.output_tokens >= self.draw.max_tokens or room <= 0:
                self.finish_reason = "length"
            if self.finish_reason is not None:
                text += self.stops.push(self.stream.flush())
        if self.finish_reason is not None:
            text += self.stops.flush()
        if self.top is None:
            return text, None
        ended = self.finish_reason is not None and not self.stops.stopped
        return text, self._shown.take(len(text)) + (self._shown.rest() if ended else [])

    def _said(self, text: str, entry: TokenEntry | None) -> str:
        if entry is not None:
            self._shown.add(entry, len(text))
        return text if self.output_tokens < self.draw.min_tokens else self.stops.push(text)


def begun(asked: TextCall, prompt: Sequence[int], capacity: int, codec: TextCodec, vocabulary: int) -> list[Choice]:
    """The answers to a request at their beginnings. Units: `capacity` tokens of the prompt and one answer.

    Raises: ParameterOutOfRange for what this model does not know or cannot keep to.
    """
    draw, form = asked.draw, None
    _check_known("logit_bias", asked.logit_bias, vocabulary)
    _check_known("stop_token_ids", draw.stop_token_ids, vocabulary)
    if asked.logprobs is not None:
        each = min(draw.max_tokens, capacity) + (len(prompt) if asked.echo else 0)
        shown = draw.n * (1 + asked.logprobs) * each
        if shown > MAX_SHOWN_TOKENS:
            reason = f"asks for up to {shown} tokens and alternatives; the bound is {MAX_SHOWN_TOKENS}"
            raise ParameterOutOfRange(param="logprobs", reason=reason)
    if asked.structure is not None:
        form = codec.forms.of(asked.structure)
    ends = frozenset(draw.stop_token_ids) | (frozenset() if draw.ignore_eos else codec.end_tokens)
    # A conversation's answer begins anew, and a completion goes on after the last word of its prompt.
    strips = codec.strips_first_space and asked.turns is not None
    return [
        Choice(
            index=index,
            draw=draw,
            sampler=Sampler(
                temperature=draw.temperature,
                top_p=draw.top_p,
                top_k=draw.top_k,
                min_p=draw.min_p,
                seed=choice_seed(draw.seed, index),
            ),
            shaping=Shaping(asked, prompt, vocabulary, ends, None if form is None else form.fork()),
            stream=TextStream(codec.token_bytes, strips=strips),
            stops=StopScanner(draw.stop),
            names=TokenNames(codec.token_bytes, codec.special),
            ends=ends,
            top=asked.logprobs,
        )
        for index in range(draw.n)
    ]


def _check_known(param: str, tokens: Collection[int], vocabulary: int) -> None:
    if tokens and max(tokens) >= vocabulary:
        reason = f"names the token {max(tokens)}, and the model knows {vocabulary}"
        raise ParameterOutOfRange(param=param, reason=reason)
