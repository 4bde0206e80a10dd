"""What of an HTTP request goes into its record, and what never does."""

from __future__ import annotations

import pytest

from tallystick.record import MAX_NAME_BYTES, MAX_PATH_BYTES, MAX_TARGET_BYTES
from tallystick_platform.api.received import received, target_of
from tallystick_platform.api.refusals import BadRequest, TargetTooLong
from tests.support.api import CHAT, HI, Api


def scope(path: bytes = b"/v1/x", query: bytes = b"", *content_types: bytes) -> dict:
    headers = [(b"content-type", one) for one in content_types]
    return {"type": "http", "method": "POST", "raw_path": path, "query_string": query, "headers": headers}


def test_path_and_query_stand_as_they_came() -> None:
    assert target_of(scope(b"/v1/a%2Fb", b"x=%20&y")) == ("/v1/a%2Fb", "/v1/a%2Fb?x=%20&y")
    assert target_of(scope(b"/v1/a")) == ("/v1/a", "/v1/a")


@pytest.mark.parametrize(
    ("query", "left"),
    [
        (b"api_key=secret", ""),
        (b"API-Key=secret&x=1", "?x=1"),
        (b"x=1&access_token=secret&y=2", "?x=1&y=2"),
        (b"x=tsk_secret", ""),
        (b"token=a=b&token", ""),
        (b"%61pi%5Fkey=secret", ""),
        (b"x=Bearer+tsk_secret&y=Bearer%20tsk%5Fsecret&z=1", "?z=1"),
        (b"tokens=3", "?tokens=3"),
        (b"a=&&b", "?a=&&b"),
    ],
)
def test_what_looks_like_a_credential_is_left_out_of_the_query(query: bytes, left: str) -> None:
    assert target_of(scope(query=query))[1] == "/v1/x" + left


def test_a_path_and_a_target_have_the_bounds_of_a_record() -> None:
    longest = b"/" + b"a" * (MAX_PATH_BYTES - 1)
    query = b"q" * (MAX_TARGET_BYTES - MAX_PATH_BYTES - 1)
    path, target = target_of(scope(longest, query))
    assert (len(path), len(target)) == (MAX_PATH_BYTES, MAX_TARGET_BYTES)
    with pytest.raises(TargetTooLong):
        target_of(scope(longest + b"a"))
    with pytest.raises(TargetTooLong):
        target_of(scope(longest, query + b"q"))


def test_an_address_that_is_not_ascii_is_refused() -> None:
    with pytest.raises(BadRequest):
        target_of(scope("/\u00e9".encode()))


@pytest.mark.parametrize(
    ("values", "expected"),
    [((), None), ((b"",), None), ((b" text/plain ",), "text/plain"), ((b"a" * MAX_NAME_BYTES,), "a" * MAX_NAME_BYTES)],
)
def test_the_content_type_is_kept_as_it_came(values: tuple[bytes, ...], expected: str | None) -> None:
    facts = received(scope(b"/v1/x", b"", *values), b"body", reader="r", streamed=False)
    assert (facts.content_type, facts.body, facts.reader) == (expected, b"body", "r")


@pytest.mark.parametrize("values", [(b"a", b"b"), (b"a" * (MAX_NAME_BYTES + 1),), (b"\xff",)])
def test_a_content_type_that_no_record_holds_is_refused(values: tuple[bytes, ...]) -> None:
    with pytest.raises(BadRequest, match="Content-Type"):
        received(scope(b"/v1/x", b"", *values), b"", reader="r", streamed=False)


async def test_no_token_of_a_query_gets_into_a_record() -> None:
    async with (api := Api()).client() as client:
        reply = await client.post(CHAT + "?api_key=hidden", json=HI)
    assert reply.status_code == 200
    assert api.journal.only.request.target == CHAT


async def test_an_address_that_is_too_long_is_414_and_not_admitted() -> None:
    async with (api := Api()).client() as client:
        reply = await client.post(CHAT + "?q=" + "a" * MAX_TARGET_BYTES, json=HI)
    assert (reply.status_code, reply.json()["error"]["code"]) == (414, "target_too_long")
    assert api.journal.admitted == 0
