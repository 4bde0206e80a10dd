"""What a request for a text may ask of how it is drawn and shown: OpenAI's own package before a real engine, and the record opened."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest

from tallystick.binding import response_digest, response_hash
from tallystick.encoding import decode_record, encode_record
from tallystick.ids import parse_hex, to_hex
from tallystick.record import Output, Record
from tallystick.sealing import response_salt
from tallystick.tasks import Received, disagreements, read, received_answer, received_stream
from tests.support.api import CHAT, COMPLETIONS, TOKEN, events_of
from tests.support.engine_api import EngineApi, loaded
from tests.support.exchange import MODEL
from tests.support.schemas import fault_of
from tests.support.tiny_model import write_tiny_model

SCHEMA = {
    "type": "object",
    "properties": {"verdict": {"enum": ["yes", "no"]}, "count": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["verdict", "count"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "it", "strict": True, "schema": SCHEMA}}
ASKED: dict[str, dict[str, Any]] = {
    "penalties": {
        "presence_penalty": 0.5,
        "frequency_penalty": 1,
        "extra_body": {"repetition_penalty": 1.2, "min_p": 0.05},
    },
    "biases": {"logit_bias": {"40": 12, "41": -100}},
    "ends": {"extra_body": {"min_tokens": 3, "ignore_eos": True, "stop_token_ids": [7]}},
    "choices": {"n": 3, "best_of": 3},
    "tokens": {"logprobs": 2},
    "tokens without others": {"logprobs": 0},
    "echo": {"echo": True},
    "echo of tokens": {"echo": True, "logprobs": 1, "n": 2, "max_tokens": 0},
    "schema": {"extra_body": {"response_format": FORMAT}, "max_tokens": 60},
    "json": {"extra_body": {"guided_json": SCHEMA}, "n": 2, "logprobs": 1, "max_tokens": 60},
    "expression": {"extra_body": {"guided_regex": "[a-z]{4}"}},
    "choice": {"extra_body": {"structured_outputs": {"choice": ["up", "down"]}}},
    "grammar": {"extra_body": {"guided_grammar": 'start: "a" "b"'}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("drawing") / "tiny")


@pytest.fixture(scope="module")
def api(folder: Path) -> EngineApi:
    """For all tests here: its records are those of all of them."""
    return EngineApi(loaded(folder), folder)


@asynccontextmanager
async def client_of(api: EngineApi) -> AsyncIterator[openai.AsyncOpenAI]:
    async with (
        api.serving() as url,
        openai.AsyncOpenAI(base_url=url + "/v1", api_key=TOKEN, max_retries=0) as client,
    ):
        yield client


def opened(record: Record) -> Record:
    """The record as an auditor reads it, held to the request in it."""
    found = decode_record(encode_record(record))
    request = found.request
    assert disagreements(found, read(request.reader, found.http.method, request.target, None, request.body)) == []
    return found


def hashed(received: Received, proof: dict[str, Any]) -> bool:
    """Whether a client finds the response hash of its receipt in what it received."""
    salt = response_salt(parse_hex(proof["record_secret"]))
    found = response_hash(salt, response_digest(received.error, received.outputs))
    return proof["receipt"]["receipt"]["response_hash"] == to_hex(found)


def bare(outputs: tuple[Output, ...]) -> list[Output]:
    """Without probabilities, whose last bits are the machine's."""
    return [replace(output, logprobs=None) for output in outputs]


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
async def test_a_completion_and_its_stream_are_what_the_record_says_and_what_a_replay_gives(
    api: EngineApi, asked: dict[str, Any]
) -> None:
    given = {"model": MODEL.id, "prompt": "the sun and", "max_tokens": 10, "temperature": 0.9, "seed": 5} | asked
    async with client_of(api) as client:
        whole = await client.completions.with_raw_response.create(**given)
        stream = await client.completions.create(**given, stream=True, stream_options={"include_usage": True})
        chunks = [chunk async for chunk in stream]
    records = [opened(record) for record in api.journal.records[-2:]]
    received = received_answer(json.loads(whole.content))
    joined = received_stream([chunk.model_dump(exclude_unset=True) for chunk in chunks])
    assert hashed(received, json.loads(whole.content)["tallystick"])
    assert hashed(joined, chunks[-1].model_extra["tallystick"])
    assert received.outputs == records[0].response.outputs
    assert joined.outputs == records[1].response.outputs
    assert received.outputs == joined.outputs
    assert len(received.outputs) == given.get("n", 1)
    again = api.again(records[0])
    assert (bare(again.outputs), again.usage) == (bare(records[0].response.outputs), records[0].usage)
    assert (
        chunks[-1].usage.completion_tokens == whole.parse().usage.completion_tokens == records[0].usage["output_tokens"]
    )


async def test_shown_tokens_stand_under_the_text_that_they_made(api: EngineApi) -> None:
    async with client_of(api) as client:
        answer = await client.completions.create(
            model=MODEL.id,
            prompt="the sun",
            max_tokens=8,
            temperature=0,
            logprobs=2,
            echo=True,
            extra_body={"min_tokens": 8},
        )
    (choice,) = answer.choices
    shown = choice.logprobs
    assert choice.text.startswith("the sun")
    assert len({len(shown.tokens), len(shown.token_logprobs), len(shown.top_logprobs), len(shown.text_offset)}) == 1
    assert (shown.token_logprobs[0], shown.top_logprobs[0], shown.text_offset[0]) == (None, None, 0)
    assert all(value <= 0 for value in shown.token_logprobs[1:])
    assert all(token in top for token, top in zip(shown.tokens[1:], shown.top_logprobs[1:], strict=True))
    assert shown.text_offset == [sum(map(len, shown.tokens[:at])) for at in range(len(shown.tokens))]
    assert len(shown.tokens) == answer.usage.total_tokens


