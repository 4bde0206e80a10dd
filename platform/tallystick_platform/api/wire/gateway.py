"""`/models/{model}/proxy/v1/...`, with or without `/v1`: every task of one model, which the address names.

An address says what it is asked in the words of the task's own address (`tallystick.tasks.gateway`), has that one read it, and writes the
answer in its own form where it has one.
"""

from __future__ import annotations

import io
import wave
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any
from urllib.parse import quote

from msgspec import Meta, Struct

from tallystick.errors import RequestError
from tallystick.tasks import gateway
from tallystick.tasks.media import items_of
from tallystick_platform.api.credentials import Headers
from tallystick_platform.api.endpoint import proxy_paths
from tallystick_platform.api.error_table import ErrorAnswer
from tallystick_platform.api.proofs import Proof
from tallystick_platform.api.refusals import BadRequest
from tallystick_platform.api.replies import JSON, encode_json
from tallystick_platform.api.strict_json import read_value
from tallystick_platform.api.wire.answering import Question
from tallystick_platform.api.wire.openai.chat import CHAT, MAX_MESSAGES, ChatBody, MessageIn
from tallystick_platform.api.wire.openai.embeddings import EMBEDDINGS, EmbeddingBody
from tallystick_platform.api.wire.openai.images import IMAGES, ImageBody
from tallystick_platform.api.wire.openai.predictions import PREDICTIONS, PredictBody
from tallystick_platform.api.wire.openai.reading import OpenAiAddress, outputs_of
from tallystick_platform.api.wire.openai.speech import SPEECH, SpeechBody
from tallystick_platform.api.wire.openai.texts import Count
from tallystick_platform.api.wire.openai.transcriptions import TRANSCRIPTIONS, TranscriptionBody
from tallystick_platform.api.wire.texts.classify import CLASSIFY, ClassifyBody
from tallystick_platform.api.wire.texts.rerank import RERANK, RerankBody
from tallystick_platform.api.wire.texts.translate import TRANSLATE, TranslateBody
from tallystick_platform.api.wire.wire import Wire
from tallystick_platform.exchange.line import Recorded
from tallystick_platform.protocol import ModelInfo
from tallystick_platform.tasks.given_template import MAX_TEMPLATE_CHARS

LONGEST_S = 3_600.0
"""That a request may ask for with `OICM-Request-Timeout`, if the log's promise leaves so much."""

Named = Annotated[str, Meta(description="If it is there, the model that the address names.")]
Models = Callable[[], Sequence[ModelInfo]]


class ProxyChat(ChatBody, frozen=True, kw_only=True):
    """A chat, as `/v1/chat/completions` takes it, or one message as `inputs`. Without a word of it `temperature` is 0.7 and `top_p` 0.9."""

    model: Named | None = None  # type: ignore[assignment]  # the address names it
    messages: Annotated[list[MessageIn], Meta(min_length=1, max_length=MAX_MESSAGES)] | None = None  # type: ignore[assignment]
    inputs: (
        Annotated[str, Meta(min_length=1, description="One message of the user, in place of 'messages'.")] | None
    ) = None
    max_new_tokens: Annotated[Count, Meta(description="The same as 'max_tokens'.")] | None = None
    do_sample: Annotated[bool, Meta(description="false: the most probable token each time.")] | None = None
    chat_template: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=MAX_TEMPLATE_CHARS,
                description="Jinja with one variable, 'messages', in place of the model's own template.",
            ),
        ]
        | None
    ) = None


class ProxyTexts(ClassifyBody, frozen=True, kw_only=True):
    """Texts to be classified, as `/v1/classify` takes them."""

    model: Named | None = None  # type: ignore[assignment]


class ProxyTable(PredictBody, frozen=True, kw_only=True):
    """Rows to predict from. They are sent as a list by itself."""

    model: Named | None = None  # type: ignore[assignment]


class ProxySound(TranscriptionBody, frozen=True, kw_only=True):
    """A form with a sound, as `/v1/audio/transcriptions` takes it. The answer is a text alone."""

    model: Named | None = None  # type: ignore[assignment]


class ProxySpeech(SpeechBody, frozen=True, kw_only=True):
    """A text to be spoken, and what else the model's schema names. The sound is WAV."""

    model: Named | None = None  # type: ignore[assignment]
    prompt: str | None = None


class ProxyImage(ImageBody, frozen=True, kw_only=True):
    """One picture to be drawn."""

    model: Named | None = None  # type: ignore[assignment]
    n: Annotated[int, Meta(ge=1, le=1)] | None = None
    num_inference_steps: Annotated[int, Meta(description="The same as 'steps'.")] | None = None
    guidance_scale: Annotated[float, Meta(description="The same as 'guidance'.")] | None = None
    high_noise_frac: (
        Annotated[
            float, Meta(description="Where a second model would take over. There is none, so it changes nothing.")
        ]
        | None
    ) = None


