"""`POST /v1/completions`."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from tallystick.record import Output
from tallystick.tasks import completion, neutral
from tallystick_platform import tasks
from tallystick_platform.api.wire.openai.reading import OpenAiAddress, Prompts
from tallystick_platform.api.wire.openai.texts import (
    EVENTS_TYPE,
    MAX_TOKENS,
    Alternatives,
    Spelling,
    TextAnswer,
    TextBody,
)
from tallystick_platform.tasks.completion import logprobs_of


class CompletionBody(TextBody, frozen=True, kw_only=True):
    """A completion request: the model goes on where the prompt ends, without a template.

    Of other parameters of the same API, what changes nothing is taken (`tallystick.tasks.neutral`); the rest is refused by name.
    """

    prompt: Annotated[Prompts, Meta(description="A text or the ids of its tokens, by itself or in a list of one.")]
    max_tokens: (
        Annotated[int, Meta(ge=0, le=MAX_TOKENS, description="0 with 'echo' looks at the prompt alone.")] | None
    ) = None
    logprobs: Alternatives | bool | None = None
    echo: Annotated[bool, Meta(description="Puts the prompt before the text, its tokens among 'logprobs'.")] | None = (
        None
    )


class CompletionChoice(Struct, frozen=True, kw_only=True):
    """How the prompt goes on, and why it ended."""

    text: str
    index: int
    logprobs: dict[str, Any] | None
    finish_reason: str | None


class TextCompletion(TextAnswer[CompletionChoice], frozen=True, kw_only=True):
    """An answer to a completion request."""


def _choice(index: int, output: Output) -> CompletionChoice:
    return CompletionChoice(
        index=index,
        text=str(output.content),
        logprobs=output.logprobs,  # type: ignore[arg-type]  # as its task listed them
        finish_reason=output.finish_reason,
    )


SPELLING = Spelling(
    id_prefix="cmpl-",
    answer=TextCompletion,
    whole_name="text_completion",
    chunk_name="text_completion",
    choice=_choice,
    logprobs=logprobs_of,
    before=b'"text":',
    silence=b'"text":""',
)
COMPLETIONS = OpenAiAddress(
    name="completions",
    routes=("/v1/completions",),
    summary="Have a model go on with a text",
    task=tasks.COMPLETION,
    reader=completion.READER,
    subject="prompt",
    body=CompletionBody,
    neutral=neutral.COMPLETION,
    read_members=completion.read_members,
    answers=(TextCompletion, EVENTS_TYPE),
    whole=SPELLING.whole,
    events=SPELLING.events,
)
