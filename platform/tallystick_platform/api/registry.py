"""Models over HTTP: brought from a hub, promoted, retired, removed. What lies on the server's disk is the command line's business."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from litestar import Request, delete, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp

from tallystick_platform.api.body import read_body
from tallystick_platform.api.credentials import principal_of
from tallystick_platform.api.error_table import describe
from tallystick_platform.api.model_paths import model_id_of, model_paths
from tallystick_platform.api.refusals import BadRequest, NothingHere
from tallystick_platform.api.registry_body import RegisterBody
from tallystick_platform.api.replies import json_reply, reads
from tallystick_platform.api.services import Services
from tallystick_platform.api.strict_json import converted, read_object
from tallystick_platform.registry.entries import Stage, Visibility
from tallystick_platform.registry.hub import HUB_PREFIX, parse_hub
from tallystick_platform.registry.registrations import Registration
from tallystick_platform.registry.shown import shown_version

B = TypeVar("B", bound=msgspec.Struct)

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


def registry_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handlers that change what is registered."""
    desk = services.models

    @post("/v1/models", status_code=202)
    async def register(request: Request) -> ASGIApp:  # type: ignore[type-arg]
        principal = await principal_of(request.scope["headers"], services.authenticator)
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
        return json_reply(shown_registration(registration), status=202, headers=[(b"location", where)])

    @reads("/v1/registrations/{registration_id:str}")
    async def get_registration(request: Request, registration_id: FromPath[str]) -> ASGIApp:  # type: ignore[type-arg]
        principal = await principal_of(request.scope["headers"], services.authenticator)
        found = desk.registration(registration_id, principal.address)
        if found is None:
            raise NothingHere("There is no such registration of yours.", code="registration_not_found")
        return json_reply(shown_registration(found))

    @reads(model_paths("/versions"))
    async def list_versions(request: Request) -> ASGIApp:  # type: ignore[type-arg]
        principal = await principal_of(request.scope["headers"], services.authenticator)
        found = await desk.versions(model_id_of(request), principal.address)
        return json_reply({"object": "list", "data": [shown_version(version) for version in found]})

    @post(model_paths("/promote"), status_code=200)
    async def promote(request: Request) -> ASGIApp:  # type: ignore[type-arg]
        principal = await principal_of(request.scope["headers"], services.authenticator)
        return json_reply(shown_version(await desk.promote(model_id_of(request), principal.address)))

    @post(model_paths("/retire"), status_code=200)
    async def retire(request: Request) -> ASGIApp:  # type: ignore[type-arg]
        principal = await principal_of(request.scope["headers"], services.authenticator)
        return json_reply(shown_version(await desk.retire(model_id_of(request), principal.address)))

    @delete(model_paths(), status_code=200)
    async def remove(request: Request) -> ASGIApp:  # type: ignore[type-arg]
        principal = await principal_of(request.scope["headers"], services.authenticator)
        removed = await desk.remove(model_id_of(request), principal.address)
        return json_reply({"object": "model.version", "reference": removed.reference, "deleted": True})

    return [register, get_registration, list_versions, promote, retire, remove]


def shown_registration(registration: Registration) -> dict[str, object]:
    """A model on its way."""
    version = registration.version
    return {
        "id": registration.id,
        "object": "model.registration",
        "model": registration.model,
        "state": registration.state,
        "stage": registration.stage,
        "progress": round(registration.progress, 4),
        "version": None if version is None else shown_version(version),
        "error": None if registration.error is None else describe(registration.error).body(),
    }
