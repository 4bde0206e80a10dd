"""Which pages may call the API: those of the origins that the operator names, and nobody by default."""

from __future__ import annotations

import httpx
import pytest

from tallystick_platform.api import create_api
from tests.support.api import AUTH, CHAT, HI, Api

PAGE = "https://app.example"
ASKS = {
    "origin": PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization, x-stainless-os",
}


def client(*origins: str) -> httpx.AsyncClient:
    app = create_api(Api().services, cors_origins=origins)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", headers=AUTH)


def granted(reply: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in reply.headers.items() if name.startswith("access-control-")}


@pytest.mark.parametrize("origins", [(), ("https://other.example",), ("https://app.example:8443",)])
async def test_a_page_that_nobody_named_gets_nothing(origins: tuple[str, ...]) -> None:
    async with client(*origins) as page:
        assert granted(await page.options(CHAT, headers=ASKS)) == {}
        assert granted(await page.post(CHAT, json=HI, headers={"origin": PAGE})) == {}


async def test_a_named_page_may_ask_with_the_headers_that_it_needs() -> None:
    async with client(PAGE) as page:
        reply = await page.options(CHAT, headers=ASKS)
    assert (reply.status_code, reply.content) == (204, b"")
    assert reply.headers["access-control-allow-origin"] == PAGE
    assert "POST" in reply.headers["access-control-allow-methods"]
    assert reply.headers["access-control-allow-headers"] == "authorization, x-stainless-os"
    assert "Origin" in reply.headers["vary"]


@pytest.mark.parametrize(("body", "status"), [(HI, 200), ({}, 400)])
async def test_a_named_page_reads_answer_error_and_proof(body: dict[str, object], status: int) -> None:
    async with client(PAGE) as page:
        reply = await page.post(CHAT, json=body, headers={"origin": PAGE})
    assert reply.status_code == status
    assert reply.headers["access-control-allow-origin"] == PAGE
    exposed = reply.headers["access-control-expose-headers"].lower().split(", ")
    assert {name for name in reply.headers if name.startswith("x-")} <= set(exposed)
    assert {"x-tallystick-admission", "x-tallystick-receipt", "retry-after"} <= set(exposed)


@pytest.mark.parametrize("origins", [(PAGE,), ("*",)])
async def test_credentials_are_never_allowed(origins: tuple[str, ...]) -> None:
    async with client(*origins) as page:
        answers = [await page.options(CHAT, headers=ASKS), await page.get("/healthz", headers={"origin": PAGE})]
    assert all("access-control-allow-credentials" not in answer.headers for answer in answers)


async def test_every_page_may_be_named_at_once() -> None:
    async with client("*") as page:
        assert (await page.get("/healthz", headers={"origin": PAGE})).headers["access-control-allow-origin"] == "*"


async def test_what_no_page_asked_for_is_marked_as_depending_on_the_page() -> None:
    async with client(PAGE) as page:
        reply = await page.get("/healthz")
    assert (granted(reply), reply.headers["vary"]) == ({}, "Origin")
