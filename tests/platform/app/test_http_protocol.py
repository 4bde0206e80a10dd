"""What is wrong below the application: answered in the API's own shape, and bounded in bytes and in time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import pytest

from tallystick_platform.app import http_protocol
from tallystick_platform.app.http_protocol import MAX_HEAD_BYTES, ApiProtocol
from tallystick_platform.app.listening import ApiServer, bind

PIECE = b"a" * 8_192
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Echo:
    """Answers with the body's size; `hold` keeps the answer back until it is set."""

    def __init__(self) -> None:
        self.hold = asyncio.Event()
        self.hold.set()
        self.began = asyncio.Event()

    async def __call__(self, scope, receive, send) -> None:
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        self.began.set()
        await self.hold.wait()
        await send({"type": "http.response.body", "body": f"size {size}".encode(), "more_body": False})


@asynccontextmanager
async def serving(app: Echo | None = None) -> AsyncIterator[int]:
    server = ApiServer(app or Echo(), on_leave=lambda: None)
    with closing(bind("127.0.0.1", 0)) as listener:
        running = asyncio.create_task(server.run_on(listener))
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.001)
            try:
                yield listener.getsockname()[1]
            finally:
                server.leave()
                await running


async def asked(port: int, *pieces: bytes) -> bytes:
    """What the server says until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


class Said(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.ended = False
        self.closing = False

    def write(self, data) -> None:
        self.written += data

    def write_eof(self) -> None:
        self.ended = True

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing


def connected() -> tuple[ApiProtocol, Said]:
    """A connection whose reads are the test's to cut."""
    server = ApiServer(Echo(), on_leave=lambda: None)
    server.config.load()
    said = Said()
    connection = ApiProtocol(config=server.config, server_state=server.server_state, app_state={})
    connection.connection_made(said)
    return connection, said


def refusal(answer: bytes) -> tuple[int, dict[str, object]]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head
    assert b"connection: close" in head
    error = json.loads(body)["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return int(head.split()[1]), error


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nabcde",
        b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
    ],
    ids=["tls", "method", "negative-length", "two-lengths", "header"],
)
async def test_what_is_not_http_is_refused_in_the_shape_of_every_error(request_bytes: bytes) -> None:
    async with serving() as port:
        status, error = refusal(await asked(port, request_bytes))
    assert (status, error["code"], error["type"]) == (400, "invalid_http", "invalid_request_error")


