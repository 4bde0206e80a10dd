"""Uploads of models, in parts: `POST /v1/models/{model_id}/uploads` and what lies below it.

A part goes to disk as it arrives, a piece at a time; nothing of it is kept in memory.
"""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Literal

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import UNSET, Meta, Struct, UnsetType, field

from tallystick_platform.api.body import announced_bytes
from tallystick_platform.api.credentials import Caller, Headers
from tallystick_platform.api.endpoint import FILE, Endpoint, model_id_of, model_paths
from tallystick_platform.api.query import read_query
from tallystick_platform.api.refusals import BadRequest, ClientGone, PartEncoded, TooSlow
from tallystick_platform.api.registry import MAX_REFERENCE_CHARS, Licence, read_json
from tallystick_platform.api.replies import json_reply
from tallystick_platform.api.services import Services
from tallystick_platform.errors import UnknownModel
from tallystick_platform.formats.errors import FormatError, UnsafeModel
from tallystick_platform.formats.limits import MAX_FILES
from tallystick_platform.registry.desk import in_thread
from tallystick_platform.registry.entries import Visibility
from tallystick_platform.registry.errors import (
    BadReference,
    ContentDiffers,
    DiskFull,
    ModelTaken,
    RegistryFull,
    SignatureRefused,
    TaskDiffers,
    UploadIncomplete,
    UploadRefused,
    UploadUnknown,
    VersionExists,
)
from tallystick_platform.registry.shown import VersionView, shown_version, time_of
from tallystick_platform.registry.upload_entries import PART_BYTES, AnnouncedFile, Announcement, Part, Upload
from tallystick_platform.shapes import MAX_NUMBER, Count, PlainHash, Time, Whole

PART_LIMIT_S = 300.0  # for one part to arrive: 28 KB/s
PIECE_BYTES = 1_048_576
MAX_FILE_NAME_CHARS = 4_096
DIGEST_HEADER = b"x-part-sha256"
_HEX = re.compile(rb"[0-9a-f]{64}")


NO_MODEL = (FormatError, UnsafeModel, SignatureRefused)


