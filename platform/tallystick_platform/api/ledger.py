"""`GET /v1/ledger` and `/v1/ledger/batches`: where the records stand. All of it is public on the chain; none of it needs a token."""

from __future__ import annotations

from dataclasses import asdict

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp

from tallystick_platform.api.query import whole_number
from tallystick_platform.api.refusals import NothingHere
from tallystick_platform.api.replies import json_reply, reads
from tallystick_platform.api.services import Services

MAX_BATCHES = 100
DEFAULT_BATCHES = 20
MAX_BATCH_NUMBER = 2**53 - 1


def ledger_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handlers of the ledger paths."""

    @reads("/v1/ledger")
    async def get_ledger() -> ASGIApp:
        return json_reply(asdict(await services.ledger.view()))

    @reads("/v1/ledger/batches")
    async def list_batches(request: Request) -> ASGIApp:  # type: ignore[type-arg]
        query = request.query_params
        limit = whole_number(query, "limit", least=1, most=MAX_BATCHES, default=DEFAULT_BATCHES) or DEFAULT_BATCHES
        before = whole_number(query, "cursor", least=0, default=None)
        batches = await services.ledger.batches(before=before, limit=limit + 1)
        shown = batches[:limit]
        more = len(batches) > limit
        return json_reply(
            {
                "object": "list",
                "data": [asdict(batch) for batch in shown],
                "has_more": more,
                "next_cursor": shown[-1].number if more else None,
            }
        )

    @reads("/v1/ledger/batches/{number:str}")
    async def get_batch(number: FromPath[str]) -> ASGIApp:
        wanted = whole_number({"number": number}, "number", least=0, most=MAX_BATCH_NUMBER, default=None)
        batch = None if wanted is None else await services.ledger.batch(wanted)
        if batch is None:
            raise NothingHere("There is no such batch.", code="batch_not_found")
        return json_reply(asdict(batch))

    return [get_ledger, list_batches, get_batch]
