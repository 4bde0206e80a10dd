"""`GET /v1/generation?id=`: what one request cost, how long it took, and by whom it was answered, out of its own record.

The service opens the record for its sender while it holds the key of its epoch. Afterwards the sender alone can: with the record's secret.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from tallystick.ids import RecordId, format_record_id, is_record_id
from tallystick.record import BlobRef, Record, State
from tallystick_platform.api.credentials import Caller
from tallystick_platform.api.endpoint import Endpoint
from tallystick_platform.api.proofs import SignedReceipt
from tallystick_platform.api.query import read_query
from tallystick_platform.api.records import NoSuchRecord
from tallystick_platform.api.replies import json_reply
from tallystick_platform.api.services import Services
from tallystick_platform.errors import PlatformError
from tallystick_platform.shapes import Count, Uuid
from tallystick_platform.store.records import Progress, StoredRecord

MAX_ID_CHARS = 64
MICROS = 1_000_000
US_PER_MS = 1000
_ID = re.compile(r"(?:[a-z]+[-_])?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})")


class RecordClosed(PlatformError, status=410, code="record_closed", param="id"):
    """The service has forgotten the key that opens this record."""

    def __init__(self) -> None:
        super().__init__(
            "The key of this record's epoch is forgotten, so that only you can open it now: fetch its bundle and use `tallystick show`."
        )


class GenerationQuery(Struct, frozen=True, kw_only=True):
    """Which request."""

    id: Annotated[
        str, Meta(min_length=1, max_length=MAX_ID_CHARS, description="The answer's `id`, or the id of its record.")
    ]


class Generation(Struct, frozen=True, kw_only=True):
    """One request, in the terms of its record. Units: `total_cost` in whole `currency`, times in milliseconds; `created_at` Unix seconds.

    `latency` runs from the admission to the engine's start, `generation_time` from there to the end. `usage` has every count that the
    record has.
    """

    id: str
    record_id: Uuid
    task: str
    model: str | None
    version: str | None
    provider_name: str | None
    device: str | None
    created_at: Count
    streamed: bool
    cancelled: bool
    outcome: State
    finish_reason: str | None
    total_cost: float | None
    currency: str | None
    price_per_hour: float | None
    device_time: float | None
    latency: float | None
    generation_time: float | None
    tokens_prompt: Count | None
    tokens_completion: Count | None
    usage: dict[str, int]
    state: Annotated[Progress, Meta(description="The record's way to the chain.")]
    receipt: SignedReceipt


class GenerationAnswer(Struct, frozen=True, kw_only=True):
    """The answer to a look-up."""

    data: Generation


def generation_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handler of the look-up."""

    @Endpoint(
        "GET",
        "/v1/generation",
        "What one of your own requests cost, and how it went",
        {200: GenerationAnswer},
        query=GenerationQuery,
        errors=(NoSuchRecord, RecordClosed),
    )
    async def get_generation(request: Request, principal: Caller) -> ASGIApp:  # type: ignore[type-arg]
        asked = read_query(request, GenerationQuery).id
        record_id = _record_id(asked)
        stored = None if record_id is None else await services.records.entry(record_id)
        if stored is None or stored.sender != principal.address:
            raise NoSuchRecord
        record = await services.records.opened(stored)
        if record is None:
            raise RecordClosed
        return json_reply(GenerationAnswer(data=_shown(asked, stored, record)))

    return [get_generation]


def _record_id(asked: str) -> RecordId | None:
    """The record whose id an answer's `id` holds."""
    found = _ID.fullmatch(asked.lower())
    if found is None:
        return None
    value = bytes.fromhex("".join(found.groups()))
    return RecordId(value) if is_record_id(value) else None


def _shown(asked: str, stored: StoredRecord, record: Record) -> Generation:
    model, price, provider, gpu, time = record.model, record.price, record.provider, record.gpu, record.time
    response, usage = record.response, record.usage or {}
    outputs = () if response is None or isinstance(response, BlobRef) else response.outputs
    return Generation(
        id=asked,
        record_id=format_record_id(record.id),
        task=record.task,
        model=None if model is None else model.id,
        version=None if model is None else model.version,
        provider_name=None if provider is None else provider.name,
        device=None if gpu is None else gpu.name,
        created_at=time.admitted_at // MICROS,
        streamed=record.http.streamed,
        cancelled=record.state is State.CANCELLED,
        outcome=record.state,
        finish_reason=next((one.finish_reason for one in outputs), None),
        total_cost=None if price is None else price.charge_micros / MICROS,
        currency=None if price is None else price.currency,
        price_per_hour=None if price is None else price.per_hour_micros / MICROS,
        device_time=None if price is None else price.device_time_us / US_PER_MS,
        latency=None if time.started_at is None else (time.started_at - time.admitted_at) / US_PER_MS,
        generation_time=None if time.started_at is None else (time.finished_at - time.started_at) / US_PER_MS,
        tokens_prompt=usage.get("input_tokens"),
        tokens_completion=usage.get("output_tokens"),
        usage=dict(usage),
        state=stored.progress,
        receipt=msgspec.convert(stored.receipt.to_json(), SignedReceipt),
    )