class UploadFile(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One file of an upload: its name relative to the model, its bytes, and their SHA-256 in hex."""

    name: Annotated[str, Meta(min_length=1, max_length=MAX_FILE_NAME_CHARS)]
    size: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    sha256: PlainHash


class UploadBody(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """`POST /v1/models/{model_id}/uploads`. `base`: for an adapter, the model that it belongs to."""

    files: Annotated[list[UploadFile], Meta(min_length=1, max_length=MAX_FILES)]
    visibility: Literal["public", "private"] = "private"
    licence: Licence | None = None
    base: Annotated[str, Meta(min_length=1, max_length=MAX_REFERENCE_CHARS)] | None = None


class Gap(Struct, frozen=True, kw_only=True):
    """Parts `first` to `last` of a file."""

    name: str
    first: Count
    last: Count


class UploadView(Struct, frozen=True, kw_only=True, tag_field="object", tag="model.upload"):
    """An upload, with the parts that are still to come. Units: bytes."""

    id: str
    model: str
    part_bytes: Annotated[int, Meta(ge=0, description="The size of every part but a file's last.")]
    size_bytes: Count
    created_at: Time
    expires_at: Time
    missing_parts: Count
    missing: list[Gap]


class UploadRemoved(Struct, frozen=True, kw_only=True, tag_field="object", tag="model.upload"):
    """An upload that was given up."""

    id: str
    deleted: bool


class PartView(Struct, frozen=True, kw_only=True, tag_field="object", tag="model.part"):
    """A part that is durable."""

    part: Count
    size_bytes: Count
    sha256: PlainHash


class PartHeaders(Struct, frozen=True, kw_only=True):
    """What may be said of a part."""

    sha256: Annotated[PlainHash, Meta(description="Checked before the part counts.")] | UnsetType = field(
        name="x-part-sha256", default=UNSET
    )


class PartQuery(Struct, frozen=True, kw_only=True):
    """Which part of a file is sent."""

    part: Annotated[int, Meta(ge=0, le=MAX_NUMBER, description="From 0.")] = 0


def upload_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handlers of the uploads."""
    desk = services.models
    one = model_paths("/uploads/{upload_id:str}")

    @Endpoint(
        "POST",
        model_paths("/uploads"),
        "Announce the files of a model, to be sent in parts",
        {201: UploadView},
        body=UploadBody,
        errors=(UnknownModel, BadReference, ModelTaken, UploadRefused, RegistryFull, DiskFull),
    )
    async def open_upload(request: Request, principal: Caller) -> ASGIApp:  # type: ignore[type-arg]
        body = await read_json(request, services, UploadBody)
        upload = await desk.open_upload(
            model_id_of(request), announcement(body), address=principal.address, token_id=principal.token_id
        )
        return json_reply(upload_view(upload), status=201)

    @Endpoint(
        "GET", model_paths("/uploads"), "Your uploads to this model", {200: Whole[UploadView]}, errors=(BadReference,)
    )
    async def list_uploads(request: Request, principal: Caller) -> ASGIApp:  # type: ignore[type-arg]
        found = await desk.uploads(model_id_of(request), principal.address)
        return json_reply(Whole(data=[upload_view(upload) for upload in found]))

    @Endpoint("GET", one, "An upload, and what is missing", {200: UploadView}, errors=(UploadUnknown,))
    async def get_upload(request: Request, principal: Caller, upload_id: FromPath[str]) -> ASGIApp:  # type: ignore[type-arg]
        return json_reply(upload_view(await desk.upload(model_id_of(request), upload_id, principal.address)))

    @Endpoint(
        "PUT",
        model_paths("/uploads/{upload_id:str}/files/{name:path}"),
        "Send one part of a file; sending it again replaces it",
        {200: PartView},
        body=FILE,
        query=PartQuery,
        headers=PartHeaders,
        errors=(UploadUnknown, UploadRefused, DiskFull),
    )
    async def put_part(request: Request, principal: Caller, upload_id: FromPath[str], name: FromPath[str]) -> ASGIApp:  # type: ignore[type-arg]
        headers = request.scope["headers"]
        number = read_query(request, PartQuery).part
        claimed = claimed_digest(headers)
        if any(name == b"content-encoding" for name, _ in headers):
            raise PartEncoded
        announced_bytes(request.scope, PART_BYTES)
        async with desk.part(
            model_id_of(request), upload_id, principal.address, name.removeprefix("/"), number
        ) as part:
            await receive_part(request, part)
            sha256 = await in_thread(part.finish, claimed)
        return json_reply(PartView(part=number, size_bytes=part.size, sha256=sha256.hex()))

    @Endpoint(
        "POST",
        model_paths("/uploads/{upload_id:str}/complete"),
        "Check every digest, and make the files a version in staging",
        {200: VersionView},
        errors=(UploadUnknown, UploadIncomplete, ContentDiffers, VersionExists, TaskDiffers, *NO_MODEL, DiskFull),
    )
    async def complete_upload(request: Request, principal: Caller, upload_id: FromPath[str]) -> ASGIApp:  # type: ignore[type-arg]
        version = await desk.complete_upload(model_id_of(request), upload_id, principal.address)
        return json_reply(shown_version(version))

    @Endpoint("DELETE", one, "Give an upload up", {200: UploadRemoved}, errors=(UploadUnknown,))
    async def give_up_upload(request: Request, principal: Caller, upload_id: FromPath[str]) -> ASGIApp:  # type: ignore[type-arg]
        await desk.give_up_upload(model_id_of(request), upload_id, principal.address)
        return json_reply(UploadRemoved(id=upload_id, deleted=True))

    return [open_upload, list_uploads, get_upload, put_part, complete_upload, give_up_upload]


async def receive_part(request: Request, part: Part) -> None:  # type: ignore[type-arg]
    """The body of a request to disk. Raises: UploadRefused where it is longer than the part, TooSlow, ClientGone, OSError"""
    pieces, size, more = [], 0, True
    try:
        async with asyncio.timeout(PART_LIMIT_S):
            while more:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                if message["type"] != "http.request":
                    continue
                pieces.append(message["body"])
                size += len(message["body"])
                more = message.get("more_body", False)
                if size >= PIECE_BYTES or not more:
                    await in_thread(part.write, b"".join(pieces))
                    pieces, size = [], 0
    except TimeoutError as error:
        raise TooSlow(what="The part", limit_s=PART_LIMIT_S) from error


def claimed_digest(headers: Headers) -> bytes | None:
    """What the sender says of a part's bytes. Raises: BadRequest"""
    for name, value in headers:
        if name == DIGEST_HEADER:
            if _HEX.fullmatch(value) is None:
                raise BadRequest(
                    "'x-part-sha256' must be 64 hexadecimal digits in lower case.",
                    param="x-part-sha256",
                    code="invalid_value",
                )
            return bytes.fromhex(value.decode())
    return None


def announcement(body: UploadBody) -> Announcement:
    """What an upload is to become."""
    return Announcement(
        files=tuple(
            AnnouncedFile(name=file.name, size=file.size, sha256=bytes.fromhex(file.sha256)) for file in body.files
        ),
        visibility=Visibility(body.visibility),
        licence=body.licence,
        base=body.base,
    )


def upload_view(upload: Upload) -> UploadView:
    """An upload, with the parts that are still to come."""
    return UploadView(
        id=upload.id,
        model=upload.model,
        part_bytes=PART_BYTES,
        size_bytes=upload.announced.size_bytes,
        created_at=time_of(upload.created_at),
        expires_at=time_of(upload.expires_at),
        missing_parts=upload.missing_parts,
        missing=[Gap(name=gap.name, first=gap.first, last=gap.last) for gap in upload.missing],
    )
