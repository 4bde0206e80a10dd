"""`tallystick-server model upload`: a folder to a server, in parts, going on where an earlier run stopped."""

from __future__ import annotations

import hashlib
import http.client
import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from tallystick.keys import read_secret_file
from tallystick.manifest import SIGNATURE_NAME, hash_folder
from tallystick_platform.cli.output import show
from tallystick_platform.cli.progress import progress_bar
from tallystick_platform.errors import PlatformError

ATTEMPTS = 4  # for one part; what is on the server already stays there
TIMEOUT_S = 120.0
COMPLETE_TIMEOUT_S = 3_600.0  # the server hashes everything
MAX_ANSWER_BYTES = 16 * 1_048_576


class UploadFailed(PlatformError):
    """The server refused, or could not be reached. Run it again: what arrived stays there until the upload expires."""

    def __init__(self, *, reason: str, http_status: int | None = None) -> None:
        super().__init__(reason)
        self.http_status = http_status


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A server, and the token that it knows us by."""

    base_url: str
    token: str

    def ask(
        self, method: str, path: str, body: bytes | None = None, *, timeout_s: float = TIMEOUT_S, **headers: str
    ) -> dict[str, Any]:
        """One request; the answer's JSON. Raises: UploadFailed"""
        parts = urlsplit(self.base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UploadFailed(reason=f"{self.base_url[:128]!r} is no http:// or https:// URL")
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout_s, context=context)
        else:
            connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
        try:
            sent = {
                "authorization": f"Bearer {self.token}",
                **{name.replace("_", "-"): text for name, text in headers.items()},
            }
            connection.request(method, parts.path.rstrip("/") + path, body, sent)
            reply = connection.getresponse()
            return _read(reply.status, reply.read(MAX_ANSWER_BYTES))
        except (OSError, http.client.HTTPException) as error:
            raise UploadFailed(reason=f"{self.base_url}: {type(error).__name__}: {error}") from error
        finally:
            connection.close()


def upload(
    *, folder: Path, to: str, token_file: Path, name: str | None, public: bool, base: str | None, as_json: bool
) -> None:
    """Upload a folder and complete it."""
    destination = Destination(base_url=to, token=read_secret_file(token_file))
    with progress_bar(as_json=as_json) as progress:
        version = send(destination, folder, name or folder.absolute().name, public=public, base=base, progress=progress)
    text = f"{version['reference']}\nin staging: it answers its owner; promote it to offer it to others"
    show(version, as_json=as_json, text=text)


def send(
    destination: Destination,
    folder: Path,
    model: str,
    *,
    public: bool,
    base: str | None,
    progress: Callable[[str, float], None],
) -> dict[str, Any]:
    """Hash, announce, send what is missing, complete; gives the version. Raises: UploadFailed, ManifestError, OSError"""
    files = list(_files(folder, progress))
    below = "/v1/models/" + quote(model) + "/uploads"
    body: dict[str, object] = {"files": files, "visibility": "public" if public else "private"}
    if base is not None:
        body["base"] = base
    opened = destination.ask("POST", below, json.dumps(body).encode(), content_type="application/json")
    one, total, done = f"{below}/{opened['id']}", max(1, opened["size_bytes"]), 0
    missing = sum(1 for _ in _parts(opened))
    for count, (file, number) in enumerate(_parts(opened), 1):
        with (folder / file).open("rb") as source:
            source.seek(number * opened["part_bytes"])
            data = source.read(opened["part_bytes"])
        _put(destination, f"{one}/files/{quote(file)}?part={number}", data)
        done += len(data)
        progress(f"sending {done // 1_048_576} of {total // 1_048_576} MiB", count / missing)
    progress("checking on the server", 1.0)
    return destination.ask("POST", f"{one}/complete", b"", timeout_s=COMPLETE_TIMEOUT_S)


def _put(destination: Destination, path: str, data: bytes) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            destination.ask("PUT", path, data, x_part_sha256=hashlib.sha256(data).hexdigest())
        except UploadFailed as error:
            refused = error.http_status is not None and error.http_status < 500
            if refused or attempt == ATTEMPTS:
                raise UploadFailed(
                    reason=f"{error}; run it again to go on from here", http_status=error.http_status
                ) from error
        else:
            return


def _files(folder: Path, progress: Callable[[str, float], None]) -> Iterator[dict[str, object]]:
    manifest = hash_folder(folder, lambda done, total: progress("hashing", done / total if total else 1.0))
    for entry in manifest.files:
        yield {"name": entry.name, "size": entry.size, "sha256": entry.sha256.hex()}
    signature = folder / SIGNATURE_NAME
    if signature.is_file():
        data = signature.read_bytes()
        yield {"name": SIGNATURE_NAME, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _parts(opened: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for gap in opened["missing"]:
        for number in range(gap["first"], gap["last"] + 1):
            yield gap["name"], number


def _read(status: int, body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError as error:
        raise UploadFailed(reason=f"the server answered {status} without JSON", http_status=status) from error
    if not isinstance(found, dict) or not 200 <= status < 300:
        said = found.get("error", {}) if isinstance(found, dict) else {}
        raise UploadFailed(
            reason=f"the server answered {status}: {said.get('message', 'no reason')}", http_status=status
        )
    return found
