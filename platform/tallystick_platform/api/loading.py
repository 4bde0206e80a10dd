"""`POST /v1/models/{id}/load` and `/unload`: the owner of a model, or the operator, says what workers hold."""

from __future__ import annotations

import asyncio

from litestar import Request, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from tallystick_platform.api.credentials import principal_of
from tallystick_platform.api.model_paths import model_id_of, model_paths
from tallystick_platform.api.replies import json_reply
from tallystick_platform.api.services import Services
from tallystick_platform.errors import RequestTimedOut


def loading_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handlers of the two paths."""

    @post(model_paths("/load"), status_code=200)
    async def load_model(request: Request) -> ASGIApp:  # type: ignore[type-arg]
        principal = await principal_of(request.scope["headers"], services.authenticator)
        limit_s = services.request_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                state = await services.loading.load(model_id_of(request), principal.address)
        except TimeoutError as error:  # the load itself goes on
            raise RequestTimedOut(timeout_s=limit_s) from error
        return json_reply(state)

    @post(model_paths("/unload"), status_code=200)
    async def unload_model(request: Request) -> ASGIApp:  # type: ignore[type-arg]
        principal = await principal_of(request.scope["headers"], services.authenticator)
        return json_reply(await services.loading.unload(model_id_of(request), principal.address))

    return [load_model, unload_model]
