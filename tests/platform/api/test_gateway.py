"""`/models/{model}/proxy/v1/...`: the requests that its users' guide shows, and the answers that it promises for them."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import msgspec
import pytest

from tallystick.binding import response_digest, response_hash
from tallystick.encoding import decode_record, encode_record
from tallystick.ids import parse_hex, to_hex
from tallystick.record import Instructions
from tallystick.sealing import response_salt
from tallystick.tasks import disagreements, gateway, holds_outcome, read, received_answer, received_stream
from tallystick_platform import tasks
from tallystick_platform.exchange.exchange import Exchange
from tallystick_platform.tasks.rerank import SCORE
from tallystick_platform.tasks.translation import Written
from tests.support.api import TOKEN, Api, events_of
from tests.support.exchange import MODEL, PLACEMENT, Script
from tests.support.sounds import tone, written

AT = f"/models/{MODEL.id}/proxy/v1"
WAV = written(tone(0.1), "wav", 44_100)
PNG = b"\x89PNG\r\n\x1a\n and so on"
LABELS = [
    ("joy", 0.04363647475838661), ("admiration", 0.7764764428138733), ("excitement", 0.11938948929309845),
    ("approval", 0.012329215183854103), ("gratitude", 0.010198703035712242),
]  # fmt: skip
LABELLED = Script(texts=(msgspec.msgpack.encode(LABELS),), finish_reason=None)
RANKED = {"query": "What is Deep Learning?", "texts": ["Deep Learning is not...", "Deep learning is..."]}
CHAT_BODY = {
    "messages": [
        {"role": "system", "content": "You are a helpful assisant"},
        {"role": "user", "content": "describe gravity to 6-year old child in 50 words"},
    ],
    "temperature": 0.9,
    "top_p": 0.7,
    "max_tokens": 1000,
    "stream": True,
}
INPUTS = {"inputs": "What is Deep Learning?", "max_new_tokens": 200, "do_sample": False, "stream": True}
TEMPLATE = """
        {% if messages[0]['role'] == 'system' %}
            {% set loop_messages = messages[1:] %}
            {% set system_message = messages[0]['content'] %}
        {% else %}
            {% set loop_messages = messages %}
            {% set system_message = '' %}
        {% endif %}

        {% for message in loop_messages %}
            {% if loop.index0 == 0 %}
                {{ system_message.strip() }}
            {% endif %}
            {{ '\n\n' + message['role'] + ': ' + message['content'].strip().replace('\r\n', '\n').replace('\n\n', '\n') }}

            {% if loop.last and message['role'] == 'user' %}
                {{ '\n\nAssistant: ' }}
            {% endif %}
        {% endfor %}
    """
TEMPLATED = {
    "messages": [
        {"role": "system", "content": "Be friendly"},
        {"role": "user", "content": "What's the capital of UAE?"},
        {"role": "assistant", "content": ""},
    ],
    "chat_template": TEMPLATE,
}
SPEC = {"tensor-spec": {"dtype": "float64", "shape": [-1, 10]}, "type": "tensor"}
PREDICTED = {"tensor-spec": {"dtype": "float64", "shape": [-1]}, "type": "tensor"}
SCHEMA = {"inputs": [{"type": "tensor", "shape": [-1, 10]}], "outputs": [{"type": "number"}]}
VOICE = {
    "inputs": [
        {"name": "input", "type": "string"},
        {"name": "voice", "type": "string", "enum": ["ann"]},
        {"name": "speed", "type": "number"},
    ],
    "outputs": [],
}
ANSWERS = {
    "classify": (
        LABELLED,
        {"json": {"inputs": "this is good!"}},
        {"classification": [{"label": a, "score": b} for a, b in sorted(LABELS, key=lambda one: -one[1])]},
    ),
    "transcript": (
        Script(texts=("Hi, can you help me with the driving license?",), finish_reason=None),
        {"files": {"file": ("file_name.mp3", b"any bytes", "audio/wav")}},
        {"text": "Hi, can you help me with the driving license?"},
    ),
    "generate-speech": (
        Script(texts=(WAV,), finish_reason=None),
        {"json": {"prompt": "Hi, can you help me?"}},
        {"audio": base64.b64encode(WAV).decode(), "sampling_rate": 44_100},
    ),
    "generate-image": (
        Script(texts=(PNG,), finish_reason=None),
        {"json": {"prompt": "A man walking on the moon", "num_inference_steps": 20, "high_noise_frac": 8}},
        {"image": base64.b64encode(PNG).decode()},
    ),
    "translate": (
        Script(texts=(msgspec.msgpack.encode(Written(" qué s'est votre nom?", "stop")),), finish_reason=None),
        {"json": {"text": "A man walking on the moon"}},
        {"translation": " qué s'est votre nom?", "finish_reason": "stop"},
    ),
    "rerank": (
        Script(texts=(SCORE.pack(0.25), SCORE.pack(0.5)), finish_reason=None),
        {"json": RANKED},
        {
            "object": "rerank",
            "model": MODEL.id,
            "results": [{"index": 1, "relevance_score": 0.5}, {"index": 0, "relevance_score": 0.25}],
            "usage": {"prompt_tokens": 7, "total_tokens": 9},
        },
    ),
    "embed": (
        Script(texts=(bytes(16),), finish_reason=None),
        {"json": {"inputs": "What is Deep Learning?"}},
        {
            "object": "list",
            "model": MODEL.id,
            "data": [{"object": "embedding", "index": 0, "embedding": [0.0] * 4}],
            "usage": {"prompt_tokens": 7, "total_tokens": 7},
        },
    ),
    "predict": (
        Script(
            texts=(msgspec.msgpack.encode({"predictions": [83.4155584413916, 209.9168121704531]}),), finish_reason=None
        ),
        {"json": [1, 2, 3]},
        {
            "data": [83.4155584413916, 209.9168121704531],
            "meta": {"input_schema": [SPEC], "output_schema": [PREDICTED]},
        },
    ),
}
every_way = pytest.mark.parametrize("way", list(ANSWERS))


def asking(way: str, script: Script | None = None) -> Api:
    """The service, with a model that says what it takes."""
    api = Api(script or ANSWERS[way][0])
    schema = VOICE if way == "generate-speech" else SCHEMA
    model = msgspec.structs.replace(MODEL, schema=schema)
    api.dispatcher.placement = replace(PLACEMENT, model=model)
    return api


def hash_of(received: object, proof: dict) -> str:
    salt = response_salt(parse_hex(proof["record_secret"]))
    return to_hex(response_hash(salt, response_digest(received.error, received.outputs)))


def check_record(api: Api, target: str) -> None:
    """What the record says is what its reader finds, and a replay is told the same as the engine was."""
    record = decode_record(encode_record(api.journal.only))
    request = record.request
    reading = read(request.reader, "POST", target, request.content_type, request.body)
    assert disagreements(record, reading) == []
    assert request.reader == f"{record.task}/gateway/1"
    task = tasks.TASKS[record.task]
    assert task.call(*task.again(reading.whole, record.parameters)) == api.dispatcher.calls[0].body


@every_way
@pytest.mark.parametrize("version", ["/v1", ""])
async def test_the_documented_request_gets_the_documented_answer_and_its_record(way: str, version: str) -> None:
    _, request, expected = ANSWERS[way]
    path = f"/models/{MODEL.id}/proxy{version}/{way}"
    async with (api := asking(way)).client() as client:
        reply = await client.post(path, **request)
    assert reply.status_code == 200, reply.text
    body = reply.json()
    proof = body["tallystick"]
    assert {name: value for name, value in body.items() if name not in ("tallystick", "id")} == expected
    check_record(api, path)
    assert holds_outcome(body)
    assert received_answer(body).outputs == api.journal.only.response.outputs
    assert hash_of(received_answer(body), proof) == proof["receipt"]["receipt"]["response_hash"]


@pytest.mark.parametrize("body", [INPUTS, {"model": MODEL.id, **CHAT_BODY}, TEMPLATED | {"stream": True}])
async def test_the_documented_chats_are_streamed_as_the_documents_read_them(body: dict) -> None:
    async with (api := Api()).client() as client:
        reply = await client.post(f"{AT}/chat/completions", json=body)
    said = ""
    for token in reply.text.encode().split(b"\n"):
        try:
            said += json.loads(token.decode("utf-8")[6:])["choices"][0]["delta"]["content"]
        except (ValueError, KeyError):
            continue
    assert said == "Hello world"
    check_record(api, f"{AT}/chat/completions")
    events = [event for event in events_of(reply.text) if event != "[DONE]"]
    proof = events[-1]["tallystick"]
    assert hash_of(received_stream(events), proof) == proof["receipt"]["receipt"]["response_hash"]


async def test_one_message_is_drawn_greedily_without_do_sample() -> None:
    async with (api := Api()).client() as client:
        await client.post(f"{AT}/chat/completions", json=INPUTS)
    record = api.journal.only
    assert record.prompt == {"messages": [{"role": "user", "content": "What is Deep Learning?"}]}
    assert (record.parameters["temperature"], record.parameters["top_p"], record.parameters["max_tokens"]) == (
        0,
        0.9,
        200,
    )


async def test_what_a_chat_leaves_open_is_the_guide_s_default() -> None:
    async with (api := Api()).client() as client:
        reply = await client.post(f"{AT}/chat/completions", json={"inputs": "Hi", "temperature": None})
    assert received_answer(reply.json()).outputs == api.journal.only.response.outputs
    draw = api.dispatcher.texts[0].draw
    assert (draw.temperature, draw.top_p) == (0.7, 0.9)


async def test_a_template_of_its_own_stands_in_the_record_and_reaches_the_engine() -> None:
    async with (api := Api()).client() as client:
        reply = await client.post(f"{AT}/chat/completions", json=TEMPLATED)
    assert reply.status_code == 200, reply.text
    instructions = api.journal.only.instructions
    assert isinstance(instructions, Instructions)
    assert (instructions.system, instructions.chat_template) == ("Be friendly", TEMPLATE)
    assert instructions.chat_template_digest != MODEL.chat_template_digest
    assert api.dispatcher.texts[0].template == TEMPLATE
    forged = replace(api.journal.only, instructions=replace(instructions, chat_template="{{ messages }}"))
    request = forged.request
    found = disagreements(forged, read(request.reader, "POST", request.target, None, request.body))
    assert [one.what for one in found] == ["instructions.chat_template"]


async def test_texts_of_a_list_are_classified_and_translated_each() -> None:
    label = [("good", 1.0)]
    several = Script(texts=(msgspec.msgpack.encode(label),) * 2, finish_reason=None)
    async with (api := Api(several)).client() as client:
        body = (await client.post(f"{AT}/predict", json={"inputs": ["a", "b"]})).json()
    assert body["classification"] == [[{"label": "good", "score": 1.0}]] * 2
    assert received_answer(body).outputs == api.journal.only.response.outputs
    several = Script(texts=tuple(msgspec.msgpack.encode(Written(text, "stop")) for text in "ab"), finish_reason=None)
    async with (api := Api(several)).client() as client:
        body = (await client.post(f"{AT}/translate", json={"text": ["a", "b"]})).json()
    assert (body["translation"], body["finish_reason"]) == (["a", "b"], ["stop", "stop"])
    assert received_answer(body).outputs == api.journal.only.response.outputs


@pytest.mark.parametrize(
    ("way", "body", "param"),
    [
        ("chat/completions", {}, "messages"),
        ("chat/completions", {"inputs": "a", "messages": []}, "inputs"),
        ("chat/completions", {"inputs": ["a"]}, "inputs"),
        ("chat/completions", {"inputs": "a", "max_new_tokens": 1, "max_tokens": 1}, "max_new_tokens"),
        ("chat/completions", {"inputs": "a", "max_new_tokens": 0}, "max_new_tokens"),
        ("chat/completions", {"inputs": "a", "do_sample": "no"}, "do_sample"),
        ("chat/completions", {"inputs": "a", "do_sample": False, "temperature": 1}, "do_sample"),
        ("chat/completions", {"inputs": "a", "chat_template": 1}, "chat_template"),
        ("chat/completions", {"inputs": "a", "chat_template": "{% for i in range(9) %}{% endfor %}"}, "chat_template"),
        ("chat/completions", {"inputs": "a", "chat_template": "{{ messages.__class__ }}"}, "chat_template"),
        ("chat/completions", {"inputs": "a", "chat_template": "a" * 16_385}, "chat_template"),
        ("chat/completions", {"inputs": "a", "model": "another"}, "model"),
        ("chat/completions", {"inputs": "a", "later": 1}, "later"),
        ("generate-speech", {"prompt": "a", "description": "A man with clear voice"}, "description"),
        ("generate-speech", {"prompt": "a", "input": "a"}, "prompt"),
        ("generate-speech", {"prompt": ""}, "prompt"),
        ("generate-image", {"prompt": "a", "n": 2}, "n"),
        ("generate-image", {"prompt": "a", "num_inference_steps": 0}, "num_inference_steps"),
        ("classify", {"inputs": 1}, "inputs"),
        ("embed", {"inputs": [1.5]}, "inputs"),
        ("rerank", {"query": "a"}, "documents"),
        ("translate", {"inputs": "a"}, "inputs"),
        ("translate", {"text": ["a", ""]}, "text[1]"),
        ("predict", [], "instances"),
        ("predict", [[1], [1, 2]], "instances"),
    ],
)
async def test_what_cannot_be_asked_is_refused_by_the_name_that_it_was_sent_under(
    way: str, body: object, param: str
) -> None:
    async with (api := Api()).client() as client:
        reply = await client.post(f"{AT}/{way}", json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param), reply.text
    assert not api.journal.records


async def test_a_transcript_is_a_text_alone() -> None:
    async with Api().client() as client:
        reply = await client.post(
            f"{AT}/transcript", data={"response_format": "srt"}, files={"file": ("a.wav", b"a", "audio/wav")}
        )
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "response_format")


@pytest.mark.parametrize("model", [MODEL.id, f"{MODEL.id}@{MODEL.weights_digest.hex()[:12]}"])
async def test_the_address_names_a_model_or_its_version(model: str) -> None:
    async with (api := Api()).client() as client:
        reply = await client.post(f"/models/{model}/proxy/chat/completions", json={"inputs": "a", "model": MODEL.id})
    assert reply.status_code == 200, reply.text
    assert gateway.CHAT.read("POST", api.journal.only.request.target, None, b'{"inputs":"a"}').model == model


async def test_an_unknown_model_is_not_found() -> None:
    async with Api().client() as client:
        assert (await client.post("/models/none/proxy/v1/classify", json={"inputs": "a"})).status_code == 404
        assert (await client.get("/models/none/proxy/v1/models")).status_code == 404
        assert (await client.get("/models/none/proxy/v1/generate-speech/schema")).status_code == 404


async def test_the_model_of_the_address_is_listed() -> None:
    async with Api().client() as client:
        listed = (await client.get(f"{AT}/models")).json()
    assert [one["id"] for one in listed["data"]] == [MODEL.id]


async def test_the_schema_of_a_voice_names_what_it_takes() -> None:
    async with asking("generate-speech").client() as client:
        schema = (await client.get(f"{AT}/generate-speech/schema")).json()
    assert [(one["name"], one["required"], one["type"]) for one in schema] == [
        ("prompt", True, "string"),
        ("voice", False, "string"),
        ("speed", False, "number"),
    ]
    assert {tuple(one) for one in schema} == {("desc", "label", "name", "required", "type")}


async def test_a_request_may_take_as_long_as_it_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, infer = [], Exchange.infer
    monkeypatch.setattr(Exchange, "infer", lambda self, **told: seen.append(told["timeout_s"]) or infer(self, **told))
    async with Api(request_timeout_s=120).client() as client:
        for asked in ({}, {"OICM-Request-Timeout": "300"}, {"OICM-Request-Timeout": "99999"}):
            await client.post(f"{AT}/chat/completions", json={"inputs": "Hi"}, headers=asked)
    assert seen == [120, 300, 1_800]


async def test_a_header_called_bearer_is_told_apart() -> None:
    async with Api().client(Bearer=TOKEN) as client:
        reply = await client.post(f"{AT}/chat/completions", json={"inputs": "Hi"})
    assert reply.status_code == 401
    assert "Authorization: Bearer" in reply.json()["error"]["message"]
