"""`/v1/jobs`: prompts that are taken into a queue, each for up to three models side by side; every answer has a record of its own."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import UNSET, Meta, Struct, UnsetType

from tallystick.ids import format_record_id
from tallystick.tasks import jobs as reading
from tallystick_platform.api.body import read_body
from tallystick_platform.api.credentials import Caller
from tallystick_platform.api.endpoint import RECORDED, Endpoint
from tallystick_platform.api.proofs import Proof, RecordedHeaders, recorded_headers, recorded_proof
from tallystick_platform.api.query import Paging, read_query
from tallystick_platform.api.received import received
from tallystick_platform.api.remote_jobs import BODY_LIMIT_S, ID_BYTES, MAX_HOURS, SECONDS_PER_HOUR, prompt_line
from tallystick_platform.api.replies import json_reply
from tallystick_platform.api.services import Services
from tallystick_platform.api.spelling import path_of
from tallystick_platform.api.strict_json import converted, read_object
from tallystick_platform.errors import UnknownModel
from tallystick_platform.jobs.live import US_PER_S
from tallystick_platform.jobs.work import Shown
from tallystick_platform.jobs.work_errors import JobBusy, UnknownJob
from tallystick_platform.shapes import Count, Page, Uuid
from tallystick_platform.store.work import Work, WorkKind, WorkState

MAX_MODEL_CHARS: Final = 256

Name = Annotated[str, Meta(min_length=1, max_length=MAX_MODEL_CHARS)]
Prompt = Annotated[str, Meta(min_length=1, pattern=r"\S")]


class JobBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prompts, and the models that each of them is for."""

    models: Annotated[list[Name], Meta(min_length=1, max_length=reading.MAX_MODELS)]
    inputs: Annotated[list[Prompt], Meta(min_length=1, max_length=reading.MAX_PROMPTS)]
    hours: Annotated[float, Meta(gt=0, le=MAX_HOURS, description="Not done by then, it is given up.")] = 1


class JobResult(Struct, frozen=True, kw_only=True):
    """What came of one prompt with one model. `output` grows while it is answered; `status` and `answer` are there once it is.

    `answer` is what the model's own address would have sent, with the proof of its record.
    """

    input: Count
    model: str
    output: str
    status: Count | None
    answer: Any


class JobView(Struct, frozen=True, kw_only=True, tag_field="object", tag="job"):
    """A job. Units: Unix seconds. `record` took it, `ended_by` says what became of it. `results` are left out of lists."""

    id: str
    state: WorkState
    models: list[str]
    inputs: Count
    total: Count
    completed: Count
    failed: Count
    created_at: Count
    due_by: Count
    finished_at: Count | None
    record: Uuid
    ended_by: Uuid | None
    results: list[JobResult] | UnsetType = UNSET
    tallystick: Proof | UnsetType = UNSET


def job_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handlers of jobs."""
    jobs = services.jobs

    @Endpoint(
        "POST",
        "/v1/jobs",
        "Have prompts answered in the background, by up to three models each",
        {202: JobView},
        body=JobBody,
        sends=RecordedHeaders,
        errors=(*RECORDED, UnknownModel),
    )
    async def create_job(request: Request, principal: Caller) -> ASGIApp:  # type: ignore[type-arg]
        scope = request.scope
        body = await read_body(scope, request.receive, limit_bytes=services.max_body_bytes, limit_s=BODY_LIMIT_S)
        asked = converted(read_object(body), JobBody)
        models = list(dict.fromkeys(asked.models))
        paths = {model: await path_of(services, model, principal.address) for model in models}
        lines = [
            prompt_line(paths[model], model, prompt, f"{at}/{model}")
            for at, prompt in enumerate(asked.inputs)
            for model in models
        ]
        work_id = services.random(ID_BYTES).hex()
        taken = await jobs.submit(
            principal=principal,
            kind=WorkKind.NATIVE,
            work_id=work_id,
            http=received(scope, body, reader=reading.JOB_READER, streamed=False),
            lines=lines,
            limit_s=asked.hours * SECONDS_PER_HOUR,
            stated={"job": work_id, "models": asked.models, "hours": asked.hours},
            prompt={"inputs": asked.inputs},
            asked={"models": models, "inputs": len(asked.inputs)},
        )
        proof = recorded_proof(taken.ticket, taken.entry)
        headers = [(b"location", f"/v1/jobs/{work_id}".encode()), *recorded_headers(proof)]
        view = msgspec.structs.replace(_view(taken.job), tallystick=proof)
        return json_reply(view, status=202, headers=headers)

    @Endpoint("GET", "/v1/jobs", "Your jobs, newest first", {200: Page[JobView]}, query=Paging)
    async def list_jobs(request: Request, principal: Caller) -> ASGIApp:  # type: ignore[type-arg]
        query = read_query(request, Paging)
        page = await jobs.page(principal.address, WorkKind.NATIVE, cursor=query.cursor, limit=query.limit)
        shown = [_view(work) for work in page.works]
        return json_reply(Page(data=shown, has_more=page.next_cursor is not None, next_cursor=page.next_cursor))

    one = "/v1/jobs/{job_id:str}"

    @Endpoint("GET", one, "A job, and what has been answered until now", {200: JobView}, errors=(UnknownJob,))
    async def get_job(principal: Caller, job_id: FromPath[str]) -> ASGIApp:
        shown = await jobs.show(principal.address, WorkKind.NATIVE, job_id)
        return json_reply(msgspec.structs.replace(_view(shown.work), results=_results(shown)))

    @Endpoint("DELETE", one, "Give up what of a job is not done", {200: JobView}, errors=(UnknownJob, JobBusy))
    async def cancel_job(principal: Caller, job_id: FromPath[str]) -> ASGIApp:
        return json_reply(_view(await jobs.cancel(principal.address, WorkKind.NATIVE, job_id)))

    return [create_job, list_jobs, get_job, cancel_job]


def _view(work: Work) -> JobView:
    return JobView(
        id=work.id,
        state=work.state,
        models=work.asked["models"],
        inputs=work.asked["inputs"],
        total=work.lines,
        completed=work.completed,
        failed=work.failed,
        created_at=work.created_at // US_PER_S,
        due_by=work.due_by // US_PER_S,
        finished_at=None if work.finished_at is None else work.finished_at // US_PER_S,
        record=format_record_id(work.record_id),
        ended_by=None if work.ended_by is None else format_record_id(work.ended_by),
    )


def _results(shown: Shown) -> list[JobResult]:
    return [
        JobResult(
            input=int(place),
            model=model,
            output=shown.said.get(line.number, "") if line.answer is None else line.answer.text,
            status=line.status,
            answer=None if line.answer is None else msgspec.Raw(line.answer.body),
        )
        for line in shown.lines
        for place, _, model in [line.asked.name.partition("/")]
    ]
