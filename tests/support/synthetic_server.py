"""A transport served as a JSON-RPC node on loopback: for what opens its own connection, such as the command line."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tallystick.chain.rpc import Transport
from tallystick.errors import ChainRejected
from tallystick.ids import to_hex

Refuse = Callable[[str, list[object]], tuple[int, bytes] | None]
"""What a server says to a method and its parameters in place of the node's answer: a status and a body, or nothing."""


@contextmanager
def served(node: Transport, refuse: Refuse | None = None) -> Iterator[str]:
    """The URL under which the node answers, unless `refuse` has something to say first."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            refused = refuse(request["method"], request["params"]) if refuse is not None else None
            if refused is not None:
                self.reply(*refused)
                return
            answer: dict[str, object] = {"jsonrpc": "2.0", "id": request["id"]}
            try:
                answer["result"] = node.call(request["method"], request["params"])
            except ChainRejected as error:
                answer["error"] = {"code": error.code, "message": error.message, "data": to_hex(error.data)}
            self.reply(200, json.dumps(answer).encode())

        def reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
