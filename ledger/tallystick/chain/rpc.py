"""JSON-RPC over HTTP to a node that is not trusted: bounded in time, size and retries."""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import ssl
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol
from urllib.parse import SplitResult, urlsplit

from tallystick.chain.depth import is_shallow
from tallystick.chain.wire import MalformedAnswer
from tallystick.errors import ChainRejected, ChainUnavailable

MAX_ANSWER_BYTES: Final = 32 << 20
"""A longer answer is cut off; a log query is then asked again over fewer blocks."""
MAX_ERROR_TEXT: Final = 500
MAX_REVERT_BYTES: Final = 1 << 14
ATTEMPTS: Final = 3
"""How often one question is put. Every method used here may be repeated, `eth_sendRawTransaction` too: the
transaction was signed once, so a repetition is the same transaction."""
FIRST_PAUSE_S: Final = 0.1
ANSWER_DEADLINE_S: Final = 120.0
"""A node that dribbles its answer is given up after this long in all."""
_CHUNK_BYTES: Final = 1 << 16
_OVERLOADED: Final = frozenset({429, 502, 503, 504})


class Transport(Protocol):
    """Something that answers JSON-RPC."""

    def call(self, method: str, params: list[object]) -> object:
        """Give the result of one method.

        Raises: ChainRejected when the node says no, ChainUnavailable when it could not be asked.
        """
        ...


class AnswerTooLarge(ChainUnavailable):
    """The answer ran past the reader's bound and was dropped."""


class AnswerTooSlow(ChainUnavailable):
    """The node took longer than the reader waits."""


class HttpTransport:
    """One kept-alive connection to one node; callers from several threads take turns."""

    def __init__(
        self,
        url: str,
        timeout_s: float = 10.0,
        *,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise ChainUnavailable("?", f"the address is no URL: {error}") from error
        self.name = shown_url(parts)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ChainUnavailable(self.name, "the address must start with http:// or https://")
        if self.name.endswith(":?"):
            raise ChainUnavailable(self.name, "the port is no number from 0 to 65535")
        self._parts = parts
        self._timeout_s = timeout_s
        self._max_answer_bytes = max_answer_bytes
        self._sleep = sleep
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            parts.hostname.encode("idna")
            self._target.encode("ascii")
        except UnicodeError as error:
            raise ChainUnavailable(self.name, "the address holds what no address can") from error
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if parts.username:
            pair = f"{parts.username}:{parts.password or ''}".encode()
            self._headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()

    def call(self, method: str, params: list[object]) -> object:
        """Give the result of one method, after up to ATTEMPTS tries.

        Raises: ChainRejected, ChainUnavailable.
        """
        request_id = next(self._ids)
        body = json.dumps({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}).encode()
        with self._lock:
            return read_answer(self._exchange(body), request_id, method)

    def close(self) -> None:
        """Drop the connection; a later call opens another."""
        with self._lock:
            self._drop()

    def _exchange(self, body: bytes) -> bytes:
        pause_s = FIRST_PAUSE_S
        for remaining in reversed(range(ATTEMPTS)):
            try:
                return self._post(body)
            except (AnswerTooLarge, AnswerTooSlow):
                self._drop()
                raise
            except TimeoutError as error:
                self._drop()
                raise AnswerTooSlow(self.name, f"no answer within {self._timeout_s} s") from error
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                if not remaining:
                    raise ChainUnavailable(self.name, str(error) or type(error).__name__) from error
            self._sleep(pause_s)
            pause_s *= 2
        raise ChainUnavailable(self.name, "no attempt was made")

    def _post(self, body: bytes) -> bytes:
        connection = self._connection or self._open()
        connection.request("POST", self._target, body, self._headers)
        response = connection.getresponse()
        if response.status in _OVERLOADED:
            raise _Overloaded(response.status)
        answer = self._read(response)
        if response.status != http.client.OK and not answer.lstrip().startswith(b"{"):
            raise ChainUnavailable(self.name, f"HTTP {response.status}")
        return answer

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        deadline = time.monotonic() + ANSWER_DEADLINE_S
        chunks: list[bytes] = []
        size = 0
        while chunk := response.read1(_CHUNK_BYTES):
            size += len(chunk)
            if size > self._max_answer_bytes:
                raise AnswerTooLarge(self.name, f"the answer is longer than {self._max_answer_bytes} bytes")
            if time.monotonic() > deadline:
                raise AnswerTooSlow(self.name, f"the answer took longer than {ANSWER_DEADLINE_S:.0f} s")
            chunks.append(chunk)
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        response.close()  # otherwise the connection takes no further question
        return b"".join(chunks)

    def _open(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "https":
            context = ssl.create_default_context()
            self._connection = http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=context)
        else:
            self._connection = http.client.HTTPConnection(host, port, timeout=self._timeout_s)
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Overloaded(http.client.HTTPException):
    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}, {ATTEMPTS} times")


def read_answer(body: bytes, request_id: int, method: str) -> object:
    """Take the result out of a JSON-RPC answer.

    Raises: ChainRejected for the node's error object, MalformedAnswer for anything else that is not an answer.
    """
    if not is_shallow(body):
        raise MalformedAnswer(method, "got an answer that nests too deep")
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedAnswer(method, "got an answer that is not JSON") from error
    if not isinstance(answer, dict):
        raise MalformedAnswer(method, "got an answer that is not an object")
    if answer.get("error") is not None:
        raise read_error(answer["error"])
    if "result" not in answer:
        raise MalformedAnswer(method, "got an answer with neither result nor error")
    if answer.get("id") != request_id:
        raise MalformedAnswer(method, "got the answer to another question")
    result: object = answer["result"]
    return result


def read_error(value: object) -> ChainRejected:
    """Make the typed error of a JSON-RPC error object; what is malformed in it reads as absent."""
    error = value if isinstance(value, dict) else {"message": str(value)[:MAX_ERROR_TEXT]}
    code, message, data = error.get("code"), error.get("message"), error.get("data")
    if isinstance(data, dict):  # some nodes wrap the revert bytes once more
        data = data.get("data")
    return ChainRejected(
        code if isinstance(code, int) and abs(code) < 1 << 31 else 0,
        message[:MAX_ERROR_TEXT] if isinstance(message, str) else "no reason given",
        _revert_bytes(data),
    )


def _revert_bytes(data: object) -> bytes:
    if not isinstance(data, str) or not data.startswith("0x") or len(data) > 2 + 2 * MAX_REVERT_BYTES:
        return b""
    try:
        return bytes.fromhex(data[2:])
    except ValueError:
        return b""


def shown_url(parts: SplitResult) -> str:
    """Write a node's address for messages: without user, path and query, where providers put their keys."""
    host = parts.hostname or "?"
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ":?"
    return f"{parts.scheme or '?'}://{host}{port}"
