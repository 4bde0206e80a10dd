"""Large fields, encrypted: handed to whoever knows their digest, and the same silence for everything else."""

from __future__ import annotations

import pytest

from tallystick.ids import format_record_id, new_record_id, to_hex
from tests.support.api import CHAT, HI, Api

DIGEST = b"\xab" * 32
BLOB = bytes(range(256))
OTHER_ID = format_record_id(new_record_id(1_760_000_000_000_000, bytes))


async def with_blob(api: Api) -> str:
    """Keep a blob of a record; gives the record's id."""
    async with api.client() as client:
        await client.post(CHAT, json=HI)
    record = api.journal.only
    api.records.blobs[record.id, DIGEST] = BLOB
    return format_record_id(record.id)


async def test_a_blob_is_given_without_a_token_and_may_be_kept_for_ever() -> None:
    record_id = await with_blob(api := Api())
    async with api.client(accept="*/*") as client:
        reply = await client.get(f"/v1/records/{record_id}/blobs/{to_hex(DIGEST)}")
    assert (reply.status_code, reply.content) == (200, BLOB)
    assert reply.headers["etag"] == f'"{to_hex(DIGEST)}"'
    assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert reply.headers["content-type"] == "application/octet-stream"


async def test_a_blob_that_the_client_has_is_not_sent_again() -> None:
    record_id = await with_blob(api := Api())
    async with api.client() as client:
        path = f"/v1/records/{record_id}/blobs/{to_hex(DIGEST)}"
        reply = await client.get(path, headers={"if-none-match": f'"{to_hex(DIGEST)}"'})
    assert (reply.status_code, reply.content) == (304, b"")


@pytest.mark.parametrize("digest", [to_hex(b"\xcd" * 32), DIGEST.hex(), "0x00", "x", to_hex(DIGEST) + "0"])
async def test_an_unknown_digest_and_an_unknown_record_are_answered_alike(digest: str) -> None:
    record_id = await with_blob(api := Api())
    async with api.client() as client:
        unknown = [
            await client.get(f"/v1/records/{record_id}/blobs/{digest}"),
            await client.get(f"/v1/records/{OTHER_ID}/blobs/{to_hex(DIGEST)}"),
            await client.get(f"/v1/records/nothing/blobs/{to_hex(DIGEST)}"),
        ]
    assert {reply.status_code for reply in unknown} == {404}
    assert len({reply.text for reply in unknown}) == 1
    assert unknown[0].json()["error"]["code"] == "blob_not_found"
