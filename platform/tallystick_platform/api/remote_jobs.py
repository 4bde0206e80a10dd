"""`/remotejobs/v2/jobs`: prompts that are taken into a queue, and a log that grows while they are answered.

Answers and errors have the shape of the job API that this address is known from: `success` tells them apart.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from tallystick.errors import RequestError
from tallystick.tasks import jobs as reading
from tallystick.tasks.reading import checked_object
from tallystick_platform.api.body import read_body
from tallystick_platform.api.credentials import Caller
from tallystick_platform.api.endpoint import RECORDED, Endpoint
from tallystick_platform.api.error_table import ErrorAnswer
from tallystick_platform.api.proofs import RecordedHeaders, recorded_headers, recorded_proof
from tallystick_platform.api.received import received
from tallystick_platform.api.refusals import BadRequest, quoted
from tallystick_platform.api.replies import encode_json, json_reply
from tallystick_platform.api.services import Services
from tallystick_platform.api.spelling import CHAT, path_of
from tallystick_platform.api.strict_json import converted, read_object
from tallystick_platform.errors import UnknownModel
from tallystick_platform.jobs.live import US_PER_S
from tallystick_platform.jobs.work import Shown
from tallystick_platform.jobs.work_errors import JobBusy, UnknownJob
from tallystick_platform.shapes import Count
from tallystick_platform.store.work import LineAsked, WorkKind, WorkState

MAX_HOURS: Final = 168
SECONDS_PER_HOUR: Final = 3_600
MAX_IDS: Final = 64
BODY_LIMIT_S: Final = 30.0
ID_BYTES: Final = 16
MAX_TAG_CHARS: Final = 256
_ID = re.compile(r"[0-9a-f]{32}")


class RemoteBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prompts for one model."""

    app: Literal["gridrepublic:text-inference"]
    command: Annotated[
        str, Meta(description="A map with the prompts in `input` or `inputs`: JSON, or a literal with single quotes.")
    ] = msgspec.field(name="commandLine")
    tag: Annotated[str, Meta(min_length=1, max_length=MAX_TAG_CHARS, description="The model.")]
    hours: Annotated[float, Meta(gt=0, le=MAX_HOURS, description="Not done by then, it is given up.")] = 1


class RemoteTaken(Struct, frozen=True, kw_only=True):
    """The ids of what was taken."""

    success: Literal[True] = True
    ids: list[str]


class RemoteRefused(Struct, frozen=True, kw_only=True):
    """Why not."""

    success: Literal[False] = False
    error: str


class RemoteState(Struct, frozen=True, kw_only=True):
    """How far a job is, and what has been answered until now."""

    status: WorkState
    outputFiles: list[str]  # noqa: N815  as it is known
    log: str
    commandLine: str  # noqa: N815
    app: str


class RemoteJob(Struct, frozen=True, kw_only=True):
    """A job. Units: `runtime` seconds."""

    vmStatus: WorkState  # noqa: N815
    states: dict[str, RemoteState]
    created: str
    copy: Count
    tag: str
    runtime: Count


class RemoteJobs(Struct, frozen=True, kw_only=True):
    """Jobs by their ids."""

    success: Literal[True] = True
    jobs: dict[str, RemoteJob]


def remote_error(answer: ErrorAnswer, _tallystick: bytes | None) -> tuple[int, bytes]:
    """An error in the shape of this address."""
    return answer.status, encode_json(RemoteRefused(error=answer.message))


