"""Nodes that misbehave on purpose: as transports in this process, and as an HTTP server."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tallystick.chain.events import NUMBERS_VOIDED
from tallystick.chain.rpc import Transport
from tallystick.errors import ChainRejected
from tallystick.ids import to_hex


@dataclass
class ScriptedNode:
    """A transport whose answers are functions of the parameters; `calls` keeps what was asked."""

    answers: dict[str, Callable[[list[object]], object]] = field(default_factory=dict)
    calls: list[tuple[str, list[object]]] = field(default_factory=list)

    def call(self, method: str, params: list[object]) -> object:
        self.calls.append((method, params))
        answer = self.answers.get(method)
        if answer is None:
            raise ChainRejected(-32601, f"the method {method} does not exist")
        return answer(params)

    def asked(self, method: str) -> list[list[object]]:
        """The parameters of every call of a method."""
        return [params for name, params in self.calls if name == method]


@dataclass
class AlteringNode:
    """A transport that passes on what another answers, after `alter(method, params, answer)` has had its way with it."""

    behind: Transport
    alter: Callable[[str, list[object], Any], object]
    name: str = "https://node.example"

    def call(self, method: str, params: list[object]) -> object:
        return self.alter(method, params, self.behind.call(method, params))


@dataclass
class EventsNode:
    """A transport that answers `eth_getLogs` from entries in memory, each numbered in order and placed in a block.

    `show` is what it does with a right answer before it gives it: nothing, or something that no node should. The entries are those
    of `voided_entry`.
    """

    contract: bytes
    log_id: bytes
    blocks: list[int]
    show: Callable[[list[dict[str, object]], int, int], list[dict[str, object]]] = lambda events, first, last: events
    name: str = "https://node.example"
    queries: list[dict[str, object]] = field(default_factory=list)

    def call(self, method: str, params: list[object]) -> object:
        if method != "eth_getLogs":
            raise ChainRejected(-32601, f"the method {method} does not exist")
        query = params[0]
        assert isinstance(query, dict)
        self.queries.append(query)
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        wanted = query["topics"][2] if len(query["topics"]) > 2 else None
        entries = [
            voided_entry(self.contract, self.log_id, entry, block)
            for entry, block in enumerate(self.blocks)
            if first <= block <= last
        ]
        asked = [event for event in entries if wanted is None or event["topics"][2] in wanted]  # type: ignore[index]
        return self.show(asked, first, last)


def voided_entry(contract: bytes, log_id: bytes, entry: int, block: int) -> dict[str, object]:
    """The event of an entry that says nothing but its number, as a node shows it."""
    words = [number.to_bytes(32, "big") for number in (1, 2, 0)]
    return {
        "address": to_hex(contract),
        "topics": [to_hex(NUMBERS_VOIDED), to_hex(log_id), to_hex(entry.to_bytes(32, "big"))],
        "data": to_hex(b"".join(words)),
        "blockNumber": hex(block),
        "blockHash": "0x" + "bb" * 32,
        "transactionHash": "0x" + "cc" * 32,
        "logIndex": hex(entry),
    }


@dataclass
class HttpNode:
    """What a raw HTTP node was sent, and what it sends back: (status, body) for each request in turn, the last for ever."""

    url: str
    answers: list[tuple[int, bytes]]
    requests: list[dict[str, object]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    connections: int = 0


def result(value: object, request_id: int = 1) -> tuple[int, bytes]:
    """A well-formed answer."""
    return 200, json.dumps({"jsonrpc": "2.0", "id": request_id, "result": value}).encode()


@contextmanager
def http_node(*answers: tuple[int, bytes]) -> Iterator[HttpNode]:
    """Serve raw answers on loopback. The status 0 closes the connection without an answer."""
    node = HttpNode(url="", answers=list(answers))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            node.connections += 1

        def do_POST(self) -> None:
            node.requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            node.headers.append(dict(self.headers))
            status, body = node.answers.pop(0) if len(node.answers) > 1 else node.answers[0]
            if status == 0:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                self.close_connection = True  # the client had enough

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    node.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield node
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def raw_node(answer: bytes, context: ssl.SSLContext | None = None) -> Iterator[tuple[str, list[object]]]:
    """A server that sends the same bytes to everyone and hangs up; gives its URL and the list of whom it served."""
    served: list[object] = []

    def serve() -> None:
        while True:
            try:
                connection, peer = server.accept()
            except OSError:
                return
            served.append(peer)
            with (
                suppress(OSError),
                connection if context is None else context.wrap_socket(connection, server_side=True) as link,
            ):
                request = link.recv(65_536)
                while request and not request.endswith(b"}"):  # what is left unread would turn the end into a reset
                    request = link.recv(65_536)
                link.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}", served
        finally:
            server.shutdown(socket.SHUT_RDWR)  # or the thread waits for ever
    thread.join()


@contextmanager
def dribbling_node(beginning: bytes, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server that sends a beginning, then one byte every twenty milliseconds for as long as anybody listens."""
    over = threading.Event()

    def serve() -> None:
        with suppress(OSError):
            connection, _ = server.accept()
            with connection if context is None else context.wrap_socket(connection, server_side=True) as link:
                link.recv(65_536)
                link.sendall(beginning)
                while not over.wait(0.02):
                    link.sendall(b"1")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            over.set()
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