class ProxyTranslate(TranslateBody, frozen=True, kw_only=True):
    """Texts to be translated, as `/v1/translate` takes them."""

    model: Named | None = None  # type: ignore[assignment]


class ProxyEmbed(EmbeddingBody, frozen=True, kw_only=True):
    """Texts for vectors, as `/v1/embeddings` takes them."""

    model: Named | None = None  # type: ignore[assignment]
    input: Any = None
    inputs: Annotated[Any, Meta(description="The same as 'input'.")] = None


class ProxyRerank(RerankBody, frozen=True, kw_only=True):
    """A query and texts, as `/v1/rerank` takes them."""

    model: Named | None = None  # type: ignore[assignment]


class ProxyLabels(Struct, frozen=True, kw_only=True):
    """The labels of a text, the most probable first; of several texts, a list of such lists."""

    classification: list[Any]
    tallystick: Proof


class ProxyText(Struct, frozen=True, kw_only=True):
    """What is said."""

    text: str
    tallystick: Proof


class ProxySpoken(Struct, frozen=True, kw_only=True):
    """A sound: WAV in base64. Units: samples a second."""

    audio: str
    sampling_rate: int
    tallystick: Proof


class ProxyPicture(Struct, frozen=True, kw_only=True):
    """A picture: PNG in base64."""

    image: str
    tallystick: Proof


class ProxyTranslation(Struct, frozen=True, kw_only=True):
    """What became of a text, and why it ended there; of several texts, lists of both."""

    translation: str | list[str]
    finish_reason: str | list[str | None] | None
    tallystick: Proof


class ProxySchemas(Struct, frozen=True, kw_only=True):
    """What the model takes and gives, in MLflow's words; null where it is no longer loaded."""

    input_schema: list[dict[str, Any]] | None
    output_schema: list[dict[str, Any]] | None


class ProxyPrediction(Struct, frozen=True, kw_only=True):
    """A prediction for each row."""

    data: list[Any]
    meta: ProxySchemas
    tallystick: Proof


Write = Callable[[Mapping[str, Any], Recorded, Proof], Struct]
"""Writes an answer to what was asked with these members."""


@dataclass(frozen=True, kw_only=True)
class ProxyAddress(Wire):
    """One way to ask. `native` reads it; `write` is None where the answer has the native form."""

    way: gateway.Way
    native: OpenAiAddress[Any]
    write: Write | None = None
    longest_s: float | None = LONGEST_S

    def read(self, path: str, headers: Headers, body: bytes) -> Question:
        sent = self._sent(headers, body)
        try:
            question = self.native.question(dict(self.way.members(quote(path), sent)))
        except RequestError as error:
            refused = self.native.refused_by(error)
            raise _in_words_of(sent, refused, self.way) from error
        except BadRequest as error:
            raise _in_words_of(sent, error, self.way) from error
        write = self.write
        if write is None:
            return replace(question, reader=self.way.reader)
        return replace(
            question,
            reader=self.way.reader,
            content_type=JSON,
            whole=lambda recorded, proof: encode_json(write(sent, recorded, proof)),
        )

    def error(self, answer: ErrorAnswer, tallystick: bytes | None) -> tuple[int, bytes]:
        return self.native.error(answer, tallystick)

    def _sent(self, headers: Headers, body: bytes) -> dict[str, Any]:
        if self.way is gateway.PREDICT:
            return {gateway.ROWS: read_value(body)}
        try:
            return self.native.members(headers, body)
        except RequestError as error:
            raise self.native.refused_by(error) from error


@dataclass(frozen=True, kw_only=True)
class PredictAddress(Wire):
    """A list is a table, an object holds texts."""

    table: ProxyAddress
    texts: ProxyAddress
    longest_s: float | None = LONGEST_S

    def read(self, path: str, headers: Headers, body: bytes) -> Question:
        asked = self.table if body.lstrip()[:1] == b"[" else self.texts
        return asked.read(path, headers, body)

    def error(self, answer: ErrorAnswer, tallystick: bytes | None) -> tuple[int, bytes]:
        return self.texts.error(answer, tallystick)


def _in_words_of(sent: Mapping[str, Any], error: BadRequest, way: gateway.Way) -> BadRequest:
    """The same refusal, naming a member as it was sent."""
    names = {there: here for here, there in way.names.items() if sent.get(here) is not None}
    top, dot, rest = (error.param or "").partition("[")
    if top not in names:
        return error
    here = f"{names[top]}{dot}{rest}"
    return BadRequest(str(error).replace(f"'{error.param}'", f"'{here}'"), param=here, code=error.code)


