"""`/v1/files`: files of requests for batches, and of their answers, as OpenAI's clients know them."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from tallystick.errors import RequestError
from tallystick.tasks.forms import Part, read_form
from tallystick_platform.api.body import read_body
from tallystick_platform.api.credentials import Caller
from tallystick_platform.api.endpoint import FILE, Endpoint
from tallystick_platform.api.query import Limit, read_query
from tallystick_platform.api.received import content_type_of
from tallystick_platform.api.refusals import BadRequest, quoted
from tallystick_platform.api.replies import Reply, json_reply
from tallystick_platform.api.services import Services
from tallystick_platform.jobs.kept import INPUT
from tallystick_platform.jobs.live import US_PER_S
from tallystick_platform.jobs.work_errors import TooManyFiles, UnknownKeptFile
from tallystick_platform.shapes import Count
from tallystick_platform.store.kept_files import KeptFile

BODY_LIMIT_S: Final = 120.0
MAX_NAME_CHARS: Final = 256

Purpose = Literal["batch", "batch_output", "batch_error"]


class FileForm(Struct, frozen=True, kw_only=True):
    """A file of requests."""

    purpose: Literal["batch"]
    file: Annotated[Any, Meta(description="JSON Lines.", extra_json_schema={"type": "string", "format": "binary"})]


class KeptFileView(Struct, frozen=True, kw_only=True, tag_field="object", tag="file"):
    """A file. Units: bytes, Unix seconds."""

    id: str
    bytes: Count
    created_at: Count
    expires_at: Count
    filename: str
    purpose: Purpose
    status: Literal["processed"] = "processed"


class KeptFileList(Struct, frozen=True, kw_only=True, tag_field="object", tag="list"):
    """Files, newest first."""

    data: list[KeptFileView]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileGone(Struct, frozen=True, kw_only=True, tag_field="object", tag="file"):
    """A file that was removed."""

    id: str
    deleted: Literal[True] = True


class FileQuery(Struct, frozen=True, kw_only=True):
    """Which files."""

    purpose: Annotated[Purpose, Meta(description="Only files that are for this.")] | None = None
    after: Annotated[str, Meta(max_length=64, description="The last id of the page before.")] | None = None
    limit: Limit = 100


def file_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handlers of these files."""
    files = services.files

    @Endpoint(
        "POST", "/v1/files", "Keep a file of requests for a batch", {200: KeptFileView}, body=FileForm, form=True,
        errors=(TooManyFiles,),
    )  # fmt: skip
    async def create_file(request: Request, principal: Caller) -> ASGIApp:  # type: ignore[type-arg]
        scope = request.scope
        body = await read_body(scope, request.receive, limit_bytes=services.max_media_bytes, limit_s=BODY_LIMIT_S)
        name, content = read_upload(content_type_of(scope), body)
        return json_reply(_view(await files.keep(principal.address, name, content)))

    @Endpoint("GET", "/v1/files", "Your files, newest first", {200: KeptFileList}, query=FileQuery)
    async def list_kept_files(request: Request, principal: Caller) -> ASGIApp:  # type: ignore[type-arg]
        query = read_query(request, FileQuery)
        found, more = await files.page(principal.address, query.purpose, after=query.after, limit=query.limit)
        first, last = (found[0].id, found[-1].id) if found else (None, None)
        shown = [_view(file) for file in found]
        return json_reply(KeptFileList(data=shown, first_id=first, last_id=last, has_more=more))

    @Endpoint("GET", "/v1/files/{file_id:str}", "One file", {200: KeptFileView}, errors=(UnknownKeptFile,))
    async def get_file(principal: Caller, file_id: FromPath[str]) -> ASGIApp:
        return json_reply(_view(await files.find(principal.address, file_id)))

    @Endpoint("GET", "/v1/files/{file_id:str}/content", "What a file holds", {200: FILE}, errors=(UnknownKeptFile,))
    async def get_file_content(principal: Caller, file_id: FromPath[str]) -> ASGIApp:
        content = await files.content(await files.find(principal.address, file_id))
        return Reply(content, content_type=FILE.encode())

    @Endpoint("DELETE", "/v1/files/{file_id:str}", "Remove a file", {200: FileGone}, errors=(UnknownKeptFile,))
    async def delete_file(principal: Caller, file_id: FromPath[str]) -> ASGIApp:
        return json_reply(FileGone(id=(await files.remove(principal.address, file_id)).id))

    return [create_file, list_kept_files, get_file, get_file_content, delete_file]


def read_upload(content_type: str | None, body: bytes) -> tuple[str, bytes]:
    """The name and the content of the one file of a form. Raises: BadRequest."""
    try:
        return _upload(read_form("POST", content_type, body))
    except RequestError as error:
        where = quoted(error.param) or None
        message = f"Invalid value for '{where or 'body'}': it {error.reason}."
        raise BadRequest(message, param=where, code="invalid_value") from error


def _upload(parts: list[Part]) -> tuple[str, bytes]:
    found = {part.name: part for part in parts}
    unknown = [part.name for part in parts if part.name not in ("file", "purpose")]
    if unknown or len(found) < len(parts):
        raise RequestError(unknown[0] if unknown else parts[-1].name, "is unknown or given twice")
    purpose, file = found.get("purpose"), found.get("file")
    if purpose is None or purpose.text() != INPUT:
        raise RequestError("purpose", f"must be {INPUT!r}")
    if file is None or file.file_name is None or not 1 <= len(file.file_name) <= MAX_NAME_CHARS:
        raise RequestError("file", f"is no file with a name of 1 to {MAX_NAME_CHARS} characters")
    return file.file_name, file.data


def _view(file: KeptFile) -> KeptFileView:
    return KeptFileView(
        id=file.id,
        bytes=file.size_bytes,
        created_at=file.created_at // US_PER_S,
        expires_at=file.keep_until // US_PER_S,
        filename=file.name,
        purpose=file.purpose,  # type: ignore[arg-type]  # one of PURPOSES
    )
