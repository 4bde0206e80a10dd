"""`POST /v1/translate`: texts turned into other ones."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from tallystick.tasks import neutral, translation
from tallystick_platform import tasks
from tallystick_platform.api.proofs import Proof
from tallystick_platform.api.wire.openai.reading import Body, OpenAiAddress, Truncated, outputs_of
from tallystick_platform.api.wire.texts.usage import TextCounts, usage_of
from tallystick_platform.exchange.line import Recorded

MAX_CODE_CHARS = 64
MAX_TOKENS = 1_048_576
MAX_BEAMS = 16
MAX_REPETITION_PENALTY = 10
MAX_LENGTH_PENALTY = 10
MAX_NGRAM = 64

Text = Annotated[str, Meta(min_length=1)]
Code = Annotated[str, Meta(min_length=1, max_length=MAX_CODE_CHARS, description="The model's own code of a language.")]


class TranslateBody(Body, frozen=True, kw_only=True):
    """A translation request. What it leaves open, the model's own files say.

    Of other parameters of the same APIs, what changes nothing is taken (`tallystick.tasks.neutral`); the rest is refused by name.
    """

    text: Annotated[
        Text | Annotated[list[Text], Meta(min_length=1)], Meta(description="A text, or a list of up to 2,048.")
    ]
    source_language: Code | None = None
    target_language: Code | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=MAX_TOKENS)] | None = None
    num_beams: Annotated[int, Meta(ge=1, le=MAX_BEAMS)] | None = None
    length_penalty: Annotated[float, Meta(ge=-MAX_LENGTH_PENALTY, le=MAX_LENGTH_PENALTY)] | None = None
    early_stopping: bool | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=MAX_REPETITION_PENALTY)] | None = None
    no_repeat_ngram_size: Annotated[int, Meta(ge=0, le=MAX_NGRAM)] | None = None
    truncate_prompt_tokens: Truncated | None = None


class Translated(Struct, frozen=True, kw_only=True):
    """What became of one text, and whether it came to its end (`stop`) or was cut at the most tokens (`length`)."""

    index: int
    text: str
    finish_reason: str | None


class Translation(Struct, frozen=True, kw_only=True, tag_field="object", tag=translation.OBJECT):
    """An answer to a translation request."""

    id: str
    model: str
    translations: list[Translated]
    usage: TextCounts
    tallystick: Proof


def _whole(body: TranslateBody, recorded: Recorded, tallystick: Proof) -> Translation:
    return Translation(
        id=f"translate-{recorded.record.id.hex()}",
        model=body.model,
        translations=[
            Translated(index=index, text=str(output.content), finish_reason=output.finish_reason)
            for index, output in enumerate(outputs_of(recorded))
        ],
        usage=usage_of(recorded.record.usage),
        tallystick=tallystick,
    )


TRANSLATE = OpenAiAddress(
    name="translate",
    routes=(translation.TARGET,),
    summary="Have texts translated, or turned into other ones",
    task=tasks.TRANSLATION,
    reader=translation.READER,
    subject=translation.SUBJECT,
    body=TranslateBody,
    neutral=neutral.TRANSLATION,
    read_members=translation.read_members,
    answers=Translation,
    whole=_whole,
)
