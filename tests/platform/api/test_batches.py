"""Files and batches, as OpenAI's own client asks for them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import openai
import pytest

from tallystick.record import State
from tallystick.tasks import disagreements, read
from tallystick_platform.jobs import batch_lines, kept
from tests.support.api import TOKEN
from tests.support.exchange import MODEL, Script
from tests.support.work_jobs import Jobs, jobs_at


def line(name: str, **body: object) -> dict:
    said = {"model": MODEL.id, "messages": [{"role": "user", "content": name}]}
    return {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": said | body}


def jsonl(*lines: dict) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in lines)


def client_of(jobs: Jobs) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url="http://test/v1", api_key=TOKEN, http_client=jobs.client(), max_retries=0)


async def created(client: openai.AsyncOpenAI, content: bytes, **changes: object):
    file = await client.files.create(file=("in.jsonl", content), purpose="batch")
    asked = {"input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return file, await client.batches.create(**(asked | changes))


async def ended(jobs: Jobs, client: openai.AsyncOpenAI, batch_id: str):
    async def look():
        found = await client.batches.retrieve(batch_id)
        return found if found.status not in {"validating", "in_progress"} else None

    return await jobs.until(look)


async def test_a_batch_is_answered_line_by_line_each_in_its_own_record(tmp_path: Path) -> None:
    async with jobs_at(tmp_path) as jobs, client_of(jobs) as client:
        file, batch = await created(
            client, jsonl(line("a"), line("b"), line("bad", unheard_of=1)), metadata={"run": "1"}
        )
        assert (file.object, file.purpose, file.filename) == ("file", "batch", "in.jsonl")
        assert (batch.object, batch.input_file_id, batch.metadata) == ("batch", file.id, {"run": "1"})
        done = await ended(jobs, client, batch.id)
        assert done.status == "completed"
        counts = done.request_counts
        assert (counts.total, counts.completed, counts.failed) == (3, 2, 1)
        answers = [json.loads(one) for one in (await client.files.content(done.output_file_id)).text.splitlines()]
        refused = [json.loads(one) for one in (await client.files.content(done.error_file_id)).text.splitlines()]
    assert [one["custom_id"] for one in answers] == ["a", "b"]
    assert {one["response"]["status_code"] for one in answers} == {200}
    assert answers[0]["response"]["body"]["choices"][0]["message"]["content"] == "Hello world"
    (bad,) = refused
    assert (bad["custom_id"], bad["response"]["status_code"]) == ("bad", 400)
    assert bad["response"]["body"]["error"]["param"] == "unheard_of"
    accepted, *lines, end = jobs.journal.records
    assert (accepted.task, accepted.state, end.follows, end.state) == (
        "batch", State.ACCEPTED, accepted.id, State.COMPLETED,
    )  # fmt: skip
    assert [one.task for one in lines] == ["chat", "chat"]
    ids = {one["response"]["body"]["tallystick"]["record_id"] for one in answers}
    assert ids == {one["response"]["request_id"] for one in answers}
    for record in (accepted, *lines):
        reading = read(record.request.reader, "POST", record.request.target, None, record.request.body)
        assert disagreements(record, reading) == []


async def test_a_cancelled_batch_says_which_requests_were_not_answered(tmp_path: Path) -> None:
    async with jobs_at(tmp_path, Script(pauses={0: asyncio.Event()})) as jobs, client_of(jobs) as client:
        _, batch = await created(client, jsonl(*(line(f"n{n}") for n in range(6))))

        async def begun() -> bool:
            return bool(jobs.api.dispatcher.calls)

        await jobs.until(begun)
        await client.batches.cancel(batch.id)
        done = await ended(jobs, client, batch.id)
        errors = [json.loads(one) for one in (await client.files.content(done.error_file_id)).text.splitlines()]
    assert (done.status, done.output_file_id, len(errors)) == ("cancelled", None, 6)
    assert "batch_cancelled" in {one["error"]["code"] for one in errors if one["error"]}


async def test_files_are_listed_read_and_removed(tmp_path: Path) -> None:
    async with jobs_at(tmp_path) as jobs, client_of(jobs) as client:
        made = [await client.files.create(file=(f"{n}.jsonl", b"x\n"), purpose="batch") for n in range(3)]
        first = await client.files.list(limit=2)
        assert [one.id for one in first.data] == [made[2].id, made[1].id]
        assert [one.id async for one in first] == [one.id for one in reversed(made)]
        assert (await client.files.retrieve(made[0].id)).filename == "0.jsonl"
        assert (await client.files.content(made[0].id)).read() == b"x\n"
        assert (await client.files.delete(made[0].id)).deleted
        with pytest.raises(openai.NotFoundError):
            await client.files.retrieve(made[0].id)


async def test_batches_are_listed(tmp_path: Path) -> None:
    async with jobs_at(tmp_path) as jobs, client_of(jobs) as client:
        made = [(await created(client, jsonl(line("a"))))[1] for _ in range(2)]
        for batch in made:
            await ended(jobs, client, batch.id)
        assert [one.id async for one in await client.batches.list(limit=1)] == [made[1].id, made[0].id]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no json\n", "line 1"),
        (jsonl(line("a"), line("a")), "line 2"),
        (jsonl(line("a") | {"url": "/v1/embeddings"}), "line 1"),
        (jsonl(line("a") | {"method": "GET"}), "line 1"),
        (jsonl(line("a") | {"more": 1}), "line 1"),
        (b"\n", "no request"),
        (jsonl(*(line(str(n)) for n in range(4))), "more than 3"),
    ],
)
async def test_a_file_that_is_no_batch_is_refused(tmp_path: Path, monkeypatch, content: bytes, words: str) -> None:
    monkeypatch.setattr(batch_lines, "MAX_LINES", 3)
    async with jobs_at(tmp_path) as jobs, client_of(jobs) as client:
        with pytest.raises(openai.BadRequestError, match=words):
            await created(client, content)
        assert jobs.journal.records == []


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"endpoint": "/v1/files"}, openai.BadRequestError),
        ({"completion_window": "1h"}, openai.BadRequestError),
        ({"input_file_id": "file-none"}, openai.NotFoundError),
    ],
)
async def test_what_a_batch_cannot_be_is_refused(tmp_path: Path, changes: dict, kind: type) -> None:
    async with jobs_at(tmp_path) as jobs, client_of(jobs) as client:
        with pytest.raises(kind):
            await created(client, jsonl(line("a")), **changes)


async def test_files_are_bounded_and_of_one_purpose(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(kept, "MAX_FILES_PER_OWNER", 1)
    async with jobs_at(tmp_path) as jobs, client_of(jobs) as client:
        with pytest.raises(openai.BadRequestError, match="purpose"):
            await client.files.create(file=("a", b"x"), purpose="fine-tune")
        await client.files.create(file=("a", b"x"), purpose="batch")
        with pytest.raises(openai.ConflictError, match="at most 1 files"):
            await client.files.create(file=("b", b"x"), purpose="batch")
