"""`/v1/service/llm/v1/...` and `/triteia/v1/...`: OpenAI's addresses of a dispatcher; `POST /inferencia/v1/predict`: labels of texts.

The first two are the native addresses once more, for requests that take long. Their answers name the provider that computed them, and
where nobody has the model they say so in words of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from tallystick.errors import RequestError
from tallystick.record import Record
from tallystick.tasks import inferencia
from tallystick.tasks.reading import checked_object
from tallystick_platform import tasks
from tallystick_platform.api.credentials import Headers
from tallystick_platform.api.error_table import ErrorAnswer, ErrorBody
from tallystick_platform.api.proofs import Proof
from tallystick_platform.api.refusals import BadRequest, quoted
from tallystick_platform.api.replies import Header, encode_json, native_error
from tallystick_platform.api.strict_json import converted, read_object
from tallystick_platform.api.wire.answering import Question
from tallystick_platform.api.wire.openai import CHAT, COMPLETIONS, EMBEDDINGS
from tallystick_platform.api.wire.openai.reading import MAX_MODEL_CHARS, OpenAiAddress, outputs_of
from tallystick_platform.api.wire.texts.classify import Label
from tallystick_platform.api.wire.wire import AnswerHeaders, Wire
from tallystick_platform.errors import NoProvider, UnknownModel
from tallystick_platform.exchange.line import Recorded
from tallystick_platform.exchange.request import Asked

PREFIXES = ("/v1/service/llm", "/triteia")
LONGEST_S = 900.0
NO_PROVIDER = "No provider found for the requested service."
VERSION = "default"
_NOBODY = {NoProvider.code, UnknownModel.code}


class DispatchedHeaders(AnswerHeaders, frozen=True, kw_only=True):
    """What an answer says beside its body, with the provider that computed it."""

    node: Annotated[str, Meta(description="The provider's id.")] = field(name="X-Computing-Node")


class DispatchedError(Struct, frozen=True, kw_only=True):
    """A refusal; a text alone where no provider has the model."""

    error: ErrorBody | str
    tallystick: Proof | UnsetType = UNSET


@dataclass(frozen=True, kw_only=True)
class DispatchedAddress(OpenAiAddress[Any]):
    """One of OpenAI's addresses, behind the dispatcher's."""

    refused: type[Struct] | None = DispatchedError
    sends: type[Struct] = DispatchedHeaders
    usual_s: float | None = LONGEST_S

    def error(self, answer: ErrorAnswer, tallystick: bytes | None) -> tuple[int, bytes]:
        if answer.code in _NOBODY and tallystick is None:
            return NoProvider.status, encode_json(DispatchedError(error=NO_PROVIDER))
        return super().error(answer, tallystick)

    def headers(self, record: Record) -> list[Header]:
        node = record.provider.id if record.provider is not None else ""
        return [(b"x-computing-node", node.encode("ascii", "replace"))]


def _dispatched(native: OpenAiAddress[Any], end: str) -> DispatchedAddress:
    own = {"refused", "sends", "usual_s", "name", "routes", "summary"}
    return DispatchedAddress(
        name=f"dispatched_{native.name}",
        routes=tuple(f"{prefix}/v1/{end}" for prefix in PREFIXES),
        summary=f"{native.summary}, by any provider that has it",
        **{one.name: getattr(native, one.name) for one in fields(native) if one.name not in own},
    )


class InferenciaTexts(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Texts, and how many of the most probable labels of each are wanted: all without a word of it."""

    text: Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(min_length=1)]
    top_k: Annotated[int, Meta(ge=1)] | None = None


class InferenciaBody(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Texts to be classified. A `top_k` is the same in all parts of `data`."""

    model_name: Annotated[str, Meta(min_length=1, max_length=MAX_MODEL_CHARS)]
    data: Annotated[list[InferenciaTexts], Meta(min_length=1)]


class InferenciaAnswer(Struct, frozen=True, kw_only=True):
    """The labels of each text of each part, the most probable first. A slash in a model's name is written as a colon."""

    model_name: str
    model_version: str
    data: list[list[list[Label]]]
    tallystick: Proof


@dataclass(frozen=True, kw_only=True)
class InferenciaAddress(Wire):
    """Reads and writes the one address."""

    def read(self, _path: str, _headers: Headers, body: bytes) -> Question:
        members = read_object(body)
        sent = converted(members, InferenciaBody)
        try:
            reading = inferencia.read_members(checked_object(members))
            asked = Asked.of(tasks.CLASSIFICATION, reading.model or "", reading)
        except RequestError as error:
            where = quoted(error.param) or None
            message = f"Invalid value for '{where or 'body'}': it {error.reason}."
            raise BadRequest(message, param=where, code="invalid_value") from error
        return Question(
            asked=asked,
            reader=inferencia.READER,
            whole=lambda recorded, proof: encode_json(_labelled(sent, recorded, proof)),
        )

    def error(self, answer: ErrorAnswer, tallystick: bytes | None) -> tuple[int, bytes]:
        return native_error(answer, tallystick)


def _labelled(sent: InferenciaBody, recorded: Recorded, proof: Proof) -> InferenciaAnswer:
    found: Iterator[list[Label]] = (msgspec.convert(one.content, list[Label]) for one in outputs_of(recorded))
    return InferenciaAnswer(
        model_name=sent.model_name.replace(inferencia.SLASH, inferencia.COLON),
        model_version=VERSION,
        data=[[next(found) for _ in part.text] for part in sent.data],
        tallystick=proof,
    )


WIRES = (
    _dispatched(CHAT, "chat/completions"),
    _dispatched(COMPLETIONS, "completions"),
    _dispatched(EMBEDDINGS, "embeddings"),
    InferenciaAddress(
        name="inferencia_predict",
        routes=(inferencia.TARGET,),
        summary="Have labels found for texts",
        body=InferenciaBody,
        answers=InferenciaAnswer,
    ),
)
