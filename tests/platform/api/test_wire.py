"""What all wire formats share, and that another one needs nothing but itself."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import httpx
import msgspec
import pytest
from litestar import Litestar

from tallystick.tasks import chat
from tallystick_platform import tasks
from tallystick_platform.api.application import answering_errors
from tallystick_platform.api.credentials import Headers
from tallystick_platform.api.error_table import ErrorAnswer
from tallystick_platform.api.refusals import BadRequest
from tallystick_platform.api.wire import anthropic, openai, texts
from tallystick_platform.api.wire.answering import Events, Question
from tallystick_platform.api.wire.wire import Wire, wire_handler
from tallystick_platform.errors import EngineFailed
from tallystick_platform.exchange.line import Recorded
from tallystick_platform.exchange.request import Asked
from tallystick_platform.protocol import Piece
from tests.support.api import (
    AUTH,
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    HI,
    MAX_MEDIA_BYTES,
    MESSAGES,
    ONCE,
    RESPONSES,
    TEXT_SCRIPTS,
    TEXTS,
    WORDS,
    Api,
)
from tests.support.exchange import MODEL, PLACEMENT, Script, said

MEDIA = {
    "/v1/audio/transcriptions": b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nsound\r\n'
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n' + MODEL.id.encode() + b"\r\n--b--\r\n",
    "/v1/audio/speech": {"model": MODEL.id, "input": "Hi"},
    "/v1/images/generations": {"model": MODEL.id, "prompt": "A cat"},
    "/v1/predict": {"model": MODEL.id, "inputs": [[1]]},
}
OTHER_CHATS = {MESSAGES: {**HI, "max_tokens": 9}, RESPONSES: {"model": MODEL.id, "input": "Hi"}}
BODIES = {CHAT: HI, **OTHER_CHATS, COMPLETIONS: ONCE, EMBEDDINGS: WORDS, **TEXTS, **MEDIA}
SCRIPTS = {
    CHAT: Script(),
    MESSAGES: Script(),
    RESPONSES: Script(),
    COMPLETIONS: Script(),
    EMBEDDINGS: Script(texts=(bytes(16),) * 2),
    **TEXT_SCRIPTS,
    "/v1/audio/transcriptions": Script(),
    "/v1/audio/speech": Script(texts=(b"sound",), finish_reason=None),
    "/v1/images/generations": Script(texts=(b"picture",), finish_reason=None),
    "/v1/predict": Script(texts=(msgspec.msgpack.encode({"predictions": [1]}),), finish_reason=None),
}
every_path = pytest.mark.parametrize("path", list(BODIES))


def sent(path: str) -> dict[str, object]:
    """What a client posts there: JSON, or a form."""
    body = BODIES[path]
    if isinstance(body, bytes):
        return {"content": body, "headers": {"content-type": "multipart/form-data; boundary=b"}}
    return {"content": json.dumps(body).encode(), "headers": {"content-type": "application/json"}}


def test_every_wire_is_tried_here() -> None:
    assert {path for wire in (*openai.WIRES, *anthropic.WIRES, *texts.WIRES) for path in wire.routes} == set(BODIES)


@every_path
async def test_a_wrong_method_is_told_the_right_one(path: str) -> None:
    async with Api().client() as client:
        for method in ("GET", "HEAD", "DELETE"):
            reply = await client.request(method, path)
            assert reply.status_code == 405
            assert "POST" in reply.headers["allow"]


@every_path
async def test_a_compressed_body_is_recorded_as_it_was_meant(path: str) -> None:
    plain, told = sent(path).values()
    async with (api := Api(SCRIPTS[path])).client() as client:
        reply = await client.post(path, content=gzip.compress(plain), headers=told | {"content-encoding": "gzip"})
        other = await client.post(path, content=plain, headers=told | {"content-encoding": "br"})
    assert (reply.status_code, other.status_code) == (200, 415)
    assert api.journal.only.request.body == plain


@every_path
async def test_a_model_that_does_not_do_the_task_is_not_asked(path: str) -> None:
    api = Api()
    api.dispatcher.placement = replace(PLACEMENT, model=msgspec.structs.replace(MODEL, tasks=("chess",)))
    async with api.client() as client:
        reply = await client.post(path, **sent(path))
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (400, "task_not_served", "model")
    assert "chess" in error["message"]
    assert api.journal.admitted == 0


@every_path
async def test_nobody_is_answered_without_a_token(path: str) -> None:
    async with (api := Api()).client(**{"x-nothing": "1"}) as client:
        reply = await client.post(path, **sent(path))
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "missing_api_key")
    assert api.gate.entered == 0


@every_path
async def test_a_body_beyond_the_bound_is_refused(path: str) -> None:
    async with Api().client() as client:
        reply = await client.post(path, content=b" " * (MAX_MEDIA_BYTES + 1))
    assert reply.status_code == 413


@every_path
@pytest.mark.parametrize("header", ["X-Request-Timeout", "OICM-Request-Timeout"])
async def test_a_malformed_timeout_is_refused_by_name(path: str, header: str) -> None:
    async with Api().client() as client:
        asked = sent(path)
        reply = await client.post(path, content=asked["content"], headers=asked["headers"] | {header: "soon"})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, header.lower())


class LineEvents(Events):
    """A piece a line, and a word at the end."""

    content_type = b"text/plain"

    def piece(self, part: Piece, counts: object) -> bytes:
        return part.data.encode() + b"\n"

    def last(self, recorded: Recorded, tallystick: bytes) -> bytes:
        assert json.loads(tallystick)["record_id"]
        return recorded.record.state.value.encode()

    def error(self, body: bytes) -> bytes:
        return b"! " + body


class Lines(Wire):
    """A wire with addresses, requests, answers and errors of its own."""

    def read(self, path: str, headers: Headers, body: bytes) -> Question:
        if not body:
            raise BadRequest("Say something.", code="silent")
        reading = chat.read_members({"model": MODEL.id, "messages": [{"role": "user", "content": body.decode()}]})
        return Question(
            asked=Asked.of(tasks.CHAT, MODEL.id, reading),
            reader=chat.READER,
            whole=lambda recorded, tallystick: json.dumps([path, said(recorded)]).encode(),
            events=(lambda ticket: LineEvents()) if path == "/lines" else None,
        )

    def error(self, answer: ErrorAnswer, tallystick: bytes | None) -> tuple[int, bytes]:
        return 418, json.dumps([answer.code, tallystick is not None]).encode()


def lines_of(api: Api) -> httpx.AsyncClient:
    wire = Lines(
        name="lines",
        routes=("/lines/{voice:str}", "/lines"),
        summary="Ask in lines",
        body="text/plain",
        answers="text/plain",
    )
    errors = answering_errors(api.services)
    app = Litestar([wire_handler(wire, api.services)], exception_handlers=errors, openapi_config=None)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", headers=AUTH)


async def test_another_wire_reads_and_writes_as_it_likes() -> None:
    async with lines_of(api := Api()) as client:
        streamed = await client.post("/lines", content="Hi")
        whole = await client.post("/lines/low", content="Hi")
    assert (streamed.text, streamed.headers["content-type"]) == ("Hello\n world\ncompleted", "text/plain")
    assert whole.json() == ["/lines/low", "Hello world"]
    assert whole.headers["x-tallystick-receipt"]
    assert [record.http.streamed for record in api.journal.records] == [True, False]


async def test_another_wire_tells_every_error_in_its_own_shape() -> None:
    broken = EngineFailed(reason="broken")
    async with lines_of(Api(Script(error=broken))) as client:
        silent = await client.post("/lines", content="")
        nobody = await client.post("/lines", content="Hi", headers={"authorization": "Bearer tsk_nobody"})
        failed = await client.post("/lines/low", content="Hi")
        halfway = await client.post("/lines", content="Hi")
    assert [reply.status_code for reply in (silent, nobody, failed)] == [418] * 3
    assert (silent.json(), failed.json()) == (["silent", False], ["engine_failed", True])
    assert (nobody.json()[1], nobody.headers["www-authenticate"]) == (False, "Bearer")
    assert halfway.text == 'Hello\n world\n! ["engine_failed", true]'
