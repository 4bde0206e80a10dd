"""The socket and the signals."""

from __future__ import annotations

import asyncio
import signal
from contextlib import closing

import httpx
import pytest

from tallystick_platform.app.listening import AddressUnavailable, ApiServer, base_url, bind


async def answer(scope, receive, send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok", "more_body": False})


def test_a_bound_socket_does_not_listen_yet() -> None:
    with closing(bind("127.0.0.1", 0)) as listener, pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{listener.getsockname()[1]}")


def test_a_taken_port_is_named_with_its_setting() -> None:
    with closing(bind("127.0.0.1", 0)) as listener:
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(AddressUnavailable, match=f"127.0.0.1:{port}.*TALLYSTICK_PORT"):
            bind("127.0.0.1", port)


def test_a_host_that_is_not_this_machine_is_refused() -> None:
    with pytest.raises(AddressUnavailable):
        bind("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::1", "http://[::1]:80"),
        ("::", "http://[::1]:80"),
        ("example.org", "http://example.org:80"),
    ],
)
def test_the_base_url_is_one_that_this_machine_reaches(host: str, url: str) -> None:
    assert base_url(host, 80) == url


async def test_the_first_signal_asks_for_a_drain_and_serving_goes_on() -> None:
    asked = asyncio.Event()
    server = ApiServer(answer, on_leave=asked.set)
    with closing(bind("127.0.0.1", 0)) as listener:
        running = asyncio.create_task(server.run_on(listener))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with asyncio.timeout(5):
            while not server.started:
                await asyncio.sleep(0.001)
            server.handle_exit(signal.SIGTERM, None)
            await asked.wait()
            async with httpx.AsyncClient() as client:
                reply = await client.get(url)
            assert (reply.text, "server" in reply.headers) == ("ok", False)
            server.leave()
            await running


async def test_a_second_signal_ends_at_once() -> None:
    server = ApiServer(answer, on_leave=lambda: None)
    with closing(bind("127.0.0.1", 0)) as listener:
        running = asyncio.create_task(server.run_on(listener))
        async with asyncio.timeout(5):
            while not server.started:
                await asyncio.sleep(0.001)
            server.handle_exit(signal.SIGINT, None)
            assert not server.should_exit
            server.handle_exit(signal.SIGINT, None)
            assert server.force_exit
            await running
