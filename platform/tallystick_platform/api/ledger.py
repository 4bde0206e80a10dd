"""`GET /v1/ledger` and `/v1/ledger/batches`: where the records stand. All of it is public on the chain; none of it needs a token."""

from __future__ import annotations

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Struct

from tallystick_platform.api.endpoint import BatchNumber, Endpoint
from tallystick_platform.api.ledger_desk import BatchView, LedgerView
from tallystick_platform.api.query import Paging, read_query, read_texts
from tallystick_platform.api.replies import json_reply
from tallystick_platform.api.services import Services
from tallystick_platform.errors import PlatformError
from tallystick_platform.shapes import Page


class NoSuchBatch(PlatformError, status=404, code="batch_not_found", says="There is no such batch."):
    """The log has no batch of this number."""


class WhichBatch(Struct, frozen=True):
    """The batch that an address names."""

    number: BatchNumber


def ledger_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handlers of the ledger paths."""

    @Endpoint("GET", "/v1/ledger", "The log: contract, log id, size, head, what waits", {200: LedgerView}, public=True)
    async def get_ledger() -> ASGIApp:
        return json_reply(await services.ledger.view())

    @Endpoint(
        "GET", "/v1/ledger/batches", "The batches, newest first", {200: Page[BatchView]}, query=Paging, public=True
    )
    async def list_batches(request: Request) -> ASGIApp:  # type: ignore[type-arg]
        query = read_query(request, Paging)
        found = await services.ledger.batches(before=query.cursor, limit=query.limit + 1)
        shown, more = list(found[: query.limit]), len(found) > query.limit
        return json_reply(Page(data=shown, has_more=more, next_cursor=shown[-1].number if more else None))

    @Endpoint(
        "GET",
        "/v1/ledger/batches/{number:str}",
        "One batch",
        {200: BatchView},
        errors=(NoSuchBatch,),
        public=True,
    )
    async def get_batch(number: FromPath[str]) -> ASGIApp:
        batch = await services.ledger.batch(read_texts({"number": [number]}, WhichBatch).number)
        if batch is None:
            raise NoSuchBatch
        return json_reply(batch)

    return [get_ledger, list_batches, get_batch]
