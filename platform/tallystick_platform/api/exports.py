"""`POST /v1/models/{model_id}/exports`, and `/v1/exports`: jobs that take a model away in another format.

A job exists for who asked for it and for the owner of its model; for everybody else it does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import UNSET, Meta, Struct, UnsetType, field

from tallystick.ids import format_record_id, to_hex
from tallystick.tasks import exports
from tallystick_platform.api.body import read_body
from tallystick_platform.api.credentials import Caller
from tallystick_platform.api.endpoint import RECORDED, Endpoint, model_id_of, model_paths
from tallystick_platform.api.proofs import Proof, RecordedHeaders, recorded_headers, recorded_proof
from tallystick_platform.api.query import Paging, read_query
from tallystick_platform.api.received import received
from tallystick_platform.api.refusals import BadRequest
from tallystick_platform.api.replies import Header, json_reply
from tallystick_platform.api.services import Services
from tallystick_platform.api.strict_json import converted, read_object
from tallystick_platform.errors import UnknownModel
from tallystick_platform.exporter.spec import QUANTIZATIONS, Format
from tallystick_platform.jobs.errors import ExportBusy, ExportUnsupported, TooManyExports, UnknownExport
from tallystick_platform.jobs.published import downloadable
from tallystick_platform.registry.errors import BadReference, DiskFull
from tallystick_platform.shapes import Count, FileView, Hash, Page, Uuid
from tallystick_platform.store.jobs import ExportJob, JobState

READER = exports.EXPORT_READER
MAX_BODY_BYTES = 4_096
BODY_LIMIT_S = 30.0
MAX_QUANTIZATION_CHARS = 32


class ExportBody(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The format to export to, and how its weights are quantised; without that as the format keeps them best."""

    format: Format
    quantization: Annotated[str, Meta(pattern=rf"^[A-Za-z0-9_]{{1,{MAX_QUANTIZATION_CHARS}}}$")] | None = None


class JobError(Struct, frozen=True, kw_only=True):
    """Why a job failed, as its record says it."""

    code: str
    message: str


class ExportSummary(Struct, frozen=True, kw_only=True, tag_field="object", tag="export"):
    """A job in a list: without what may be long. Units: microseconds UTC."""

    id: str
    state: JobState
    stage: Annotated[str | None, Meta(description="What is being done; null where nothing is.")]
    progress: Annotated[float, Meta(ge=0, le=1)]
    model: str
    version: str
    source_digest: Annotated[Hash, Meta(description="What the receipts of the exported model hold.")]
    format: str
    quantization: str | None
    manifest_digest: Annotated[
        Hash | None, Meta(description="Of all files but the signature, `model.sig`; it stands in the record.")
    ]
    record: Annotated[Uuid, Meta(description="The record that took the job.")]
    ended_by: Annotated[Uuid | None, Meta(description="The record that says how it ended, and follows the other.")]
    error: JobError | None
    created_at_us: Count
    due_by_us: Annotated[int, Meta(ge=0, description="What is not done by then is given up.")]
    finished_at_us: Count | None


class ExportView(ExportSummary, frozen=True, kw_only=True, tag_field="object", tag="export"):
    """A job as its owner sees it. In the answer that takes the job, `tallystick` is the proof of `record`."""

    files: list[FileView]
    parity: Annotated[Mapping[str, Any] | None, Meta(description="How the exported model computed beside its source.")]
    tallystick: Proof | UnsetType = UNSET


class ExportHeaders(RecordedHeaders, frozen=True, kw_only=True):
    """The proof of the record, and where the job is."""

    location: Annotated[str, Meta(description="Where the job is.")] = field(name="Location")


