"""`GET /v1/generation?id=`: one request looked up by its sender."""

from __future__ import annotations

import pytest

from tallystick_platform.errors import EngineFailed
from tests.support.api import CHAT, COMPLETIONS, HI, ONCE, OTHER_TOKEN, Api
from tests.support.exchange import Script

AT = "/v1/generation"


async def test_an_answer_is_looked_up_by_its_own_id_and_by_its_record_s() -> None:
    async with Api().client() as client:
        answer = (await client.post(CHAT, json=HI)).json()
        found = [
            (await client.get(AT, params={"id": one})).json()["data"]
            for one in (answer["id"], answer["tallystick"]["record_id"], answer["id"].removeprefix("chatcmpl-"))
        ]
    assert [one.pop("id") for one in found] == [
        answer["id"],
        answer["tallystick"]["record_id"],
        answer["id"].removeprefix("chatcmpl-"),
    ]
    assert found[0] == found[1] == found[2]
    one = found[0]
    assert one["receipt"] == answer["tallystick"]["receipt"]
    assert (one["tokens_prompt"], one["tokens_completion"]) == (
        answer["usage"]["prompt_tokens"],
        answer["usage"]["completion_tokens"],
    )
    assert (one["model"], one["finish_reason"], one["outcome"]) == (HI["model"], "stop", "completed")
    assert (one["streamed"], one["cancelled"]) == (False, False)


async def test_cost_and_times_are_those_of_the_record() -> None:
    async with (api := Api(Script(device_time_us=3_600_000))).client() as client:
        answer = (await client.post(COMPLETIONS, json=ONCE)).json()
        one = (await client.get(AT, params={"id": answer["id"]})).json()["data"]
    record = api.journal.only
    assert record.price is not None
    assert one["total_cost"] == record.price.charge_micros / 1e6 > 0
    assert one["price_per_hour"] == record.price.per_hour_micros / 1e6
    assert one["device_time"] == 3_600
    assert one["latency"] + one["generation_time"] == pytest.approx(
        (record.time.finished_at - record.time.admitted_at) / 1000
    )


async def test_a_request_that_failed_is_found_too() -> None:
    async with (api := Api(Script(error=EngineFailed(reason="no")))).client() as client:
        await client.post(CHAT, json=HI)
        one = (await client.get(AT, params={"id": api.journal.only.id.hex()})).json()["data"]
    assert (one["outcome"], one["finish_reason"]) == ("failed", None)


async def test_others_requests_do_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (api := Api()).client() as client:
        answer = (await client.post(CHAT, json=HI)).json()
    async with api.client(authorization=f"Bearer {OTHER_TOKEN}") as other:
        assert (await other.get(AT, params={"id": answer["id"]})).status_code == 404


@pytest.mark.parametrize("given", ["chatcmpl-1", "x" * 64, "0" * 32, "0199c82c-c000-7008-8000-0000000000ff"])
async def test_what_names_no_request_is_not_found(given: str) -> None:
    async with Api().client() as client:
        assert (await client.get(AT, params={"id": given})).status_code == 404


@pytest.mark.parametrize("query", ["", "?id=", f"?id={'x' * 65}", "?id=a&id=b"])
async def test_an_id_is_asked_for(query: str) -> None:
    async with Api().client() as client:
        reply = await client.get(AT + query)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "id")


async def test_a_record_whose_key_is_forgotten_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (api := Api()).client() as client:
        answer = (await client.post(CHAT, json=HI)).json()

        async def closed(_: object) -> None:
            return None

        monkeypatch.setattr(api.records, "opened", closed)
        reply = await client.get(AT, params={"id": answer["id"]})
    assert (reply.status_code, reply.json()["error"]["code"]) == (410, "record_closed")
    assert "tallystick show" in reply.json()["error"]["message"]
