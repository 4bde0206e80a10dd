"""The large fields of a record, fetched as the encrypted blobs that they are: whoever knows a digest may have the blob.

A blob is kept as a file named by the hex of its digest, which is checked before it gets the name. Nothing is decrypted here.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tallystick.errors import PullBlocked, PullRefused, PullUnavailable
from tallystick.hashing import keccak256
from tallystick.ids import HASH_BYTES, RecordId, format_record_id, to_hex
from tallystick.pull.server import Interrupted, Server
from tallystick.record import MAX_BLOB_BYTES

MAX_SEALED_BLOB_BYTES: Final = MAX_BLOB_BYTES + MAX_BLOB_BYTES // 128 + 1_024
"""The largest value, as a frame of something that does not compress, with its tag."""
KIND: Final = "application/octet-stream"
FILE_MODE: Final = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What came: how many blobs were there before, and how many bytes were received."""

    blobs: int
    there: int
    received: int


class BlobFolder:
    """Blobs in a folder, by their digest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, digest: bytes) -> bytes | None:
        """The blob of this digest, None where there is no such file; a file with other content is none.

        Raises: PullBlocked where the file cannot be read.
        """
        if len(digest) != HASH_BYTES:
            return None
        try:
            with self.place(digest).open("rb") as file:
                data = file.read(MAX_SEALED_BLOB_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PullBlocked(str(self.place(digest)), error.strerror or str(error)) from error
        return data if keccak256(data) == digest else None

    def place(self, digest: bytes) -> Path:
        """Where a blob lies."""
        return self._folder / digest.hex()

    def keep(self, digest: bytes, data: bytes) -> None:
        """Write a blob, which appears whole or not at all.

        Raises: PullBlocked.
        """
        partial = self._folder / f".{digest.hex()}.{secrets.token_hex(4)}.partial"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                partial.replace(self.place(digest))
            finally:
                partial.unlink(missing_ok=True)
        except OSError as error:
            raise PullBlocked(str(self._folder), error.strerror or str(error)) from error


def fetch_blobs(service: str, record_id: RecordId, digests: Sequence[bytes], folder: BlobFolder) -> Fetched:
    """Fetch what is missing of a record's blobs.

    Requires: `service` is the address of the service, without a path of its own resources.
    Raises: PullRefused where the service does not give one, or gives another; PullUnavailable; PullBlocked.
    Source: SPEC 8.
    """
    there = received = 0
    for digest in digests:
        if folder(digest) is not None:
            there += 1
            continue
        url = f"{service.rstrip('/')}/v1/records/{format_record_id(record_id)}/blobs/{to_hex(digest)}"
        server = Server(url, None)
        try:
            data = server.whole(KIND, MAX_SEALED_BLOB_BYTES)
        except Interrupted as error:
            raise PullUnavailable(url, str(error)) from error
        finally:
            server.close()
        if keccak256(data) != digest:
            raise PullRefused(url, 0, "what came is another blob than was asked for")
        folder.keep(digest, data)
        received += len(data)
    return Fetched(blobs=len(digests), there=there, received=received)
