"""`POST /v1/audio/speech`: a text, answered with the sound itself. Its proof comes in headers."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from tallystick.tasks import neutral, speech
from tallystick.tasks.media import items_of
from tallystick_platform import tasks
from tallystick_platform.api.proofs import Proof
from tallystick_platform.api.wire.openai.reading import Body, OpenAiAddress, outputs_of
from tallystick_platform.exchange.line import Recorded
from tallystick_platform.tasks.speech import DEFAULT_FORMAT, TYPES, Format

MAX_TEXT_CHARS = 4_096
MAX_VOICE_CHARS = 64


class SpeechBody(Body, frozen=True, kw_only=True):
    """A request for speech. `GET /v1/models/{id}` shows the model's voices.

    Of other parameters of the same API, what changes nothing is taken (`tallystick.tasks.neutral`); the rest is refused by name.
    """

    input: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT_CHARS)]
    voice: (
        Annotated[str, Meta(min_length=1, max_length=MAX_VOICE_CHARS, description="The model's first if absent.")]
        | None
    ) = None
    response_format: Annotated[Format, Meta(description="mp3 if absent.")] | None = None
    speed: Annotated[float, Meta(ge=0.25, le=4, description="1 if absent.")] | None = None
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1, description="An extension; drawn and recorded if absent.")] | None = (
        None
    )


def _whole(_body: SpeechBody, recorded: Recorded, _tallystick: Proof) -> bytes:
    (sound,) = items_of(outputs_of(recorded))
    return sound


SPEECH = OpenAiAddress(
    name="speech",
    routes=("/v1/audio/speech",),
    summary="Have a text spoken",
    task=tasks.SPEECH,
    reader=speech.READER,
    subject="input",
    body=SpeechBody,
    neutral=neutral.SPEECH,
    read_members=speech.read_members,
    answers=tuple(TYPES.values()),
    whole=_whole,
    content_type=lambda body: TYPES[body.response_format or DEFAULT_FORMAT].encode(),
)
