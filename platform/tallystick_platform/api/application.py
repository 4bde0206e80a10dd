"""The Litestar application over a set of services."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import structlog
from litestar import Litestar, MediaType, Request, Response, route
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from tallystick_platform.api.batches import batch_handlers
from tallystick_platform.api.body import MAX_DISCARD_BYTES
from tallystick_platform.api.cors import Cors
from tallystick_platform.api.credentials import principal_of
from tallystick_platform.api.downloads import download_handlers
from tallystick_platform.api.edge import REQUEST_ID_KEY, Edge
from tallystick_platform.api.endpoint import ENDPOINT_KEY
from tallystick_platform.api.error_table import describe
from tallystick_platform.api.exports import export_handlers
from tallystick_platform.api.files import file_handlers
from tallystick_platform.api.generations import generation_handlers
from tallystick_platform.api.idempotency import Idempotent
from tallystick_platform.api.jobs import job_handlers
from tallystick_platform.api.ledger import ledger_handlers
from tallystick_platform.api.loading import loading_handlers
from tallystick_platform.api.models import model_handlers
from tallystick_platform.api.operations import operation_handlers
from tallystick_platform.api.records import record_handlers
from tallystick_platform.api.refusals import BodyTooLarge, TooSlow
from tallystick_platform.api.registry import registry_handlers
from tallystick_platform.api.remote_jobs import remote_job_handlers
from tallystick_platform.api.replies import Reply, native_error
from tallystick_platform.api.services import Services
from tallystick_platform.api.uploads import upload_handlers
from tallystick_platform.api.wire import anthropic, dispatcher, gateway, hosted, openai, texts
from tallystick_platform.api.wire.openai.moderations import moderation_handlers
from tallystick_platform.api.wire.wire import wire_handler
from tallystick_platform.auth import Principal

_log = structlog.get_logger(__name__)


def create_api(services: Services, *, cors_origins: Collection[str] = ()) -> ASGIApp:
    """Everything that is served over HTTP; pages of `cors_origins` may read it."""
    litestar: ASGIApp = create_litestar(services)
    if cors_origins:
        litestar = Cors(litestar, cors_origins)
    return Edge(litestar, random=services.random, metrics=services.metrics)


def create_litestar(services: Services) -> Litestar:
    """The routes, without the edge around them."""
    handlers = all_handlers(services)

    async def principal(request: Request) -> Principal:  # type: ignore[type-arg]
        return await principal_of(request.scope["headers"], services.authenticator)

    return Litestar(
        route_handlers=[*options_handlers(handlers), *handlers],
        middleware=[Idempotent(services)],
        dependencies={"principal": Provide(principal)},
        exception_handlers=answering_errors(services),
        openapi_config=None,
        logging_config=None,
        request_max_body_size=None,  # api/body.py bounds what it reads; no other handler reads a body
    )


def answering_errors(services: Services) -> dict[int | type[Exception], Any]:
    """What Litestar does with errors of handlers: an answer in their own shape, and a line in the log where the server is at fault."""

    def answer_error(request: Request, error: Exception) -> Response[bytes]:  # type: ignore[type-arg]
        answer = describe(error)
        if answer.status >= 500:
            _log.error(
                "request.failed",
                request_id=request.scope.get(REQUEST_ID_KEY),
                error=type(error).__name__,
                exc_info=error if answer.status == 500 else None,
            )
        else:
            services.metrics.refused.labels(answer.code).inc()
        headers = {name.decode(): value.decode() for name, value in answer.headers()}
        if isinstance(error, TooSlow) or (
            isinstance(error, BodyTooLarge) and not (0 <= (error.announced_bytes or -1) <= MAX_DISCARD_BYTES)
        ):
            headers["connection"] = "close"
        handler = request.scope.get("route_handler")  # none where the router refused
        endpoint = None if handler is None else handler.opt.get(ENDPOINT_KEY)
        status, body = native_error(answer) if endpoint is None else endpoint.error(answer, None)
        return Response(body, status_code=status, media_type=MediaType.JSON, headers=headers)

    return {Exception: answer_error, HTTPException: answer_error}


def all_handlers(services: Services) -> list[HTTPRouteHandler]:
    """Every handler, in the order of the description."""
    handlers = [
        *(wire_handler(wire, services) for wire in (*openai.WIRES, *anthropic.WIRES, *texts.WIRES, *hosted.WIRES)),
        *(wire_handler(wire, services) for wire in (*dispatcher.WIRES, *gateway.wires(services.exchange.models))),
        *moderation_handlers(services),
        *model_handlers(services),
        *loading_handlers(services),
        *registry_handlers(services),
        *upload_handlers(services),
        *export_handlers(services),
        *download_handlers(services),
        *remote_job_handlers(services),
        *job_handlers(services),
        *file_handlers(services),
        *batch_handlers(services),
        *record_handlers(services),
        *generation_handlers(services),
        *ledger_handlers(services),
    ]
    return [*handlers, *operation_handlers(services, handlers)]


def options_handlers(handlers: Iterable[HTTPRouteHandler]) -> list[HTTPRouteHandler]:
    """What answers OPTIONS at each address: all that it takes. Litestar's own knows the first handler of an address alone."""
    taken: dict[str, set[str]] = {}
    for handler in handlers:
        for path in handler.paths:
            taken.setdefault(path, {"OPTIONS"}).update(handler.http_methods)
    # Registered before the others, or Litestar adds its own.
    return [_options_handler(path, ", ".join(sorted(methods))) for path, methods in taken.items()]


def _options_handler(path: str, allow: str) -> HTTPRouteHandler:
    @route(path, http_method="OPTIONS")
    async def options() -> ASGIApp:
        return Reply(b"", status=204, headers=[(b"allow", allow.encode())])

    return options
