"""Health, readiness, metrics, and the pages for people."""

from __future__ import annotations

import asyncio
from html import escape

from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from tallystick_platform.api.openapi import document
from tallystick_platform.api.openapi_page import PAGE_HEADERS, render, shell
from tallystick_platform.api.replies import HTML, Reply, encode_json, json_reply, reads
from tallystick_platform.api.services import Services

LINKS = (
    ("/schema", "the API, described"),
    ("/schema/openapi.json", "the same as OpenAPI 3.1"),
    ("/v1/ledger", "the log: contract, log id, size, head"),
    ("/v1/ledger/batches", "the batches on the chain"),
    ("/healthz", "is the process alive"),
    ("/readyz", "would a request be answered now"),
    ("/metrics", "figures for Prometheus"),
)


def operation_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handlers of the operations paths."""
    schema = encode_json(document())
    page = render(document()).encode()
    links = "".join(f'<li><a href="{path}">{path}</a> - {escape(text)}</li>' for path, text in LINKS)
    index = shell(
        "Tallystick", f"<h1>Tallystick</h1><p>Inference that proves what it did.</p><ul>{links}</ul>"
    ).encode()

    @reads(["/healthz", "/health"])
    async def healthz() -> ASGIApp:
        return json_reply({"status": "ok"})

    @reads("/readyz")
    async def readyz() -> ASGIApp:
        now = await services.readiness()
        status = "ready" if now.ready else "not ready"
        return json_reply({"status": status, "parts": now.parts}, status=200 if now.ready else 503)

    @reads("/metrics")
    async def metrics() -> ASGIApp:
        # In a thread: some figures are read from the journal's database at this moment.
        body = await asyncio.to_thread(generate_latest, services.metrics.registry)
        return Reply(body, content_type=CONTENT_TYPE_LATEST.encode())

    @reads("/schema/openapi.json")
    async def openapi_document() -> ASGIApp:
        return Reply(schema)

    @reads("/schema")
    async def openapi_page() -> ASGIApp:
        return Reply(page, content_type=HTML, headers=PAGE_HEADERS)

    @reads("/")
    async def landing() -> ASGIApp:
        return Reply(index, content_type=HTML, headers=PAGE_HEADERS)

    return [healthz, readyz, metrics, openapi_document, openapi_page, landing]
