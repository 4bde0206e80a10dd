"""Requests to `/models/{model}/proxy/v1/...`, with or without `/v1`: the address names the model, and members have names of their own.

Each reader says the same in the words of its task, and leaves the rest to that task's own reader: `chat/gateway/1`, `embedding/gateway/1`,
and so on. What a request leaves open has defaults of these addresses, which stand in the record as if they had been asked for.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from tallystick.errors import AnswerError, JsonError, RequestError
from tallystick.record import Output, Value
from tallystick.strict_json import read_json
from tallystick.tasks import (
    chat,
    classification,
    embedding,
    image,
    prediction,
    rerank,
    speech,
    transcription,
    translation,
)
from tallystick.tasks.answers import list_at, text_at, text_or_none_at, value_of
from tallystick.tasks.completion import text_output
from tallystick.tasks.forms import read_form
from tallystick.tasks.media import media_outputs
from tallystick.tasks.reading import MAX_BODY_BYTES, Reading, checked_object, json_object, path_segments, require_method

ADDRESS: Final = re.compile(r"/models/(?P<model>[^/]+(?:/[^/]+)?)/proxy(?:/v1)?/(?P<way>[^/]+(?:/[^/]+)?)")
TEMPERATURE: Final = 0.7
TOP_P: Final = 0.9
SOUND: Final = "wav"
SOUND_TYPE: Final = "audio/wav"
USER: Final = "user"
TEXT_FORM: Final = "json"
ROWS: Final = "instances"

Members = dict[str, Value]


def chat_members(members: Members) -> Members:
    """`inputs` is one message of the user. What is drawn without `do_sample` is the most probable token each time."""
    told = dict(members)
    inputs, sampled = told.pop("inputs", None), told.pop("do_sample", None)
    if inputs is not None:
        if told.get("messages") is not None:
            raise RequestError("inputs", "is another name of messages, and exactly one must be there")
        if not isinstance(inputs, str):
            raise RequestError("inputs", "is not text")
        told["messages"] = [{"role": USER, "content": inputs}]
    if not isinstance(sampled, bool | None):
        raise RequestError("do_sample", "is neither true nor false")
    if sampled is False and told.get("temperature") not in (None, 0):
        raise RequestError("do_sample", "is false, and temperature is not 0")
    defaults: Members = {"temperature": 0 if sampled is False else TEMPERATURE, "top_p": TOP_P}
    return {**told, **{name: value for name, value in defaults.items() if told.get(name) is None}}


def read_chat(members: Mapping[str, Value]) -> Reading:
    """What a chat asks whose body is in the words of its task, but for a template of its own.

    Raises: RequestError.
    """
    template = members.get(chat.TEMPLATE)
    if template is not None and not isinstance(template, str):
        raise RequestError(chat.TEMPLATE, "is not text")
    reading = chat.read_members({name: value for name, value in members.items() if name != chat.TEMPLATE})
    return replace(reading, chat_template=template)


def speech_members(members: Members) -> Members:
    """The sound comes as WAV."""
    return {**members, "response_format": SOUND}


def renamed(members: Members, names: Mapping[str, str]) -> Members:
    """Members under the names of their task. Raises: RequestError where one is there under both."""
    for here, there in names.items():
        if members.get(here) is not None and members.get(there) is not None:
            raise RequestError(here, f"is another name of {there}, and both are there")
    return {names.get(name, name): value for name, value in members.items() if value is not None or name not in names}


def sound_members(members: Members) -> Members:
    """The transcript is a text alone. Raises: RequestError where another form is asked for."""
    if members.get("response_format") not in (None, TEXT_FORM):
        raise RequestError("response_format", f"is not {TEXT_FORM}, the one form of this address")
    return {**members, "response_format": TEXT_FORM}


def sent_form(method: str, content_type: str | None, body: bytes) -> Members:
    """The members of a form with a sound. Raises: RequestError."""
    return transcription.members_of(read_form(method, content_type, body))  # type: ignore[return-value]  # and one file


def sent_json(method: str, _content_type: str | None, body: bytes) -> Members:
    """The members of an object. Raises: RequestError."""
    return json_object(method, body)


def sent_table(method: str, _content_type: str | None, body: bytes) -> Members:
    """A list of rows that comes by itself, under a name of its task. Raises: RequestError."""
    require_method(method, "POST")
    try:
        value = read_json(body, MAX_BODY_BYTES)
    except JsonError as error:
        raise RequestError(error.member or "", str(error)) from error
    if not isinstance(value, list):
        raise RequestError("", "is no list")
    return checked_object({ROWS: value})


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One task behind these addresses: the last parts of its paths, how a body is taken apart, and its members in the words of the task:
    `names` are those that are called otherwise, `told` does the rest."""

    task: str
    paths: tuple[str, ...]
    read_members: Callable[[Mapping[str, Value]], Reading]
    sent: Callable[[str, str | None, bytes], Members] = sent_json
    names: Mapping[str, str] = field(default_factory=dict)
    told: Callable[[Members], Members] = dict

    @property
    def reader(self) -> str:
        """Its name in records."""
        return f"{self.task}/gateway/1"

    def members(self, target: str, sent: Members) -> Members:
        """What a request says, in the words of its task. Raises: RequestError."""
        found = ADDRESS.fullmatch("/" + "/".join(path_segments(target)))
        if found is None or found["way"] not in self.paths:
            raise RequestError("target", "is no such address of a model")
        said, model = sent.get("model"), found["model"]
        if said is not None and (not isinstance(said, str) or _id(said) != _id(model)):
            raise RequestError("model", "is not the model that the address names")
        return {**self.told(renamed(sent, self.names)), "model": model}

    def read(self, method: str, target: str, content_type: str | None, body: bytes) -> Reading:
        """What a request asks.

        Raises: RequestError.
        Source: SPEC 7.
        """
        return self.read_members(self.members(target, self.sent(method, content_type, body)))


