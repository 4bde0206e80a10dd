"""A chat template that comes with a request, before a real engine: what the model was given, what the record holds, and the replay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tallystick.encoding import decode_record, encode_record
from tallystick.tasks import received_answer
from tests.platform.api.test_gateway import AT, TEMPLATED
from tests.support.engine_api import EngineApi, loaded
from tests.support.tiny_model import write_tiny_model

ENDLESS = "{% for a in messages %}" * 9 + "{{ a.content }}" + "{% endfor %}" * 9
BODY = {**TEMPLATED, "max_tokens": 8, "seed": 7}


async def test_an_answer_follows_from_its_template_and_a_replay_uses_it_again(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "tiny")
    api = EngineApi(loaded(folder), folder)
    plain = {name: value for name, value in BODY.items() if name != "chat_template"}
    async with api.client() as client:
        given = (await client.post(f"{AT}/chat/completions", json=BODY)).json()
        own = (await client.post(f"{AT}/chat/completions", json=plain)).json()
        many = [{"role": "user", "content": "a"}] * 200
        endless = await client.post(f"{AT}/chat/completions", json={"messages": many, "chat_template": ENDLESS})
    assert given["usage"]["prompt_tokens"] != own["usage"]["prompt_tokens"]
    record = decode_record(encode_record(api.journal.records[0]))
    again = api.again(record)
    assert again.outputs == record.response.outputs == received_answer(given).outputs
    assert again.usage == record.usage
    assert api.again(replace(record, request=None)).outputs == again.outputs, "without the request the record has it"
    assert (endless.status_code, endless.json()["error"]["code"]) == (400, "prompt_rejected"), endless.text
    assert endless.json()["tallystick"]["record_id"]
