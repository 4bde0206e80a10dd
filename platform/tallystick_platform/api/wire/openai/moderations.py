"""`POST /v1/moderations`, which is refused: a server that judged contents by no model would say that everything is harmless."""

from __future__ import annotations

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from tallystick_platform.api.credentials import principal_of
from tallystick_platform.api.endpoint import Endpoint
from tallystick_platform.api.services import Services
from tallystick_platform.errors import PlatformError


class ModerationNotOffered(PlatformError, status=400, code="not_offered"):
    """No model here judges contents, so nothing is called harmless."""

    def __init__(self) -> None:
        super().__init__(
            "This server offers no moderation: no model here judges contents. Ask a classification model at /v1/classify."
        )


def moderation_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handler that refuses."""

    @Endpoint("POST", "/v1/moderations", "Refused: no model here judges contents", {400: None})
    async def moderations(request: Request) -> ASGIApp:  # type: ignore[type-arg]
        await principal_of(request.scope["headers"], services.authenticator)
        raise ModerationNotOffered

    return [moderations]
