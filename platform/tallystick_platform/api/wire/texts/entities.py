"""`POST /v1/entities`: names, places and whatever else a model marks in texts."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from tallystick.tasks import classification, entities, neutral
from tallystick_platform import tasks
from tallystick_platform.api.proofs import Proof
from tallystick_platform.api.wire.openai.reading import Body, OpenAiAddress, Truncated, outputs_of
from tallystick_platform.api.wire.texts.usage import TextCounts, usage_of
from tallystick_platform.exchange.line import Recorded

Text = Annotated[str, Meta(min_length=1)]
Texts = Text | Annotated[list[Text], Meta(min_length=1)]


class EntitiesBody(Body, frozen=True, kw_only=True):
    """A request for entities. `inputs` and `input` are two names of the same.

    Of other parameters of the same APIs, what changes nothing is taken (`tallystick.tasks.neutral`); the rest is refused by name.
    """

    inputs: Annotated[Texts, Meta(description="A text, or a list of up to 2,048.")] | None = None
    input: Texts | None = None
    aggregation_strategy: (
        Annotated[
            entities.Strategy,
            Meta(description="How tokens are put together, by the transformers library's names; simple if absent."),
        ]
        | None
    ) = None
    truncate_prompt_tokens: Truncated | None = None


class Entity(Struct, frozen=True, kw_only=True):
    """What was found, and where: `start` and `end` count characters of the text."""

    entity: str
    score: float
    start: int
    end: int
    word: str


class Found(Struct, frozen=True, kw_only=True):
    """The entities of one text, in their order."""

    index: int
    entities: list[Entity]


class Entities(Struct, frozen=True, kw_only=True, tag_field="object", tag=entities.OBJECT):
    """An answer to a request for entities."""

    id: str
    model: str
    data: list[Found]
    usage: TextCounts
    tallystick: Proof


class _Recorded(Struct, frozen=True):
    entities: list[Entity]


def _whole(body: EntitiesBody, recorded: Recorded, tallystick: Proof) -> Entities:
    found = [msgspec.convert(output.content, _Recorded) for output in outputs_of(recorded)]
    return Entities(
        id=f"entities-{recorded.record.id.hex()}",
        model=body.model,
        data=[Found(index=index, entities=one.entities) for index, one in enumerate(found)],
        usage=usage_of(recorded.record.usage),
        tallystick=tallystick,
    )


ENTITIES = OpenAiAddress(
    name="entities",
    routes=(entities.TARGET,),
    summary="Have names, places and the like found in texts",
    task=tasks.ENTITIES,
    reader=entities.READER,
    subject=classification.SUBJECTS[0],
    body=EntitiesBody,
    neutral=neutral.CLASSIFICATION,
    read_members=entities.read_members,
    answers=Entities,
    whole=_whole,
)
