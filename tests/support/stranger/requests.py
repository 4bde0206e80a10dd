"""The readers of requests, and the answers that a client gets (section 7)."""

import json
import re
import struct
from base64 import b64decode
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from tests.support.stranger import addresses, chats, jobs
from tests.support.stranger.crypto import keccak
from tests.support.stranger.errors import REQUEST, Refused
from tests.support.stranger.fields import strict_json
from tests.support.stranger.forms import read_transcription

MAX_DEPTH = 16
MAX_BODY = 33_554_432
MAX_MEMBERS = 65_536
MAX_SIGNS = 2_097_152
TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


class Read(NamedTuple):
    """What a reader finds in a request."""

    prompt: dict[str, Any] | None
    system: str | None
    asked: dict[str, Any]
    model: str | None
    template: str | None = None


def _fail(param: str, text: str) -> Refused:
    return Refused(REQUEST, f"{param or 'the body'}: {text}", param)


def _check(param: str, value: Any, level: int) -> None:
    """Integers of at most 64 bits, and no deeper than a field of a record."""
    if isinstance(value, dict | list):
        if isinstance(value, dict) and len(value) > MAX_MEMBERS:
            raise _fail(param, "has more than 65,536 members")
        if level > MAX_DEPTH:
            raise _fail(param, "nested deeper than a record may be")
        for item in value.values() if isinstance(value, dict) else value:
            _check(param, item, level + 1)
    elif type(value) is int and not -(2**63) <= value < 2**63:
        raise _fail(param, "an integer beyond 64 bits")


def _json_body(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_BODY:
        raise _fail("", "is beyond 33,554,432 bytes")
    if sum(map(TEXT.sub(b"", body).count, (b",", b":", b"[", b"{"))) > MAX_SIGNS:
        raise _fail("", "holds more values than a body may")
    value = strict_json(REQUEST, body)
    if not isinstance(value, dict):
        raise _fail("", "is no object")
    if len(value) > MAX_MEMBERS:
        raise _fail("", "has more than 65,536 members")
    for name, member in value.items():
        _check(name, member, 2)
    return value


def _parts(target: str) -> list[str]:
    """The parts of a target's path, decoded."""
    path = target.split("?", 1)[0]
    if not path.startswith("/"):
        raise _fail("target", "does not start with a slash")
    try:
        return [unquote_to_bytes(part).decode() for part in path[1:].split("/")]
    except UnicodeDecodeError:
        raise _fail("target", "is not UTF-8") from None


def _message_text(message: dict[str, Any], where: str) -> str:
    content = message.get("content")
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise _fail(f"{where}.content", "is neither text nor parts")
    texts = []
    for position, part in enumerate(content):
        name = f"{where}.content[{position}]"
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise _fail(name, "is no part with a type")
        if part["type"] != "text":
            continue
        if not isinstance(part.get("text"), str):
            raise _fail(f"{name}.text", "is no text")
        texts.append(part["text"])
    return "".join(texts)


def _system(messages: list[Any]) -> str | None:
    texts = []
    for position, message in enumerate(messages):
        where = f"messages[{position}]"
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise _fail(where, "is no message with a role")
        if message["role"] in ("system", "developer"):
            texts.append(_message_text(message, where))
    return "\n\n".join(texts) if texts else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _nests(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict | list) for item in value))


def _stop(value: Any) -> list[str]:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise _fail("stop", "is neither text nor a list of texts")
    return stops


def _max_tokens(body: dict[str, Any]) -> Any:
    given = body.get("max_completion_tokens")
    if given is not None and not _is_number(given):
        raise _fail("max_completion_tokens", "is no number")
    other = body.get("max_tokens")
    if other is None:
        return given
    if given is not None and (not _is_number(other) or other != given):
        raise _fail("max_tokens", "is another number than max_completion_tokens")
    return other


def _posted(method: str, body: bytes) -> dict[str, Any]:
    if method != "POST":
        raise _fail("method", "is not POST")
    return _json_body(body)


