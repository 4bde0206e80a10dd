"""Lists of a model's files that somebody kept: by them, files that are not the record's can be named.

A list proves itself: where its digest is the one in the record, it lists the files that the record's model had, whoever wrote it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tallystick.errors import IdError, JsonError, ManifestError
from tallystick.ids import parse_hash
from tallystick.manifest import MAX_FILES, FileEntry, Manifest, combine
from tallystick.record import Value
from tallystick.strict_json import read_json

MAX_LIST_BYTES = 4_194_304


@dataclass(frozen=True, slots=True, kw_only=True)
class FileList:
    """Names and SHA-256 digests, and where they were read."""

    origin: str
    files: Mapping[str, bytes]

    @property
    def digest(self) -> bytes:
        """The digest of a model that has these files."""
        return combine(self.files)


def read_file_list(origin: str, data: bytes) -> FileList:
    """Read a manifest, or the list inside an OpenSSF model signature, whose signature is not judged.

    Raises: ManifestError.
    """
    if len(data) > MAX_LIST_BYTES:
        raise ManifestError(origin, f"is longer than {MAX_LIST_BYTES} bytes")
    document = _json(origin, data)
    if isinstance(document, dict) and "dsseEnvelope" in document:
        return FileList(origin=origin, files=_signed_files(origin, document))
    manifest = Manifest.from_json(document)
    return FileList(origin=origin, files={entry.name: entry.sha256 for entry in manifest.files})


def exported_files(document: Value) -> tuple[bytes, FileList | None] | None:
    """The digest, and the list, of the files that came out of an export, from the document in its record; None where it is none.

    The record of a download names the digest alone.
    """
    if not isinstance(document, Mapping):
        return None
    listed = document.get("files", ())
    try:
        digest = parse_hash(str(document.get("manifest_digest")))
        if not isinstance(listed, Sequence) or isinstance(listed, str | bytes) or len(listed) > MAX_FILES:
            return None
        files = [_exported(one) for one in listed]
        found = {entry.name: entry.sha256 for entry in Manifest.of(files).files} if files else None
    except (ManifestError, IdError, TypeError, ValueError):
        return None
    return digest, None if found is None else FileList(origin="the record", files=found)


def _exported(listed: Value) -> FileEntry:
    """Raises: TypeError or ValueError where it is not a file's entry."""
    if not isinstance(listed, Mapping):
        raise TypeError("not an object")
    name, size, sha256 = (listed.get(member) for member in ("name", "size", "sha256"))
    if not isinstance(name, str) or type(size) is not int or not isinstance(sha256, str):
        raise TypeError("not a name, a size and a digest")
    return FileEntry(name=name, size=size, sha256=bytes.fromhex(sha256))


def _signed_files(origin: str, document: Mapping[str, object]) -> Mapping[str, bytes]:
    envelope = document["dsseEnvelope"]
    payload = envelope.get("payload") if isinstance(envelope, dict) else None
    try:
        statement = _json(origin, base64.b64decode(payload if isinstance(payload, str) else "", validate=True))
    except binascii.Error as error:
        raise ManifestError(origin, "its payload is not in base64") from error
    predicate = statement.get("predicate") if isinstance(statement, dict) else None
    resources = predicate.get("resources") if isinstance(predicate, dict) else None
    if not isinstance(resources, list) or not 0 < len(resources) <= MAX_FILES:
        raise ManifestError(origin, f"signs no list of at most {MAX_FILES} files")
    files = [_resource(origin, resource) for resource in resources]
    return {entry.name: entry.sha256 for entry in Manifest.of(files).files}


def _resource(origin: str, resource: object) -> FileEntry:
    if not isinstance(resource, dict) or resource.get("algorithm") != "sha256":
        raise ManifestError(origin, "signs something else than files by their SHA-256")
    name, digest = resource.get("name"), resource.get("digest")
    try:
        sha256 = bytes.fromhex(digest) if isinstance(digest, str) else b""
    except ValueError as error:
        raise ManifestError(origin, "holds a digest that is not hexadecimal") from error
    return FileEntry(name=name if isinstance(name, str) else "", size=0, sha256=sha256)


def _json(origin: str, data: bytes) -> object:
    try:
        return read_json(data, len(data))
    except JsonError as error:
        raise ManifestError(origin, str(error)) from error
