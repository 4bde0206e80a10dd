"""`GET /v1/records` and what lies below it. A caller sees their own records; everyone else's do not exist for them.

The encrypted blobs alone need no token: their digests stand in the opened record and nowhere else, so that knowing one is the permission.
"""

from __future__ import annotations

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp

from tallystick.errors import IdError
from tallystick.ids import RecordId, checksum_address, format_record_id, parse_hash, parse_record_id, to_hex
from tallystick.record import State
from tallystick_platform.api.credentials import principal_of
from tallystick_platform.api.query import flag, whole_number
from tallystick_platform.api.ranges import conditions_of
from tallystick_platform.api.refusals import BadRequest, NothingHere
from tallystick_platform.api.replies import Reply, json_reply, reads
from tallystick_platform.api.services import Services
from tallystick_platform.store.records import MAX_PAGE, StoredRecord

DEFAULT_PAGE = 20
BLOB = b"application/octet-stream"
_BLOB_HEADERS = [(b"cache-control", b"public, max-age=31536000, immutable"), (b"x-content-type-options", b"nosniff")]


def record_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handlers of the record paths."""

    async def own_record(request: Request, record_id: str) -> StoredRecord:  # type: ignore[type-arg]
        principal = await principal_of(request.scope["headers"], services.authenticator)
        try:
            found = await services.records.entry(parse_record_id(record_id))
        except IdError:
            found = None
        if found is None or found.sender != principal.address:
            raise NothingHere("There is no such record of yours.", code="record_not_found")
        return found

    @reads("/v1/records")
    async def list_records(request: Request) -> ASGIApp:  # type: ignore[type-arg]
        principal = await principal_of(request.scope["headers"], services.authenticator)
        query = request.query_params
        page = await services.records.list(
            principal.address,
            cursor=whole_number(query, "cursor", least=1, default=None),
            limit=whole_number(query, "limit", least=1, most=MAX_PAGE, default=DEFAULT_PAGE) or DEFAULT_PAGE,
            state=_state(query.get("state")),
            model=query.get("model"),
        )
        return json_reply(
            {
                "object": "list",
                "data": [status_of(record) for record in page.records],
                "has_more": page.next_cursor is not None,
                "next_cursor": page.next_cursor,
            }
        )

    @reads("/v1/records/{record_id:str}")
    async def get_record(request: Request, record_id: FromPath[str]) -> ASGIApp:  # type: ignore[type-arg]
        return json_reply(status_of(await own_record(request, record_id)))

    @reads("/v1/records/{record_id:str}/receipt")
    async def get_receipt(request: Request, record_id: FromPath[str]) -> ASGIApp:  # type: ignore[type-arg]
        record = await own_record(request, record_id)
        return Reply(services.proofs.receipt(record.receipt))

    @reads("/v1/records/{record_id:str}/proof")
    async def get_proof(request: Request, record_id: FromPath[str]) -> ASGIApp:  # type: ignore[type-arg]
        record = await own_record(request, record_id)
        bundle = await services.ledger.bundle(record, with_secret=flag(request.query_params, "secret", default=True))
        name = f'attachment; filename="tallystick-{format_record_id(record.record_id)}.json"'
        return Reply(bundle, headers=[(b"content-disposition", name.encode()), (b"cache-control", b"no-store")])

    @reads("/v1/records/{record_id:str}/blobs/{digest:str}")
    async def get_blob(request: Request, record_id: FromPath[str], digest: FromPath[str]) -> ASGIApp:  # type: ignore[type-arg]
        named = _named_blob(record_id, digest)
        blob = await services.records.blob(*named)
        if blob is None:
            raise _no_blob()
        etag = f'"{to_hex(named[1])}"'
        headers = [(b"etag", etag.encode()), *_BLOB_HEADERS]
        if conditions_of(request.scope["headers"]).is_known(etag):
            return Reply(b"", status=304, content_type=BLOB, headers=headers)
        return Reply(blob, content_type=BLOB, headers=headers)

    return [list_records, get_record, get_receipt, get_proof, get_blob]


def _named_blob(record_id: str, digest: str) -> tuple[RecordId, bytes]:
    try:
        return parse_record_id(record_id), parse_hash(digest)
    except IdError as error:
        raise _no_blob() from error


def _no_blob() -> NothingHere:
    """The same for an unknown record and an unknown digest: whoever knows the digest of encrypted bytes may have them, and nobody else
    learns what there is."""
    return NothingHere("There is no such blob.", code="blob_not_found")


def status_of(record: StoredRecord) -> dict[str, object]:
    """A record as its sender sees it: `state` is its way to the chain, `outcome` how the request ended.

    Units: Unix seconds, as signed; `recorded_at_us` in microseconds.
    """
    return {
        "record_id": format_record_id(record.record_id),
        "object": "record",
        "index": record.index,
        "state": record.progress.value,
        "outcome": record.state.value,
        "task": record.task,
        "model": record.model,
        "sender": checksum_address(record.sender),
        "follows": None if record.follows is None else format_record_id(record.follows),
        "sender_seq": record.sender_seq,
        "admission_seq": record.admission_seq,
        "epoch": record.epoch,
        "leaf": to_hex(record.leaf),
        "fields_root": to_hex(record.fields_root),
        "admitted_at": record.admission.admission.admitted_at,
        "record_by": record.admission.admission.record_by,
        "batch": record.batch,
        "issued_at": record.receipt.receipt.issued_at,
        "anchor_by": record.receipt.receipt.anchor_by,
        "recorded_at_us": record.created_at,
    }


def _state(text: str | None) -> State | None:
    if text is None:
        return None
    try:
        return State(text)
    except ValueError as error:
        raise BadRequest(f"'state' must be one of {', '.join(State)}.", param="state", code="invalid_value") from error
