"""JSON-RPC over HTTP to a node that is not trusted: bounded in time, size and retries.

One call is one deadline, whatever happens within it: connecting, headers, repetitions, and waiting where the node asks for patience.
"""

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

from tallystick.chain.answers import MAX_ANSWER_BYTES, is_rate_limit, read_answer
from tallystick.chain.connection import Deadline, NodeConnection
from tallystick.chain.wire import AnswerTooLarge, AnswerTooSlow, RateLimited
from tallystick.errors import ChainRejected, ChainUnavailable

CALL_DEADLINE_S: Final = 30.0
"""How long one call may take in all."""
ATTEMPTS: Final = 3
"""How often one question is put over a connection that breaks. Every method may be repeated, `eth_sendRawTransaction` too: a transaction
that is sent again is the same transaction."""
PATIENT_ATTEMPTS: Final = 7
"""How often it is put to a node that says it is asked too often, or is overloaded: six seconds of pauses in all."""
FIRST_PAUSE_S: Final = 0.1
"""Each pause is twice as long as the one before."""
_CHUNK_BYTES: Final = 1 << 16
_BUSY: Final = frozenset({429, 502, 503})
_TOO_LARGE: Final = frozenset({413})
_TOO_SLOW: Final = frozenset({408, 504, 524})


class Transport(Protocol):
    """Something that answers JSON-RPC; where it has a `name`, messages call the node by it."""

    def call(self, method: str, params: list[object]) -> object:
        """Give the result of one method.

        Raises: ChainRejected when the node says no, ChainUnavailable when it could not be asked.
        """
        ...


def node_name(transport: Transport) -> str:
    """What messages call the node behind a transport."""
    name = getattr(transport, "name", None)
    return name if isinstance(name, str) else "the node"


class HttpTransport:
    """One kept-alive connection to one node; callers from several threads take turns."""

    def __init__(
        self,
        url: str,
        timeout_s: float = CALL_DEADLINE_S,
        *,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
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
        self._clock = clock
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._connection: NodeConnection | None = None
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
        """Give the result of one method, after as many tries as its deadline and the bounds above allow.

        Raises: ChainRejected, ChainUnavailable.
        """
        if not self._lock.acquire(timeout=self._timeout_s):
            raise AnswerTooSlow(self.name, f"other questions took all of {self._timeout_s:g} s")
        try:
            return self._ask(method, params)
        finally:
            self._lock.release()

    def close(self) -> None:
        """Drop the connection; a later call opens another."""
        with self._lock:
            self._drop()

    def _ask(self, method: str, params: list[object]) -> object:
        request_id = next(self._ids)
        body = json.dumps({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}).encode()
        deadline = Deadline(self._timeout_s, self._clock)
        broken, busy = 0, 0
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return read_answer(self._post(body, deadline), request_id, method, self.name)
            except ChainRejected as error:
                busy += 1
                if not is_rate_limit(error):
                    raise
                if busy == PATIENT_ATTEMPTS:
                    raise RateLimited(self.name, f"{error.message}, {busy} times") from error
            except ChainUnavailable:
                self._drop()
                raise
            except TimeoutError as error:
                self._drop()
                raise self._too_slow() from error
            except _Busy as error:
                self._drop()
                busy += 1
                if busy == PATIENT_ATTEMPTS:
                    raise ChainUnavailable(self.name, f"HTTP {error.status}, {busy} times") from error
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                broken += 1
                if broken == ATTEMPTS:
                    raise ChainUnavailable(self.name, str(error) or type(error).__name__) from error
            self._pause(pause_s, deadline)
            pause_s *= 2

    def _pause(self, pause_s: float, deadline: Deadline) -> None:
        try:
            left_s = deadline.left_s()
        except TimeoutError as error:
            raise self._too_slow() from error
        if pause_s >= left_s:
            raise self._too_slow()
        self._sleep(pause_s)

    def _too_slow(self) -> AnswerTooSlow:
        return AnswerTooSlow(self.name, f"no whole answer within {self._timeout_s:g} s")

    def _post(self, body: bytes, deadline: Deadline) -> bytes:
        connection = self._connection or self._open()
        connection.begin(deadline)
        connection.request("POST", self._target, body, self._headers)
        try:
            response = connection.getresponse()
        except TimeoutError as error:
            if not connection.heard:
                raise  # it may still be at work, and sooner done with less
            reason = f"it began to answer and did not come to the end of its headers within {self._timeout_s:g} s"
            raise ChainUnavailable(self.name, reason) from error
        if response.status in _BUSY:
            raise _Busy(response.status)
        if response.status in _TOO_LARGE:
            raise AnswerTooLarge(self.name, f"HTTP {response.status}")
        if response.status in _TOO_SLOW:
            raise AnswerTooSlow(self.name, f"HTTP {response.status}")
        answer = self._read(response)
        if response.status != http.client.OK and not answer.lstrip().startswith(b"{"):
            raise ChainUnavailable(self.name, f"HTTP {response.status}")
        return answer

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        answer = bytearray()  # a list of chunks would take fifty bytes for each, and a node may send them one byte long
        while chunk := response.read1(_CHUNK_BYTES):
            answer += chunk
            if len(answer) > self._max_answer_bytes:
                raise AnswerTooLarge(self.name, f"the answer is longer than {self._max_answer_bytes} bytes")
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        response.close()  # otherwise the connection takes no further question
        return bytes(answer)

    def _open(self) -> NodeConnection:
        context = ssl.create_default_context() if self._parts.scheme == "https" else None
        self._connection = NodeConnection(self._parts.hostname or "", self._parts.port, context)
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Busy(http.client.HTTPException):
    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


def shown_url(parts: SplitResult) -> str:
    """Write a node's address for messages: without user, path and query, where providers put their keys."""
    host = parts.hostname or "?"
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ":?"
    return f"{parts.scheme or '?'}://{host}{port}"
