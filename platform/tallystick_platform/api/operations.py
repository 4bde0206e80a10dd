"""Health, readiness, metrics, and the pages for people."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from html import escape
from typing import Any, Literal

from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from tallystick_platform.api.endpoint import Endpoint
from tallystick_platform.api.openapi_document import document
from tallystick_platform.api.openapi_page import PAGE_HEADERS, render, shell
from tallystick_platform.api.replies import HTML, Reply, encode_json, json_reply
from tallystick_platform.api.services import Readiness, Services

LINKS = (
    ("/schema", "the API, described"),
    ("/schema/openapi.json", "the same as OpenAPI 3.1"),
    ("/v1/ledger", "the log: contract, log id, size, head"),
    ("/v1/ledger/batches", "the batches on the chain"),
    ("/healthz", "is the process alive"),
    ("/readyz", "would a request be answered now"),
    ("/metrics", "figures for Prometheus"),
)


class Health(Struct, frozen=True):
    """The process is alive."""

    status: Literal["ok"]


def operation_handlers(services: Services, others: Sequence[HTTPRouteHandler]) -> list[HTTPRouteHandler]:
    """The handlers of the operations paths; `others` are described beside them."""
    links = "".join(f'<li><a href="{path}">{path}</a> - {escape(text)}</li>' for path, text in LINKS)
    index = shell(
        "Tallystick", f"<h1>Tallystick</h1><p>Inference that proves what it did.</p><ul>{links}</ul>"
    ).encode()

    @Endpoint("GET", ["/healthz", "/health"], "Whether the process is alive", {200: Health}, public=True)
    async def healthz() -> ASGIApp:
        return json_reply(Health("ok"))

    @Endpoint(
        "GET",
        "/readyz",
        "Whether a request would be answered now",
        {200: Readiness, 503: Readiness},
        public=True,
    )
    async def readyz() -> ASGIApp:
        now = await services.readiness()
        return json_reply(now, status=200 if now.status == "ready" else 503)

    @Endpoint("GET", "/metrics", "Figures for Prometheus", {200: "text/plain"}, public=True)
    async def metrics() -> ASGIApp:
        # In a thread: some figures are read from the journal's database at this moment.
        body = await asyncio.to_thread(generate_latest, services.metrics.registry)
        return Reply(body, content_type=CONTENT_TYPE_LATEST.encode())

    @Endpoint("GET", "/schema/openapi.json", "This description", {200: dict[str, Any]}, public=True)
    async def openapi_document() -> ASGIApp:
        return Reply(schema)

    @Endpoint("GET", "/schema", "This description as a page", {200: "text/html"}, public=True)
    async def openapi_page() -> ASGIApp:
        return Reply(page, content_type=HTML, headers=PAGE_HEADERS)

    @Endpoint("GET", "/", "Where things are", {200: "text/html"}, public=True)
    async def landing() -> ASGIApp:
        return Reply(index, content_type=HTML, headers=PAGE_HEADERS)

    own = [healthz, readyz, metrics, openapi_document, openapi_page, landing]
    described = document([*others, *own])
    schema, page = encode_json(described), render(described).encode()
    return own