def _placed(body: dict[str, Any], subject: str, gone: tuple[str, ...]) -> Read:
    """Each member in its one place, but those that the task places itself or drops."""
    model = body.get("model")
    if model is not None and not isinstance(model, str):
        raise _fail("model", "is no text")
    prompt = {subject: body[subject]}
    asked: dict[str, Any] = {}
    for name, value in body.items():
        if value is None or name in (subject, "model", *gone):
            continue
        if _nests(value) and name == "blob":
            raise _fail("blob", "is a name that records keep for themselves")
        (prompt if _nests(value) else asked)[name] = value
    if "stop" in gone and body.get("stop") is not None:
        asked["stop"] = _stop(body["stop"])
    return Read(prompt, None, asked, model)


def _chat(method: str, _target: str, body: bytes) -> Read:
    return _chat_of(_posted(method, body))


def _in_other_words(as_chat: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[str, str, bytes], Read]:
    def reader(method: str, _target: str, body: bytes) -> Read:
        made = as_chat(_posted(method, body))
        for name, member in made.items():
            _check(name, member, 2)
        return _chat_of(made)

    return reader


def _chat_of(members: dict[str, Any]) -> Read:
    messages = members.get("messages")
    if not isinstance(messages, list):
        raise _fail("messages", "is no list")
    system = _system(messages)
    found = _placed(members, "messages", ("stream", "stream_options", "stop", "max_completion_tokens"))
    if members.get("max_completion_tokens") is not None:
        found.asked["max_tokens"] = _max_tokens(members)
    return found._replace(system=system)


def _completion(method: str, _target: str, body: bytes) -> Read:
    members = _posted(method, body)
    if not isinstance(members.get("prompt"), str | list):
        raise _fail("prompt", "is neither text nor a list")
    return _placed(members, "prompt", ("stream", "stream_options", "stop"))


def _embedding(method: str, _target: str, body: bytes) -> Read:
    members = _posted(method, body)
    if not isinstance(members.get("input"), str | list):
        raise _fail("input", "is neither text nor a list")
    return _placed(members, "input", ())


def _one_of(members: dict[str, Any], *names: str) -> str:
    found = [name for name in names if members.get(name) is not None]
    if len(found) != 1:
        raise _fail(names[0] if not found else found[1], f"exactly one of {names} is wanted")
    return found[0]


def _rerank(method: str, _target: str, body: bytes) -> Read:
    members = _posted(method, body)
    name = _one_of(members, "documents", "texts")
    if not isinstance(members[name], list):
        raise _fail(name, "is no list")
    if not isinstance(members.get("query"), str):
        raise _fail("query", "is no text")
    found = _placed(members, name, ("query",))
    return found._replace(prompt={**(found.prompt or {}), "query": members["query"]})


def _labels(method: str, _target: str, body: bytes) -> Read:
    members = _posted(method, body)
    name = _one_of(members, "inputs", "input")
    if not isinstance(members[name], str | list):
        raise _fail(name, "is neither text nor a list")
    return _placed(members, name, ())


def _translation(method: str, _target: str, body: bytes) -> Read:
    members = _posted(method, body)
    if not isinstance(members.get("text"), str | list):
        raise _fail("text", "is neither text nor a list")
    return _placed(members, "text", ())


def _text_subject(name: str) -> Callable[[str, str, bytes], Read]:
    def read(method: str, _target: str, body: bytes) -> Read:
        members = _posted(method, body)
        if not isinstance(members.get(name), str):
            raise _fail(name, "is no text")
        return _placed(members, name, ())

    return read


def _prediction(method: str, _target: str, body: bytes) -> Read:
    members = _posted(method, body)
    name = _one_of(members, "inputs", "instances", "dataframe_split", "dataframe_records")
    if not isinstance(members[name], dict | list):
        raise _fail(name, "is no table")
    return _placed(members, name, ())


def _export(method: str, target: str, body: bytes) -> Read:
    members = _posted(method, body)
    parts = _parts(target)
    model = "/".join(parts[2:-1])
    if parts[:2] != ["v1", "models"] or parts[-1] != "exports" or not 3 < len(parts) < 6:
        raise _fail("target", "is no export of a model")
    for name, value in members.items():
        if _nests(value):
            raise _fail(name, "is no parameter")
    return Read(None, None, {name: value for name, value in members.items() if value is not None}, model)


def _got(method: str, target: str, body: bytes) -> list[str]:
    if method != "GET":
        raise _fail("method", "is not GET")
    if body:
        raise _fail("body", "is not empty")
    return _parts(target)


