"""Reading a body: the time that it may take, how a request states its own, and what is compressed."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib

import pytest

from tallystick_platform.api.body import MAX_MEMBERS
from tallystick_platform.api.refusals import BadRequest
from tallystick_platform.api.wire.wire import timeout_of
from tests.support.api import CHAT, HI, MAX_BODY_BYTES, TOKEN, Api

SLOW = (
    f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    "X-Request-Timeout: 0.05\r\nContent-Length: 100\r\n\r\n{"
).encode()


async def test_a_body_that_does_not_come_is_refused_after_the_requests_time() -> None:
    async with asyncio.timeout(10), (api := Api()).serving() as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
        writer.write(SLOW)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in head
    assert json.loads(body)["error"]["code"] == "too_slow"
    assert api.journal.records == []


@pytest.mark.parametrize("text", [b"1_0", b"0x10", b"nan", b"-1", b"0", b"", b"1" * 17, b"\xef\xbc\x95"])
def test_a_time_is_a_plain_number(text: bytes) -> None:
    with pytest.raises(BadRequest):
        timeout_of([(b"x-request-timeout", text)], 120.0)


@pytest.mark.parametrize(("text", "seconds"), [(b"5", 5.0), (b" 0.5 ", 0.5), (b"1e1", 10.0), (b"inf", 120.0)])
def test_a_stated_time_counts_up_to_the_servers_own(text: bytes, seconds: float) -> None:
    assert timeout_of([(b"x-request-timeout", text)], 120.0) == seconds


PLAIN = json.dumps(HI).encode()
ZIPPED = gzip.compress(PLAIN, mtime=0)


async def answer_to(body: bytes, coding: str | None, api: Api | None = None):
    headers = {} if coding is None else {"content-encoding": coding}
    async with (api or Api()).client() as client:
        return await client.post(CHAT, content=body, headers=headers)


@pytest.mark.parametrize(
    ("body", "coding"), [(PLAIN, None), (PLAIN, "identity"), (ZIPPED, "gzip"), (ZIPPED, " GZIP "), (ZIPPED, "x-gzip")]
)
async def test_the_record_holds_the_body_without_its_coding(body: bytes, coding: str | None) -> None:
    reply = await answer_to(body, coding, api := Api())
    assert reply.status_code == 200
    assert api.journal.only.request.body == PLAIN


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip", "x", ""])
async def test_another_coding_is_refused_with_the_one_that_is_taken(coding: str) -> None:
    reply = await answer_to(ZIPPED, coding, api := Api())
    assert (reply.status_code, reply.json()["error"]["code"]) == (415, "unsupported_encoding")
    assert reply.headers["accept-encoding"] == "gzip"
    assert api.journal.admitted == 0


@pytest.mark.parametrize(
    "body",
    [PLAIN, b"", ZIPPED[:-1], ZIPPED[:20], ZIPPED + b"x", ZIPPED + ZIPPED[:-1], zlib.compress(PLAIN)],
    ids=["plain", "empty", "short", "cut", "garbage-after", "second-cut", "zlib"],
)
async def test_a_body_that_is_not_whole_gzip_is_refused(body: bytes) -> None:
    reply = await answer_to(body, "gzip")
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_encoding")


@pytest.mark.parametrize(("streams", "status"), [(2, 200), (MAX_MEMBERS, 200), (MAX_MEMBERS + 1, 400)])
async def test_a_gzip_body_may_be_several_streams_up_to_a_bound(streams: int, status: int) -> None:
    body = b"".join(gzip.compress(PLAIN[n : n + 1]) for n in range(streams - 1)) + gzip.compress(PLAIN[streams - 1 :])
    reply = await answer_to(body, "gzip", api := Api())
    assert reply.status_code == status
    if status == 200:
        assert api.journal.only.request.body == PLAIN


async def test_several_streams_are_held_to_the_bound_together() -> None:
    half = gzip.compress(b" " * (MAX_BODY_BYTES // 2 + 1))
    assert (await answer_to(half + half, "gzip")).status_code == 413


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY_BYTES, 200), (MAX_BODY_BYTES + 1, 413), (200_000_000, 413)])
async def test_what_a_body_decompresses_to_is_held_to_the_bound(size: int, status: int) -> None:
    reply = await answer_to(gzip.compress(PLAIN + b" " * (size - len(PLAIN)), 1), "gzip")
    assert reply.status_code == status
