"""`POST /v1/classify`: the labels that a model finds for texts, or for pairs of texts."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from tallystick.tasks import classification, neutral
from tallystick_platform import tasks
from tallystick_platform.api.proofs import Proof
from tallystick_platform.api.wire.openai.reading import Body, OpenAiAddress, Truncated, outputs_of
from tallystick_platform.api.wire.texts.usage import TextCounts, usage_of
from tallystick_platform.exchange.line import Recorded

Text = Annotated[str, Meta(min_length=1)]
Texts = Text | Annotated[list[Text | Annotated[list[Text], Meta(min_length=1, max_length=2)]], Meta(min_length=1)]


class ClassifyBody(Body, frozen=True, kw_only=True):
    """A classification request. `inputs` and `input` are two names of the same.

    Of other parameters of the same APIs, what changes nothing is taken (`tallystick.tasks.neutral`); the rest is refused by name.
    """

    inputs: Annotated[Texts, Meta(description="A text, or a list of up to 2,048 texts or pairs of texts.")] | None = (
        None
    )
    input: Texts | None = None
    top_k: Annotated[int, Meta(ge=1, description="So many of the most probable labels; all without it.")] | None = None
    raw_scores: Annotated[bool, Meta(description="The model's own numbers.")] | None = None
    truncate_prompt_tokens: Truncated | None = None


class Label(Struct, frozen=True, kw_only=True):
    """A label and how probable it is."""

    label: str
    score: float


class Classified(Struct, frozen=True, kw_only=True):
    """The labels of one text, the most probable first, which stands by itself too."""

    index: int
    label: str
    score: float
    labels: list[Label]


class Classification(Struct, frozen=True, kw_only=True, tag_field="object", tag=classification.OBJECT):
    """An answer to a classification request."""

    id: str
    model: str
    data: list[Classified]
    usage: TextCounts
    tallystick: Proof


def _classified(index: int, labels: list[Label]) -> Classified:
    return Classified(index=index, label=labels[0].label, score=labels[0].score, labels=labels)


def _whole(body: ClassifyBody, recorded: Recorded, tallystick: Proof) -> Classification:
    found = [msgspec.convert(output.content, list[Label]) for output in outputs_of(recorded)]
    return Classification(
        id=f"classify-{recorded.record.id.hex()}",
        model=body.model,
        data=[_classified(index, labels) for index, labels in enumerate(found)],
        usage=usage_of(recorded.record.usage),
        tallystick=tallystick,
    )


CLASSIFY = OpenAiAddress(
    name="classify",
    routes=(classification.TARGET,),
    summary="Have labels found for texts",
    task=tasks.CLASSIFICATION,
    reader=classification.READER,
    subject=classification.SUBJECTS[0],
    body=ClassifyBody,
    neutral=neutral.CLASSIFICATION,
    read_members=classification.read_members,
    answers=Classification,
    whole=_whole,
)
