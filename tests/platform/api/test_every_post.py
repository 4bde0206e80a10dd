"""Every address that takes a POST for an answer of a model, against every fault that a body or its head can have: status and shape."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tallystick_platform.api.endpoint import ENDPOINT_KEY
from tallystick_platform.api.wire.wire import AskingHeaders
from tests.support.api import HANDLERS, MAX_BODY_BYTES, MAX_MEDIA_BYTES, Api
from tests.support.exchange import MODEL

PROXY, HOSTED = "/models/{model_id:str}/proxy/v1", "/hosted/{model_id:str}/v1"
SAID = {"messages": [{"role": "user", "content": "Hi"}]}
NAMED = {"model": MODEL.id}
FORM = {"content-type": "multipart/form-data; boundary=b"}
SOUND = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nsound\r\n'
SOUND_OF = SOUND + b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n%s\r\n--b--\r\n'


@dataclass(frozen=True, kw_only=True)
class Address:
    """A good body, and a member with a value out of its range. `named` is the member with the model, None where the address has it."""

    body: Any
    beyond: dict[str, Any]
    named: str | None = "model"


ADDRESSES = {
    "/v1/chat/completions": Address(body=NAMED | SAID, beyond={"temperature": 3}),
    "/v1/responses": Address(body=NAMED | {"input": "Hi"}, beyond={"temperature": 3}),
    "/v1/completions": Address(body=NAMED | {"prompt": "Hi"}, beyond={"top_p": 2}),
    "/v1/embeddings": Address(body=NAMED | {"input": "Hi"}, beyond={"dimensions": 0}),
    "/v1/messages": Address(body=NAMED | SAID | {"max_tokens": 5}, beyond={"max_tokens": 0}),
    "/v1/rerank": Address(body=NAMED | {"query": "a", "documents": ["b"]}, beyond={"top_n": 0}),
    "/v1/classify": Address(body=NAMED | {"inputs": "a"}, beyond={"top_k": 0}),
    "/v1/entities": Address(body=NAMED | {"inputs": "a"}, beyond={"aggregation_strategy": "most"}),
    "/v1/translate": Address(body=NAMED | {"text": "a"}, beyond={"num_beams": 0}),
    "/v1/audio/speech": Address(body=NAMED | {"input": "a"}, beyond={"speed": 9}),
    "/v1/images/generations": Address(body=NAMED | {"prompt": "a"}, beyond={"steps": 0}),
    "/v1/predict": Address(body=NAMED | {"inputs": [[1]]}, beyond={"probabilities": "often"}),
    "/v1/service/llm/v1/chat/completions": Address(body=NAMED | SAID, beyond={"n": 0}),
    "/v1/service/llm/v1/completions": Address(body=NAMED | {"prompt": "Hi"}, beyond={"n": 0}),
    "/v1/service/llm/v1/embeddings": Address(body=NAMED | {"input": "Hi"}, beyond={"dimensions": 0}),
    "/inferencia/v1/predict": Address(
        body={"model_name": MODEL.id, "data": [{"text": ["a"]}]}, beyond={"data": []}, named="model_name"
    ),
    f"{HOSTED}/predict": Address(body={"inputs": ["a"]}, beyond={"parameters": {"top_k": 0}}, named=None),
    f"{HOSTED}/predict_stream": Address(body={"inputs": ["a"]}, beyond={"parameters": {"top_p": 2}}, named=None),
    f"{PROXY}/chat/completions": Address(body={"inputs": "Hi"}, beyond={"max_new_tokens": 0}, named=None),
    f"{PROXY}/classify": Address(body={"inputs": "a"}, beyond={"top_k": 0}, named=None),
    f"{PROXY}/predict": Address(body={"inputs": "a"}, beyond={"top_k": 0}, named=None),
    f"{PROXY}/generate-speech": Address(body={"prompt": "a"}, beyond={"speed": 9}, named=None),
    f"{PROXY}/generate-image": Address(body={"prompt": "a"}, beyond={"num_inference_steps": 0}, named=None),
    f"{PROXY}/translate": Address(body={"text": "a"}, beyond={"num_beams": 0}, named=None),
    f"{PROXY}/embed": Address(body={"inputs": "a"}, beyond={"dimensions": 0}, named=None),
    f"{PROXY}/rerank": Address(body={"query": "a", "texts": ["b"]}, beyond={"top_n": 0}, named=None),
}
FORMS = ("/v1/audio/transcriptions", f"{PROXY}/transcript")
NO_PROVIDER = {"error": "No provider found for the requested service."}
JSON_FAULTS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "invalid_json"),
    "no JSON": (b"Hi", "invalid_json"),
    "cut off": (b'{"a":', "invalid_json"),
    "no object": (b'"Hi"', "invalid_type"),
    "not a number": (b'{"temperature":NaN}', "invalid_json"),
    "no UTF-8": (b'{"a":"\xff"}', "invalid_utf8"),
    "a lone surrogate": (b'{"a":"\\ud800"}', "invalid_json"),
    "a member twice": (b'{"a":1,"a":1}', "duplicate_key"),
    "too deep": (b'{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}", "invalid_json"),
}


ALL = [*ADDRESSES, *FORMS]


def sent_to(address: str, model: str = MODEL.id) -> str:
    return address.replace("{model_id:str}", model)


def posted() -> set[str]:
    """Each address at which a model is asked, in its first form."""
    paths = {path for one in HANDLERS if one.opt[ENDPOINT_KEY].headers is AskingHeaders for path in one.paths}
    return {path for path in paths if "{owner:str}" not in path and ("/proxy/" not in path or "/proxy/v1/" in path)}


def whole(address: str) -> dict[str, Any]:
    """A request that would be answered."""
    if address in FORMS:
        return {"content": SOUND_OF % MODEL.id.encode(), "headers": FORM}
    return {"content": json.dumps(ADDRESSES[address].body).encode(), "headers": {"content-type": "application/json"}}


def check(address: str, reply: httpx.Response, status: int, code: str | None = None) -> None:
    """The status, and the code in what errors of the address hold; their shape is held to the described one at every reply."""
    assert reply.status_code == status, (address, reply.status_code, reply.text)
    error = reply.json()["error"]
    assert isinstance(error, dict), address
    assert error.get("code", code) == code, (address, reply.text)


def test_every_address_is_tried_here() -> None:
    twice = {path for path in posted() if path.startswith("/triteia/")}  # the same wires as the dispatcher's
    assert posted() - twice == set(ALL)


async def test_a_wrong_method() -> None:
    async with Api().client() as client:
        for address in ALL:
            reply = await client.put(sent_to(address))
            check(address, reply, 405, "method_not_allowed")
            assert "POST" in reply.headers["allow"], address


async def test_no_token() -> None:
    async with Api().client(**{"x-nothing": "1"}) as client:
        for address in ALL:
            check(address, await client.post(sent_to(address), **whole(address)), 401, "missing_api_key")


async def test_codings() -> None:
    async with (api := Api()).client() as client:
        for address in ALL:
            request = whole(address)
            head = request["headers"]
            for coding, content, status, code in (
                ("br", request["content"], 415, "unsupported_encoding"),
                ("gzip", request["content"], 400, "invalid_encoding"),
                ("gzip", gzip.compress(request["content"])[:-9], 400, "invalid_encoding"),
            ):
                reply = await client.post(
                    sent_to(address), content=content, headers=head | {"content-encoding": coding}
                )
                check(address, reply, status, code)
    assert not api.journal.records


async def test_sizes() -> None:
    async with Api().client() as client:
        for address in ALL:
            limit = MAX_MEDIA_BYTES if address in FORMS else MAX_BODY_BYTES
            reply = await client.post(sent_to(address), content=b" " * (limit + 1), headers=whole(address)["headers"])
            check(address, reply, 413, "body_too_large")
            packed = gzip.compress(b" " * (limit + 1))
            head = whole(address)["headers"] | {"content-encoding": "gzip"}
            check(address, await client.post(sent_to(address), content=packed, headers=head), 413, "body_too_large")


async def test_content_types() -> None:
    async with (api := Api()).client() as client:
        for address in ALL:
            request = whole(address)
            twice = [
                *client.headers.items(),
                ("content-type", "a/b"),
                ("content-type", request["headers"]["content-type"]),
            ]
            reply = await client.post(sent_to(address), content=request["content"], headers=twice)
            assert reply.status_code == 400, address
            if address in FORMS:
                told = {"content-type": "application/json"}
                reply = await client.post(sent_to(address), content=request["content"], headers=told)
                check(address, reply, 400, "invalid_value")
    assert not api.journal.records


@pytest.mark.parametrize("fault", JSON_FAULTS)
async def test_what_is_no_body(fault: str) -> None:
    body, code = JSON_FAULTS[fault]
    async with (api := Api()).client() as client:
        for address in ADDRESSES:
            head = {"content-type": "application/json"}
            check(address, await client.post(sent_to(address), content=body, headers=head), 400, code)
        for address in FORMS:
            check(address, await client.post(sent_to(address), content=body, headers=FORM), 400, "invalid_value")
    assert not api.journal.records


async def test_ranges() -> None:
    async with (api := Api()).client() as client:
        for address, one in ADDRESSES.items():
            reply = await client.post(sent_to(address), json=one.body | one.beyond)
            assert reply.status_code == 400, (address, reply.text)
            (name,) = one.beyond
            assert name in reply.text, address
    assert not api.journal.records


async def test_members_that_nobody_knows() -> None:
    async with (api := Api()).client() as client:
        for address, one in ADDRESSES.items():
            reply = await client.post(sent_to(address), json=one.body | {"nobody_knows": 1})
            assert reply.status_code == 400, (address, reply.text)
            assert "nobody_knows" in reply.text, address
    assert not api.journal.records


async def test_unknown_models() -> None:
    async with (api := Api()).client() as client:
        for address, one in ADDRESSES.items():
            body = one.body if one.named is None else one.body | {one.named: "none"}
            reply = await client.post(sent_to(address, "none"), json=body)
            if "/llm/" in address:
                assert (reply.status_code, reply.json()) == (503, NO_PROVIDER), address
            else:
                check(address, reply, 404, "model_not_found")
        for address in FORMS:
            content = SOUND_OF % b"none"
            check(
                address,
                await client.post(sent_to(address, "none"), content=content, headers=FORM),
                404,
                "model_not_found",
            )
    assert not api.journal.records
