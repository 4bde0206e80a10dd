"""Requests at addresses that name their model, and answers in the words of these, from SPEC 7 alone."""

from __future__ import annotations

import json
import re
import struct
from base64 import b64decode
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from tests.support.stranger.crypto import keccak
from tests.support.stranger.errors import Refused

Fail = Callable[[str, str], Refused]
Native = Callable[[str, str, str | None, bytes], Any]

WAYS = {
    "chat": ("chat/openai/1", ("chat/completions",)),
    "classification": ("classification/tallystick/1", ("classify", "predict")),
    "prediction": ("prediction/tallystick/1", ("predict",)),
    "transcription": ("transcription/openai/1", ("transcript",)),
    "speech": ("speech/openai/1", ("generate-speech",)),
    "image": ("image/openai/1", ("generate-image",)),
    "translation": ("translation/tallystick/1", ("translate",)),
    "embedding": ("embedding/openai/1", ("embed",)),
    "rerank": ("rerank/tallystick/1", ("rerank",)),
}
CALLED = {
    "chat": {"max_new_tokens": "max_tokens"},
    "speech": {"prompt": "input"},
    "image": {"num_inference_steps": "steps", "guidance_scale": "guidance"},
    "embedding": {"inputs": "input"},
}


def address(target: str, before: str, fail: Fail) -> tuple[str, list[str]]:
    """The model that an address names after its first part, and the parts from `before` on."""
    parts = [unquote(part) for part in target.partition("?")[0].split("/")]
    whole = "/".join(parts)
    found = re.fullmatch(rf"/{'hosted' if before == 'v1' else 'models'}/([^/]+(?:/[^/]+)?)/({before}/.+)", whole)
    if found is None:
        raise fail("target", "names no model")
    return found[1], found[2].split("/")


def hosted(kind: str, target: str, members: dict[str, Any], fail: Fail) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Prompt, asked and model of a hosted prediction."""
    model, rest = address(target, "v1", fail)
    if rest not in (["v1", "predict"], ["v1", "predict_stream"]):
        raise fail("target", "is no prediction")
    known = ("inputs",) if kind == "embedding" else ("inputs", "parameters")
    for name, value in members.items():
        if name not in known and value is not None:
            raise fail(name, "is unknown")
    inputs, parameters = members.get("inputs"), members.get("parameters") or {}
    if not isinstance(inputs, list):
        raise fail("inputs", "is no list")
    if kind == "embedding":
        return {"input": inputs}, {}, model
    if not isinstance(members.get("parameters"), dict | None):
        raise fail("parameters", "is no object")
    asked = {"temperature": 0.8, "top_p": 0.95, "top_k": 50, "max_tokens": 256}
    for name, value in parameters.items():
        if name not in ("temperature", "top_p", "top_k", "max_new_tokens"):
            raise fail(f"parameters.{name}", "is unknown")
        if value is not None:
            asked["max_tokens" if name == "max_new_tokens" else name] = value
    return {"prompt": inputs}, asked, model


def inferencia(members: dict[str, Any], fail: Fail) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Prompt, asked and model of labels for texts."""
    for name, value in members.items():
        if name not in ("model_name", "data") and value is not None:
            raise fail(name, "is unknown")
    if not isinstance(members.get("model_name"), str):
        raise fail("model_name", "is no text")
    data = members.get("data")
    if not isinstance(data, list) or not data:
        raise fail("data", "is no list of anything")
    texts: list[Any] = []
    for at, one in enumerate(data):
        if not isinstance(one, dict):
            raise fail(f"data[{at}]", "is no object")
        for name, value in one.items():
            if name not in ("text", "top_k") and value is not None:
                raise fail(f"data[{at}].{name}", "is unknown")
        if not isinstance(one.get("text"), list) or not one["text"]:
            raise fail(f"data[{at}].text", "is no list of anything")
        if one.get("top_k") != data[0].get("top_k"):
            raise fail(f"data[{at}].top_k", "is another")
        texts += one["text"]
    count = data[0].get("top_k")
    return {"inputs": texts}, {} if count is None else {"top_k": count}, members["model_name"].replace(":", "/")


def _same_id(said: Any, model: str, fail: Fail) -> None:
    if said is None:
        return
    if (
        not isinstance(said, str)
        or said.split("@")[0].encode().lower() != model.split("@", maxsplit=1)[0].encode().lower()
    ):
        raise fail("model", "is another model")


