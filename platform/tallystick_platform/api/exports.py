"""`POST /v1/models/{model_id}/exports`, and `/v1/exports`: jobs that take a model away in another format.

A job exists for who asked for it and for the owner of its model; for everybody else it does not.
"""

from __future__ import annotations

import msgspec
from litestar import Request, delete, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp

from tallystick.ids import format_record_id, to_hex
from tallystick.tasks import exports
from tallystick_platform.api.body import read_body
from tallystick_platform.api.credentials import principal_of
from tallystick_platform.api.export_body import parse_export
from tallystick_platform.api.model_paths import model_id_of, model_paths
from tallystick_platform.api.query import Paging, read_query
from tallystick_platform.api.received import received
from tallystick_platform.api.replies import Header, json_reply, reads
from tallystick_platform.api.services import Services
from tallystick_platform.jobs.published import downloadable
from tallystick_platform.store.jobs import ExportJob

READER = exports.EXPORT_READER
MAX_BODY_BYTES = 4_096
BODY_LIMIT_S = 30.0


def export_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handlers of the export jobs."""
    jobs = services.exports

    @post(model_paths("/exports"), status_code=202)
    async def create_export(request: Request) -> ASGIApp:  # type: ignore[type-arg]
        scope = request.scope
        principal = await principal_of(scope["headers"], services.authenticator)
        body = await read_body(scope, request.receive, limit_bytes=MAX_BODY_BYTES, limit_s=BODY_LIMIT_S)
        asked = parse_export(body)
        taken = await jobs.submit(
            principal=principal,
            reference=model_id_of(request),
            format=asked.format,
            quantization=asked.quantization,
            http=received(scope, body, reader=READER, streamed=False),
        )
        proof = services.proofs.recorded(taken.ticket, taken.entry)
        headers = [(b"location", f"/v1/exports/{taken.job.id}".encode()), *proof.headers()]
        content = {**shown(taken.job), "tallystick": msgspec.Raw(proof.tallystick())}
        return json_reply(content, status=202, headers=headers)

    @reads("/v1/exports")
    async def list_exports(request: Request) -> ASGIApp:  # type: ignore[type-arg]
        principal = await principal_of(request.scope["headers"], services.authenticator)
        query = read_query(request, Paging)
        page = await jobs.page(principal.address, cursor=query.cursor, limit=query.limit)
        return json_reply(
            {
                "object": "list",
                "data": [summary(job) for job in page.jobs],
                "has_more": page.next_cursor is not None,
                "next_cursor": page.next_cursor,
            }
        )

    @reads("/v1/exports/{export_id:str}")
    async def get_export(request: Request, export_id: FromPath[str]) -> ASGIApp:  # type: ignore[type-arg]
        principal = await principal_of(request.scope["headers"], services.authenticator)
        job = await jobs.find(principal.address, export_id)
        return json_reply(shown(job), headers=[record_header(job)])

    @delete("/v1/exports/{export_id:str}", status_code=200)
    async def cancel_export(request: Request, export_id: FromPath[str]) -> ASGIApp:  # type: ignore[type-arg]
        principal = await principal_of(request.scope["headers"], services.authenticator)
        return json_reply(shown(await jobs.cancel(principal.address, export_id)))

    return [create_export, list_exports, get_export, cancel_export]


def record_header(job: ExportJob) -> Header:
    """Which record says that the job was taken."""
    return (b"x-tallystick-record", format_record_id(job.record_id).encode())


def summary(job: ExportJob) -> dict[str, object]:
    """A job in a list: without what may be long."""
    return {name: value for name, value in shown(job).items() if name not in {"files", "parity"}}


def shown(job: ExportJob) -> dict[str, object]:
    """A job as its owner sees it. Units: bytes; microseconds UTC; `progress` from 0 to 1.

    `record` says that the job was taken, `ended_by` how it ended; null until then.
    `manifest_digest` covers every file but the signature, `model.sig`.
    """
    files = [{"name": file.name, "size": file.size, "sha256": file.sha256.hex()} for file in downloadable(job)]
    error = None if job.error is None else {"code": job.error.code, "message": job.error.message}
    return {
        "id": job.id,
        "object": "export",
        "state": job.state.value,
        "stage": job.stage,
        "progress": round(job.progress, 3),
        "model": job.model,
        "version": job.version,
        "source_digest": to_hex(job.source_digest),
        "format": job.format,
        "quantization": job.quantization,
        "files": files,
        "manifest_digest": None if job.digest is None else to_hex(job.digest),
        "parity": job.parity,
        "record": format_record_id(job.record_id),
        "ended_by": None if job.ended_by is None else format_record_id(job.ended_by),
        "error": error,
        "created_at_us": job.created_at,
        "due_by_us": job.due_by,
        "finished_at_us": job.finished_at,
    }
