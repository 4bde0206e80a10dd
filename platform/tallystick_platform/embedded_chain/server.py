"""JSON-RPC over HTTP on loopback, and the task that makes blocks.

Three kinds of thread share the work, so that none starves another: one makes blocks, one runs calls, two read. The event loop
only moves bytes.

It listens on loopback, but every page in a browser on this machine can reach that: so a request that a page of another site
sends is refused, also when its name was made to point here. Programs send no Origin and are let through; so are browser
wallets, and pages served from this machine.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from tallystick_platform.embedded_chain.chain import EmbeddedChain
from tallystick_platform.embedded_chain.dispatch import answer, executes, parse, write_error
from tallystick_platform.embedded_chain.errors import INVALID_REQUEST, LIMIT_EXCEEDED, ChainStorageFailed, Refused
from tallystick_platform.embedded_chain.methods import Methods

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_WALLET_SCHEMES: Final = frozenset({"chrome-extension", "moz-extension", "safari-web-extension"})


def allows_host(host: str | None) -> bool:
    """Tell whether the request was meant for this machine: a page elsewhere may have its own name resolve to loopback."""
    if not host:
        return False
    try:
        return urlsplit(f"//{host}").hostname in LOOPBACK_NAMES
    except ValueError:
        return False


def allows_origin(origin: str | None) -> bool:
    """Tell whether the page that sent the request may; None is no page."""
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
        hostname = parts.hostname
    except ValueError:
        return False
    if parts.scheme in _WALLET_SCHEMES:
        return bool(hostname)
    return parts.scheme in {"http", "https"} and hostname in LOOPBACK_NAMES


def cors_headers(origin: str | None) -> dict[str, str]:
    """Give the headers that let an allowed page read the answer."""
    if origin is None:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": "POST, OPTIONS",
        "Access-Control-Allow-Headers": "Content-Type",
        "Access-Control-Allow-Private-Network": "true",
        "Access-Control-Max-Age": "600",
        "Vary": "Origin",
    }


HOST: Final = "127.0.0.1"
MAX_BODY_BYTES: Final = 2 << 20
"""Room for several transactions of 128 KiB, as hex, in one batch."""
MAX_CONCURRENT_REQUESTS: Final = 64
MAX_CONCURRENT_CALLS: Final = 8
"""Calls share one thread, and each may take seconds: more than these are turned away rather than kept waiting."""
BODY_TIMEOUT_S: Final = 10.0
STORAGE_RETRY_PAUSE_S: Final = 1.0
READ_THREADS: Final = 2

_log = structlog.get_logger()


class ChainServer:
    """One chain behind one port."""

    def __init__(self, chain: EmbeddedChain, port: int) -> None:
        self._chain = chain
        self._port = port
        self._methods = Methods(chain)
        self._reads = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="chain-read")
        self._calls = ThreadPoolExecutor(1, thread_name_prefix="chain-call")
        self._blocks = ThreadPoolExecutor(1, thread_name_prefix="chain-block")
        self._active_requests = 0
        self._active_calls = 0
        self._sent = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._maker: asyncio.Task[None] | None = None
        self.url = ""

    async def start(self) -> None:
        """Listen, and begin to make blocks.

        Raises: OSError when the port is taken.
        """
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, self._port)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://{HOST}:{port}"
        self._maker = asyncio.create_task(self._make_blocks())

    async def stop(self) -> None:
        """Finish the block in the making and close; the chain itself is closed by its owner."""
        if self._maker is not None:
            self._maker.cancel()
            await asyncio.gather(self._maker, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
        for executor in (self._blocks, self._calls, self._reads):
            executor.shutdown(wait=True, cancel_futures=True)

    async def _make_blocks(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._sent.clear()
            due_in_s = await loop.run_in_executor(self._blocks, self._chain.block_due_in_s)
            if due_in_s is None:
                await self._sent.wait()
            elif due_in_s > 0:
                await asyncio.sleep(due_in_s)
            else:
                try:
                    await loop.run_in_executor(self._blocks, self._chain.make_block)
                except ChainStorageFailed as error:
                    # Nothing was written and nothing was promised: try again until there is room.
                    _log.warning("chain.storage_failed", path=str(error.path), reason=error.reason)
                    await asyncio.sleep(STORAGE_RETRY_PAUSE_S)

    async def _handle(self, request: web.Request) -> web.Response:
        origin = request.headers.get("Origin")
        if not allows_host(request.headers.get("Host")) or not allows_origin(origin):
            return web.Response(status=403, text="this origin may not use the node\n")
        headers = cors_headers(origin)
        if request.method == "OPTIONS":
            return web.Response(status=204, headers=headers)
        if request.method != "POST":
            return web.Response(
                status=405, headers={**headers, "Allow": "POST, OPTIONS"}, text="send JSON-RPC by POST\n"
            )
        if self._active_requests >= MAX_CONCURRENT_REQUESTS:
            return _json(write_error(None, Refused(LIMIT_EXCEEDED, "too many requests at once")), headers, status=503)
        self._active_requests += 1
        try:
            return await self._respond(request, headers)
        finally:
            self._active_requests -= 1

    async def _respond(self, request: web.Request, headers: dict[str, str]) -> web.Response:
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            refusal = Refused(INVALID_REQUEST, f"the request is longer than {MAX_BODY_BYTES} bytes")
            return _json(write_error(None, refusal), headers, status=413)
        except TimeoutError:
            return _json(write_error(None, Refused(INVALID_REQUEST, "the request took too long")), headers, status=408)
        try:
            value = parse(body)
        except Refused as refusal:
            return _json(write_error(None, refusal), headers)
        answered = await self._answer(value)
        return _json(answered, headers) if answered else web.Response(status=204, headers=headers)

    async def _answer(self, value: object) -> bytes:
        loop = asyncio.get_running_loop()
        if not executes(value, self._methods):
            answered = await loop.run_in_executor(self._reads, answer, value, self._methods)
            self._sent.set()  # perhaps a transaction came; asking the pool costs less than looking for it here
            return answered
        if self._active_calls >= MAX_CONCURRENT_CALLS:
            request_id = value.get("id") if isinstance(value, dict) else None
            return write_error(request_id, Refused(LIMIT_EXCEEDED, "too many calls at once"))
        self._active_calls += 1
        try:
            answered = await loop.run_in_executor(self._calls, answer, value, self._methods)
            self._sent.set()
            return answered
        finally:
            self._active_calls -= 1


def _json(body: bytes, headers: dict[str, str], *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)