def _labels(sent: Mapping[str, Any], recorded: Recorded, proof: Proof) -> ProxyLabels:
    found = [output.content for output in outputs_of(recorded)]
    single = isinstance(sent.get("inputs") or sent.get("input"), str)
    return ProxyLabels(classification=found[0] if single else found, tallystick=proof)  # type: ignore[arg-type]


def _text(_sent: Mapping[str, Any], recorded: Recorded, proof: Proof) -> ProxyText:
    (output,) = outputs_of(recorded)
    return ProxyText(text=str(output.content), tallystick=proof)


def _spoken(_sent: Mapping[str, Any], recorded: Recorded, proof: Proof) -> ProxySpoken:
    (sound,) = items_of(outputs_of(recorded))
    with wave.open(io.BytesIO(sound)) as read:
        rate_hz = read.getframerate()
    return ProxySpoken(audio=b64encode(sound).decode(), sampling_rate=rate_hz, tallystick=proof)


def _picture(_sent: Mapping[str, Any], recorded: Recorded, proof: Proof) -> ProxyPicture:
    (picture,) = items_of(outputs_of(recorded))
    return ProxyPicture(image=b64encode(picture).decode(), tallystick=proof)


def _translation(sent: Mapping[str, Any], recorded: Recorded, proof: Proof) -> ProxyTranslation:
    outputs = outputs_of(recorded)
    texts, reasons = [str(output.content) for output in outputs], [output.finish_reason for output in outputs]
    if isinstance(sent.get("text"), str):
        return ProxyTranslation(translation=texts[0], finish_reason=reasons[0], tallystick=proof)
    return ProxyTranslation(translation=texts, finish_reason=reasons, tallystick=proof)


def _predicting(models: Models) -> Write:
    """Writes predictions, with what these models say of their tables."""

    def write(_sent: Mapping[str, Any], recorded: Recorded, proof: Proof) -> ProxyPrediction:
        (output,) = outputs_of(recorded)
        model = recorded.record.model
        schemas = (
            one.schema for one in models() if model and (one.id, one.weights_digest) == (model.id, model.weights_digest)
        )
        schema = next(schemas, None) or {}
        return ProxyPrediction(
            data=output.content["predictions"],  # type: ignore[index,call-overload,arg-type]  # as its task recorded it
            meta=ProxySchemas(input_schema=_specs(schema.get("inputs")), output_schema=_specs(schema.get("outputs"))),
            tallystick=proof,
        )

    return write


def _specs(described: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]] | None:
    """Columns as they are; a matrix, and what is predicted, as tensors."""
    return None if described is None else [_spec(one) for one in described]


def _spec(one: Mapping[str, Any]) -> dict[str, Any]:
    if "name" in one and "shape" not in one:
        return dict(one)
    texts = any(isinstance(label, str) for label in one.get("classes", ()))
    dtype = one.get("dtype") or ("str" if texts else "int64" if one.get("classes") else "float64")
    named = {"name": one["name"]} if "name" in one else {}
    return {**named, "type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(one.get("shape", (-1,)))}}


def _address(
    name: str,
    way: gateway.Way,
    native: OpenAiAddress[Any],
    body: type[Struct],
    answers: Any = None,
    write: Write | None = None,
) -> ProxyAddress:
    return ProxyAddress(
        name=f"proxy_{name}",
        routes=tuple(proxy_paths(way.paths[0])),
        summary=f"{native.summary}; the address names the model",
        body=body,
        answers=answers or native.answers,
        form=native.form,
        way=way,
        native=replace(native, body=body, read_members=way.read_members),
        write=write,
    )


def wires(models: Models) -> list[Wire]:
    """The addresses over these models."""
    classify = _address("classify", gateway.CLASSIFY, CLASSIFY, ProxyTexts, ProxyLabels, _labels)
    table = _address("table", gateway.PREDICT, PREDICTIONS, ProxyTable, ProxyPrediction, _predicting(models))
    return [
        _address("chat", gateway.CHAT, CHAT, ProxyChat),
        classify,
        PredictAddress(
            name="proxy_predict",
            routes=tuple(proxy_paths("predict")),
            summary="Have a classical model predict from a list of rows, or texts classified; the address names the model",
            body=ProxyTexts,
            answers=(ProxyPrediction, ProxyLabels),
            table=table,
            texts=classify,
        ),
        _address("transcript", gateway.TRANSCRIPT, TRANSCRIPTIONS, ProxySound, ProxyText, _text),
        _address("speech", gateway.SPEAK, SPEECH, ProxySpeech, ProxySpoken, _spoken),
        _address("image", gateway.DRAW, IMAGES, ProxyImage, ProxyPicture, _picture),
        _address("translate", gateway.TRANSLATE, TRANSLATE, ProxyTranslate, ProxyTranslation, _translation),
        _address("embed", gateway.EMBED, EMBEDDINGS, ProxyEmbed),
        _address("rerank", gateway.RERANK, RERANK, ProxyRerank),
    ]
