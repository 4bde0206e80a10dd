"""Reading a body: the time that it may take, and how a request states its own."""

from __future__ import annotations

import asyncio
import json

import pytest

from tallystick_platform.api.chat import timeout_of
from tallystick_platform.api.refusals import BadRequest
from tests.support.api import TOKEN, Api

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
