"""`POST /v1/models/{id}/load` and `/unload`: the owner of a model, or the operator, says what workers hold."""

from __future__ import annotations

import asyncio

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from tallystick_platform.api.credentials import Caller
from tallystick_platform.api.endpoint import Endpoint, model_id_of, model_paths
from tallystick_platform.api.replies import json_reply
from tallystick_platform.api.services import LoadState, Services
from tallystick_platform.errors import (
    ModelBusy,
    ModelLoadFailed,
    ModelPinned,
    ModelTooLarge,
    NoProvider,
    NoRoomForModel,
    NotServable,
    Overloaded,
    QueueFull,
    RequestTimedOut,
    UnknownModel,
)
from tallystick_platform.registry.errors import BadReference, NotTheOwner

UNLOAD_ERRORS = (UnknownModel, BadReference, NotTheOwner, ModelBusy, ModelPinned)
LOAD_ERRORS = (
    UnknownModel,
    BadReference,
    NotTheOwner,
    NotServable,
    ModelTooLarge,
    NoRoomForModel,
    ModelLoadFailed,
    NoProvider,
    Overloaded,
    QueueFull,
    RequestTimedOut,
)


def loading_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handlers of the two paths."""

    @Endpoint("POST", model_paths("/load"), "Have a worker load it now", {200: LoadState}, errors=LOAD_ERRORS)
    async def load_model(request: Request, principal: Caller) -> ASGIApp:  # type: ignore[type-arg]
        limit_s = services.request_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                state = await services.loading.load(model_id_of(request), principal.address)
        except TimeoutError as error:  # the load itself goes on
            raise RequestTimedOut(timeout_s=limit_s) from error
        return json_reply(state)

    @Endpoint("POST", model_paths("/unload"), "Give its memory back", {200: LoadState}, errors=UNLOAD_ERRORS)
    async def unload_model(request: Request, principal: Caller) -> ASGIApp:  # type: ignore[type-arg]
        return json_reply(await services.loading.unload(model_id_of(request), principal.address))

    return [load_model, unload_model]