def _id(model: str) -> bytes:
    return model.partition("@")[0].encode().lower()


CHAT: Final = Way(
    task=chat.NAME, paths=("chat/completions",), read_members=read_chat,
    names={"max_new_tokens": "max_tokens"}, told=chat_members,
)  # fmt: skip
CLASSIFY: Final = Way(task=classification.NAME, paths=("classify", "predict"), read_members=classification.read_members)
PREDICT: Final = Way(task=prediction.NAME, paths=("predict",), read_members=prediction.read_members, sent=sent_table)
TRANSCRIPT: Final = Way(
    task=transcription.NAME, paths=("transcript",), read_members=transcription.read_members, sent=sent_form,
    told=sound_members,
)  # fmt: skip
SPEAK: Final = Way(
    task=speech.NAME, paths=("generate-speech",), read_members=speech.read_members,
    names={"prompt": "input"}, told=speech_members,
)  # fmt: skip
DRAW: Final = Way(
    task=image.NAME, paths=("generate-image",), read_members=image.read_members,
    names={"num_inference_steps": "steps", "guidance_scale": "guidance"},
)  # fmt: skip
TRANSLATE: Final = Way(task=translation.NAME, paths=("translate",), read_members=translation.read_members)
EMBED: Final = Way(
    task=embedding.NAME, paths=("embed",), read_members=embedding.read_members,
    names={"inputs": "input"},
)  # fmt: skip
RERANK: Final = Way(task=rerank.NAME, paths=("rerank",), read_members=rerank.read_members)
WAYS: Final = (CHAT, CLASSIFY, PREDICT, TRANSCRIPT, SPEAK, DRAW, TRANSLATE, EMBED, RERANK)


def _labels(answer: Mapping[str, object]) -> list[Output]:
    listed = list_at(answer["classification"], "classification")
    several = listed and isinstance(listed[0], list)
    return [classification.labels_in(one, "classification") for one in (listed if several else [listed])]


def _texts(answer: Mapping[str, object]) -> list[Output]:
    found, reasons = answer["translation"], answer.get("finish_reason")
    if isinstance(found, str):
        found, reasons = [found], [reasons]
    texts, why = list_at(found, "translation"), list_at(reasons, "finish_reason")
    if len(texts) != len(why):
        raise AnswerError("finish_reason", "is not one for each translation")
    return [
        text_output(text_at(text, "translation"), text_or_none_at(reason, "finish_reason"))
        for text, reason in zip(texts, why, strict=True)
    ]


def _media(name: str, media_type: str, answer: Mapping[str, object]) -> list[Output]:
    try:
        item = b64decode(text_at(answer[name], name), validate=True)
    except (binascii.Error, ValueError) as error:
        raise AnswerError(name, "is not base64") from error
    return list(media_outputs(media_type, [item]))


def _predicted(answer: Mapping[str, object]) -> list[Output]:
    return [prediction.predicted({"predictions": value_of(list_at(answer.get("data"), "data"))})]


RECEIVED: Final[Mapping[str, Callable[[Mapping[str, object]], list[Output]]]] = {
    "classification": _labels,
    "translation": _texts,
    "audio": partial(_media, "audio", SOUND_TYPE),
    "image": partial(_media, "image", image.TYPE),
    "meta": _predicted,
    "text": lambda answer: [transcription.text_output(text_at(answer["text"], "text"))],
}
"""How answers are read, by the member that only they have."""
