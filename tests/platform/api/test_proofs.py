"""The proof that every answer to an admitted request carries, and what its client can compute from it."""

from __future__ import annotations

import asyncio
import json

import httpx
import msgspec
import pytest

from tallystick.binding import request_digest, request_hash, response_digest, response_hash
from tallystick.ids import format_record_id, parse_hex, to_hex
from tallystick.receipts.signed import SignedAdmission, SignedReceipt, signer
from tallystick.sealing import response_salt
from tallystick.tasks import disagreements, read, received_answer, received_stream
from tallystick_platform.api.proofs import recorded_proof
from tallystick_platform.errors import EngineFailed, PromptTooLong
from tests.support.api import CHAT, HI, Api, events_of, from_header
from tests.support.exchange import MODEL, SENDER, WRITER, Bench, Script, unavailable

RECORD, ADMISSION, SALT, RECEIPT = (
    f"x-tallystick-{name}" for name in ("record", "admission", "request-salt", "receipt")
)
STREAM = HI | {"stream": True}


def hash_of_sent(reply: httpx.Response) -> str:
    """The request hash, from what the client sent and the salt that it was given."""
    sent = reply.request
    digest = request_digest("POST", sent.url.raw_path.decode(), sent.headers["content-type"], sent.content)
    return to_hex(request_hash(parse_hex(reply.headers[SALT]), digest))


def hash_of_received(received: object, proof: dict) -> str:
    """The response hash, from what the client received and the record's secret."""
    digest = response_digest(received.error, received.outputs)
    return to_hex(response_hash(response_salt(parse_hex(proof["record_secret"])), digest))


async def test_a_whole_answer_carries_its_proof_in_body_and_headers() -> None:
    async with (api := Api()).client() as client:
        reply = await client.post(CHAT, json=HI)
    proof, entry, record = reply.json()["tallystick"], api.journal.entries[0], api.journal.only
    admission = from_header(reply.headers[ADMISSION])
    assert proof == {
        "record_id": format_record_id(entry.record_id),
        "admission_seq": 1,
        "index": 0,
        "leaf": to_hex(entry.leaf),
        "state": "journaled",
        "receipt": entry.receipt.to_json(),
        "admission": admission,
        "request_salt": to_hex(record.request.salt),
        "record_secret": to_hex(entry.record_secret),
    }
    assert reply.headers[RECORD] == proof["record_id"]
    assert reply.headers[SALT] == proof["request_salt"]
    assert from_header(reply.headers[RECEIPT]) == entry.receipt.to_json()
    assert SignedReceipt.from_json(proof["receipt"]) == entry.receipt
    assert signer(SignedAdmission.from_json(admission)) == WRITER.address