def export_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handlers of the export jobs."""
    jobs = services.exports

    @Endpoint(
        "POST",
        model_paths("/exports"),
        "Export a model in a format that runs elsewhere: taken, and recorded as that; poll `Location`",
        {202: ExportView},
        body=ExportBody,
        sends=ExportHeaders,
        errors=(*RECORDED, UnknownModel, BadReference, ExportUnsupported, TooManyExports, DiskFull),
    )
    async def create_export(request: Request, principal: Caller) -> ASGIApp:  # type: ignore[type-arg]
        scope = request.scope
        body = await read_body(scope, request.receive, limit_bytes=MAX_BODY_BYTES, limit_s=BODY_LIMIT_S)
        asked = parse_export(body)
        taken = await jobs.submit(
            principal=principal,
            reference=model_id_of(request),
            format=asked.format,
            quantization=asked.quantization,
            http=received(scope, body, reader=READER, streamed=False),
        )
        proof = recorded_proof(taken.ticket, taken.entry)
        headers = [(b"location", f"/v1/exports/{taken.job.id}".encode()), *recorded_headers(proof)]
        return json_reply(view_of(taken.job, proof), status=202, headers=headers)

    @Endpoint("GET", "/v1/exports", "Your exports, newest first", {200: Page[ExportSummary]}, query=Paging)
    async def list_exports(request: Request, principal: Caller) -> ASGIApp:  # type: ignore[type-arg]
        query = read_query(request, Paging)
        page = await jobs.page(principal.address, cursor=query.cursor, limit=query.limit)
        shown = [ExportSummary(**_common(job)) for job in page.jobs]
        return json_reply(Page(data=shown, has_more=page.next_cursor is not None, next_cursor=page.next_cursor))

    @Endpoint("GET", "/v1/exports/{export_id:str}", "One export", {200: ExportView}, errors=(UnknownExport,))
    async def get_export(principal: Caller, export_id: FromPath[str]) -> ASGIApp:
        job = await jobs.find(principal.address, export_id)
        return json_reply(view_of(job), headers=[record_header(job)])

    @Endpoint(
        "DELETE",
        "/v1/exports/{export_id:str}",
        "Give an export up; or, where it is finished, remove its files",
        {200: ExportView},
        errors=(UnknownExport, ExportBusy),
    )
    async def cancel_export(principal: Caller, export_id: FromPath[str]) -> ASGIApp:
        return json_reply(view_of(await jobs.cancel(principal.address, export_id)))

    return [create_export, list_exports, get_export, cancel_export]


def parse_export(body: bytes) -> ExportBody:
    """Read an export request.

    Raises: BadRequest, naming the parameter.
    """
    asked = converted(read_object(body), ExportBody)
    if asked.quantization is not None and asked.quantization.lower() not in _known(asked.format):
        offered = ", ".join(QUANTIZATIONS[asked.format]) or "none: the weights stay as they are"
        raise BadRequest(
            f"'quantization' can be, for {asked.format}: {offered}.", param="quantization", code="invalid_value"
        )
    return asked


def _known(form: Format) -> set[str]:
    return {name.lower() for name in QUANTIZATIONS[form]}


def record_header(job: ExportJob) -> Header:
    """Which record says that the job was taken."""
    return (b"x-tallystick-record", format_record_id(job.record_id).encode())


def view_of(job: ExportJob, proof: Proof | UnsetType = UNSET) -> ExportView:
    """A job as its owner sees it."""
    return ExportView(
        **_common(job),
        files=[FileView(name=file.name, size=file.size, sha256=file.sha256.hex()) for file in downloadable(job)],
        parity=job.parity,
        tallystick=proof,
    )


def _common(job: ExportJob) -> dict[str, Any]:
    return {
        "id": job.id,
        "state": job.state,
        "stage": job.stage,
        "progress": round(job.progress, 3),
        "model": job.model,
        "version": job.version,
        "source_digest": to_hex(job.source_digest),
        "format": job.format,
        "quantization": job.quantization,
        "manifest_digest": None if job.digest is None else to_hex(job.digest),
        "record": format_record_id(job.record_id),
        "ended_by": None if job.ended_by is None else format_record_id(job.ended_by),
        "error": None if job.error is None else JobError(code=job.error.code, message=job.error.message),
        "created_at_us": job.created_at,
        "due_by_us": job.due_by,
        "finished_at_us": job.finished_at,
    }
