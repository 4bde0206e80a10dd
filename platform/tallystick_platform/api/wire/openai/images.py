"""`POST /v1/images/generations`: a text, answered with pictures in base64."""

from __future__ import annotations

from base64 import b64encode
from typing import Annotated, Literal

from msgspec import Meta, Struct

from tallystick.tasks import image, neutral
from tallystick.tasks.media import items_of
from tallystick_platform import tasks
from tallystick_platform.api.proofs import Proof
from tallystick_platform.api.wire.openai.reading import Body, OpenAiAddress, outputs_of
from tallystick_platform.exchange.line import Recorded
from tallystick_platform.tasks.image import MAX_PICTURES, MAX_STEPS

MAX_TEXT_CHARS = 4_000
MAX_GUIDANCE = 50
US_PER_S = 1_000_000

Text = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT_CHARS)]


class ImageBody(Body, frozen=True, kw_only=True):
    """A request for pictures.

    Of other parameters of the same API, what changes nothing is taken (`tallystick.tasks.neutral`); the rest is refused by name.
    """

    prompt: Text
    n: Annotated[int, Meta(ge=1, le=MAX_PICTURES)] | None = None
    size: Annotated[str, Meta(pattern="^[0-9]{2,5}x[0-9]{2,5}$", description="The model's own if absent.")] | None = (
        None
    )
    response_format: Literal["b64_json"] | None = None
    seed: Annotated[int, Meta(ge=0, le=2**62, description="An extension; drawn and recorded if absent.")] | None = None
    steps: Annotated[int, Meta(ge=1, le=MAX_STEPS, description="An extension.")] | None = None
    guidance: Annotated[float, Meta(ge=0, le=MAX_GUIDANCE, description="An extension.")] | None = None
    negative_prompt: Annotated[str, Meta(max_length=MAX_TEXT_CHARS, description="An extension.")] | None = None


class Picture(Struct, frozen=True, kw_only=True):
    """One picture."""

    b64_json: Annotated[str, Meta(description="A PNG.")]


class Pictures(Struct, frozen=True, kw_only=True, tag_field="object", tag="images"):
    """An answer with pictures. `created` is when the request was admitted, in Unix seconds."""

    created: int
    data: list[Picture]
    tallystick: Proof


def _whole(_body: ImageBody, recorded: Recorded, tallystick: Proof) -> Pictures:
    return Pictures(
        created=recorded.record.time.admitted_at // US_PER_S,
        data=[Picture(b64_json=b64encode(one).decode()) for one in items_of(outputs_of(recorded))],
        tallystick=tallystick,
    )


IMAGES = OpenAiAddress(
    name="images",
    routes=("/v1/images/generations",),
    summary="Have pictures drawn",
    task=tasks.IMAGE,
    reader=image.READER,
    subject="prompt",
    body=ImageBody,
    neutral=neutral.IMAGE,
    read_members=image.read_members,
    answers=Pictures,
    whole=_whole,
)