def _files(method: str, target: str, body: bytes) -> Read:
    parts = _got(method, target, body)
    end = 3 if parts[3:4] == ["files"] else 4
    if parts[:2] != ["v1", "models"] or parts[end : end + 1] != ["files"] or not parts[end + 1 :]:
        raise _fail("target", "is no file of a model")
    return Read(None, None, {"file": "/".join(parts[end + 1 :])}, "/".join(parts[2:end]))


def _download(method: str, target: str, body: bytes) -> Read:
    parts = _got(method, target, body)
    file = "archive.tar" if parts[3:] == ["archive.tar"] else "/".join(parts[4:])
    if parts[:2] != ["v1", "exports"] or len(parts) < 4:
        raise _fail("target", "is no download of an export")
    if parts[3:] != ["archive.tar"] and (parts[3] != "files" or len(parts) < 5):
        raise _fail("target", "is no download of a file")
    return Read(None, None, {"export": parts[2], "file": file}, None)


def _hosted(kind: str) -> Callable[[str, str, bytes], Read]:
    def read(method: str, target: str, body: bytes) -> Read:
        prompt, asked, model = addresses.hosted(kind, target, _posted(method, body), _fail)
        return Read(prompt, None, asked, model)

    return read


def _inferencia(method: str, _target: str, body: bytes) -> Read:
    prompt, asked, model = addresses.inferencia(_posted(method, body), _fail)
    return Read(prompt, None, asked, model)


def _remote(method: str, _target: str, body: bytes) -> Read:
    members = _posted(method, body)
    if not isinstance(members.get("tag"), str):
        raise _fail("tag", "is no text")
    texts = jobs.prompts(members.get("commandLine"), _fail)
    asked = {name: value for name, value in members.items() if name != "commandLine" and value is not None}
    return Read({"inputs": texts}, None, asked, members["tag"])


def _job(method: str, _target: str, body: bytes) -> Read:
    return _placed({"inputs": None, **_posted(method, body)}, "inputs", ())


def _batch(method: str, _target: str, body: bytes) -> Read:
    members = {"input_file_id": None, "metadata": None, **_posted(method, body)}
    found = _placed(members, "metadata", ("input_file_id",))
    return found._replace(asked={**found.asked, "input_file_id": members["input_file_id"]}, model=None)


READERS: dict[str, Callable[[str, str, bytes], Read]] = {
    "completion/hosted/1": _hosted("completion"),
    "embedding/hosted/1": _hosted("embedding"),
    "classification/inferencia/1": _inferencia,
    "chat/openai/1": _chat,
    "chat/anthropic/1": _in_other_words(chats.first_as_chat),
    "chat/responses/1": _in_other_words(chats.second_as_chat),
    "completion/openai/1": _completion,
    "embedding/openai/1": _embedding,
    "rerank/tallystick/1": _rerank,
    "classification/tallystick/1": _labels,
    "entities/tallystick/1": _labels,
    "translation/tallystick/1": _translation,
    "speech/openai/1": _text_subject("input"),
    "image/openai/1": _text_subject("prompt"),
    "prediction/tallystick/1": _prediction,
    "job/remote/1": _remote,
    "job/tallystick/1": _job,
    "batch/openai/1": _batch,
    "export/tallystick/1": _export,
    "download/tallystick/1": _download,
    "files/tallystick/1": _files,
}


def read_request(reader: str, method: str, target: str, content_type: str | None, body: bytes) -> Read:
    """What the named reader finds; only that of forms looks at the content type."""
    if reader == "transcription/openai/1":
        return Read(*read_transcription(method, content_type, body))
    task, _, way = reader.partition("/")
    if way == "gateway/1" and task in addresses.WAYS:
        found, template = addresses.proxied(task, (method, target, content_type, body), _parsed, _native, _fail)
        return Read(*found[:4], template)
    if reader not in READERS:
        raise _fail("reader", f"{reader} is no reader of version 2")
    return READERS[reader](method, target, body)


def _native(reader: str, method: str, content_type: str | None, body: bytes) -> Read:
    return read_request(reader, method, "/", content_type, body)