def remote_job_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handlers of these jobs."""
    jobs = services.jobs

    @Endpoint(
        "POST",
        "/remotejobs/v2/jobs",
        "Have prompts answered in the background",
        {200: RemoteTaken},
        body=RemoteBody,
        sends=RecordedHeaders,
        errors=(*RECORDED, UnknownModel),
        error=remote_error,
        refused=RemoteRefused,
    )
    async def create_remote_job(request: Request, principal: Caller) -> ASGIApp:  # type: ignore[type-arg]
        scope = request.scope
        body = await read_body(scope, request.receive, limit_bytes=services.max_body_bytes, limit_s=BODY_LIMIT_S)
        members = read_object(body)
        asked = converted(members, RemoteBody)
        prompts = prompts_of(members)
        path = await path_of(services, asked.tag, principal.address)
        work_id = services.random(ID_BYTES).hex()
        taken = await jobs.submit(
            principal=principal,
            kind=WorkKind.REMOTE,
            work_id=work_id,
            http=received(scope, body, reader=reading.REMOTE_READER, streamed=False),
            lines=[prompt_line(path, asked.tag, prompt, str(at)) for at, prompt in enumerate(prompts)],
            limit_s=asked.hours * SECONDS_PER_HOUR,
            stated={"job": work_id, "app": asked.app, "tag": asked.tag, "hours": asked.hours},
            prompt={"inputs": prompts},
            asked={"tag": asked.tag, "app": asked.app},
        )
        proof = recorded_proof(taken.ticket, taken.entry)
        return json_reply(RemoteTaken(ids=[taken.job.id]), headers=recorded_headers(proof))

    @Endpoint(
        "GET",
        "/remotejobs/v2/jobs/{ids:str}",
        "Jobs by their ids, separated by commas",
        {200: RemoteJobs},
        errors=(UnknownJob,),
        error=remote_error,
        refused=RemoteRefused,
    )
    async def get_remote_jobs(principal: Caller, ids: FromPath[str]) -> ASGIApp:
        shown = [await jobs.show(principal.address, WorkKind.REMOTE, one) for one in ids_of(ids)]
        return json_reply(RemoteJobs(jobs={one.work.id: _view(one, services.clock.now_us()) for one in shown}))

    @Endpoint(
        "DELETE",
        "/remotejobs/v2/jobs/{ids:str}",
        "Give jobs up",
        {200: RemoteJobs},
        errors=(UnknownJob, JobBusy),
        error=remote_error,
        refused=RemoteRefused,
    )
    async def cancel_remote_jobs(principal: Caller, ids: FromPath[str]) -> ASGIApp:
        wanted = ids_of(ids)
        for one in wanted:
            await jobs.find(principal.address, WorkKind.REMOTE, one)  # all of them, or nothing is given up
        for one in wanted:
            await jobs.cancel(principal.address, WorkKind.REMOTE, one)
        shown = [await jobs.show(principal.address, WorkKind.REMOTE, one) for one in wanted]
        return json_reply(RemoteJobs(jobs={one.work.id: _view(one, services.clock.now_us()) for one in shown}))

    return [create_remote_job, get_remote_jobs, cancel_remote_jobs]


def prompts_of(members: dict[str, object]) -> list[Any]:
    """The prompts of a body. Raises: BadRequest."""
    try:
        prompt: Any = reading.read_remote_members(checked_object(members)).prompt
    except RequestError as error:
        where = quoted(error.param)
        raise BadRequest(
            f"Invalid value for '{where}': it {error.reason}.", param=where, code="invalid_value"
        ) from error
    return list(prompt["inputs"])


def prompt_line(path: str, model: str, prompt: str, name: str, **more: object) -> LineAsked:
    """The request that a prompt of a job is."""
    said: dict[str, Any] = {"messages": [{"role": "user", "content": prompt}]} if path == CHAT else {"prompt": prompt}
    return LineAsked(name, path, encode_json({"model": model, **said, **more}))


def ids_of(text: str) -> list[str]:
    """The ids of an address. Raises: UnknownJob, BadRequest."""
    found = list(dict.fromkeys(text.split(",")))
    if len(found) > MAX_IDS:
        raise BadRequest(f"At most {MAX_IDS} jobs can be named at once.", code="invalid_value")
    if not all(_ID.fullmatch(one) for one in found):
        raise UnknownJob
    return found


def log_of(shown: Shown) -> str:
    """What has been answered until now, of one prompt after the other."""
    texts = [line.answer.text if line.answer is not None else shown.said.get(line.number, "") for line in shown.lines]
    while texts and not texts[-1]:
        texts.pop()
    return "\n".join(texts)


def runtime_s(shown: Shown, now_us: int) -> int:
    """How long a job has been at work."""
    work = shown.work
    return 0 if work.started_at is None else max((work.finished_at or now_us) - work.started_at, 0) // US_PER_S


def _view(shown: Shown, now_us: int) -> RemoteJob:
    work = shown.work
    state = RemoteState(
        status=work.state,
        outputFiles=[],
        log=log_of(shown),
        commandLine=encode_json({"inputs": work.asked["prompt"]["inputs"]}).decode(),
        app=work.asked["app"],
    )
    return RemoteJob(
        vmStatus=work.state,
        states={"default": state},
        created=datetime.fromtimestamp(work.created_at // US_PER_S, UTC).isoformat(),
        copy=0,
        tag=work.asked["tag"],
        runtime=runtime_s(shown, now_us),
    )