async def test_a_head_without_end_is_refused_at_its_bound() -> None:
    connection, said = connected()
    connection.data_received(b"GET / HTTP/1.1\r\nX-Long: ")
    for _ in range(MAX_HEAD_BYTES // len(PIECE)):
        connection.data_received(PIECE)
    assert not said.is_closing()
    connection.data_received(b"a")
    assert said.ended
    status, error = refusal(said.written)
    assert (status, error["code"]) == (431, "head_too_large")


async def test_trailers_without_end_are_refused_at_the_same_bound() -> None:
    connection, said = connected()
    connection.data_received(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n")
    for _ in range(MAX_HEAD_BYTES // len(PIECE)):
        connection.data_received(b"X-Long: " + PIECE[:-10] + b"\r\n")
    assert not said.ended
    connection.data_received(b"X")
    assert said.ended
    assert refusal(said.written)[0] == 431


async def test_a_body_larger_than_a_head_may_be_is_taken() -> None:
    size = 4 * MAX_HEAD_BYTES
    head = f"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n".encode()
    async with serving() as port:
        assert f"size {size}".encode() in await asked(port, head, *[PIECE] * (size // len(PIECE)))


async def test_a_head_that_does_not_come_is_refused_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_LIMIT_S", 0.05)
    async with serving() as port:
        status, error = refusal(await asked(port, b"GET / HTTP/1.1\r\nHost"))
    assert (status, error["code"]) == (408, "too_slow")


async def test_a_second_head_that_does_not_come_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_LIMIT_S", 0.05)
    async with serving() as port:
        assert b"HTTP/1.1 408 " in await asked(port, GET + b"GET / HTTP/1.1\r\nHost")


async def test_a_connection_that_says_nothing_is_closed_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_LIMIT_S", 0.05)
    async with serving() as port:
        assert await asked(port) == b""


async def test_an_answer_may_take_longer_than_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_LIMIT_S", 0.05)
    app = Echo()
    app.hold.clear()
    async with serving(app) as port:
        asking = asyncio.create_task(asked(port, GET.replace(b"Host", b"Connection: close\r\nHost")))
        await app.began.wait()
        asyncio.get_running_loop().call_later(0.15, app.hold.set)
        assert b"size 0" in await asking


async def test_garbage_after_a_request_does_not_mix_into_its_answer() -> None:
    app = Echo()
    app.hold.clear()
    async with serving(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        await app.began.wait()
        writer.write(b"\x00\x01garbage\r\n\r\n")
        answer = await reader.read()
        app.hold.set()
        writer.close()
    assert b"begun" in answer
    assert b"invalid_http" not in answer


async def test_an_upgrade_with_a_body_is_refused_by_name() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}"
    async with serving() as port:
        status, error = refusal(await asked(port, head))
    assert (status, error["code"]) == (400, "upgrade_not_offered")


async def test_an_upgrade_without_a_body_is_passed_over_and_the_connection_closed() -> None:
    async with serving() as port:
        answer = await asked(port, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "chunks",
    [b"xyz\r\nabc\r\n0\r\n\r\n", b"-1\r\n", b"f" * 17 + b"\r\n", b"1\r\nab\r\n", b"1 1\r\n", b"1\r\na\r\n0x2\r\n"],
    ids=["letters", "negative", "overflow", "longer", "two", "hex-prefix"],
)
@pytest.mark.parametrize("apart", [False, True], ids=["with-its-head", "after-its-head"])
async def test_a_bad_chunk_is_refused_and_the_application_hears_that_nobody_waits(chunks: bytes, apart: bool) -> None:
    app = Echo()
    async with serving(app) as port:
        pieces = [CHUNKED, chunks] if apart else [CHUNKED + chunks]
        status, error = refusal(await asked(port, *pieces))
    assert (status, error["code"]) == (400, "invalid_http")
    assert not app.began.is_set()


@pytest.mark.parametrize("size", [MAX_HEAD_BYTES, 4 * MAX_HEAD_BYTES, 64 * MAX_HEAD_BYTES])
async def test_a_head_beyond_its_bound_reads_why_however_it_arrives(size: int) -> None:
    async with serving() as port:
        status, error = refusal(await asked(port, GET[:-2] + b"X-Long: " + b"a" * size + b"\r\n\r\n"))
    assert (status, error["code"]) == (431, "head_too_large")


async def test_a_head_within_its_bound_is_taken() -> None:
    lines = b"X-Long: " + b"a" * (MAX_HEAD_BYTES - 200) + b"\r\nConnection: close\r\n\r\n"
    async with serving() as port:
        assert (await asked(port, GET[:-2] + lines)).startswith(b"HTTP/1.1 200 ")


async def test_a_client_of_http_1_0_gets_a_stream_without_chunks() -> None:
    async with serving() as port:
        head, _, body = (await asked(port, b"GET / HTTP/1.0\r\n\r\n")).partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert b"connection: close" in head
    assert body == b"begunsize 0"


async def test_a_refused_client_that_goes_on_sending_is_cut_off_at_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "MAX_DISCARD_BYTES", len(PIECE))
    connection, said = connected()
    connection.data_received(b"GET / HTTP/9.9\r\n\r\n")
    assert (refusal(said.written)[0], said.is_closing()) == (400, False)
    connection.data_received(PIECE)
    assert not said.is_closing()
    connection.data_received(b"a")
    assert said.is_closing()


class Waits:
    """Answers only once its client has left."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.heard = asyncio.Event()
        self.faults: list[Exception] = []

    async def __call__(self, scope, receive, send) -> None:
        while (await receive())["type"] != "http.disconnect":
            self.began.set()
        self.heard.set()
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"late", "more_body": False})
        except RuntimeError as error:
            self.faults.append(error)


@pytest.mark.parametrize("later", [0, 1, http_protocol.MAX_QUEUED])
@pytest.mark.parametrize("at_once", [1, 2, 9])
async def test_whoever_leaves_is_missed_by_the_request_that_is_answered_whatever_waits_behind_it(
    at_once: int, later: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "MAX_QUEUED", at_once - 1 + later)
    app = Waits()
    async with serving(app) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET * at_once)
        await app.began.wait()
        for _ in range(later):
            writer.write(GET)
            await writer.drain()
        writer.transport.abort()
        async with asyncio.timeout(5):
            await app.heard.wait()
    assert app.faults == []


async def test_a_connection_is_read_no_further_once_enough_requests_wait() -> None:
    connection, said = connected()
    paused = []
    said.pause_reading = lambda: paused.append(True)
    said.resume_reading = lambda: paused.append(False)
    for waiting in range(http_protocol.MAX_QUEUED + 2):
        connection.data_received(GET)
        assert (paused[-1:] == [True]) is (waiting > http_protocol.MAX_QUEUED)
