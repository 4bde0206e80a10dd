"""A server of one export on loopback, with ranges as a service gives them and every fault that a test asks for."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from tallystick.ids import to_hex
from tallystick.manifest import FileEntry, Manifest

EXPORT_PATH = "/v1/exports/e1"
EXPORT_RECORD_ID = "0198c0de-0000-7000-8000-000000000000"
RECORD_ID = "0198c0de-0000-7000-8000-000000000001"


@dataclass(slots=True)
class Request:
    """What was asked."""

    path: str
    headers: Mapping[str, str]


@dataclass(slots=True, kw_only=True)
class Stall:
    """A body that comes to a halt after some bytes: `reached` then, until `released`."""

    after: int
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True, kw_only=True)
class ExportServer:
    """The files, and what goes wrong. The lists of faults are used up from the front, one for each request for a file."""

    files: dict[str, bytes]
    state: str = "finished"
    token: str | None = None
    honours_ranges: bool = True
    announces_length: bool = True
    listing: Callable[[dict[str, object]], object] = lambda document: document
    """Changes the listing before it is sent; bytes are sent as they are."""
    breaks: list[int | None] = field(default_factory=list)
    """After how many bytes of a body the connection breaks; None for not at all."""
    listing_breaks: list[int] = field(default_factory=list)
    """The same for the listing."""
    stalls: list[Stall | None] = field(default_factory=list)
    statuses: list[int | None] = field(default_factory=list)
    """What is answered in place of a file."""
    sent: dict[str, bytes] = field(default_factory=dict)
    """What is sent in place of a file's own bytes."""
    extra_headers: dict[str, str] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    url: str = ""

    def document(self) -> dict[str, object]:
        """The export as the service shows it."""
        entries = [
            FileEntry(name=name, size=len(data), sha256=hashlib.sha256(data).digest())
            for name, data in self.files.items()
            if name != "model.sig"
        ]
        listed = [
            {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in self.files.items()
        ]
        digest = to_hex(Manifest.of(entries).digest)
        about = {"id": "e1", "state": self.state, "progress": 1.0, "ended_by": EXPORT_RECORD_ID}
        return {**about, "files": listed, "manifest_digest": digest}

    def file_requests(self) -> list[Request]:
        """The requests that were for files."""
        return [request for request in self.requests if "/files/" in request.path]


@contextmanager
def serving(server: ExportServer) -> Iterator[ExportServer]:
    """Serve until the end of the block."""

    class Handler(_Handler):
        export = server

    listener = _Listener(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server.url = f"http://127.0.0.1:{listener.server_port}{EXPORT_PATH}"
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


class _Listener(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client that went away is part of the test
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    export: ExportServer

    def do_GET(self) -> None:
        export = self.export
        export.requests.append(Request(self.path, dict(self.headers.items())))
        if export.token is not None and self.headers.get("Authorization") != f"Bearer {export.token}":
            self._answer(401, b'{"error":{"message":"no such token"}}')
        elif self.path == EXPORT_PATH:
            shown = export.listing(export.document())
            self._answer(200, shown if isinstance(shown, bytes) else json.dumps(shown).encode())
        elif self.path.startswith(EXPORT_PATH + "/files/"):
            self._file(unquote(self.path.removeprefix(EXPORT_PATH + "/files/")))
        else:
            self._answer(404, b'{"error":{"message":"there is no such export"}}')

    def _file(self, name: str) -> None:
        export = self.export
        status = export.statuses.pop(0) if export.statuses else None
        if status is not None:
            self._answer(status, b"{}", {"Location": "http://127.0.0.1:1/", "Retry-After": "7"})
            return
        if name not in export.files:
            self._answer(404, b"{}")
            return
        data = export.sent.get(name, export.files[name])
        etag = f'"{hashlib.sha256(export.files[name]).hexdigest()}"'
        headers = {"ETag": etag, "X-Tallystick-Record": RECORD_ID, **export.extra_headers}
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and export.honours_ranges and self.headers.get("If-Range") == etag:
            start = int(asked[1])
            if start >= len(data):
                self._answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
                return
            headers.setdefault("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self._answer(206, data[start:], headers)
        else:
            self._answer(200, data, headers)

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        export = self.export
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        length = export.announces_length or "/files/" not in self.path
        self.send_header("Content-Length", str(len(body))) if length else self.send_header("Connection", "close")
        self.end_headers()
        breaks: list[int | None] | list[int] = export.breaks if "/files/" in self.path else export.listing_breaks
        broken = breaks.pop(0) if breaks and status in {200, 206} else None
        stall = export.stalls.pop(0) if export.stalls and "/files/" in self.path else None
        if stall is not None:
            with suppress(OSError):  # whoever was killed reads no more
                self.wfile.write(body[: stall.after])
            stall.reached.set()
            stall.released.wait(60)
            self.close_connection = True
            return
        self.wfile.write(body if broken is None else body[:broken])
        self.close_connection = self.close_connection or broken is not None or not length

    def log_message(self, *_: object) -> None:
        pass
