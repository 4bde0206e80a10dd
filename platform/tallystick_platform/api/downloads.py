"""`GET /v1/exports/{id}/files/{name}`, `/archive.tar`, and `GET /v1/models/{id}/files`: files, whole or in part, each delivery a record.

The first byte leaves once the admission is durable, which the headers prove; the record says how many bytes the connection took. What
sends no content (HEAD, 304, refusals) is no delivery and leaves no record.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec import UNSET, Meta, Struct, UnsetType, field

from tallystick.ids import to_hex
from tallystick_platform.api.credentials import Caller
from tallystick_platform.api.endpoint import FILE, RECORDED, Endpoint, model_id_of, model_paths
from tallystick_platform.api.error_table import describe, describe_recorded
from tallystick_platform.api.proofs import (
    AdmittedHeaders,
    admitted_headers,
    recorded_headers,
    recorded_proof,
    withheld_headers,
)
from tallystick_platform.api.ranges import Conditions, conditions_of
from tallystick_platform.api.received import received
from tallystick_platform.api.refusals import OtherContent, RangeRefused
from tallystick_platform.api.replies import Header, Reply, encode_json, json_reply, send_error, send_start
from tallystick_platform.api.services import Services
from tallystick_platform.api.watched import WatchedReply
from tallystick_platform.auth import Principal
from tallystick_platform.errors import PlatformError, UnknownModel
from tallystick_platform.exchange.faults import ClientLeft
from tallystick_platform.exchange.line import Admitted
from tallystick_platform.exchange.request import HttpFacts
from tallystick_platform.jobs.downloads import Downloads, Part, archive_of, part_of
from tallystick_platform.jobs.errors import DownloadStalled, ExportNotFinished, FileChanged, UnknownExport, UnknownFile
from tallystick_platform.jobs.published import ARCHIVE_NAME, Published, version_files
from tallystick_platform.registry.errors import BadReference, NoFiles
from tallystick_platform.shapes import FileView, Hash

SEND_LIMIT_S = 30.0  # for the empty last message, to a client that does not read
TAR = "application/x-tar"
REFUSED = (*RECORDED, OtherContent, RangeRefused, DownloadStalled, FileChanged)
ABORT_KEY = "tallystick.abort"
"""In the scope: what closes the connection at once, without waiting for a client that does not read."""


class FilesView(Struct, frozen=True, kw_only=True, tag_field="object", tag="model.files"):
    """A version's files as they were registered; the digest covers all of them but the signature."""

    reference: str
    model: str
    version: str
    manifest_digest: Hash
    files: list[FileView]


class DownloadHeaders(Struct, frozen=True, kw_only=True):
    """How much of a file is asked for, and on which condition."""

    range: Annotated[str, Meta(description="One range of bytes of a file.")] | UnsetType = field(
        name="Range", default=UNSET
    )
    if_range: Annotated[str, Meta(description="The ETag of what you have: another gives the whole.")] | UnsetType = (
        field(name="If-Range", default=UNSET)
    )
    if_match: Annotated[str, Meta(description="The ETag of what is wanted: another gives 412.")] | UnsetType = field(
        name="If-Match", default=UNSET
    )
    if_none_match: Annotated[str, Meta(description="The ETag of what you have: the same gives 304.")] | UnsetType = (
        field(name="If-None-Match", default=UNSET)
    )


def download_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handlers of the published files."""

    def answer(request: Request, principal: Principal, part: Part) -> ASGIApp:  # type: ignore[type-arg]
        scope = request.scope
        conditions = conditions_of(scope["headers"])
        etag = etag_of(part)
        if conditions.is_other(etag):
            raise OtherContent
        if conditions.is_known(etag):
            return Reply(b"", status=304, headers=described(part, etag))
        head_only = scope["method"] == "HEAD"
        if not head_only:
            part = narrowed(part, conditions, etag)
        status = 200 if part.span is None else 206
        headers = described(part, etag)
        if head_only:
            return Reply(b"", content_type=kind_of(part), status=status, headers=headers, length=part.length)
        http = received(scope, b"", reader=part.of.reader, streamed=True)
        return DownloadReply(services.downloads, principal, part, http, status, headers)

    @Endpoint(
        "GET",
        "/v1/exports/{export_id:str}/files/{name:path}",
        "One file of a finished export, whole or in part; each delivery is a record",
        {200: FILE, 206: FILE, 304: None},
        headers=DownloadHeaders,
        sends=AdmittedHeaders,
        errors=(*REFUSED, UnknownExport, UnknownFile, ExportNotFinished),
    )
    async def download_file(
        request: Request,  # type: ignore[type-arg]
        principal: Caller,
        export_id: FromPath[str],
        name: FromPath[str],
    ) -> ASGIApp:
        published = await services.exports.published(principal.address, export_id)
        return answer(request, principal, part_of(published, name.removeprefix("/")))

    @Endpoint(
        "GET",
        f"/v1/exports/{{export_id:str}}/{ARCHIVE_NAME}",
        "All its files as one tar stream; each delivery is a record",
        {200: TAR, 304: None},
        headers=DownloadHeaders,
        sends=AdmittedHeaders,
        errors=(*REFUSED, UnknownExport, ExportNotFinished),
    )
    async def download_archive(request: Request, principal: Caller, export_id: FromPath[str]) -> ASGIApp:  # type: ignore[type-arg]
        return answer(request, principal, archive_of(await services.exports.published(principal.address, export_id)))

    @Endpoint(
        "GET",
        model_paths("/files"),
        "The files that a version was registered with",
        {200: FilesView},
        errors=(UnknownModel, BadReference, NoFiles),
    )
    async def list_files(request: Request, principal: Caller) -> ASGIApp:  # type: ignore[type-arg]
        return json_reply(listed(version_files(await services.models.files(model_id_of(request), principal.address))))

    @Endpoint(
        "GET",
        model_paths("/files/{name:path}"),
        "One of these files, whole or in part; each delivery is a record",
        {200: FILE, 206: FILE, 304: None},
        headers=DownloadHeaders,
        sends=AdmittedHeaders,
        errors=(*REFUSED, UnknownModel, BadReference, NoFiles, UnknownFile),
    )
    async def download_original(request: Request, principal: Caller, name: FromPath[str]) -> ASGIApp:  # type: ignore[type-arg]
        found = version_files(await services.models.files(model_id_of(request), principal.address))
        return answer(request, principal, part_of(found, name.removeprefix("/")))

    return [download_file, download_archive, list_files, download_original]


def listed(of: Published) -> FilesView:
    """A version's files as they are shown."""
    return FilesView(
        reference=of.name,
        model=of.model,
        version=of.version,
        manifest_digest=to_hex(of.digest),
        files=[FileView(name=file.name, size=file.size, sha256=file.sha256.hex()) for file in of.files],
    )


