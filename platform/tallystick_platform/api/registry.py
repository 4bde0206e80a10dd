"""Models over HTTP: brought from a hub, promoted, retired, removed. What lies on the server's disk is the command line's business."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec
from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from tallystick_platform.api.body import read_body
from tallystick_platform.api.credentials import Caller
from tallystick_platform.api.endpoint import Endpoint, model_id_of, model_paths
from tallystick_platform.api.error_table import ErrorBody, describe
from tallystick_platform.api.refusals import BadRequest
from tallystick_platform.api.replies import json_reply
from tallystick_platform.api.services import Services
from tallystick_platform.api.strict_json import converted, read_object
from tallystick_platform.errors import Overloaded, PlatformError, UnknownModel
from tallystick_platform.registry.entries import Stage, Visibility
from tallystick_platform.registry.errors import (
    BadReference,
    InUse,
    ModelTaken,
    NotTheOwner,
    RegistryFull,
    SignatureRefused,
    SourceUnusable,
)
from tallystick_platform.registry.hub import HUB_PREFIX, parse_hub
from tallystick_platform.registry.registrations import Registration
from tallystick_platform.registry.shown import VersionView, shown_version
from tallystick_platform.shapes import Whole

B = TypeVar("B", bound=msgspec.Struct)

MAX_REFERENCE_CHARS = 256
MAX_LICENCE_CHARS = 128

Licence = Annotated[str, Meta(min_length=1, max_length=MAX_LICENCE_CHARS)]

NOT_FROM_HERE = (
    "Over HTTP a model comes from a hub, as 'hf:owner/name' or 'hf:owner/name@revision', or as an upload to "
    "/v1/models/{id}/uploads. A path on the server's own disk is registered with `tallystick-server model add`."
)


async def read_json(request: Request, services: Services, kind: type[B]) -> B:  # type: ignore[type-arg]
    """A body of one of the registry's shapes. Raises: BadRequest, BodyTooLarge, TooSlow, ClientGone"""
    body = await read_body(
        request.scope, request.receive, limit_bytes=services.max_body_bytes, limit_s=services.request_timeout_s
    )
    return converted(read_object(body), kind)


VERSIONS = "Its versions, newest first"
PROMOTE = "Offer a version to everybody who may see the model"
RETIRE = "Withdraw a version: it answers nothing new and stays on disk"
REMOVE = "Forget a version and give its space back"
OF_ONE = (UnknownModel, BadReference)


class RegisterBody(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What is to be brought. `source` is `hf:owner/name` or `hf:owner/name@revision`."""

    source: Annotated[
        str, Meta(min_length=1, max_length=MAX_REFERENCE_CHARS, extra_json_schema={"pattern": "^hf:[^/]+/[^/]+$"})
    ]
    id: Annotated[str, Meta(min_length=1, max_length=MAX_REFERENCE_CHARS)] | None = None
    visibility: Literal["public", "private"] = "private"
    licence: Licence | None = None


class NoSuchRegistration(PlatformError, status=404, code="registration_not_found"):
    """There is no such registration of the caller's."""

    def __init__(self) -> None:
        super().__init__("There is no such registration of yours.")


class RegistrationView(Struct, frozen=True, kw_only=True, tag_field="object", tag="model.registration"):
    """A model on its way: its version once it has arrived, or why it did not."""

    id: str
    model: str
    state: Literal["queued", "running", "finished", "failed"]
    stage: str
    progress: Annotated[float, Meta(ge=0, le=1)]
    version: VersionView | None
    error: ErrorBody | None


class VersionRemoved(Struct, frozen=True, kw_only=True, tag_field="object", tag="model.version"):
    """A version that is gone."""

    reference: str
    deleted: bool


def registry_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handlers that change what is registered."""
    desk = services.models

    @Endpoint(
        "POST",
        "/v1/models",
        "Bring a model from a hub",
        {202: RegistrationView},
        body=RegisterBody,
        errors=(BadReference, ModelTaken, SourceUnusable, RegistryFull, Overloaded),
    )
    async def register(request: Request, principal: Caller) -> ASGIApp:  # type: ignore[type-arg]
        body = await read_json(request, services, RegisterBody)
        if not body.source.startswith(HUB_PREFIX):
            raise BadRequest(NOT_FROM_HERE, param="source", code="invalid_value")
        registration = await desk.register(
            parse_hub(body.source),
            name=body.id,
            address=principal.address,
            visibility=Visibility(body.visibility),
            licence=body.licence,
            stage=Stage.STAGING,
        )
        where = f"/v1/registrations/{registration.id}".encode()
        return json_reply(registration_view(registration), status=202, headers=[(b"location", where)])

    @Endpoint(
        "GET",
        "/v1/registrations/{registration_id:str}",
        "A model on its way",
        {200: RegistrationView},
        errors=(NoSuchRegistration,),
    )
    async def get_registration(principal: Caller, registration_id: FromPath[str]) -> ASGIApp:
        found = desk.registrations.find(registration_id, principal.address)
        if found is None:
            raise NoSuchRegistration
        return json_reply(registration_view(found))

    @Endpoint("GET", model_paths("/versions"), VERSIONS, {200: Whole[VersionView]}, errors=OF_ONE)
    async def list_versions(request: Request, principal: Caller) -> ASGIApp:  # type: ignore[type-arg]
        found = await desk.versions(model_id_of(request), principal.address)
        return json_reply(Whole(data=[shown_version(version) for version in found]))

    @Endpoint(
        "POST", model_paths("/promote"), PROMOTE, {200: VersionView}, errors=(*OF_ONE, NotTheOwner, SignatureRefused)
    )
    async def promote(request: Request, principal: Caller) -> ASGIApp:  # type: ignore[type-arg]
        return json_reply(shown_version(await desk.promote(model_id_of(request), principal.address)))

    @Endpoint("POST", model_paths("/retire"), RETIRE, {200: VersionView}, errors=(*OF_ONE, NotTheOwner, InUse))
    async def retire(request: Request, principal: Caller) -> ASGIApp:  # type: ignore[type-arg]
        return json_reply(shown_version(await desk.retire(model_id_of(request), principal.address)))

    @Endpoint("DELETE", model_paths(), REMOVE, {200: VersionRemoved}, errors=(*OF_ONE, NotTheOwner, InUse))
    async def remove(request: Request, principal: Caller) -> ASGIApp:  # type: ignore[type-arg]
        removed = await desk.remove(model_id_of(request), principal.address)
        return json_reply(VersionRemoved(reference=removed.reference, deleted=True))

    return [register, get_registration, list_versions, promote, retire, remove]


def registration_view(registration: Registration) -> RegistrationView:
    """A model on its way."""
    version, error = registration.version, registration.error
    return RegistrationView(
        id=registration.id,
        model=registration.model,
        state=registration.state,
        stage=registration.stage,
        progress=round(registration.progress, 4),
        version=None if version is None else shown_version(version),
        error=None if error is None else describe(error).body(),
    )
