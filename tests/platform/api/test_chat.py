"""The chat path over ASGI: what leaves, when, and with which proof."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from tallystick.ids import format_record_id
from tallystick.record import Record, State
from tallystick_platform.errors import (
    AdmissionClosed,
    Backlogged,
    Draining,
    EngineFailed,
    JournalClosed,
    Overloaded,
    PromptTooLong,
    QueueFull,
    TokenBusy,
    WorkerDied,
)
from tests.support.api import AUTH, CHAT, HI, MAX_BODY_BYTES, Api, events_of
from tests.support.exchange import MODEL, Script, unavailable


def text_of(record: Record) -> str:
    """What a record says was answered."""
    return record.response.outputs[0].content["content"]


async def test_a_whole_answer_has_the_shape_of_openai() -> None:
    async with (api := Api()).client() as client:
        reply = await client.post(CHAT, json=HI)
    assert reply.status_code == 200
    body = reply.json()
    record = api.journal.only
    assert body["id"] == "chatcmpl-" + record.id.hex()
    assert body["object"] == "chat.completion"
    assert body["model"] == MODEL.id
    assert body["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello world"},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert body["usage"] == {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


async def test_a_whole_answer_tells_its_times() -> None:
    async with Api().client() as client:
        reply = await client.post(CHAT, json=HI)
    names = [part.split(";dur=")[0] for part in reply.headers["server-timing"].split(", ")]
    assert names == ["queue", "infer", "seal", "journal"]


async def test_every_answer_has_a_request_id() -> None:
    async with Api().client() as client:
        assert (await client.post(CHAT, json=HI)).headers["x-request-id"].startswith("req_")
        assert (await client.get("/healthz")).headers["x-request-id"].startswith("req_")
        assert (await client.get("/nowhere")).headers["x-request-id"].startswith("req_")


async def test_a_stated_request_id_is_kept_and_a_malformed_one_replaced() -> None:
    async with Api().client() as client:
        assert (await client.get("/healthz", headers={"x-request-id": "abc-1"})).headers["x-request-id"] == "abc-1"
        given = (await client.get("/healthz", headers={"x-request-id": "a b"})).headers["x-request-id"]
    assert given.startswith("req_")


async def test_a_stream_ends_with_its_proof_on_the_finishing_event() -> None:
    async with (api := Api()).client() as client:
        reply = await client.post(CHAT, json=HI | {"stream": True})
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = events_of(reply.text)
    assert events[-1] == "[DONE]"
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [event["choices"][0]["delta"].get("content") for event in events[1:-2]] == ["Hello", " world"]
    assert events[-2]["choices"][0]["finish_reason"] == "stop"
    assert events[-2]["tallystick"]["receipt"] == api.journal.entries[0].receipt.to_json()
    assert all("tallystick" not in event for event in events[:-2])
    assert all("usage" not in event for event in events[:-1])
    assert api.journal.only.http.streamed is True


async def test_a_stream_that_wants_usage_gets_it_last_with_the_proof() -> None:
    async with Api().client() as client:
        reply = await client.post(CHAT, json=HI | {"stream": True, "stream_options": {"include_usage": True}})
    events = events_of(reply.text)
    assert events[-2]["choices"] == []
    assert events[-2]["usage"] == {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    assert events[-2]["tallystick"]["state"] == "journaled"
    assert [event["usage"] for event in events[:-2]] == [None] * 4
    assert events[-3]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("last", [True, False])
async def test_a_stream_may_say_with_each_piece_what_was_counted_until_then(last: bool) -> None:
    options = {"include_usage": last, "continuous_usage_stats": True}
    async with Api().client() as client:
        reply = await client.post(CHAT, json=HI | {"stream": True, "stream_options": options})
    counts = [event["usage"] and event["usage"]["completion_tokens"] for event in events_of(reply.text)[:-1]]
    assert counts == [None, 1, 2, 2, *([2] if last else [])]


async def test_an_empty_stream_is_still_a_whole_one() -> None:
    async with Api(Script(texts=())).client() as client:
        events = events_of((await client.post(CHAT, json=HI | {"stream": True})).text)
    assert [event["choices"][0]["finish_reason"] for event in events[:-1]] == [None, "stop"]
    assert events[-1] == "[DONE]"


async def test_text_with_anything_in_it_survives_the_stream() -> None:
    texts = ('"\\', "\n\ndata: [DONE]\n\n", "é\u2028", "\x00", "🙂")
    async with Api(Script(texts=texts)).client() as client:
        events = events_of((await client.post(CHAT, json=HI | {"stream": True})).text)
    assert tuple(event["choices"][0]["delta"]["content"] for event in events[1:-2]) == texts


class Wire:
    """Drives the application by hand, so that a test sees what left at each moment."""

    def __init__(self, api: Api, body: dict, headers: dict[str, str] = AUTH) -> None:
        self.sent: list[dict] = []
        self._gone = asyncio.Event()
        raw = json.dumps(body).encode()
        self._messages = [{"type": "http.request", "body": raw, "more_body": False}]
        self._complete = asyncio.Event()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "path": CHAT,
            "raw_path": CHAT.encode(),
            "root_path": "",
            "scheme": "http",
            "query_string": b"",
            "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
            "client": ("test", 1),
            "server": ("test", 2),
        }
        self.task = asyncio.create_task(api.app(scope, self._receive, self._send))

    async def _receive(self) -> dict:
        if self._messages:
            return self._messages.pop(0)
        waits = [asyncio.create_task(event.wait()) for event in (self._gone, self._complete)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict) -> None:
        if self._gone.is_set():
            return
        self.sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self._complete.set()

    def leave(self) -> None:
        self._gone.set()

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_nothing_of_a_whole_answer_leaves_before_its_record_is_durable() -> None:
    api = Api()
    api.journal.hold_commit = asyncio.Event()
    wire = Wire(api, HI)
    await until(lambda: api.dispatcher.generations and api.dispatcher.generations[0].finish_reasons)
    for _ in range(20):
        await asyncio.sleep(0)
    assert wire.sent == []
    api.journal.hold_commit.set()
    await wire.task
    assert b"Hello world" in wire.body


async def test_nothing_of_a_stream_leaves_before_its_admission_is_durable() -> None:
    api = Api()
    api.journal.hold_admit = asyncio.Event()
    wire = Wire(api, HI | {"stream": True})
    await until(lambda: api.gate.inside)
    for _ in range(20):
        await asyncio.sleep(0)
    assert wire.sent == []
    api.journal.hold_admit.set()
    await wire.task


async def test_the_end_of_a_stream_leaves_only_after_its_record_is_durable() -> None:
    api = Api()
    api.journal.hold_commit = asyncio.Event()
    wire = Wire(api, HI | {"stream": True})
    await until(lambda: b"world" in wire.body)
    for _ in range(20):
        await asyncio.sleep(0)
    assert b'"finish_reason":"stop"' not in wire.body
    assert b"tallystick" not in wire.body
    assert b"[DONE]" not in wire.body
    api.journal.hold_commit.set()
    await wire.task
    assert wire.body.endswith(b"data: [DONE]\n\n")


async def test_a_stream_whose_record_cannot_be_stored_ends_in_an_error_without_receipt() -> None:
    api = Api()
    api.journal.commit_error = unavailable()
    async with api.client() as client:
        events = events_of((await client.post(CHAT, json=HI | {"stream": True})).text)
    assert events[-1]["error"]["code"] == "answer_withheld"
    assert "tallystick" not in events[-1]
    assert "[DONE]" not in events


async def test_a_whole_answer_whose_record_cannot_be_stored_is_not_released() -> None:
    api = Api()
    api.journal.commit_error = unavailable()
    async with api.client() as client:
        reply = await client.post(CHAT, json=HI)
    assert reply.status_code == 503
    assert reply.json()["error"]["code"] == "answer_withheld"
    assert "Hello" not in reply.text
    assert reply.headers["retry-after"] == "5"
    assert reply.headers["x-tallystick-record"] == format_record_id(api.journal.open[1].id)
    assert "x-tallystick-receipt" not in reply.headers


async def test_a_client_that_leaves_a_stream_frees_its_slot_and_is_recorded() -> None:
    api = Api()
    api.dispatcher.script.pauses[1] = asyncio.Event()
    wire = Wire(api, HI | {"stream": True})
    await until(lambda: b"Hello" in wire.body)
    wire.leave()
    await wire.task
    assert api.journal.only.state is State.CANCELLED
    assert text_of(api.journal.only) == "Hello"
    assert api.gate.inside == 0


async def test_a_client_that_leaves_a_whole_answer_frees_its_slot_and_is_recorded() -> None:
    api = Api()
    api.dispatcher.script.pauses[1] = asyncio.Event()
    wire = Wire(api, HI)
    await until(lambda: api.dispatcher.generations)
    wire.leave()
    await wire.task
    assert api.journal.only.state is State.CANCELLED
    assert wire.sent == []
    assert api.gate.inside == 0


async def test_a_server_that_gives_up_on_a_request_still_records_it() -> None:
    api = Api()
    api.dispatcher.script.pauses[1] = asyncio.Event()
    wire = Wire(api, HI | {"stream": True})
    await until(lambda: b"Hello" in wire.body)
    wire.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wire.task
    assert api.journal.only.error.code == "server_stopped"


async def test_a_defect_while_answering_does_not_leave_the_client_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api()

    def broken(self: object, signed: object) -> bytes:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("tallystick_platform.api.wire.answering.recorded_proof", broken)
    async with api.client() as client:
        reply = await asyncio.wait_for(client.post(CHAT, json=HI), 5)
    assert reply.status_code == 500
    assert reply.json()["error"]["code"] == "internal_error"
    assert "secret detail" not in reply.text


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (PromptTooLong(limit=10, found=20), 400, "context_length_exceeded"),
        (WorkerDied(worker="w", reason="killed"), 503, "worker_died"),
        (EngineFailed(reason="broken"), 500, "engine_failed"),
        (ValueError("secret detail"), 500, "internal_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_before_the_first_byte_has_its_status_and_the_proof_of_its_record(
    error: Exception, status: int, code: str, stream: bool
) -> None:
    async with (api := Api(Script(texts=(), error=error))).client() as client:
        reply = await client.post(CHAT, json=HI | {"stream": stream})
    assert reply.status_code == status
    assert reply.json()["error"]["code"] == code
    assert reply.json()["tallystick"]["record_id"] == format_record_id(api.journal.only.id)
    assert reply.headers["x-tallystick-record"] == format_record_id(api.journal.only.id)
    assert api.journal.only.state is State.FAILED
    assert "secret detail" not in reply.text


async def test_a_failure_in_the_middle_of_a_stream_is_its_last_event() -> None:
    async with (api := Api(Script(error=EngineFailed(reason="broken")))).client() as client:
        events = events_of((await client.post(CHAT, json=HI | {"stream": True})).text)
    assert events[-1]["error"]["code"] == "engine_failed"
    assert events[-1]["tallystick"]["record_id"] == format_record_id(api.journal.only.id)
    assert "[DONE]" not in events


@pytest.mark.parametrize("header", ["X-Request-Timeout", "OICM-Request-Timeout"])
async def test_a_request_may_ask_for_less_time(header: str) -> None:
    api = Api()
    api.dispatcher.script.pauses[0] = asyncio.Event()
    async with api.client() as client:
        reply = await client.post(CHAT, json=HI, headers={header: "0.01"})
    assert reply.status_code == 504
    assert reply.json()["error"]["code"] == "timed_out"
    assert api.journal.only.state is State.TIMED_OUT


async def test_a_request_gets_no_more_time_than_the_server_allows() -> None:
    api = Api(request_timeout_s=0.01)
    api.dispatcher.script.pauses[0] = asyncio.Event()
    async with api.client() as client:
        reply = await client.post(CHAT, json=HI, headers={"X-Request-Timeout": "1000"})
    assert reply.status_code == 504


@pytest.mark.parametrize("value", ["soon", "-1", "0", "nan", "1" * 40])
async def test_a_malformed_timeout_is_refused_by_name(value: str) -> None:
    async with Api().client() as client:
        reply = await client.post(CHAT, json=HI, headers={"X-Request-Timeout": value})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == "x-request-timeout"


async def test_a_stream_that_runs_out_of_time_ends_in_an_error_event() -> None:
    api = Api(request_timeout_s=0.05)
    api.dispatcher.script.pauses[1] = asyncio.Event()
    async with api.client() as client:
        events = events_of((await client.post(CHAT, json=HI | {"stream": True})).text)
    assert events[-1]["error"]["code"] == "timed_out"
    assert text_of(api.journal.only) == "Hello"


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after"),
    [
        (Overloaded(bound="requests at once", limit=10, retry_after_s=1), 429, "overloaded", "1"),
        (Backlogged(bound="records not yet on the chain", limit=10, retry_after_s=7), 503, "backlogged", "7"),
        (TokenBusy(bound="requests of this token", limit=1, retry_after_s=1), 429, "too_many_requests", "1"),
        (Draining(retry_after_s=9), 503, "draining", "9"),
    ],
)
async def test_a_closed_gate_says_when_to_come_back(error: Exception, status: int, code: str, retry_after: str) -> None:
    api = Api()
    api.gate.error = error
    async with api.client() as client:
        reply = await client.post(CHAT, json=HI)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert reply.headers["retry-after"] == retry_after
    assert api.journal.admitted == 0


async def test_a_full_worker_queue_is_429_and_recorded() -> None:
    api = Api()
    api.dispatcher.start_error = QueueFull(limit=1, retry_after_s=2)
    async with api.client() as client:
        reply = await client.post(CHAT, json=HI)
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "2")
    assert api.journal.only.error.code == "queue_full"


@pytest.mark.parametrize("error", [unavailable(), JournalClosed()])
async def test_a_journal_that_cannot_admit_is_503(error: Exception) -> None:
    api = Api()
    api.journal.admit_error = error
    async with api.client() as client:
        reply = await client.post(CHAT, json=HI)
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "journal_unavailable")
    assert "retry-after" in reply.headers
    assert api.dispatcher.calls == []


async def test_while_the_log_is_not_compared_nothing_is_admitted_and_clients_are_told_when_to_come_back() -> None:
    api = Api()
    api.journal.admit_error = AdmissionClosed(reason="the journal is not compared with its chain yet", retry_after_s=6)
    async with api.client() as client:
        reply = await client.post(CHAT, json=HI)
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "admission_closed")
    assert "not compared with its chain" in reply.json()["error"]["message"]
    assert reply.headers["retry-after"] == "6"
    assert not [name for name in reply.headers if name.startswith("x-tallystick")]


async def test_an_unknown_model_is_404() -> None:
    async with (api := Api()).client() as client:
        reply = await client.post(CHAT, json=HI | {"model": "nobody"})
    assert reply.status_code == 404
    assert reply.json()["error"] == {
        "message": "the model 'nobody' does not exist",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }
    assert api.journal.admitted == 0


async def test_a_body_that_says_that_it_is_too_large_is_refused_unread() -> None:
    read = []

    async def body():
        read.append(1)
        yield b"x"

    async with Api().client() as client:
        reply = await client.post(CHAT, content=body(), headers={"content-length": str(MAX_BODY_BYTES + 1)})
    assert reply.status_code == 413
    assert reply.json()["error"]["code"] == "body_too_large"
    assert len(read) <= 1


async def test_a_body_of_exactly_the_bound_is_read() -> None:
    padded = json.dumps(HI).encode()
    async with Api().client() as client:
        reply = await client.post(CHAT, content=padded + b" " * (MAX_BODY_BYTES - len(padded)))
        over = await client.post(CHAT, content=padded + b" " * (MAX_BODY_BYTES + 1 - len(padded)))
    assert (reply.status_code, over.status_code) == (200, 413)


async def test_a_body_of_unknown_length_is_cut_off_at_the_bound() -> None:
    async def endless():
        while True:
            yield b"x" * 4_096

    async with (api := Api()).serving() as url, httpx.AsyncClient(base_url=url, headers=AUTH) as client:
        try:
            reply = await asyncio.wait_for(client.post(CHAT, content=endless()), 10)
            assert reply.status_code == 413
        except httpx.TransportError:
            pass  # the connection was closed while the client still wrote
    assert api.journal.admitted == 0


async def test_ten_megabytes_are_answered_with_413_over_a_real_connection() -> None:
    async with Api().serving() as url, httpx.AsyncClient(base_url=url, headers=AUTH) as client:
        reply = await client.post(CHAT, content=b" " * 10_000_000)
    assert reply.status_code == 413


async def test_a_real_disconnect_is_noticed_within_a_second() -> None:
    api = Api()
    api.dispatcher.script.pauses[1] = asyncio.Event()
    async with api.serving() as url:
        async with (
            httpx.AsyncClient(base_url=url, headers=AUTH) as client,
            client.stream("POST", CHAT, json=HI | {"stream": True}) as reply,
        ):
            async for line in reply.aiter_lines():
                if "Hello" in line:
                    break
        async with asyncio.timeout(1):
            while not api.journal.records:
                await asyncio.sleep(0.005)
    assert api.journal.only.state is State.CANCELLED
    assert text_of(api.journal.only) == "Hello"
    assert api.gate.inside == 0


async def test_a_real_disconnect_before_a_whole_answer_is_noticed_within_a_second() -> None:
    api = Api()
    api.dispatcher.script.pauses[1] = asyncio.Event()
    async with api.serving() as url:
        async with httpx.AsyncClient(base_url=url, headers=AUTH) as client:
            asked = asyncio.create_task(client.post(CHAT, json=HI))
            await until_slow(lambda: api.dispatcher.generations)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
        async with asyncio.timeout(1):
            while not api.journal.records:
                await asyncio.sleep(0.005)
    assert api.journal.only.state is State.CANCELLED


async def until_slow(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


async def test_a_client_that_does_not_read_is_cut_off_when_its_time_is_up() -> None:
    texts = tuple("x" * 60_000 for _ in range(400))
    api = Api(Script(texts=texts), request_timeout_s=0.3)
    async with api.serving() as url:
        host, port = url.removeprefix("http://").split(":")
        raw = json.dumps(HI | {"stream": True}).encode()
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: {AUTH['authorization']}\r\ncontent-length: {len(raw)}\r\n\r\n"
        writer.write(head.encode() + raw)
        await until_slow(lambda: api.journal.records)
        writer.transport.abort()
        del reader
    record = api.journal.only
    assert record.state is State.TIMED_OUT
    assert 0 < len(text_of(record)) < 400 * 60_000


async def test_head_and_wrong_methods_are_answered_in_the_same_shape() -> None:
    async with Api().client() as client:
        wrong = await client.get(CHAT)
        nowhere = await client.get("/v1/nothing")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
    assert (nowhere.status_code, nowhere.json()["error"]["code"]) == (404, "not_found")
