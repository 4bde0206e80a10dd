"""A server of models' files over HTTP/1.1: one connection, one request at a time, redirects refused, every wait bounded."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Final
from urllib.parse import quote, urlsplit

from tallystick.errors import PullRefused
from tallystick.pull.listing import shown_record_id

MAX_LISTING_BYTES: Final = 8 * 1_048_576
"""More than a list of as many files as a manifest holds takes."""
MAX_ERROR_BYTES: Final = 4_096
MAX_REASON_CHARACTERS: Final = 300
STALL_TIMEOUT_S: Final = 60.0
"""How long a server may send nothing."""
MAX_RETRY_AFTER_S: Final = 60.0
FILES: Final = "/files"
RECORD_HEADER: Final = "x-tallystick-record"
BUSY: Final = frozenset(
    (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)
)

HINTS: Final[dict[int, str]] = {
    HTTPStatus.UNAUTHORIZED: "the server knows no such token: --token-file or --client",
    HTTPStatus.FORBIDDEN: "the token may not fetch this",
    HTTPStatus.NOT_FOUND: "there is no such export or model, or it is somebody else's",
    HTTPStatus.GONE: "the files are not kept any more",
}


class Interrupted(Exception):
    """The connection or the server gave out; the same question may be put again. Units: `wait_s` seconds, as the server asks."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The rest of a file on its way: its first byte's place in the file, the record of this download, and the bytes.

    `announced` is how many bytes the server says come, None where it says nothing. `read` raises Interrupted.
    """

    start: int
    announced: int | None
    record_id: str | None
    read: Callable[[int], bytes]


NOTHING: Final = Part(start=0, announced=None, record_id=None, read=lambda _: b"")
"""What a server gives that has no such part."""


class Server:
    """Where a model's files lie: `url` is that of an export, or of the list of a registered model's files. Close it after use."""

    def __init__(self, url: str, token: str | None, *, timeout_s: float = STALL_TIMEOUT_S) -> None:
        """Raises: PullRefused if the address is none, or the token cannot stand in a header."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise PullRefused(url, 0, f"is no address: {error}") from error
        if parts.scheme not in {"http", "https"} or not host:
            raise PullRefused(url, 0, "the address must start with http:// or https://")
        if parts.username or parts.query or parts.fragment or not url.isascii() or not url.isprintable() or " " in url:
            raise PullRefused(url, 0, "the address holds more than a host and a path")
        if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
            raise PullRefused(url, 0, "the token holds what no token holds")
        self.url = url.rstrip("/")
        self.in_clear = parts.scheme == "http" and host not in {"localhost", "127.0.0.1", "::1"}
        self._secure, self._host, self._port = parts.scheme == "https", host, port
        self._path = parts.path.rstrip("/")
        self._files = self._path.removesuffix(FILES) + FILES
        self._timeout_s = timeout_s
        self._headers = {"Accept-Encoding": "identity"} | (
            {} if token is None else {"Authorization": f"Bearer {token}"}
        )
        self._connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        """Drop the connection; a later request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def listing(self) -> bytes:
        """The list of files. Raises: PullRefused; Interrupted."""
        return self.whole("application/json", MAX_LISTING_BYTES)

    def whole(self, kind: str, most: int) -> bytes:
        """What lies at the address itself, of at most so many bytes. Raises: PullRefused; Interrupted."""
        with self._answer(self._path or "/", {"Accept": kind}) as response:
            if response.status != HTTPStatus.OK:
                raise self._refusal(response)
            body = _reading(response.read, most + 1)
            if len(body) > most:
                raise PullRefused(self.url, 0, f"the answer is longer than {most} bytes")
            if response.length:
                raise Interrupted(f"the answer broke off {response.length} bytes before its end")
            return body

    @contextmanager
    def file(self, name: str, start: int, size: int, etag: str) -> Iterator[Part]:
        """A file from byte `start` on, or from its beginning where the server has no such part, or other content meanwhile.

        Raises: PullRefused; Interrupted.
        """
        conditions = {"Range": f"bytes={start}-", "If-Range": etag} if start else {}
        with self._answer(f"{self._files}/{quote(name, safe='/')}", conditions) as response:
            status = response.status
            if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
                yield NOTHING
                return
            if status not in ({HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT} if start else {HTTPStatus.OK}):
                raise self._refusal(response)
            if response.getheader("Content-Encoding", "identity") != "identity":
                raise PullRefused(self.url, status, f"{name} is sent in an encoding that was not asked for")
            if status == HTTPStatus.OK:
                start = 0
            elif response.getheader("Content-Range") != f"bytes {start}-{size - 1}/{size}":
                raise PullRefused(self.url, status, f"another part of {name} than was asked for")
            announced, record_id = response.length, shown_record_id(response.getheader(RECORD_HEADER))
            read = partial(_reading, response.read1)
            yield Part(start=start, announced=announced, record_id=record_id, read=read)
            if response.length:
                raise Interrupted(f"{name} broke off {response.length} bytes before its end")
            response.close()  # otherwise the connection takes no further question

    @contextmanager
    def _answer(self, place: str, headers: dict[str, str]) -> Iterator[http.client.HTTPResponse]:
        """The answer to a GET; the connection is kept only where its body was read to the end."""
        whole = False
        try:
            response = self._ask(place, self._headers | headers)
            if response.status in BUSY:
                raise Interrupted(f"HTTP {response.status}", _retry_after(response))
            yield response
            whole = response.isclosed()
        finally:
            if not whole:
                self.close()

    def _ask(self, target: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        try:
            connection = self._connection or self._open()
            connection.request("GET", target, headers=headers)
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise Interrupted(str(error) or type(error).__name__) from error

    def _open(self) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            self._connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout_s, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        return self._connection

    def _refusal(self, response: http.client.HTTPResponse) -> PullRefused:
        status = response.status
        if 300 <= status < 400:
            return PullRefused(self.url, status, "redirects are not followed: they would carry the token elsewhere")
        said = _message(_reading(response.read, MAX_ERROR_BYTES))
        shown = "".join(letter if letter.isprintable() else " " for letter in said)[:MAX_REASON_CHARACTERS].strip()
        hint = HINTS.get(status)
        return PullRefused(self.url, status, " - ".join(text for text in (hint, shown) if text) or "no reason given")


def _reading(read: Callable[[int], bytes], most: int) -> bytes:
    """Read from the network: only here an error is the network's, and not the disk's."""
    try:
        return read(most)
    except (OSError, http.client.HTTPException) as error:
        raise Interrupted(str(error) or type(error).__name__) from error


def _message(body: bytes) -> str:
    """The sentence in an error's body, or the body itself."""
    try:
        message = json.loads(body)["error"]["message"]
    except (ValueError, RecursionError, KeyError, TypeError):
        message = None
    return message if isinstance(message, str) else body.decode("utf-8", "replace")


def _retry_after(response: http.client.HTTPResponse) -> float | None:
    value = response.getheader("Retry-After", "")
    return min(float(value), MAX_RETRY_AFTER_S) if value.isascii() and value.isdigit() and len(value) < 9 else None
