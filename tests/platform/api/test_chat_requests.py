"""Requests as real clients send them, one a line in `chat_requests.jsonl`: which are answered, and what their records say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tallystick.encoding import decode_record, encode_record
from tallystick.tasks import disagreements, read
from tallystick_platform import tasks
from tests.support.api import CHAT, Api, events_of
from tests.support.exchange import MODEL

CASES = [json.loads(line) for line in Path(__file__).with_name("chat_requests.jsonl").read_text().splitlines()]
ANSWERED = [case for case in CASES if case["expect"]["status"] == 200]
REFUSED = [case for case in CASES if case["expect"]["status"] != 200]


def body_of(case: dict) -> bytes:
    return json.dumps(case["body"] | {"model": MODEL.id}).encode()


def named(case: dict) -> str:
    return case["name"]


def test_there_are_cases_of_both_kinds() -> None:
    assert len(ANSWERED) > 20
    assert len(REFUSED) >= 3


@pytest.mark.parametrize("case", ANSWERED, ids=named)
async def test_what_changes_nothing_is_answered_and_recorded_as_it_was_asked(case: dict) -> None:
    body = body_of(case)
    async with (api := Api()).client() as client:
        reply = await client.post(CHAT, content=body)
    assert reply.status_code == 200, reply.text
    record = decode_record(encode_record(api.journal.only))
    reading = read(record.request.reader, record.http.method, record.request.target, None, record.request.body)
    assert record.request.body == body
    assert disagreements(record, reading) == []
    for name, value in case["body"].items():
        if value is not None and name not in {"model", "messages", "stream", "stream_options"}:
            assert name in record.parameters or name in record.prompt
    (given,) = api.dispatcher.calls
    again = tasks.CHAT.again(record.prompt, record.parameters)
    assert tasks.CHAT.call(*again) == given.body  # what a replay gives the engine is what it had
    if case["body"].get("stream"):
        assert events_of(reply.text)[-2]["usage"]["total_tokens"] > 0


@pytest.mark.parametrize("case", REFUSED, ids=named)
async def test_what_would_change_the_answer_is_refused_by_name(case: dict) -> None:
    async with (api := Api()).client() as client:
        reply = await client.post(CHAT, content=body_of(case))
    assert reply.status_code == case["expect"]["status"]
    error = reply.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", case["expect"]["param"])
    assert error["code"] in {"unsupported_value", "unsupported_parameter", "unknown_parameter", "invalid_value"}
    assert case["expect"]["param"] in error["message"]
    assert api.journal.admitted == 0