def _parsed(body: bytes) -> Any:
    """The value of a body: an object, or a list, which counts as a member."""
    return _json_body(b'{"":' + body + b"}")[""] if body.lstrip()[:1] == b"[" else _json_body(body)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal: numbers by value, true and false being none."""
    if _is_number(one) and _is_number(other):
        return bool(one == other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


def _lower(text: str) -> str:
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)


def same_model(named: str, model: dict[str, Any]) -> bool:
    """Whether a request's model is the record's."""
    name, _, digits = named.partition("@")
    digest = str(model["weights_digest"].hex())
    return _lower(name) == _lower(model["id"]) and digest.startswith(digits)


def check_binding(record: dict[str, Any], missing: list[str]) -> list[str]:
    """Where a whole record differs from what its reader reads; fields whose blob is missing are left out."""
    request = record["request"]
    if request is None or "request" in missing:
        return []
    try:
        read = read_request(
            request["reader"], record["http"]["method"], request["target"], request["content_type"], request["body"]
        )
    except Refused as error:
        return [f"its reader refuses the request: {error.text}"]
    wrong = []
    if "prompt" not in missing and not same(read.prompt, record["prompt"]):
        wrong.append("prompt is not what the request says")
    if "instructions" not in missing:
        system = record["instructions"]["system"] if record["instructions"] is not None else None
        if system != read.system:
            wrong.append("instructions.system is not what the request says")
        if (record["instructions"] or {}).get("chat_template") != read.template:
            wrong.append("instructions.chat_template is not what the request says")
    parameters = record["parameters"]
    wrong += [
        f"parameters.{name} is not what was asked for"
        for name, value in read.asked.items()
        if name not in parameters or not same(value, parameters[name])
    ]
    if read.model is not None and record["model"] is not None and not same_model(read.model, record["model"]):
        wrong.append("model is not the one that the request names")
    return wrong


def _call(call: dict[str, Any]) -> dict[str, Any]:
    return {"id": call["id"], "name": call["function"]["name"], "arguments": call["function"]["arguments"]}


def _said(choice: dict[str, Any], completes: bool) -> dict[str, Any]:
    """The output of one choice."""
    content: Any = choice.get("text") or ""
    if not completes:
        message = choice["message"]
        calls = list(map(_call, message.get("tool_calls") or []))
        content = {"role": "assistant", "content": message.get("content"), "tool_calls": calls}
    return {
        "kind": "text" if completes else "message",
        "content": content,
        "finish_reason": choice.get("finish_reason"),
        "logprobs": choice.get("logprobs"),
    }


def _vector(one: dict[str, Any]) -> dict[str, Any]:
    """The output of one embedding."""
    given = one["embedding"]
    content = b64decode(given) if isinstance(given, str) else b"".join(struct.pack("<f", number) for number in given)
    return {"kind": "vector", "content": content, "finish_reason": None, "logprobs": None}


def _error(document: dict[str, Any]) -> dict[str, str] | None:
    error = document.get("error")
    return None if error is None else {"code": error["code"], "message": error["message"]}


def _output(kind: str, content: Any, finish_reason: Any = None) -> dict[str, Any]:
    return {"kind": kind, "content": content, "finish_reason": finish_reason, "logprobs": None}


def _indexed(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(listed, key=lambda one: one["index"])


def _ranked(document: dict[str, Any]) -> list[dict[str, Any]]:
    results = [{"index": one["index"], "score": float(one["relevance_score"])} for one in document["results"]]
    return [_output("scores", results)]


def _labelled(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        _output("labels", [{"label": label["label"], "score": float(label["score"])} for label in one["labels"]])
        for one in _indexed(document["data"])
    ]


def _marked(document: dict[str, Any]) -> list[dict[str, Any]]:
    names = ("entity", "score", "start", "end", "word")
    return [
        _output(
            "document",
            {
                "entities": [
                    {name: float(e[name]) if name == "score" else e[name] for name in names} for e in one["entities"]
                ]
            },
        )
        for one in _indexed(document["data"])
    ]


def _translated(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [_output("text", one["text"], one.get("finish_reason")) for one in _indexed(document["translations"])]


def _heard(document: dict[str, Any]) -> list[dict[str, Any]]:
    if "segments" not in document:
        return [_output("text", document["text"])]
    segments = [
        {"start_ms": round(one["start"] * 1000), "end_ms": round(one["end"] * 1000), "text": one["text"]}
        | {name: one[name] for name in ("avg_logprob", "no_speech_prob", "seek", "tokens") if name in one}
        for one in document["segments"]
    ]
    whole = {"text": document["text"], "language": document["language"], "segments": segments}
    return [_output("document", whole | {"duration_ms": round(document["duration"] * 1000)})]


def _pictured(document: dict[str, Any]) -> list[dict[str, Any]]:
    pictures = [b64decode(one["b64_json"]) for one in document["data"]]
    named = [{"type": "image/png", "digest": keccak(one), "length": len(one)} for one in pictures]
    return [_output("media", one) for one in named] + [_output("document", one) for one in pictures]


def _predicted(document: dict[str, Any]) -> list[dict[str, Any]]:
    names = [name for name in ("predictions", "classes", "probabilities") if document.get(name)]
    return [_output("document", {name: document[name] for name in names})]


TEXTS_READ: dict[Any, Callable[[dict[str, Any]], list[dict[str, Any]]]] = {
    "rerank": _ranked,
    "classification": _labelled,
    "entities": _marked,
    "translation": _translated,
    "transcription": _heard,
    "images": _pictured,
    "prediction": _predicted,
}


def read_answer(file: bytes) -> tuple[dict[str, str] | None, list[dict[str, Any]]]:
    """The error and the outputs of an answer that came whole."""
    document = json.loads(file)
    error = _error(document)
    if error is not None:
        return error, []
    told = document.get("object")
    if document.get("type") == "message":
        return None, chats.first_answer(document)
    if told == "response":
        return None, chats.second_answer(document)
    if told in TEXTS_READ:
        return None, TEXTS_READ[told](document)
    if told == "list" and any(one.get("object") == "embedding" for one in document["data"]):
        return None, [_vector(one) for one in sorted(document["data"], key=lambda one: one["index"])]
    own = addresses.answer(document)
    if own is not None:
        return None, own
    choices = sorted(document["choices"], key=lambda choice: choice["index"])
    return None, [_said(choice, told == "text_completion") for choice in choices]


def _join_call(calls: dict[int, dict[str, Any]], piece: dict[str, Any]) -> None:
    call = calls.setdefault(piece["index"], {"id": "", "function": {"name": "", "arguments": ""}})
    call["id"] += piece.get("id") or ""
    for name in ("name", "arguments"):
        call["function"][name] += piece.get("function", {}).get(name) or ""


def _join_text(texts: dict[str, Any], name: str, piece: dict[str, Any]) -> None:
    if piece.get(name) is not None:
        texts[name] = (texts.get(name) or "") + piece[name]


def _join(choice: dict[str, Any], piece: dict[str, Any]) -> None:
    delta = piece.get("delta", {})
    _join_text(choice, "text", piece)
    _join_text(choice["message"], "content", delta)
    for call in delta.get("tool_calls") or []:
        _join_call(choice["calls"], call)
    if piece.get("finish_reason") is not None:
        choice["finish_reason"] = piece["finish_reason"]
    for name, items in (piece.get("logprobs") or {}).items():
        choice["logprobs"] = choice["logprobs"] or {}
        before = choice["logprobs"].get(name)
        choice["logprobs"][name] = before + items if before and items else before or items


def read_stream(file: bytes) -> tuple[dict[str, str] | None, list[dict[str, Any]]]:
    """The error and the outputs of an answer that came as a stream of events."""
    error = None
    completes = False
    choices: dict[int, dict[str, Any]] = {}
    documents: list[dict[str, Any]] = []
    for event in re.findall(r"^data: ?(.*)$", file.decode(), re.MULTILINE):
        if event.strip() == "[DONE]":
            break
        document = json.loads(event)
        documents.append(document)
        error = _error(document) or error
        completes = completes or document.get("object") == "text_completion"
        for piece in document.get("choices", []):
            blank: dict[str, Any] = {"message": {}, "calls": {}, "finish_reason": None, "logprobs": None}
            _join(choices.setdefault(piece["index"], blank), piece)
    if any(document.get("type") == "content_block_start" for document in documents):
        return error, chats.first_stream(documents)
    if documents and isinstance(documents[-1].get("response"), dict):
        return error, chats.second_answer(documents[-1]["response"])
    for choice in choices.values():
        choice["message"]["tool_calls"] = [call for _, call in sorted(choice["calls"].items())]
    return error, [_said(choice, completes) for _, choice in sorted(choices.items())]
