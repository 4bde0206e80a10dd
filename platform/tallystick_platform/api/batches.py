"""`/v1/batches`: the requests of a file, answered in the background into another file, as OpenAI's clients know it."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import UNSET, Meta, Struct, UnsetType

from tallystick.ids import format_record_id, to_hex
from tallystick.tasks import jobs as reading
from tallystick_platform.api.body import read_body
from tallystick_platform.api.credentials import Caller
from tallystick_platform.api.endpoint import RECORDED, Endpoint
from tallystick_platform.api.proofs import Proof, RecordedHeaders, recorded_headers, recorded_proof
from tallystick_platform.api.query import Limit, read_query
from tallystick_platform.api.received import received
from tallystick_platform.api.refusals import BadRequest
from tallystick_platform.api.replies import json_reply
from tallystick_platform.api.services import Services
from tallystick_platform.api.spelling import WIRES
from tallystick_platform.api.strict_json import converted, read_object
from tallystick_platform.jobs.batch_lines import ERRORS, OUTPUT, read_batch
from tallystick_platform.jobs.live import US_PER_S
from tallystick_platform.jobs.work_errors import BadBatch, JobBusy, UnknownJob, UnknownKeptFile
from tallystick_platform.shapes import Count, Uuid
from tallystick_platform.store.work import Work, WorkKind, WorkState

WINDOW_S: Final = 86_400
MAX_BODY_BYTES: Final = 65_536
BODY_LIMIT_S: Final = 30.0
MAX_METADATA: Final = 16
ID_BYTES: Final = 12

Status = Literal["validating", "in_progress", "completed", "failed", "cancelled", "expired"]
_STATUSES: Final[dict[WorkState, Status]] = {
    WorkState.QUEUED: "validating",
    WorkState.RUNNING: "in_progress",
    WorkState.FINISHED: "completed",
    WorkState.FAILED: "failed",
    WorkState.CANCELLED: "cancelled",
    WorkState.EXPIRED: "expired",
}


class BatchBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of requests, and where they go to."""

    input_file_id: Annotated[str, Meta(min_length=1, max_length=64)]
    endpoint: Annotated[str, Meta(min_length=1, max_length=64, description="Such as /v1/chat/completions.")]
    completion_window: Literal["24h"]
    metadata: Annotated[dict[str, str], Meta(max_length=MAX_METADATA)] | None = None


class RequestCounts(Struct, frozen=True, kw_only=True):
    """How far a batch is."""

    total: Count
    completed: Count
    failed: Count


