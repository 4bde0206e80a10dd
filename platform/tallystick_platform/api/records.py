"""`GET /v1/records` and what lies below it. A caller sees their own records; everyone else's do not exist for them.

The encrypted blobs alone need no token: their digests stand in the opened record and nowhere else, so that knowing one is the permission.
"""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from tallystick.errors import IdError
from tallystick.ids import RecordId, checksum_address, format_record_id, parse_hash, parse_record_id, to_hex
from tallystick.record import State
from tallystick_platform.api.credentials import Caller
from tallystick_platform.api.endpoint import FILE, Endpoint
from tallystick_platform.api.proofs import SignedReceipt
from tallystick_platform.api.query import Paging, read_query
from tallystick_platform.api.ranges import conditions_of
from tallystick_platform.api.replies import Reply, json_reply
from tallystick_platform.api.services import Services
from tallystick_platform.auth import Principal
from tallystick_platform.errors import PlatformError
from tallystick_platform.shapes import Address, Count, Hash, Page, Uuid
from tallystick_platform.store.records import Progress, StoredRecord

BUNDLE = "Its evidence bundle: one file that verifies offline (`tallystick verify FILE`)"
BLOB = "A large field of a record, encrypted: for whoever knows its digest, which only the opened record tells"
_BLOB_HEADERS = [(b"cache-control", b"public, max-age=31536000, immutable"), (b"x-content-type-options", b"nosniff")]


class NoSuchRecord(PlatformError, status=404, code="record_not_found", says="There is no such record of yours."):
    """There is no such record of the caller's."""


class NoSuchBlob(PlatformError, status=404, code="blob_not_found", says="There is no such blob."):
    """The same for an unknown record and an unknown digest: whoever knows the digest of encrypted bytes may have them, and nobody else
    learns what there is."""


class RecordView(Struct, frozen=True, kw_only=True, tag_field="object", tag="record"):
    """A record as its sender sees it. Units: Unix seconds, as signed; `recorded_at_us` in microseconds."""

    record_id: Uuid
    index: Count
    state: Annotated[Progress, Meta(description="The record's way to the chain.")]
    outcome: Annotated[State, Meta(description="How the request ended.")]
    task: str
    model: str | None
    sender: Address
    follows: Annotated[Uuid | None, Meta(description="The record in state `accepted` whose work this one ends.")]
    sender_seq: Annotated[int, Meta(ge=0, description="Gap-free per sender: a missing number is a missing record.")]
    admission_seq: Annotated[int, Meta(ge=0, description="Gap-free over the whole log.")]
    epoch: Count
    leaf: Hash
    fields_root: Hash
    admitted_at: Count
    record_by: Count
    batch: Count | None
    issued_at: Count
    anchor_by: Count
    recorded_at_us: Count


class RecordQuery(Paging, frozen=True, kw_only=True):
    """Which records are listed."""

    state: Annotated[State, Meta(description="How the request ended (`outcome`).")] | None = None
    model: Annotated[str, Meta(description="Only this model's.")] | None = None


class ProofQuery(Struct, frozen=True, kw_only=True):
    """How a bundle is made."""

    secret: Annotated[bool, Meta(description="Put the record's secret in, which opens it.")] = True


def record_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handlers of the record paths."""

    async def own_record(principal: Principal, record_id: str) -> StoredRecord:
        try:
            found = await services.records.entry(parse_record_id(record_id))
        except IdError:
            found = None
        if found is None or found.sender != principal.address:
            raise NoSuchRecord
        return found

    @Endpoint("GET", "/v1/records", "Your own records, newest first", {200: Page[RecordView]}, query=RecordQuery)
    async def list_records(request: Request, principal: Caller) -> ASGIApp:  # type: ignore[type-arg]
        query = read_query(request, RecordQuery)
        page = await services.records.list(
            principal.address, cursor=query.cursor, limit=query.limit, state=query.state, model=query.model
        )
        shown = [view_of(record) for record in page.records]
        return json_reply(Page(data=shown, has_more=page.next_cursor is not None, next_cursor=page.next_cursor))

    one = "/v1/records/{record_id:str}"

    @Endpoint("GET", one, "One record's way to the chain", {200: RecordView}, errors=(NoSuchRecord,))
    async def get_record(principal: Caller, record_id: FromPath[str]) -> ASGIApp:
        return json_reply(view_of(await own_record(principal, record_id)))

    @Endpoint("GET", f"{one}/receipt", "Its signed receipt", {200: SignedReceipt}, errors=(NoSuchRecord,))
    async def get_receipt(principal: Caller, record_id: FromPath[str]) -> ASGIApp:
        record = await own_record(principal, record_id)
        return json_reply(record.receipt.to_json())

    @Endpoint("GET", f"{one}/proof", BUNDLE, {200: dict[str, Any]}, query=ProofQuery, errors=(NoSuchRecord,))
    async def get_proof(request: Request, principal: Caller, record_id: FromPath[str]) -> ASGIApp:  # type: ignore[type-arg]
        record = await own_record(principal, record_id)
        bundle = await services.ledger.bundle(record, with_secret=read_query(request, ProofQuery).secret)
        name = f'attachment; filename="tallystick-{format_record_id(record.record_id)}.json"'
        return Reply(bundle, headers=[(b"content-disposition", name.encode()), (b"cache-control", b"no-store")])

    @Endpoint("GET", f"{one}/blobs/{{digest:str}}", BLOB, {200: FILE, 304: None}, errors=(NoSuchBlob,), public=True)
    async def get_blob(request: Request, record_id: FromPath[str], digest: FromPath[str]) -> ASGIApp:  # type: ignore[type-arg]
        named = _named_blob(record_id, digest)
        blob = await services.records.blob(*named)
        if blob is None:
            raise NoSuchBlob
        etag = f'"{to_hex(named[1])}"'
        headers = [(b"etag", etag.encode()), *_BLOB_HEADERS]
        known = conditions_of(request.scope["headers"]).is_known(etag)
        return Reply(b"" if known else blob, status=304 if known else 200, content_type=FILE.encode(), headers=headers)

    return [list_records, get_record, get_receipt, get_proof, get_blob]


def _named_blob(record_id: str, digest: str) -> tuple[RecordId, bytes]:
    try:
        return parse_record_id(record_id), parse_hash(digest)
    except IdError as error:
        raise NoSuchBlob from error


def view_of(record: StoredRecord) -> RecordView:
    """A record as its sender sees it."""
    return RecordView(
        record_id=format_record_id(record.record_id),
        index=record.index,
        state=record.progress,
        outcome=record.state,
        task=record.task,
        model=record.model,
        sender=checksum_address(record.sender),
        follows=None if record.follows is None else format_record_id(record.follows),
        sender_seq=record.sender_seq,
        admission_seq=record.admission_seq,
        epoch=record.epoch,
        leaf=to_hex(record.leaf),
        fields_root=to_hex(record.fields_root),
        admitted_at=record.admission.admission.admitted_at,
        record_by=record.admission.admission.record_by,
        batch=record.batch,
        issued_at=record.receipt.receipt.issued_at,
        anchor_by=record.receipt.receipt.anchor_by,
        recorded_at_us=record.created_at,
    )
