"""`POST /hosted/{model}/v1/predict` and `/predict_stream`: `inputs` and `parameters` in, `outputs` out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tallystick.errors import RequestError
from tallystick.tasks import hosted
from tallystick.tasks.reading import checked_object
from tallystick_platform import tasks
from tallystick_platform.api.credentials import Headers
from tallystick_platform.api.endpoint import hosted_paths
from tallystick_platform.api.error_table import ErrorAnswer
from tallystick_platform.api.proofs import Proof
from tallystick_platform.api.refusals import BadRequest, quoted
from tallystick_platform.api.replies import encode_json, native_error
from tallystick_platform.api.strict_json import converted, read_object
from tallystick_platform.api.wire.answering import Events, Question
from tallystick_platform.api.wire.openai.embeddings import floats_of
from tallystick_platform.api.wire.openai.reading import outputs_of
from tallystick_platform.api.wire.wire import Wire
from tallystick_platform.exchange.line import Recorded
from tallystick_platform.exchange.request import Asked
from tallystick_platform.protocol import Piece, Usage

MAX_TOKENS = 1_048_576
MAX_TOP_K = 1_048_576
EVENTS_TYPE = "text/event-stream"

_NAMED_HERE = {
    "prompt": "inputs",
    "input": "inputs",
    **{theirs: f"parameters.{ours}" for ours, theirs in hosted.PARAMETERS.items()},
}


class HostedParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How tokens are drawn; where nothing is said, by this address's own defaults."""

    temperature: Annotated[float, Meta(ge=0, description="0.8 if absent; 0 is greedy.")] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1, description="0.95 if absent.")] | None = None
    top_k: Annotated[int, Meta(ge=1, le=MAX_TOP_K, description="50 if absent; 1 is greedy.")] | None = None
    max_new_tokens: Annotated[int, Meta(ge=1, le=MAX_TOKENS, description="256 if absent.")] | None = None


Pair = Annotated[list[str], Meta(min_length=2, max_length=2)]


class HostedBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A prompt to go on with, in a list; or pairs of an instruction and a text, to be turned into vectors."""

    inputs: Annotated[list[str | Pair], Meta(min_length=1)]
    parameters: HostedParameters | None = None


class HostedAnswer(Struct, frozen=True, kw_only=True):
    """What came of each input, and why it ended there. The events of a stream have the same members; the last one alone the proof."""

    outputs: Annotated[list[Any], Meta(description="Texts, or vectors, which need no reason.")]
    finish_reasons: list[str | None] | UnsetType = UNSET
    tallystick: Proof | UnsetType = UNSET


class HostedEvents(Events):
    """Encodes one stream."""

    def piece(self, part: Piece, _counts: Usage) -> bytes:
        return _event(encode_json(HostedAnswer(outputs=["" for _ in range(part.output)] + [part.data])))

    def last(self, recorded: Recorded, tallystick: bytes) -> bytes:
        reasons = encode_json([output.finish_reason for output in outputs_of(recorded)])
        return _event(b'{"outputs":[],"finish_reasons":' + reasons + b',"tallystick":' + tallystick + b"}")

    def error(self, body: bytes) -> bytes:
        return _event(body)


@dataclass(frozen=True, kw_only=True)
class HostedAddress(Wire):
    """Reads and writes one of the two; `streams` tells them apart."""

    streams: bool

    def read(self, path: str, _headers: Headers, body: bytes) -> Question:
        members = read_object(body)
        converted(members, HostedBody)
        pairs = hosted.holds_pairs(members)
        if pairs and self.streams:
            raise BadRequest("'inputs' are pairs: vectors are never streamed.", param="inputs", code="invalid_value")
        task, read = (tasks.EMBEDDING, hosted.read_pairs) if pairs else (tasks.COMPLETION, hosted.read_members)
        try:
            reading = read(quote(path), checked_object(members))
            asked = Asked.of(task, reading.model or "", reading)
        except RequestError as error:
            where = quoted(_NAMED_HERE.get(error.param, error.param)) or None
            message = f"Invalid value for '{where or 'body'}': it {error.reason}."
            raise BadRequest(message, param=where, code="invalid_value") from error
        return Question(
            asked=asked,
            reader=hosted.EMBEDDING_READER if pairs else hosted.COMPLETION_READER,
            whole=lambda recorded, proof: encode_json((_vectors if pairs else _whole)(recorded, proof)),
            events=(lambda _: HostedEvents()) if self.streams else None,
        )

    def error(self, answer: ErrorAnswer, tallystick: bytes | None) -> tuple[int, bytes]:
        return native_error(answer, tallystick)


def _whole(recorded: Recorded, proof: Proof) -> HostedAnswer:
    outputs = outputs_of(recorded)
    return HostedAnswer(
        outputs=[str(output.content) for output in outputs],
        finish_reasons=[output.finish_reason for output in outputs],
        tallystick=proof,
    )


def _vectors(recorded: Recorded, proof: Proof) -> HostedAnswer:
    return HostedAnswer(
        outputs=[floats_of(msgspec.convert(output.content, bytes)) for output in outputs_of(recorded)], tallystick=proof
    )


def _event(body: bytes) -> bytes:
    return b"data: " + body + b"\n\n"


WIRES = (
    HostedAddress(
        name="hosted_predict",
        routes=tuple(hosted_paths("predict")),
        summary="Have a model go on with a prompt, the address naming the model",
        body=HostedBody,
        answers=HostedAnswer,
        streams=False,
    ),
    HostedAddress(
        name="hosted_predict_stream",
        routes=tuple(hosted_paths("predict_stream")),
        summary="The same, as it comes",
        body=HostedBody,
        answers=EVENTS_TYPE,
        streams=True,
    ),
)
