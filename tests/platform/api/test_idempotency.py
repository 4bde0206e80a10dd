"""`Idempotency-Key` on every POST: the same answer and the same receipt, and one record."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tallystick_platform.api import idempotency
from tallystick_platform.errors import EngineFailed, QueueFull
from tallystick_platform.store.answers import KeptAnswers
from tallystick_platform.store.database import Database
from tests.support.api import AUTH, CHAT, DOCUMENT, HI, OTHER_TOKEN, TEXT_SCRIPTS, TEXTS, Api, from_header
from tests.support.clocks import FixedClock
from tests.support.exchange import Script, unavailable
from tests.support.journals import Bytes, Setting

KEY = {"idempotency-key": "order-41"}


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[KeptAnswers]:
    database: Database = Setting(tmp_path).database()
    yield KeptAnswers(database, Setting(tmp_path).macs, FixedClock(), Bytes("answers"))
    database.close()


async def ask(client: httpx.AsyncClient, body: object = HI, **headers: str) -> httpx.Response:
    return await client.post(CHAT, json=body, headers={**KEY, **headers})


async def test_a_repeated_request_gets_the_same_answer_and_one_record(kept: KeptAnswers) -> None:
    async with (api := Api(answers=kept)).client() as client:
        first, second = await ask(client), await ask(client)
    assert first.status_code == second.status_code == 200
    assert second.content == first.content
    assert second.headers["x-tallystick-receipt"] == first.headers["x-tallystick-receipt"]
    assert (first.headers.get("idempotent-replayed"), second.headers["idempotent-replayed"]) == (None, "true")
    assert len(api.journal.records) == 1


async def test_a_stream_is_given_again_as_it_was(kept: KeptAnswers) -> None:
    async with (api := Api(answers=kept)).client() as client:
        first, second = [await ask(client, {**HI, "stream": True}) for _ in range(2)]
    assert second.text == first.text
    assert second.text.endswith("data: [DONE]\n\n")
    assert second.headers["content-type"] == first.headers["content-type"]
    assert len(api.journal.records) == 1


async def test_another_body_under_the_same_key_is_refused(kept: KeptAnswers) -> None:
    async with (api := Api(answers=kept)).client() as client:
        await ask(client)
        reply = await ask(client, {**HI, "temperature": 0})
    assert (reply.status_code, reply.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert reply.json()["error"]["param"] == "Idempotency-Key"
    assert len(api.journal.records) == 1


async def test_a_key_is_one_token_s_own(kept: KeptAnswers) -> None:
    async with (api := Api(answers=kept)).client() as client:
        await ask(client)
        await ask(client, authorization=f"Bearer {OTHER_TOKEN}")
    assert len(api.journal.records) == 2


async def test_a_request_without_a_key_is_answered_anew(kept: KeptAnswers) -> None:
    async with (api := Api(answers=kept)).client() as client:
        for _ in range(2):
            await client.post(CHAT, json=HI)
    assert len(api.journal.records) == 2


async def test_a_failure_that_was_recorded_is_given_again(kept: KeptAnswers) -> None:
    async with (api := Api(Script(error=EngineFailed(reason="no")), answers=kept)).client() as client:
        first, second = await ask(client), await ask(client)
    assert first.status_code == second.status_code == 500
    assert from_header(second.headers["x-tallystick-receipt"]) == from_header(first.headers["x-tallystick-receipt"])
    assert len(api.journal.records) == 1


async def test_what_was_refused_can_be_sent_again(kept: KeptAnswers) -> None:
    api = Api(answers=kept)
    api.dispatcher.load_error = QueueFull(limit=1)
    async with api.client() as client:
        refused = await ask(client)
        api.dispatcher.load_error = None
        answered = await ask(client)
    assert (refused.status_code, answered.status_code) == (429, 200)


async def test_a_second_request_while_the_first_is_under_way_is_told_to_wait(kept: KeptAnswers) -> None:
    pause = asyncio.Event()
    async with (api := Api(Script(pauses={0: pause}), answers=kept)).client() as client:
        first = asyncio.ensure_future(ask(client))
        while not api.journal.open:
            await asyncio.sleep(0)
        waiting = await ask(client)
        pause.set()
        assert (await first).status_code == 200
        again = await ask(client)
    assert (waiting.status_code, waiting.json()["error"]["code"]) == (409, "idempotency_key_in_use")
    assert waiting.headers["retry-after"] == "2"
    assert again.content == first.result().content


async def test_an_answer_beyond_the_bound_is_given_once(kept: KeptAnswers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "MAX_KEPT_BYTES", 16)
    async with Api(answers=kept).client() as client:
        first, second = await ask(client), await ask(client)
    assert (first.status_code, second.status_code) == (200, 409)
    assert second.json()["error"]["code"] == "answer_not_kept"
    assert first.headers["x-tallystick-record"] in second.json()["error"]["message"]


@pytest.mark.parametrize("key", ["", "k" * 256, "k\u00e9y", "a\tb"])
async def test_a_key_that_is_none_is_refused(kept: KeptAnswers, key: str) -> None:
    async with Api(answers=kept).client() as client:
        reply = await client.post(CHAT, json=HI, headers=[("idempotency-key", key.encode("latin-1")), *AUTH.items()])
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "Idempotency-Key")


async def test_two_keys_are_refused(kept: KeptAnswers) -> None:
    async with Api(answers=kept).client() as client:
        headers = [("idempotency-key", "a"), ("idempotency-key", "b"), *AUTH.items()]
        assert (await client.post(CHAT, json=HI, headers=headers)).status_code == 400


async def test_nobody_without_a_token_learns_of_a_key(kept: KeptAnswers) -> None:
    async with Api(answers=kept).client() as client:
        await ask(client)
    async with Api(answers=kept).client(authorization="Bearer tsk_unknown") as stranger:
        assert (await ask(stranger)).status_code == 401


@pytest.mark.parametrize("path", [path for path, body in TEXTS.items() if isinstance(body, dict)])
async def test_it_holds_for_every_task_of_texts(kept: KeptAnswers, path: str) -> None:
    async with (api := Api(TEXT_SCRIPTS[path], answers=kept)).client() as client:
        first, second = [await client.post(path, json=TEXTS[path], headers=KEY) for _ in range(2)]
    assert (first.status_code, second.content) == (200, first.content)
    assert second.headers["idempotent-replayed"] == "true"
    assert len(api.journal.records) == 1


async def test_a_refusal_has_the_shape_of_its_own_address(kept: KeptAnswers) -> None:
    at, said = "/v1/messages", {"max_tokens": 5, **HI}
    async with Api(answers=kept).client() as client:
        assert (await client.post(at, json=said, headers=KEY)).status_code == 200
        reply = await client.post(at, json={**said, "max_tokens": 6}, headers=KEY)
    assert (reply.status_code, reply.json()["type"]) == (422, "error")
    assert "Idempotency-Key" in reply.json()["error"]["message"]


def test_every_post_is_described_with_it() -> None:
    posts = [item["post"] for item in DOCUMENT["paths"].values() if "post" in item]
    assert len(posts) > 30
    for post in posts:
        assert "Idempotency-Key" in [one["name"] for one in post["parameters"]]
        assert {"409", "422"} <= post["responses"].keys()


async def test_an_answer_that_was_withheld_is_not_kept_for_its_record_may_not_stand(kept: KeptAnswers) -> None:
    async with (api := Api(answers=kept)).client() as client:
        api.journal.commit_error = unavailable()
        withheld = await ask(client)
        api.journal.commit_error = None
        answered = await ask(client)
    assert (withheld.status_code, withheld.json()["error"]["code"]) == (503, "answer_withheld")
    assert (answered.status_code, answered.headers.get("idempotent-replayed")) == (200, None)
