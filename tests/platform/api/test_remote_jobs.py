"""`/remotejobs/v2/jobs`: the document's own examples, key by key; a log that grows; and no request is computed twice."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tallystick.ids import parse_record_id
from tallystick.record import State
from tallystick.tasks import disagreements, read
from tallystick_platform.errors import Overloaded
from tallystick_platform.jobs import asking, errors, work
from tallystick_platform.store.work import NO_RECORD, WorkKind, WorkState
from tests.support.api import OTHER_TOKEN, Api
from tests.support.exchange import MODEL, SENDER, Script
from tests.support.work_jobs import REMOTE, jobs_at

ASKED = {
    "app": "gridrepublic:text-inference",
    "commandLine": "{'input': ['When does 1+1=10?'] }",
    "tag": MODEL.id,
}
TWO = ASKED | {"commandLine": json.dumps({"inputs": ["one", "two"]})}


async def submitted(client, body=ASKED) -> str:
    reply = await client.post(REMOTE, json=body)
    assert reply.status_code == 200, reply.text
    assert set(reply.json()) == {"success", "ids"}
    assert reply.json()["success"] is True
    (work_id,) = reply.json()["ids"]
    assert len(work_id) == 32
    return work_id


async def test_a_job_is_taken_answered_and_shown_as_the_document_has_it(tmp_path: Path) -> None:
    async with jobs_at(tmp_path) as jobs, jobs.client() as client:
        work_id = await submitted(client)
        found = await jobs.remote(client, work_id, "finished")
    assert found == {
        "vmStatus": "finished",
        "states": {
            "default": {
                "status": "finished",
                "outputFiles": [],
                "log": "Hello world",
                "commandLine": '{"inputs":["When does 1+1=10?"]}',
                "app": "gridrepublic:text-inference",
            }
        },
        "created": found["created"],
        "copy": 0,
        "tag": MODEL.id,
        "runtime": found["runtime"],
    }
    assert found["created"].endswith("+00:00")
    accepted, line, ended = jobs.journal.records
    assert (accepted.state, accepted.task, accepted.request.body) == (State.ACCEPTED, "job", accepted.request.body)
    reading = read(accepted.request.reader, "POST", accepted.request.target, None, accepted.request.body)
    assert disagreements(accepted, reading) == []
    assert accepted.time.due_by - accepted.time.admitted_at == pytest.approx(3_600_000_000, abs=1_000)
    assert (line.task, line.state, line.sender) == ("chat", State.COMPLETED, accepted.sender)
    reading = read(line.request.reader, "POST", line.request.target, None, line.request.body)
    assert disagreements(line, reading) == []
    assert (ended.follows, ended.state, ended.request) == (accepted.id, State.COMPLETED, None)
    said = ended.response.outputs[0].content
    assert (said["lines"], said["completed"], said["failed"]) == (1, 1, 0)
    assert [parse_record_id(one) for one in said["records"]] == [line.id]


async def test_the_log_grows_while_the_job_runs(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with jobs_at(tmp_path, Script(pauses={1: gate})) as jobs, jobs.client() as client:
        work_id = await submitted(client)

        async def grown() -> bool:
            found = (await client.get(f"{REMOTE}/{work_id}")).json()["jobs"][work_id]
            return (found["vmStatus"], found["states"]["default"]["log"]) == ("running", "Hello")

        await jobs.until(grown)
        gate.set()
        found = await jobs.remote(client, work_id, "finished")
    assert found["states"]["default"]["log"] == "Hello world"


async def test_several_jobs_are_shown_at_once_and_only_to_their_owner(tmp_path: Path) -> None:
    async with jobs_at(tmp_path) as jobs, jobs.client() as client:
        ids = [await submitted(client), await submitted(client, TWO)]
        for work_id in ids:
            await jobs.remote(client, work_id, "finished")
        both = await client.get(f"{REMOTE}/{','.join(ids)}")
        assert list(both.json()["jobs"]) == ids
        assert both.json()["jobs"][ids[1]]["states"]["default"]["log"] == "Hello world\nHello world"
        async with jobs.client(authorization=f"Bearer {OTHER_TOKEN}") as other:
            for reply in (await other.get(f"{REMOTE}/{ids[0]}"), await other.delete(f"{REMOTE}/{ids[0]}")):
                assert (reply.status_code, reply.json()["success"]) == (404, False)


async def test_a_cancelled_job_says_so_and_is_recorded(tmp_path: Path) -> None:
    async with jobs_at(tmp_path, Script(pauses={1: asyncio.Event()})) as jobs, jobs.client() as client:
        work_id = await submitted(client)
        await jobs.remote(client, work_id, "running")
        found = (await client.delete(f"{REMOTE}/{work_id}")).json()["jobs"][work_id]
        assert found["vmStatus"] == "cancelled"
        states = [record.state for record in jobs.journal.records]
        assert states in ([State.ACCEPTED, State.CANCELLED, State.CANCELLED], [State.ACCEPTED, State.CANCELLED])
        assert jobs.api.gate.inside == 0


async def test_a_job_that_is_not_done_in_its_hours_is_expired(tmp_path: Path) -> None:
    async with jobs_at(tmp_path, Script(pauses={1: asyncio.Event()})) as jobs, jobs.client() as client:
        work_id = await submitted(client, ASKED | {"hours": 0.00002})
        found = await jobs.remote(client, work_id, "expired")
    assert found["states"]["default"]["status"] == "expired"
    assert jobs.journal.records[-1].state is State.TIMED_OUT


async def test_a_job_of_which_nothing_is_answered_has_failed(tmp_path: Path) -> None:
    async with jobs_at(tmp_path, Script(error=RuntimeError("no"))) as jobs, jobs.client() as client:
        await jobs.remote(client, await submitted(client), "failed")
    assert [record.state for record in jobs.journal.records] == [State.ACCEPTED, State.FAILED, State.FAILED]


async def test_a_restart_asks_what_is_not_recorded_and_nothing_else(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with jobs_at(tmp_path, Script(pauses={1: gate})) as jobs, jobs.client() as client:
        work_id = await submitted(client, TWO)
        await jobs.remote(client, work_id, "running")
        await jobs.jobs.stop()
        assert jobs.journal.open == {}
        before = len(jobs.journal.records)
        jobs.api.dispatcher.script = Script()
        jobs.begin()
        assert await jobs.jobs.start() == 1
        found = await jobs.remote(client, work_id, "finished")
    assert found["states"]["default"]["log"] == "Hello world\nHello world"
    after = jobs.journal.records[before:]
    assert [record.state for record in after] == [State.COMPLETED] * 3
    assert len([one for one in jobs.journal.records if one.state is State.ACCEPTED]) == 1


async def test_an_answer_that_was_recorded_and_not_kept_is_read_out_of_its_record(tmp_path: Path) -> None:
    async with jobs_at(tmp_path) as jobs, jobs.client() as client:
        work_id = await submitted(client)
        await jobs.remote(client, work_id, "finished")
        (line,) = jobs.store.lines(work_id)
        jobs.journal.records.pop(), jobs.journal.entries.pop()  # its end
        lost = jobs.store.insert(replaced(jobs.store.get(work_id, WorkKind.REMOTE, SENDER), work_id), [line.asked])
        jobs.store.announce(jobs.store.lines(lost.id)[0].id, line.record_id)
        before = len(jobs.api.dispatcher.calls)
        jobs.begin()
        assert await jobs.jobs.start() == 1
        await jobs.remote(client, lost.id, "finished", "failed")
        (again,) = jobs.store.lines(lost.id)
    assert len(jobs.api.dispatcher.calls) == before
    assert (again.record_id, again.answer) == (line.record_id, line.answer)


def replaced(found, work_id: str):
    """A job that was accepted and whose process died."""

    return replace(found, id=work_id[::-1], state=WorkState.RUNNING, ended_by=None, finished_at=None, keep_until=None)


async def test_a_row_whose_record_does_not_stand_is_removed(tmp_path: Path) -> None:
    async with jobs_at(tmp_path) as jobs, jobs.client() as client:
        work_id = await submitted(client)
        await jobs.remote(client, work_id, "finished")
        ended = jobs.store.get(work_id, WorkKind.REMOTE, SENDER)
        from dataclasses import replace

        jobs.store.insert(replace(replaced(ended, work_id), record_id=type(NO_RECORD)(b"\x09" * 16)), [])
        jobs.begin()
        assert await jobs.jobs.start() == 0
        assert jobs.store.unfinished() == []


async def test_requests_of_jobs_wait_outside_of_a_full_gate(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(asking, "RETRY_LINE_S", 0.001)
    async with jobs_at(tmp_path) as jobs, jobs.client() as client:
        work_id = await submitted(client)
        await jobs.remote(client, work_id, "finished")
        entered = jobs.api.gate.entered
        again = await submitted(client)
        jobs.api.gate.error = Overloaded(bound="requests at once", limit=1, retry_after_s=1)
        await jobs.remote(client, again, "running", "finished")
        assert jobs.api.gate.inside == 0
        jobs.api.gate.error = None
        await jobs.remote(client, again, "finished")
    assert jobs.api.gate.entered > entered


async def test_no_more_requests_run_side_by_side_than_may(tmp_path: Path) -> None:
    gate = asyncio.Event()
    body = ASKED | {"commandLine": json.dumps({"input": ["x"] * 9})}
    async with jobs_at(tmp_path, Script(pauses={0: gate})) as jobs, jobs.client() as client:
        work_id = await submitted(client, body)

        async def full() -> bool:
            return len(jobs.api.dispatcher.calls) == asking.MAX_LINES_AT_ONCE

        await jobs.until(full)
        assert jobs.api.gate.inside == asking.MAX_LINES_AT_ONCE
        gate.set()
        await jobs.remote(client, work_id, "finished")
    assert len(jobs.api.dispatcher.calls) == 9


async def test_a_request_that_was_cut_off_too_often_is_given_up(tmp_path: Path) -> None:
    async with jobs_at(tmp_path) as jobs, jobs.client() as client:
        work_id = await submitted(client)
        await jobs.remote(client, work_id, "finished")
        (line,) = jobs.store.lines(work_id)
        jobs.journal.records.pop(), jobs.journal.entries.pop()  # its end
        lost = jobs.store.insert(replaced(jobs.store.get(work_id, WorkKind.REMOTE, SENDER), work_id), [line.asked])
        for n in range(errors.MAX_ATTEMPTS):
            jobs.store.announce(jobs.store.lines(lost.id)[0].id, type(NO_RECORD)(bytes([n]) * 16))
        jobs.begin()
        await jobs.jobs.start()
        await jobs.remote(client, lost.id, "failed")
        (again,) = jobs.store.lines(lost.id)
    assert json.loads(again.answer.body)["error"]["code"] == "interrupted"


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"commandLine": "print('x')"}, 400, "commandLine"),
        ({"commandLine": "{'input': [__import__('os')]}"}, 400, "commandLine"),
        ({"commandLine": "{'input': []}"}, 400, "commandLine"),
        ({"commandLine": "[" * 100_000}, 413, "larger"),
        ({"commandLine": "[" * 10_000}, 400, "commandLine"),
        ({"commandLine": json.dumps({"input": ["x"] * 65})}, 400, "commandLine"),
        ({"commandLine": 7}, 400, "commandLine"),
        ({"app": "other"}, 400, "app"),
        ({"tag": "unheard/of"}, 404, "does not exist"),
        ({"hours": 0}, 400, "hours"),
        ({"hours": 169}, 400, "hours"),
        ({"other": 1}, 400, "other"),
    ],
)
async def test_what_cannot_be_taken_is_refused_in_the_documents_shape(changes: dict, status: int, words: str) -> None:
    api = Api()
    async with api.client() as client:
        reply = await client.post(REMOTE, json=ASKED | changes)
    assert (reply.status_code, set(reply.json()), reply.json()["success"]) == (status, {"success", "error"}, False)
    assert words in reply.json()["error"]
    assert api.journal.records == []


async def test_more_jobs_than_may_wait_are_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(work, "MAX_OPEN_PER_OWNER", 1)
    async with jobs_at(tmp_path, Script(pauses={1: asyncio.Event()})) as jobs, jobs.client() as client:
        await submitted(client)
        reply = await client.post(REMOTE, json=ASKED)
        assert (reply.status_code, reply.json()["success"]) == (429, False)
        assert "retry-after" in reply.headers


async def test_without_a_token_the_refusal_has_the_same_shape() -> None:
    async with Api().client(authorization="Bearer tsk_nobody") as client:
        reply = await client.get(f"{REMOTE}/{'a' * 32}")
    assert (reply.status_code, reply.json()["success"]) == (401, False)