def kind_of(part: Part) -> bytes:
    """The media type of a delivery."""
    return (TAR if part.file is None else FILE).encode()


def etag_of(part: Part) -> str:
    """A file's content is named by its SHA-256; an archive's by the digest of all that it holds."""
    if part.file is None:
        return f'"{part.of.digest.hex()}.tar"'
    return f'"{part.file.sha256.hex()}"'


def narrowed(part: Part, conditions: Conditions, etag: str) -> Part:
    """The part that is asked for. Of an archive there is only the whole. Raises: RangeRefused."""
    if part.file is None:
        return part
    span = conditions.span(etag, part.length)
    if span is None:
        return part
    return Part(of=part.of, name=part.name, file=part.file, offset=span.offset, length=span.length, span=str(span))


def described(part: Part, etag: str) -> list[Header]:
    """The headers of a delivery, but for those that its status line and its record bring."""
    name = part.name.rpartition("/")[2] if part.file is not None else f"{part.of.name}.tar"
    headers: list[Header] = [
        (b"etag", etag.encode()),
        (b"accept-ranges", b"none" if part.file is None else b"bytes"),
        (b"cache-control", b"private, no-transform"),
        (b"x-content-type-options", b"nosniff"),
        (b"content-disposition", f"attachment; filename*=UTF-8''{quote(name, safe='')}".encode()),
    ]
    if part.file is not None:
        digest = b"sha-256=:" + b64encode(part.file.sha256) + b":"
        headers.append((b"repr-digest", digest))
        if part.span is None:
            headers.append((b"content-digest", digest))
        else:
            headers.append((b"content-range", part.span.encode()))
    return headers


@dataclass(eq=False)
class DownloadReply(WatchedReply):
    """One delivery, from its admission to its record."""

    downloads: Downloads
    principal: Principal
    part: Part
    http: HttpFacts
    status: int
    headers: list[Header]

    def __post_init__(self) -> None:
        self._line = self.downloads.line(self.principal, self.part, self.http, self._start, self._chunk)
        self._started = False
        self._abort: Callable[[], None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._abort = scope.get(ABORT_KEY)  # type: ignore[assignment]  # put there by the server
        await super().__call__(scope, receive, send)

    def _stop(self, reason: PlatformError) -> None:
        self._line.stop(reason)

    async def _work(self) -> None:
        headers: list[Header] = []
        tallystick: bytes | None = None
        failure: BaseException | None
        try:
            with self.downloads.place(self.principal.address):
                recorded = await self._line.run()
            failure = recorded.failure
            if failure is not None and not self._started:
                proof = recorded_proof(recorded.ticket, recorded.entry)
                headers, tallystick = recorded_headers(proof), encode_json(proof)
        except PlatformError as error:  # it was not admitted, or its record could not be stored
            failure, headers = error, withheld_headers(error)
        if failure is None:
            async with asyncio.timeout(SEND_LIMIT_S):
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        elif not self._started and not isinstance(failure, ClientLeft):
            async with asyncio.timeout(SEND_LIMIT_S):
                answer = describe(failure) if tallystick is None else describe_recorded(failure)
                await send_error(self._send, answer, headers, tallystick)
        elif self._abort is not None:
            self._abort()  # a cut answer must not look like a whole one, nor wait for who does not read

    async def _start(self, admitted: Admitted) -> None:
        headers = [*self.headers, *admitted_headers(admitted.ticket)]
        self._started = True
        await send_start(self._send, self.status, kind_of(self.part), headers, length=self.part.length)

    async def _chunk(self, chunk: bytes) -> None:
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
