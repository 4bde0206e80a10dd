"""Vectors of what binds a record to its request and answer: request hashes, readings, and response hashes (SPEC 7)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tallystick.binding import request_digest, request_hash, response_digest, response_hash
from tallystick.encoding import encode_outcome
from tallystick.hashing import keccak256
from tallystick.record import Output, RecordFault
from tallystick.tasks import chat_output, read
from tests.support.vectors.cast import BODY, every_output

SALT = keccak256(b"tallystick vector: request salt")[:16]
RESPONSE_SALT = keccak256(b"tallystick vector: response salt")
CHAT, EXPORT, DOWNLOAD = "chat/openai/1", "export/tallystick/1", "download/tallystick/1"
CHAT_TARGET, EXPORT_TARGET = "/v1/chat/completions", "/v1/models/smollm2-135m-instruct/exports"
TYPE = "application/json"
HI: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
FAULT = RecordFault(code="worker_died", message="The worker died.")


def binding_vectors() -> dict[str, Any]:
    """Requests with what their readers give, requests that no reader takes, and answers with their hashes."""
    return {
        "request_salt": SALT.hex(),
        "requests": [request_vector(*parts) for parts in _requests()],
        "refused": [refused_vector(*parts) for parts in _refused()],
        "response_salt": RESPONSE_SALT.hex(),
        "responses": [_response(name, error, outputs) for name, error, outputs in _responses()],
        "answers": [answer_vector(*parts) for parts in _answers()],
    }


def _requests() -> Iterator[tuple[Any, ...]]:
    whole = {
        **HI,
        "messages": [
            {"role": "developer", "content": "Be brief.", "name": "ann"},
            {"role": "system", "content": [{"type": "text", "text": "And "}, {"type": "text", "text": "kind."}]},
            {
                "role": "user",
                "content": [{"type": "text", "text": "Look:"}, {"type": "image_url", "image_url": {"url": "x"}}],
            },
            {"role": "assistant", "content": None, "tool_calls": [], "refusal": None},
        ],
        "temperature": 1,
        "top_p": 0.5,
        "max_completion_tokens": 9,
        "stop": "\n",
        "n": 1,
        "logprobs": False,
        "seed": None,
        "stream": True,
        "stream_options": {"include_usage": True},
        "tools": [],
        "response_format": {"type": "text"},
        "invented_later": ["a", 1],
    }
    yield "a usual chat", CHAT, "POST", CHAT_TARGET, TYPE, BODY
    yield "every kind of member", CHAT, "POST", CHAT_TARGET, TYPE, json.dumps(whole).encode()
    yield "a byte order mark, no content type, a query", CHAT, "POST", f"{CHAT_TARGET}?a=b", None, (
        b"\xef\xbb\xbf" + json.dumps(HI, indent=1).encode()
    )  # fmt: skip
    yield "two names for one number", CHAT, "POST", CHAT_TARGET, TYPE, (
        json.dumps({**HI, "max_tokens": 9, "max_completion_tokens": 9.0}).encode()
    )  # fmt: skip
    yield "an export", EXPORT, "POST", EXPORT_TARGET, TYPE, b'{"format":"gguf","quantization":"Q8_0"}'
    yield "an export of a version", EXPORT, "POST", "/v1/models/ann/m%400123abcd/exports", TYPE, (
        b'{"format":"onnx","quantization":null}'
    )  # fmt: skip
    yield "a file", DOWNLOAD, "GET", "/v1/exports/exp_1/files/a%20b/model.onnx?x=1", None, b""
    yield "all files", DOWNLOAD, "GET", "/v1/exports/exp_1/archive.tar", None, b""


def _refused() -> Iterator[tuple[Any, ...]]:
    def chat(**changes: Any) -> tuple[Any, ...]:
        return CHAT, "POST", CHAT_TARGET, TYPE, json.dumps({**HI, **changes}).encode()

    def raw(body: bytes) -> tuple[Any, ...]:
        return CHAT, "POST", CHAT_TARGET, TYPE, body

    yield "a reader that there is not", "reader", "chat/openai/0", "POST", CHAT_TARGET, TYPE, BODY
    yield "another method", "method", CHAT, "PUT", CHAT_TARGET, TYPE, BODY
    yield "a member twice", "seed", *raw(b'{"messages":[],"seed":1,"seed":2}')
    yield "a member twice in a message", "role", *raw(b'{"messages":[{"role":"user","role":"system"}]}')
    yield "not JSON", "", *raw(b"{")
    yield "not UTF-8", "", *raw(b'{"messages":["\xff"]}')
    yield "infinity", "", *raw(b'{"messages":[],"seed":1e999}')
    yield "half of a surrogate pair", "", *raw(b'{"messages":[{"role":"user","content":"\\ud800"}]}')
    yield "a list", "", *raw(b"[]")
    yield "no messages", "messages", *raw(b'{"model":"m"}')
    yield "messages in an object", "messages", *chat(messages={})
    yield "a message that is text", "messages[0]", *chat(messages=["Hi"])
    yield "a message without a role", "messages[0]", *chat(messages=[{"content": "Hi"}])
    yield "a system message that is a number", "messages[0].content", *chat(messages=[{"role": "system", "content": 1}])
    yield "a part without a type", "messages[0].content[0]", *chat(messages=[{"role": "system", "content": [{}]}])
    yield "a text part without text", "messages[0].content[0].text", *chat(
        messages=[{"role": "system", "content": [{"type": "text"}]}]
    )  # fmt: skip
    yield "a model that is a number", "model", *chat(model=1)
    yield "two numbers of tokens", "max_tokens", *chat(max_tokens=1, max_completion_tokens=2)
    yield "a text for a number of tokens", "max_completion_tokens", *chat(max_completion_tokens="9")
    yield "true for a number of tokens", "max_tokens", *chat(max_tokens=True, max_completion_tokens=1)
    yield "an object for a number of tokens", "max_completion_tokens", *chat(max_completion_tokens={})
    yield "a stop that is a number", "stop", *chat(stop=[1])
    yield "an integer beyond 64 bits", "seed", *chat(seed=2**63)
    yield "a name that records keep for themselves", "blob", *chat(blob={})
    deep: Any = []
    for _ in range(13):
        deep = [deep]
    yield "deeper than a record", "messages", *chat(messages=[{"role": "user", "content": deep}])
    yield "an object in an export", "format", EXPORT, "POST", EXPORT_TARGET, TYPE, b'{"format":{}}'
    yield "an export of nothing", "target", EXPORT, "POST", "/v1/models/exports", TYPE, b'{"format":"gguf"}'
    yield "an export elsewhere", "target", EXPORT, "POST", CHAT_TARGET, TYPE, b'{"format":"gguf"}'
    yield "a download with a body", "body", DOWNLOAD, "GET", "/v1/exports/e/archive.tar", None, b"{}"
    yield "a download that is sent", "method", DOWNLOAD, "POST", "/v1/exports/e/archive.tar", None, b""
    yield "a download of nothing", "target", DOWNLOAD, "GET", "/v1/exports/e", None, b""
    yield "a download of no file", "target", DOWNLOAD, "GET", "/v1/exports/e/files", None, b""
    yield "a target that is not UTF-8", "target", DOWNLOAD, "GET", "/v1/exports/e/files/%ff", None, b""
    yield "a target without a slash", "target", DOWNLOAD, "GET", "v1/exports/e/archive.tar", None, b""


def _responses() -> Iterator[tuple[str, RecordFault | None, tuple[Output, ...]]]:
    yield "nothing", None, ()
    yield "an error alone", FAULT, ()
    yield "an error after a piece", FAULT, (chat_output("A tally", None),)
    yield "one message", None, (chat_output("A tally.", "stop"),)
    yield "two messages", None, (chat_output("A", "stop"), chat_output("B", "length"))
    yield "every kind of output", None, every_output()


def _answers() -> Iterator[tuple[str, bool, str, RecordFault | None, Sequence[Output]]]:
    call = {"id": "call_1", "name": "look_up", "arguments": '{"word": "tally"}'}
    function = {"name": call["name"], "arguments": call["arguments"]}
    text, calls = chat_output("A tally.", "stop"), chat_output(None, "tool_calls", [call])
    said = {
        "index": 0,
        "message": {"role": "assistant", "content": "A tally."},
        "logprobs": None,
        "finish_reason": "stop",
    }
    called = {
        "index": 1,
        "message": {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": function}]},
        "finish_reason": "tool_calls",
    }  # fmt: skip
    yield "a whole answer", False, json.dumps({"id": "x", "choices": [said]}), None, (text,)
    yield "two choices, one a call", False, json.dumps({"choices": [called, said]}, indent=2), None, (text, calls)
    failed = {"error": {"message": FAULT.message, "type": "server_error", "param": None, "code": FAULT.code}}
    yield "an error", False, json.dumps(failed), FAULT, ()
    pieces = [
        _piece({"role": "assistant", "content": ""}),
        _piece({"content": "A "}),
        _piece({"content": "tally."}),
    ]
    yield "a stream", True, stream_text([*pieces, _piece({}, "stop")]), None, (text,)
    yield (
        "a stream with counts at its end",
        True,
        stream_text([*pieces, _piece({}, "stop"), {"choices": []}]),
        None,
        (text,),
    )
    yield (
        "a stream that failed",
        True,
        stream_text([*pieces, failed], done=False),
        FAULT,
        (chat_output("A tally.", None),),
    )
    begun = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": ""}}
    rest = [{"index": 0, "function": {"arguments": part}} for part in ('{"word":', ' "tally"}')]
    stream = [_piece({"tool_calls": [one]}) for one in (begun, *rest)]
    yield "a stream of a call", True, stream_text([*stream, _piece({}, "tool_calls")]), None, (calls,)


def _piece(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]}


def stream_text(events: list[dict[str, Any]], *, done: bool = True) -> str:
    """Server-sent events, as a client that saves them does."""
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events) + ("data: [DONE]\n\n" if done else "")


def _wire(reader: str, method: str, target: str, content_type: str | None, body: bytes) -> dict[str, Any]:
    return {"reader": reader, "method": method, "target": target, "content_type": content_type, "body": body.hex()}


def request_vector(
    name: str, reader: str, method: str, target: str, content_type: str | None, body: bytes
) -> dict[str, Any]:
    """A request with its hashes, and what its reader gives."""
    reading = read(reader, method, target, content_type, body)
    digest = request_digest(method, target, content_type, body)
    return {
        "name": name,
        **_wire(reader, method, target, content_type, body),
        "digest": digest.hex(),
        "request_hash": request_hash(SALT, digest).hex(),
        "prompt": reading.prompt,
        "system": reading.system,
        "asked": reading.asked,
        "model": reading.model,
        **({} if reading.chat_template is None else {"chat_template": reading.chat_template}),
    }


def refused_vector(
    fault: str, param: str, reader: str, method: str, target: str, content_type: str | None, body: bytes
) -> dict[str, Any]:
    """A request that its reader refuses, for one fault."""
    return {
        "fault": fault,
        **_wire(reader, method, target, content_type, body),
        "error": "RequestError",
        "param": param,
    }


def answer_vector(
    name: str, streamed: bool, text: str, error: RecordFault | None, outputs: Sequence[Output]
) -> dict[str, Any]:
    """An answer as its client kept it, and the hash of the outcome that its record must hold."""
    return {"name": name, "streamed": streamed, "file": text, "response_hash": _hash(error, outputs)}


def _response(name: str, error: RecordFault | None, outputs: tuple[Output, ...]) -> dict[str, Any]:
    return {"name": name, "encoded": encode_outcome(error, outputs).hex(), "response_hash": _hash(error, outputs)}


def _hash(error: RecordFault | None, outputs: Sequence[Output]) -> str:
    return response_hash(RESPONSE_SALT, response_digest(error, tuple(outputs))).hex()