async def test_structured_answers_are_of_their_schema_whole_and_streamed(api: EngineApi) -> None:
    given = {
        "model": MODEL.id,
        "messages": [{"role": "user", "content": "Is it?"}],
        "response_format": FORMAT,
        "max_tokens": 80,
    }
    async with client_of(api) as client:
        whole = await client.chat.completions.create(**given, seed=1, n=2)
        stream = await client.chat.completions.create(**given, seed=1, stream=True)
        chunks = [chunk async for chunk in stream]
    texts = [choice.message.content for choice in whole.choices]
    texts.append("".join(chunk.choices[0].delta.content or "" for chunk in chunks))
    assert [fault_of(text, SCHEMA) for text in texts] == [None] * 3
    assert texts[2] == texts[0]
    assert [choice.finish_reason for choice in whole.choices] == ["stop", "stop"]
    record = opened(api.journal.records[-2])
    assert api.again(record).outputs == record.response.outputs


async def test_shown_tokens_of_a_chat(api: EngineApi) -> None:
    given = {"model": MODEL.id, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 6, "seed": 1}
    async with client_of(api) as client:
        answer = await client.chat.completions.create(**given, logprobs=True, top_logprobs=3)
        stream = await client.chat.completions.create(**given, logprobs=True, top_logprobs=3, stream=True)
        chunks = [chunk async for chunk in stream]
    shown = answer.choices[0].logprobs.content
    streamed = [entry for chunk in chunks if chunk.choices[0].logprobs for entry in chunk.choices[0].logprobs.content]
    assert streamed == shown
    assert [len(entry.top_logprobs) for entry in shown] == [3] * len(shown)
    text = answer.choices[0].message.content
    assert b"".join(bytes(entry.bytes) for entry in shown).decode(errors="replace") == text


PAGE = (
    (Path(__file__).parents[3] / "docs" / "api.md")
    .read_text()
    .partition("\n## Completions")[2]
    .partition("\n## Embeddings")[0]
)
DOCUMENTED = re.findall(r"curl http://127\.0\.0\.1:8000(/v1/\S+) [^\n]*\n +-d '(.*?)'\n", PAGE, re.DOTALL)


def test_both_addresses_have_their_line_in_the_documentation() -> None:
    assert [path for path, _ in DOCUMENTED] == [COMPLETIONS, CHAT]


@pytest.mark.parametrize(("path", "body"), DOCUMENTED)
async def test_the_documented_lines_are_answered(api: EngineApi, path: str, body: str) -> None:
    asked = json.loads(body) | {"model": MODEL.id}
    async with api.client() as client:
        reply = await client.post(path, json=asked)
    assert reply.status_code == 200, reply.text
    assert len(reply.json()["choices"]) == asked.get("n", 1)


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"logit_bias": {"99999": 1}}, "logit_bias"),
        ({"stop_token_ids": [99_999]}, "stop_token_ids"),
        ({"best_of": 3, "n": 2}, "best_of"),
        ({"best_of": 2}, "best_of"),
        ({"min_tokens": 11}, "min_tokens"),
        ({"logprobs": True}, "logprobs"),
        ({"guided_json": {"$ref": "http://example.com/"}}, "guided_json"),
        ({"guided_regex": "("}, "guided_regex"),
        ({"suffix": "end"}, "suffix"),
    ],
)
async def test_what_this_model_or_release_does_not_do_is_refused_by_name(
    api: EngineApi, given: dict[str, Any], param: str
) -> None:
    async with api.client() as client:
        reply = await client.post(COMPLETIONS, json={"model": MODEL.id, "prompt": "x", "max_tokens": 10} | given)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert param in reply.json()["error"]["message"]


async def test_a_value_that_changes_nothing_is_taken(api: EngineApi) -> None:
    idle = {
        "n": 1, "best_of": 1, "echo": False, "logprobs": False, "suffix": "", "presence_penalty": 0, "frequency_penalty": 0.0,
        "repetition_penalty": 1, "min_p": 0, "min_tokens": 0, "ignore_eos": False, "stop_token_ids": [], "logit_bias": {},
        "response_format": {"type": "text"}, "structured_outputs": {}, "guided_regex": None,
    }  # fmt: skip
    async with api.client() as client:
        plain = await client.post(COMPLETIONS, json={"model": MODEL.id, "prompt": "x", "max_tokens": 9, "seed": 1})
        same = await client.post(
            COMPLETIONS, json={"model": MODEL.id, "prompt": "x", "max_tokens": 9, "seed": 1} | idle
        )
    assert (plain.status_code, same.status_code) == (200, 200), same.text
    assert plain.json()["choices"] == same.json()["choices"]
    first, second = map(opened, api.journal.records[-2:])
    assert not set(idle) & set(first.parameters)
    assert api.again(second).outputs == first.response.outputs


async def test_several_answers_of_a_stream_are_opened_at_once(api: EngineApi) -> None:
    """So that whatever has arrived of a stream that breaks off counts its answers from 0."""
    body = {"model": MODEL.id, "prompt": "x", "max_tokens": 4, "n": 3, "stream": True}
    async with api.client() as client:
        events = events_of((await client.post(COMPLETIONS, json=body)).text)
    assert [event["choices"][0]["index"] for event in events[:3]] == [0, 1, 2]
    assert [event["choices"][0]["text"] for event in events[:3]] == ["", "", ""]
    ends = [
        choice["index"]
        for event in events
        if event != "[DONE]"
        for choice in event["choices"]
        if choice["finish_reason"]
    ]
    assert ends == [0, 1, 2]
