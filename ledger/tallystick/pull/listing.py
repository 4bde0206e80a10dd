"""What a server says an export or a registered model holds: read strictly, for its names become paths on this disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tallystick.errors import JsonError, ManifestError, ModelDigestError, PullRefused
from tallystick.ids import to_hex
from tallystick.manifest import DIGEST_BYTES, MAX_FILE_BYTES, MAX_FILES, SIGNATURE_NAME, FileEntry, Manifest
from tallystick.strict_json import read_json

FINISHED: Final = "finished"
MAX_SHOWN_TEXT: Final = 200
MAX_RECORD_ID_CHARACTERS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedFile:
    """A file to fetch: one of the manifest's, or the signature beside them. Units: `size` is bytes."""

    name: str
    size: int
    sha256: bytes

    @property
    def etag(self) -> str:
        """How the server names this content. Source: RFC 9110, 8.8.3."""
        return f'"{self.sha256.hex()}"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A model's files: their manifest, and with it the signature, if there is one. `record_id` is an export's record."""

    manifest: Manifest
    wanted: tuple[WantedFile, ...]
    record_id: str | None

    @property
    def size(self) -> int:
        """All that there is to fetch. Units: bytes."""
        return sum(file.size for file in self.wanted)


def read_listing(url: str, body: bytes) -> Listing:
    """Read the JSON of an export, or of a registered model's files, which have no state.

    Raises: PullRefused if it is none, or not finished; ModelDigestError if its digest is not that of its files.
    """
    document = _document(url, body)
    state = document.get("state", FINISHED)
    if state != FINISHED:
        raise PullRefused(
            url, 0, f"the export is {state!a:.{MAX_SHOWN_TEXT}}, not finished; nothing can be fetched yet"
        )
    listed = document.get("files")
    if not isinstance(listed, list) or len(listed) > MAX_FILES + 1:
        raise PullRefused(url, 0, f"the answer holds no list of at most {MAX_FILES} files")
    files = tuple(_file(url, item) for item in listed)
    try:
        manifest = Manifest.of(
            FileEntry(name=file.name, size=file.size, sha256=file.sha256)
            for file in files
            if file.name != SIGNATURE_NAME
        )
    except ManifestError as error:
        raise PullRefused(url, 0, f"the answer lists files that cannot be taken: {error}") from error
    if len(files) - len(manifest.files) > 1:
        raise PullRefused(url, 0, f"the answer lists {SIGNATURE_NAME} twice")
    folded = {name.casefold() for name in (file.name for file in files)}
    if len(folded) != len(files):
        raise PullRefused(url, 0, "the answer lists names that differ in capital letters alone")
    expected = document.get("manifest_digest")
    if expected != to_hex(manifest.digest):
        raise ModelDigestError(f"the list of {url}", f"digest {expected!a:.80}", f"digest {to_hex(manifest.digest)}")
    return Listing(manifest=manifest, wanted=files, record_id=shown_record_id(document.get("ended_by")))


def shown_record_id(value: object) -> str | None:
    """The id of a record as a server gives it, where it can be one and be shown."""
    is_one = isinstance(value, str) and 0 < len(value) <= MAX_RECORD_ID_CHARACTERS and value.isprintable()
    return str(value) if is_one else None


def _document(url: str, body: bytes) -> Mapping[str, object]:
    try:
        document = read_json(body, len(body))
    except JsonError as error:
        reason = f"the answer {error}: is this the address of an export, or of a model's files?"
        raise PullRefused(url, 0, reason) from error
    if not isinstance(document, dict):
        raise PullRefused(
            url, 0, "the answer is not an object: is this the address of an export, or of a model's files?"
        )
    return document


def _file(url: str, item: object) -> WantedFile:
    members = item if isinstance(item, dict) else {}
    name, size, digest = members.get("name"), members.get("size"), members.get("sha256")
    try:
        sha256 = bytes.fromhex(digest) if isinstance(digest, str) else b""
    except ValueError:
        sha256 = b""
    if (
        not isinstance(name, str)
        or type(size) is not int
        or not 0 <= size <= MAX_FILE_BYTES
        or len(sha256) != DIGEST_BYTES
    ):
        raise PullRefused(url, 0, "the answer lists a file without name, size or SHA-256")
    return WantedFile(name=name, size=size, sha256=sha256)