def proxied(
    kind: str, request: tuple[str, str, str | None, bytes], parsed: Callable[[bytes], Any], native: Native, fail: Fail
) -> Any:
    """What a request behind `/models/{model}/proxy` asks, by the task's own reader, and the template that came with it."""
    method, target, content_type, body = request
    reader, ends = WAYS[kind]
    model, rest = address(target, "proxy", fail)
    if "/".join(rest[2 if rest[1] == "v1" else 1 :]) not in ends:
        raise fail("target", "is no way to ask")
    if method != "POST":
        raise fail("method", "is not POST")
    if kind == "transcription":
        found = native(reader, method, content_type, body)
        _same_id(found.model, model, fail)
        if found.asked.get("response_format") not in (None, "json"):
            raise fail("response_format", "is not json")
        return found._replace(asked={**found.asked, "response_format": "json"}, model=model), None
    sent = parsed(body)
    if isinstance(sent, list) != (kind == "prediction"):
        raise fail("", "is a list, or is none")
    members = {"instances": sent} if kind == "prediction" else dict(sent)
    _same_id(members.get("model"), model, fail)
    for here, there in CALLED.get(kind, {}).items():
        if members.get(here) is not None and members.get(there) is not None:
            raise fail(here, "is there twice")
        value = members.pop(here, None)
        if value is not None:
            members[there] = value
    template = None
    if kind == "speech":
        members["response_format"] = "wav"
    if kind == "chat":
        template = members.pop("chat_template", None)
        _as_chat(members, fail)
        if not isinstance(template, str | None):
            raise fail("chat_template", "is no text")
    return native(reader, method, content_type, json.dumps({**members, "model": model}).encode()), template


def _as_chat(members: dict[str, Any], fail: Fail) -> None:
    inputs, sampled = members.pop("inputs", None), members.pop("do_sample", None)
    if inputs is not None:
        if members.get("messages") is not None or not isinstance(inputs, str):
            raise fail("inputs", "is no text, or not alone")
        members["messages"] = [{"role": "user", "content": inputs}]
    if sampled not in (None, True, False) or type(sampled) in (int, float):
        raise fail("do_sample", "is no switch")
    if sampled is False and members.get("temperature") not in (None, 0):
        raise fail("do_sample", "contradicts the temperature")
    if members.get("temperature") is None:
        members["temperature"] = 0 if sampled is False else 0.7
    if members.get("top_p") is None:
        members["top_p"] = 0.9


def _output(kind: str, content: Any, reason: Any = None) -> dict[str, Any]:
    return {"kind": kind, "content": content, "finish_reason": reason, "logprobs": None}


def _labels(listed: list[dict[str, Any]]) -> dict[str, Any]:
    return _output("labels", [{"label": one["label"], "score": float(one["score"])} for one in listed])


def _media(media_type: str, text: str) -> list[dict[str, Any]]:
    item = b64decode(text, validate=True)
    named = {"type": media_type, "digest": keccak(item), "length": len(item)}
    return [_output("media", named), _output("document", item)]


def answer(document: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The outputs of an answer that only these addresses give; None for any other."""
    if "outputs" in document:
        outputs = document["outputs"]
        if any(isinstance(one, list) for one in outputs):
            return [_output("vector", b"".join(struct.pack("<f", number) for number in one)) for one in outputs]
        return [_output("text", *both) for both in zip(outputs, document["finish_reasons"], strict=True)]
    if {"object", "choices", "type"} & document.keys():
        return None
    if "model_name" in document:
        return [_labels(listed) for part in document["data"] for listed in part]
    if "classification" in document:
        found = document["classification"]
        return list(map(_labels, found if found and isinstance(found[0], list) else [found]))
    if "translation" in document:
        texts, reasons = document["translation"], document.get("finish_reason")
        pairs = [(texts, reasons)] if isinstance(texts, str) else zip(texts, reasons, strict=True)
        return [_output("text", *both) for both in pairs]
    if "audio" in document:
        return _media("audio/wav", document["audio"])
    if "image" in document:
        return _media("image/png", document["image"])
    if "meta" in document:
        return [_output("document", {"predictions": document["data"]})]
    return [_output("text", document["text"])] if "text" in document else None