async def test_a_stream_carries_its_admission_first_and_its_proof_last() -> None:
    async with (api := Api()).client() as client:
        reply = await client.post(CHAT, json=STREAM)
    admission = SignedAdmission.from_json(from_header(reply.headers[ADMISSION]))
    proof = events_of(reply.text)[-2]["tallystick"]
    assert (admission.admission.admission_seq, admission.admission.sender) == (1, SENDER)
    assert reply.headers[RECORD] == proof["record_id"] == format_record_id(api.journal.only.id)
    assert proof["admission"] == admission.to_json()
    assert reply.headers[SALT] == proof["request_salt"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("error", [PromptTooLong(limit=10, found=20), ValueError("secret detail")])
async def test_an_error_after_the_admission_carries_both(error: Exception, stream: bool) -> None:
    async with (api := Api(Script(texts=(), error=error))).client() as client:
        reply = await client.post(CHAT, json=HI | {"stream": stream})
    assert reply.status_code >= 400
    assert reply.json()["tallystick"]["admission"] == from_header(reply.headers[ADMISSION])
    assert reply.json()["tallystick"]["receipt"] == from_header(reply.headers[RECEIPT])
    assert reply.headers[SALT] == to_hex(api.journal.only.request.salt)


async def test_an_answer_that_is_withheld_still_carries_the_promise_to_record_it() -> None:
    api = Api()
    api.journal.commit_error = unavailable()
    async with api.client() as client:
        reply = await client.post(CHAT, json=HI)
    admission = SignedAdmission.from_json(from_header(reply.headers[ADMISSION]))
    assert reply.status_code == 503
    assert to_hex(admission.admission.request_hash) == hash_of_sent(reply)
    assert RECEIPT not in reply.headers
    assert "tallystick" not in reply.json()


async def test_a_request_that_was_not_admitted_carries_nothing() -> None:
    async with Api().client() as client:
        reply = await client.post(CHAT, json=HI | {"model": "nobody"})
    assert not [name for name in reply.headers if name.startswith("x-tallystick")]


@pytest.mark.parametrize("body", [HI, STREAM], ids=["whole", "stream"])
async def test_a_client_computes_the_hash_of_its_request(body: dict) -> None:
    async with (api := Api()).client() as client:
        reply = await client.post(CHAT + "?trace=1&b=%20", json=body)
    assert to_hex(api.journal.entries[0].receipt.receipt.request_hash) == hash_of_sent(reply)
    assert from_header(reply.headers[ADMISSION])["admission"]["request_hash"] == hash_of_sent(reply)


@pytest.mark.parametrize(
    "script",
    [
        Script(),
        Script(texts=()),
        Script(texts=("cut",), finish_reason="length"),
        Script(texts=(), error=PromptTooLong(limit=10, found=20)),
        Script(texts=(), error=EngineFailed(reason="x" * 2_000)),
        Script(texts=(), error=ValueError("secret detail")),
    ],
    ids=["answer", "empty", "cut", "too long", "long reason", "defect"],
)
async def test_a_client_computes_the_hash_of_what_it_received_whole(script: Script) -> None:
    async with Api(script).client() as client:
        body = (await client.post(CHAT, json=HI)).json()
    proof = body["tallystick"]
    assert proof["receipt"]["receipt"]["response_hash"] == hash_of_received(received_answer(body), proof)


@pytest.mark.parametrize(
    "script",
    [Script(), Script(texts=()), Script(texts=("a", "b"), error=EngineFailed(reason="broken"))],
    ids=["answer", "empty", "failed in the middle"],
)
async def test_a_client_computes_the_hash_of_a_stream(script: Script) -> None:
    async with Api(script).client() as client:
        events = [one for one in events_of((await client.post(CHAT, json=STREAM)).text) if one != "[DONE]"]
    proof = events[-1]["tallystick"]
    assert proof["receipt"]["receipt"]["response_hash"] == hash_of_received(received_stream(events), proof)


async def test_the_record_holds_the_request_as_it_was_received() -> None:
    raw = json.dumps(HI, indent=3).encode()
    async with (api := Api()).client() as client:
        await client.post(CHAT + "?x=1", content=raw, headers={"content-type": "Application/JSON; charset=utf-8"})
    record = api.journal.only
    assert (record.http.method, record.http.path) == ("POST", CHAT)
    assert (record.request.reader, record.request.target) == ("chat/openai/1", CHAT + "?x=1")
    assert (record.request.body, record.request.content_type) == (raw, "Application/JSON; charset=utf-8")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"temperature": 1, "top_p": 0.5, "top_k": 3, "seed": -5, "max_completion_tokens": 9, "stop": "x", "user": "u"},
        {"stop": ["a", "b"], "n": 1, "stream": True, "stream_options": {"include_usage": True}},
        {"temperature": None, "stop": [], "n": None},
        {"model": MODEL.id + "@" + "33" * 4},
        {
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "system", "content": [{"type": "text", "text": "And "}, {"type": "text", "text": "kind."}]},
                {"role": "user", "content": "Hi"},
            ]
        },
    ],
    ids=["plain", "asked", "several", "nothing", "version", "instructions"],
)
async def test_an_auditor_reads_the_same_out_of_the_request_as_the_record_says(given: dict) -> None:
    async with (api := Api()).client() as client:
        reply = await client.post(CHAT, json=HI | given)
    record = api.journal.only
    request = record.request
    reading = read(request.reader, record.http.method, request.target, request.content_type, request.body)
    assert reply.status_code == 200
    assert disagreements(record, reading) == []


async def test_two_requests_never_share_a_salt() -> None:
    async with (api := Api()).client() as client:
        replies = [await client.post(CHAT, json=HI) for _ in range(2)]
    assert len({reply.headers[SALT] for reply in replies}) == 2
    assert len({entry.receipt.receipt.request_hash for entry in api.journal.entries}) == 2


def test_proofs_are_spelled_as_the_ledger_spells_them() -> None:
    answer = asyncio.run(Bench().line().run())
    shown = msgspec.to_builtins(recorded_proof(answer.ticket, answer.entry))
    assert shown["receipt"] == answer.entry.receipt.to_json()
    assert shown["admission"] == answer.ticket.admission.to_json()
