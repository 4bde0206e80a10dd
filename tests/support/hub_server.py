"""A small server on a loopback port that speaks the hub's protocol: what a repository holds at a revision, and its files."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_INFO = re.compile(r"/api/models/(?P<repo>[^?]+?)/revision/(?P<revision>[^?/]+)(\?.*)?")
_FILE = re.compile(r"/(?P<repo>[^?]+?)/resolve/(?P<revision>[^?/]+)/(?P<name>[^?]+)(\?.*)?")


@dataclass(slots=True, kw_only=True)
class Repository:
    """The files of one repository at one commit, under the names of some revisions."""

    files: dict[str, bytes]
    revisions: tuple[str, ...] = ("main",)
    large: tuple[str, ...] = ()

    @property
    def commit(self) -> str:
        """Forty digits that follow from the content."""
        parts = [name.encode() + b"\0" + data for name, data in sorted(self.files.items())]
        return hashlib.sha1(b"\0".join(parts), usedforsecurity=False).hexdigest()


@dataclass(slots=True, kw_only=True)
class Hub:
    """What the server holds, and what it was asked. `cut` lets a file's first download end after so many bytes."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    cut: dict[str, int] = field(default_factory=dict)
    endpoint: str = ""

    def downloads(self) -> list[str]:
        """The names of files whose content was asked for."""
        return [match["name"] for method, path in self.requests if method == "GET" and (match := _FILE.fullmatch(path))]


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002  the base class's name
        pass

    def _answer(self, *, with_body: bool) -> None:
        self.server.hub.requests.append((self.command, self.path))
        if "authorization" in self.headers:
            self.server.hub.tokens.add(self.headers["authorization"])
        if found := _INFO.fullmatch(self.path):
            self._info(found["repo"], found["revision"])
        elif found := _FILE.fullmatch(self.path):
            self._file(found["repo"], found["revision"], found["name"], with_body=with_body)
        else:
            self._send(404, {}, b"")

    def _at(self, repo: str, revision: str) -> Repository | None:
        repository = self.server.hub.repositories.get(repo)
        if repository is None:
            self._send(404, {"X-Error-Code": "RepoNotFound"}, b"")
        elif revision not in {*repository.revisions, repository.commit}:
            self._send(404, {"X-Error-Code": "RevisionNotFound"}, b"")
        else:
            return repository
        return None

    def _info(self, repo: str, revision: str) -> None:
        repository = self._at(repo, revision)
        if repository is not None:
            siblings = [{"rfilename": name, "size": len(data)} for name, data in sorted(repository.files.items())]
            shown = {"_id": "0", "id": repo, "modelId": repo, "sha": repository.commit, "siblings": siblings}
            shown |= {"private": False, "tags": [], "downloads": 0, "likes": 0}
            self._send(200, {"Content-Type": "application/json"}, json.dumps(shown).encode())

    def _file(self, repo: str, revision: str, name: str, *, with_body: bool) -> None:
        repository = self._at(repo, revision)
        if repository is None:
            return
        data = repository.files.get(name)
        if data is None:
            self._send(404, {"X-Error-Code": "EntryNotFound"}, b"")
            return
        etag = hashlib.sha256(data).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": repository.commit, "Accept-Ranges": "bytes"}
        if name in repository.large:
            headers |= {"X-Linked-ETag": f'"{etag}"', "X-Linked-Size": str(len(data))}
        start = 0
        if asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("range", "")):
            start = int(asked[1])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        cut = self.server.hub.cut.pop(name, None) if with_body else None
        self._send(206 if start else 200, headers, data[start:], with_body=with_body, cut=cut)

    def _send(
        self, status: int, headers: dict[str, str], body: bytes, *, with_body: bool = True, cut: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body and self.command != "HEAD":
            self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: Hub) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = hub


@contextmanager
def serving_hub(**repositories: Repository) -> Iterator[Hub]:
    """A hub on a free port; a repository's name has `__` where it has a slash."""
    hub = Hub(repositories={name.replace("__", "/"): repository for name, repository in repositories.items()})
    server = _Server(hub)
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
