"""One HTTP connection on which nothing waits past a deadline: not the name, not the handshake, not a header, not the last byte.

A socket's own timeout starts anew with every byte that arrives, so a node that sends one byte every two seconds would hold its reader for
ever. Here one deadline stands for the whole exchange, and before each wait the socket gets what is left of it.
"""

from __future__ import annotations

import http.client
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

_Found = Sequence[tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]]

RESOLVER: Final = "tallystick-resolver"


class Deadline:
    """A moment that nothing moves."""

    __slots__ = ("_at_s", "_clock")

    def __init__(self, limit_s: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._at_s = clock() + limit_s

    def left_s(self) -> float:
        """What is left, above zero.

        Raises: TimeoutError when nothing is.
        """
        left_s = self._at_s - self._clock()
        if left_s <= 0:
            raise TimeoutError("the deadline has passed")
        return left_s


class TimedSocket(socket.socket):
    """A socket of which each wait ends at `deadline`."""

    deadline: Deadline | None = None
    heard = False

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """Receive what is there, or wait for it until the deadline."""
        self.arm()
        received = super().recv_into(buffer, nbytes or len(buffer), flags)
        self.heard = True
        return received

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send everything before the deadline."""
        rest = memoryview(data)
        while rest:
            self.arm()
            rest = rest[self.send(rest, flags) :]

    def arm(self) -> None:
        """Give the next wait what is left.

        Raises: TimeoutError when nothing is.
        """
        if self.deadline is not None:
            self.settimeout(self.deadline.left_s())


class TimedTlsSocket(TimedSocket, ssl.SSLSocket):
    """The same over TLS."""


class NodeConnection(http.client.HTTPConnection):
    """A kept-alive connection; `begin` sets the deadline of the next exchange, connecting included."""

    def __init__(self, host: str, port: int | None, context: ssl.SSLContext | None) -> None:
        if context is not None:
            context.sslsocket_class = TimedTlsSocket
            self.default_port = http.client.HTTPS_PORT
        super().__init__(host, port)
        self._context = context
        self._deadline: Deadline | None = None

    def begin(self, deadline: Deadline) -> None:
        """Let the next exchange end at this deadline."""
        self._deadline = deadline
        if isinstance(self.sock, TimedSocket):
            self.sock.deadline = deadline
            self.sock.heard = False

    @property
    def heard(self) -> bool:
        """Whether anything has come in this exchange."""
        return isinstance(self.sock, TimedSocket) and self.sock.heard

    def connect(self) -> None:
        """Open the socket, and TLS where it is asked for.

        Raises: OSError, TimeoutError among them.
        """
        deadline = self._deadline
        if deadline is None:
            raise TimeoutError("no deadline was set")
        opened = open_socket(self.host, self.port, deadline)
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened.arm()  # for the handshake as a whole
            self.sock = (
                opened if self._context is None else self._context.wrap_socket(opened, server_hostname=self.host)
            )
        except BaseException:
            opened.close()
            raise
        self.begin(deadline)


def open_socket(host: str, port: int, deadline: Deadline) -> TimedSocket:
    """Connect to the first address of a host that answers; each gets an equal share of what is left.

    Raises: OSError, TimeoutError among them.
    """
    addresses = resolve(host, port, deadline)
    failure: OSError = OSError(f"{host} has no address")
    for remaining, (family, kind, protocol, _, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
        opened = TimedSocket(family, kind, protocol)
        try:
            opened.settimeout(deadline.left_s() / remaining)
            opened.connect(address)
        except OSError as error:
            opened.close()
            failure = error
        else:
            opened.deadline = deadline
            return opened
    raise failure


def resolve(host: str, port: int, deadline: Deadline) -> _Found:
    """Look up a host's addresses. The system's resolver takes no deadline, so it runs aside and is left behind if it is late.

    Raises: OSError, TimeoutError among them.
    """
    answers: queue.SimpleQueue[_Found | OSError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            answers.put(error)

    threading.Thread(target=look_up, name=RESOLVER, daemon=True).start()
    try:
        answer = answers.get(timeout=deadline.left_s())
    except queue.Empty:
        raise TimeoutError(f"no address of {host} was found in time") from None
    if isinstance(answer, OSError):
        raise answer
    return answer
