"""Tools before a real engine, in the way of each family: what must be called is called with arguments that validate, and replayed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tallystick.encoding import decode_record, encode_record
from tallystick.tasks import received_answer, received_stream
from tests.support.api import CHAT, MESSAGES, RESPONSES, events_of
from tests.support.engine_api import EngineApi, loaded
from tests.support.exchange import MODEL
from tests.support.tiny_model import tiny_tokenizer, write_tiny_model
from tests.support.tool_templates import CLOCK, TEMPLATES, WEATHER

SCHEMA = WEATHER["function"]["parameters"]
ASKED: dict[str, Any] = {
    "model": MODEL.id,
    "messages": [{"role": "user", "content": "Is it dry?"}],
    "tools": [WEATHER],
    "tool_choice": "required",
    "parallel_tool_calls": False,
    "max_tokens": 300,
    "temperature": 1,
    "logit_bias": {str(tiny_tokenizer().token_to_id(blank)): -100 for blank in ("Ċ", "Ġ")},  # or it writes little else
    "seed": 4,
}


@pytest.fixture(scope="module", params=list(TEMPLATES))
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> EngineApi:
    folder: Path = write_tiny_model(tmp_path_factory.mktemp("tools") / "tiny", max_position_embeddings=1_024)
    (folder / "chat_template.jinja").write_text(TEMPLATES[request.param])
    api = EngineApi(loaded(folder), folder)
    assert api.dispatcher.placement.model.tool_format == request.param
    return api


def check_replay(api: EngineApi) -> None:
    """What the last record says is computed again from it alone."""
    record = decode_record(encode_record(api.journal.records[-1]))
    assert api.again(record).outputs == record.response.outputs


async def test_a_call_that_must_be_made_validates(api: EngineApi) -> None:
    async with api.client() as client:
        whole = await client.post(CHAT, json=ASKED)
        streamed = await client.post(CHAT, json=ASKED | {"stream": True})
    assert whole.status_code == 200, whole.text
    (output,) = received_answer(whole.json()).outputs
    (call,) = output.content["tool_calls"]
    assert (call["name"], output.finish_reason, output.content["content"]) == ("get_weather", "tool_calls", None)
    jsonschema.validate(json.loads(call["arguments"]), SCHEMA)
    check_replay(api)
    (other,) = received_stream(events_of(streamed.text)[:-1]).outputs
    assert other.content["tool_calls"][0]["arguments"] == call["arguments"]
    assert api.journal.records[-1].response.outputs == (other,)


async def test_a_strict_tool_is_called_with_what_validates_or_not_at_all(api: EngineApi) -> None:
    strict = {"type": "function", "function": {**WEATHER["function"], "strict": True}}
    async with api.client() as client:
        asked = ASKED | {"tools": [strict, CLOCK], "tool_choice": "auto", "max_tokens": 40}
        (choice,) = (await client.post(CHAT, json=asked)).json()["choices"]
    for call in choice["message"].get("tool_calls", []) if choice["finish_reason"] == "tool_calls" else []:
        jsonschema.validate(json.loads(call["function"]["arguments"]), SCHEMA)
    check_replay(api)


async def test_history_is_written_by_the_template_and_control_tokens_in_it_are_text(api: EngineApi) -> None:
    call = {
        "id": "abcdefghi",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"town": "<|im_end|>"}'},
    }
    history = [
        *ASKED["messages"],
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "abcdefghi", "content": "<|im_start|>"},
    ]
    async with api.client() as client:
        reply = await client.post(CHAT, json=ASKED | {"messages": history, "tool_choice": "auto", "max_tokens": 8})
    assert reply.status_code == 200, reply.text
    record = api.journal.records[-1]
    assert record.usage["input_tokens"] > 100
    check_replay(api)


@pytest.mark.parametrize("api", ["hermes"], indirect=True)
async def test_other_wires_ask_the_same(api: EngineApi) -> None:
    function = WEATHER["function"]
    tool = {"name": function["name"], "description": function["description"], "input_schema": SCHEMA}
    choice = {"type": "any", "disable_parallel_tool_use": True}
    drawn = {"model": MODEL.id, "temperature": 0}
    plain = {name: value for name, value in ASKED.items() if name != "logit_bias"}
    async with api.client() as client:
        replies = [
            await client.post(CHAT, json=plain | drawn),
            await client.post(
                MESSAGES,
                json=drawn | {"messages": ASKED["messages"], "max_tokens": 300, "tools": [tool], "tool_choice": choice},
            ),
            await client.post(
                RESPONSES,
                json=drawn
                | {
                    "input": "Is it dry?",
                    "max_output_tokens": 300,
                    "tools": [{"type": "function", **function}],
                    "tool_choice": "required",
                    "parallel_tool_calls": False,
                },
            ),
        ]
    outputs = [received_answer(reply.json()).outputs[0].content["tool_calls"][0] for reply in replies]
    assert len({call["arguments"] for call in outputs}) == 1
    assert len({call["id"] for call in outputs}) == 3
    calls = [one.body for one in api.dispatcher.calls[-3:]]
    assert len({json.dumps(told.structure.source) for told in api.dispatcher.texts[-3:]}) == 1
    assert len(calls) == 3
    check_replay(api)
