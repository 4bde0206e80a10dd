"""The socket of the API and the server on it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from litestar.types import ASGIApp

from tallystick_platform.app.http_protocol import ApiProtocol
from tallystick_platform.errors import PlatformError

KEEP_ALIVE_S = 75
CLOSE_LIMIT_S = 5  # for connections that are still busy after the drain


class AddressUnavailable(PlatformError):
    """The API cannot listen where it was told to."""

    def __init__(self, *, host: str, port: int, reason: str) -> None:
        super().__init__(f"cannot listen on {host}:{port}: {reason} (TALLYSTICK_HOST, TALLYSTICK_PORT)")


def bind(host: str, port: int) -> socket.socket:
    """A socket that is bound and does not listen yet: a taken port shows before anything is started.

    Raises: AddressUnavailable
    """
    listener: socket.socket | None = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise AddressUnavailable(host=host, port=port, reason=error.strerror or str(error)) from error
    return listener


def base_url(host: str, port: int) -> str:
    """The URL at which this machine reaches the API."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104  (compared, not bound)
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


class ApiServer(uvicorn.Server):
    """Serves until it is told to leave. The first signal asks for a drain, the second ends at once."""

    def __init__(self, app: ASGIApp, *, on_leave: Callable[[], None]) -> None:
        config = uvicorn.Config(
            app,
            http=ApiProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=CLOSE_LIMIT_S,
        )
        super().__init__(config)
        self._on_leave = on_leave
        self._asked = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run_on(self, listener: socket.socket) -> None:
        """Serve on a bound socket until `leave`."""
        self._loop = asyncio.get_running_loop()
        await self.serve(sockets=[listener])

    def leave(self) -> None:
        """Close what is idle and end; called once everything under way has its record."""
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal. Unlike its parent's, it does not raise the signal again at the end: there is more to close than connections."""
        del frame
        if self._asked or self._loop is None:
            self.should_exit = self.force_exit = True
            return
        self._asked = True
        self._loop.call_soon_threadsafe(self._on_leave)
        del sig