class BatchFault(Struct, frozen=True, kw_only=True):
    """Why a batch failed."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class BatchFaults(Struct, frozen=True, kw_only=True, tag_field="object", tag="list"):
    """Why a batch failed."""

    data: list[BatchFault]


class RequestBatch(Struct, frozen=True, kw_only=True, tag_field="object", tag="batch"):
    """A batch. Units: Unix seconds. `record` took it, `ended_by` says what became of it."""

    id: str
    endpoint: str
    errors: BatchFaults | None
    input_file_id: str
    completion_window: str
    status: Status
    output_file_id: str | None
    error_file_id: str | None
    created_at: Count
    in_progress_at: Count | None
    expires_at: Count
    completed_at: Count | None
    failed_at: Count | None
    expired_at: Count | None
    cancelled_at: Count | None
    request_counts: RequestCounts
    metadata: dict[str, str] | None
    record: Uuid
    ended_by: Uuid | None
    tallystick: Proof | UnsetType = UNSET


class RequestBatchList(Struct, frozen=True, kw_only=True, tag_field="object", tag="list"):
    """Batches, newest first."""

    data: list[RequestBatch]
    first_id: str | None
    last_id: str | None
    has_more: bool


class BatchQuery(Struct, frozen=True, kw_only=True):
    """Which batches."""

    after: Annotated[str, Meta(max_length=64, description="The last id of the page before.")] | None = None
    limit: Limit = 20


def batch_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handlers of batches."""
    jobs, files = services.jobs, services.files

    @Endpoint(
        "POST",
        "/v1/batches",
        "Have the requests of a file answered in the background",
        {200: RequestBatch},
        body=BatchBody,
        sends=RecordedHeaders,
        errors=(*RECORDED, UnknownKeptFile, BadBatch),
    )
    async def create_batch(request: Request, principal: Caller) -> ASGIApp:  # type: ignore[type-arg]
        scope = request.scope
        body = await read_body(scope, request.receive, limit_bytes=MAX_BODY_BYTES, limit_s=BODY_LIMIT_S)
        asked = converted(read_object(body), BatchBody)
        if asked.endpoint not in WIRES:
            known = ", ".join(WIRES)
            raise BadRequest(f"'endpoint' can be {known}.", param="endpoint", code="invalid_value")
        file = await files.find(principal.address, asked.input_file_id)
        lines = read_batch(await files.content(file), asked.endpoint)
        work_id = f"batch_{services.random(ID_BYTES).hex()}"
        shown: dict[str, Any] = {
            "input_file_id": asked.input_file_id,
            "endpoint": asked.endpoint,
            "completion_window": asked.completion_window,
        }
        taken = await jobs.submit(
            principal=principal,
            kind=WorkKind.BATCH,
            work_id=work_id,
            http=received(scope, body, reader=reading.BATCH_READER, streamed=False),
            lines=lines,
            limit_s=WINDOW_S,
            stated={**shown, "batch": work_id, "lines": len(lines), "input_digest": to_hex(file.digest)},
            prompt={"metadata": asked.metadata},
            asked={**shown, "metadata": asked.metadata},
        )
        proof = recorded_proof(taken.ticket, taken.entry)
        return json_reply(_view(taken.job, proof), headers=recorded_headers(proof))

    @Endpoint(
        "GET",
        "/v1/batches",
        "Your batches, newest first",
        {200: RequestBatchList},
        query=BatchQuery,
        errors=(UnknownJob,),
    )
    async def list_request_batches(request: Request, principal: Caller) -> ASGIApp:  # type: ignore[type-arg]
        query = read_query(request, BatchQuery)
        cursor = (
            None if query.after is None else (await jobs.find(principal.address, WorkKind.BATCH, query.after)).number
        )
        page = await jobs.page(principal.address, WorkKind.BATCH, cursor=cursor, limit=query.limit)
        shown = [_view(work) for work in page.works]
        first, last = (shown[0].id, shown[-1].id) if shown else (None, None)
        return json_reply(
            RequestBatchList(data=shown, first_id=first, last_id=last, has_more=page.next_cursor is not None)
        )

    @Endpoint("GET", "/v1/batches/{batch_id:str}", "One batch", {200: RequestBatch}, errors=(UnknownJob,))
    async def get_request_batch(principal: Caller, batch_id: FromPath[str]) -> ASGIApp:
        return json_reply(_view(await jobs.find(principal.address, WorkKind.BATCH, batch_id)))

    @Endpoint(
        "POST",
        "/v1/batches/{batch_id:str}/cancel",
        "Give a batch up",
        {200: RequestBatch},
        errors=(UnknownJob, JobBusy),
    )
    async def cancel_batch(request: Request, principal: Caller, batch_id: FromPath[str]) -> ASGIApp:  # type: ignore[type-arg]
        await read_body(request.scope, request.receive, limit_bytes=MAX_BODY_BYTES, limit_s=BODY_LIMIT_S)
        return json_reply(_view(await jobs.cancel(principal.address, WorkKind.BATCH, batch_id)))

    return [create_batch, list_request_batches, get_request_batch, cancel_batch]


def _view(work: Work, proof: Proof | UnsetType = UNSET) -> RequestBatch:
    asked = work.asked

    def ended(state: WorkState) -> int | None:
        return work.finished_at // US_PER_S if work.finished_at is not None and work.state is state else None

    fault = work.error if work.state is WorkState.FAILED else None
    errors = None if fault is None else BatchFaults(data=[BatchFault(code=fault.code, message=fault.message)])
    return RequestBatch(
        id=work.id,
        endpoint=asked["endpoint"],
        errors=errors,
        input_file_id=asked["input_file_id"],
        completion_window=asked["completion_window"],
        status=_STATUSES[work.state],
        output_file_id=asked.get(OUTPUT),
        error_file_id=asked.get(ERRORS),
        created_at=work.created_at // US_PER_S,
        in_progress_at=None if work.started_at is None else work.started_at // US_PER_S,
        expires_at=work.due_by // US_PER_S,
        completed_at=ended(WorkState.FINISHED),
        failed_at=ended(WorkState.FAILED),
        expired_at=ended(WorkState.EXPIRED),
        cancelled_at=ended(WorkState.CANCELLED),
        request_counts=RequestCounts(total=work.lines, completed=work.completed, failed=work.failed),
        metadata=asked["metadata"],
        record=format_record_id(work.record_id),
        ended_by=None if work.ended_by is None else format_record_id(work.ended_by),
        tallystick=proof,
    )
