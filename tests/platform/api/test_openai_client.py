"""The `openai` package, unchanged, against the served surface: base URL and key are all that differs."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import openai
import pytest

from tallystick.receipts.signed import SignedReceipt
from tallystick_platform.errors import Backlogged, EngineFailed, PromptTooLong, QueueFull
from tests.support.api import TOKEN, Api
from tests.support.exchange import MODEL, Script

HI = [{"role": "user", "content": "Hi"}]


@asynccontextmanager
async def client_of(api: Api, token: str = TOKEN) -> AsyncIterator[openai.AsyncOpenAI]:
    async with (
        api.serving() as url,
        openai.AsyncOpenAI(base_url=url + "/v1", api_key=token, max_retries=0) as client,
    ):
        yield client


async def test_a_whole_answer() -> None:
    async with client_of(api := Api()) as client:
        answer = await client.chat.completions.create(model=MODEL.id, messages=HI, max_tokens=60, temperature=0, seed=1)
    assert answer.choices[0].message.content == "Hello world"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == 9
    proof = answer.model_extra["tallystick"]
    assert SignedReceipt.from_json(proof["receipt"]) == api.journal.entries[0].receipt


async def test_an_answer_can_be_sent_back_as_history() -> None:
    async with client_of(api := Api()) as client:
        first = await client.chat.completions.create(model=MODEL.id, messages=HI)
        history = [*HI, first.choices[0].message, {"role": "user", "content": "And?"}]
        await client.chat.completions.create(model=MODEL.id, messages=history)
    assert [turn["role"] for turn in api.dispatcher.texts[1].turns] == ["user", "assistant", "user"]


async def test_a_stream_read_without_care_for_empty_choices() -> None:
    async with client_of(Api()) as client:
        stream = await client.chat.completions.create(model=MODEL.id, messages=HI, stream=True)
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello world"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].model_extra["tallystick"]["index"] == 0


async def test_a_stream_with_usage() -> None:
    async with client_of(Api()) as client:
        stream = await client.chat.completions.create(
            model=MODEL.id, messages=HI, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 2
    assert chunks[-1].model_extra["tallystick"]["state"] == "journaled"


async def test_the_stream_helper_accumulates_the_answer() -> None:
    async with client_of(Api()) as client, client.chat.completions.stream(model=MODEL.id, messages=HI) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == "Hello world"


async def test_a_completion_whole_and_as_a_stream() -> None:
    async with client_of(Api()) as client:
        whole = await client.completions.create(model=MODEL.id, prompt="Once", max_tokens=9, echo=False, suffix=None)
        stream = await client.completions.create(
            model=MODEL.id, prompt=[5, 6], stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert (whole.choices[0].text, whole.choices[0].finish_reason) == ("Hello world", "stop")
    assert whole.usage.total_tokens == 9
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == "Hello world"
    assert (chunks[-1].usage.completion_tokens, chunks[-1].model_extra["tallystick"]["index"]) == (2, 1)


async def test_embeddings_as_the_package_asks_for_them_and_as_numbers() -> None:
    vectors = ([1.0, -0.5, 0.25, 0.0], [0.0, 1.0, 0.0, 3.0])
    script = Script(texts=tuple(struct.pack("<4f", *vector) for vector in vectors), finish_reason=None)
    async with client_of(api := Api(script)) as client:
        packed = await client.embeddings.create(model=MODEL.id, input=["one", "two"])
        numbers = await client.embeddings.create(
            model=MODEL.id, input=["one", "two"], encoding_format="float", dimensions=4
        )
    assert api.journal.records[0].parameters["encoding_format"] == "base64"
    for answer in (packed, numbers):
        assert tuple(one.embedding for one in answer.data) == vectors
        assert answer.usage.prompt_tokens == 7
        assert answer.model_extra["tallystick"]["state"] == "journaled"


async def test_headers_carry_the_proof() -> None:
    async with client_of(Api()) as client:
        raw = await client.chat.completions.with_raw_response.create(model=MODEL.id, messages=HI)
    assert raw.headers["x-tallystick-record"]
    assert raw.request_id.startswith("req_")


async def test_models() -> None:
    async with client_of(Api()) as client:
        assert [model.id async for model in client.models.list()] == [MODEL.id]
        assert (await client.models.retrieve(MODEL.id)).owned_by == "local"


@pytest.mark.parametrize(
    ("given", "kind", "code"),
    [
        ({"model": "nobody"}, openai.NotFoundError, "model_not_found"),
        ({"temperature": 9}, openai.BadRequestError, "invalid_value"),
        ({"frequency_penalty": 2.5}, openai.BadRequestError, "invalid_value"),
        ({"extra_body": {"wish": 1}}, openai.BadRequestError, "unknown_parameter"),
        ({"messages": []}, openai.BadRequestError, "invalid_value"),
    ],
)
async def test_refusals_are_the_packages_own_errors(given: dict, kind: type[openai.APIStatusError], code: str) -> None:
    async with client_of(Api()) as client:
        with pytest.raises(kind) as caught:
            await client.chat.completions.create(**({"model": MODEL.id, "messages": HI} | given))
    assert caught.value.code == code


async def test_a_wrong_key_is_the_packages_own_error() -> None:
    async with client_of(Api(), token="tsk_nobody") as client:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(model=MODEL.id, messages=HI)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (PromptTooLong(limit=10, found=20), openai.BadRequestError),
        (EngineFailed(reason="broken"), openai.InternalServerError),
        (QueueFull(limit=1), openai.RateLimitError),
    ],
)
async def test_failures_are_the_packages_own_errors(error: Exception, kind: type[openai.APIStatusError]) -> None:
    async with client_of(Api(Script(texts=(), error=error))) as client:
        with pytest.raises(kind):
            await client.chat.completions.create(model=MODEL.id, messages=HI)


async def test_a_backlog_is_the_packages_own_error() -> None:
    api = Api()
    api.gate.error = Backlogged(bound="records not yet on the chain", limit=1, retry_after_s=1)
    async with client_of(api) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(model=MODEL.id, messages=HI)
    assert caught.value.status_code == 503


async def test_a_failure_within_a_stream_is_the_packages_own_error() -> None:
    async with client_of(Api(Script(error=EngineFailed(reason="broken")))) as client:
        stream = await client.chat.completions.create(model=MODEL.id, messages=HI, stream=True)
        with pytest.raises(openai.APIError) as caught:
            async for _ in stream:
                pass
    assert caught.value.code == "engine_failed"
