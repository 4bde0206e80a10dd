"""`/v1/jobs`: prompts for several models side by side, in the background."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tallystick.ids import format_record_id
from tallystick.record import State
from tallystick.tasks import disagreements, read, received_answer
from tests.support.api import OTHER_TOKEN
from tests.support.exchange import MODEL, PLACEMENT, Script
from tests.support.work_jobs import Jobs, jobs_at

AT = "/v1/jobs"
ASKED = {"models": [MODEL.id, f"{MODEL.id}@{MODEL.version}"], "inputs": ["one", "two"]}


async def taken(client: httpx.AsyncClient, body: object = ASKED) -> dict[str, Any]:
    reply = await client.post(AT, json=body)
    assert reply.status_code == 202, reply.text
    assert reply.headers["location"] == f"{AT}/{reply.json()['id']}"
    return dict(reply.json())


async def once(jobs: Jobs, client: httpx.AsyncClient, job_id: str, state: str) -> dict[str, Any]:
    """The job, once it is in this state."""

    async def look() -> dict[str, Any] | None:
        found = (await client.get(f"{AT}/{job_id}")).json()
        return found if found["state"] == state else None

    return dict(await jobs.until(look))


async def test_each_prompt_is_answered_by_each_model_and_each_answer_has_its_record(tmp_path: Path) -> None:
    async with jobs_at(tmp_path) as jobs, jobs.client() as client:
        job = await taken(client)
        found = await once(jobs, client, job["id"], "finished")
    assert (job["state"], job["total"], job["inputs"]) == ("queued", 4, 2)
    assert [(one["input"], one["model"]) for one in found["results"]] == [
        (at, model) for at in (0, 1) for model in ASKED["models"]
    ]
    assert [(one["output"], one["status"]) for one in found["results"]] == [("Hello world", 200)] * 4
    accepted, *lines, ended = jobs.journal.records
    assert accepted.state is State.ACCEPTED
    assert job["record"] == job["tallystick"]["record_id"] == format_record_id(accepted.id)
    assert found["ended_by"] == format_record_id(ended.id)
    assert ended.follows == accepted.id
    by_id = {format_record_id(line.id): line for line in lines}
    for one in found["results"]:
        line = by_id.pop(one["answer"]["tallystick"]["record_id"])
        assert received_answer(one["answer"]).outputs == line.response.outputs
    assert not by_id


async def test_the_record_that_took_it_says_what_was_asked(tmp_path: Path) -> None:
    async with jobs_at(tmp_path) as jobs, jobs.client() as client:
        await once(jobs, client, (await taken(client))["id"], "finished")
    accepted = jobs.journal.records[0]
    request = accepted.request
    assert disagreements(accepted, read(request.reader, "POST", request.target, None, request.body)) == []
    assert accepted.prompt == {"inputs": ["one", "two"]}
    assert accepted.parameters["models"] == ASKED["models"]


async def test_a_model_that_is_named_twice_is_asked_once(tmp_path: Path) -> None:
    async with jobs_at(tmp_path) as jobs, jobs.client() as client:
        job = await taken(client, {"models": [MODEL.id, MODEL.id], "inputs": ["one"]})
        await once(jobs, client, job["id"], "finished")
    assert (job["models"], job["total"]) == ([MODEL.id], 1)


async def test_what_is_answered_until_now_is_shown_and_the_rest_can_be_given_up(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with jobs_at(tmp_path, Script(pauses={1: gate})) as jobs, jobs.client() as client:
        job = await taken(client, {"models": [MODEL.id], "inputs": ["one"]})

        async def begun() -> bool:
            return (await client.get(f"{AT}/{job['id']}")).json()["results"][0]["output"] == "Hello"

        await jobs.until(begun)
        reply = await client.delete(f"{AT}/{job['id']}")
        again = await client.delete(f"{AT}/{job['id']}")
        gate.set()
    assert (reply.status_code, reply.json()["state"]) == (200, "cancelled")
    assert again.json() == reply.json()


async def test_jobs_are_listed_newest_first_and_are_their_owner_s_alone(tmp_path: Path) -> None:
    async with jobs_at(tmp_path) as jobs, jobs.client() as client:
        ids = [(await taken(client))["id"] for _ in range(3)]
        for job_id in ids:
            await once(jobs, client, job_id, "finished")
        first = (await client.get(AT, params={"limit": 2})).json()
        rest = (await client.get(AT, params={"limit": 2, "cursor": first["next_cursor"]})).json()
        async with jobs.client(authorization=f"Bearer {OTHER_TOKEN}") as other:
            assert (await other.get(AT)).json()["data"] == []
            for method in ("GET", "DELETE"):
                assert (await other.request(method, f"{AT}/{ids[0]}")).status_code == 404
    assert [one["id"] for one in first["data"] + rest["data"]] == ids[::-1]
    assert "results" not in first["data"][0]


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"models": []}, "models"),
        ({"models": ["a", "b", "c", "d"]}, "models"),
        ({"models": "a"}, "models"),
        ({"inputs": []}, "inputs"),
        ({"inputs": ["one"] * 65}, "inputs"),
        ({"inputs": [" "]}, "inputs[0]"),
        ({"hours": 0}, "hours"),
        ({"hours": 169}, "hours"),
        ({"priority": 1}, "priority"),
    ],
)
async def test_what_is_out_of_range_is_refused_by_name(tmp_path: Path, changes: dict[str, object], param: str) -> None:
    async with jobs_at(tmp_path) as jobs, jobs.client() as client:
        reply = await client.post(AT, json=ASKED | changes)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert not jobs.journal.records


async def test_a_model_that_nobody_has_is_not_found(tmp_path: Path) -> None:
    async with jobs_at(tmp_path) as jobs, jobs.client() as client:
        reply = await client.post(AT, json=ASKED | {"models": [MODEL.id, "none"]})
    assert reply.status_code == 404
    assert not jobs.journal.records


async def test_a_model_that_only_goes_on_with_texts_is_given_the_prompt_as_it_stands(tmp_path: Path) -> None:
    async with jobs_at(tmp_path) as jobs, jobs.client() as client:
        told = msgspec.structs.replace(MODEL, tasks=("completion",))
        jobs.api.dispatcher.placement = replace(PLACEMENT, model=told)
        job = await taken(client, {"models": [MODEL.id], "inputs": ["one"]})
        await once(jobs, client, job["id"], "finished")
    assert jobs.journal.records[1].task == "completion"
