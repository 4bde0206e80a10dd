"""`pull`: an export from a server into a folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tallystick.errors import ModelDigestError, PullBlocked, PullUnavailable
from tallystick.pull.listing import Listing, WantedFile, read_listing
from tallystick.pull.server import Interrupted, Server
from tallystick.pull.staging import CHUNK_BYTES, FILE_MODE, Gathered, Staging

ATTEMPTS: Final = 5
"""How often in a row the server may give out before anything more has come."""
FIRST_PAUSE_S: Final = 0.5
MAX_RESTARTS: Final = 2
"""How often one file may start anew, with a server that cannot go on where it stopped."""
MAX_RECORDS: Final = 1_000
"""Later downloads' records are fetched as well, and not named."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """An export that lies whole in its folder. Units: bytes; `received` is what this run fetched of `size`.

    `export_record` and `records` are the ids of the records of the export and of these downloads, as the server named them.
    """

    digest: bytes
    files: int
    size: int
    received: int
    export_record: str | None
    records: tuple[str, ...]


def pull(
    server: Server, target: Path, progress: Progress | None = None, *, sleep: Callable[[float], None] = time.sleep
) -> Pulled:
    """Fetch an export.

    1. Ask for the list of files. Its digest must be that of the files which it names.
    2. Fetch each file into a folder beside the target, from where an earlier run stopped, and check it. A kill here: the folder
       stays, the target is not there, and the same call goes on.
    3. Rename the folder. A kill before it: the same; after it: the target is whole.

    Raises: PullError; ModelDigestError if what comes is not what was listed.
    """
    listing = _listing(server, sleep)
    staging, run = Staging(target, listing), _Run(server, listing, progress, sleep)
    if not staging.is_published():
        with staging.opened():
            for file in listing.wanted:
                run.fetch(file, staging.path(file))
            staging.publish()
    return Pulled(
        digest=listing.manifest.digest,
        files=len(listing.wanted),
        size=listing.size,
        received=run.received,
        export_record=listing.record_id,
        records=tuple(run.records),
    )


class _Run:
    """One run over the files."""

    def __init__(
        self, server: Server, listing: Listing, progress: Progress | None, sleep: Callable[[float], None]
    ) -> None:
        self._server = server
        self._total = listing.size
        self._progress = progress
        self._sleep = sleep
        self._before = 0
        self.received = 0
        self.records: list[str] = []

    def fetch(self, file: WantedFile, path: Path) -> None:
        """Have the file whole, checked and durable."""
        try:
            self._fetch(file, path)
        except OSError as error:
            raise PullBlocked(str(path), error.strerror or str(error)) from error
        self._before += file.size
        self._tell(0)

    def _fetch(self, file: WantedFile, path: Path) -> None:
        inherited = path.exists()
        digest = self._complete(file, path)
        if digest != file.sha256 and inherited:
            # What an earlier run left may be damaged, or a disk's fault: once more, all of it.
            path.unlink()
            digest = self._complete(file, path)
        if digest != file.sha256:
            path.unlink()
            expected = f"SHA-256 {file.sha256.hex()}, as listed"
            raise ModelDigestError(f"model file {file.name}", expected, f"SHA-256 {digest.hex()}")

    def _complete(self, file: WantedFile, path: Path) -> bytes:
        """Fetch what is missing; gives the SHA-256 of all."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, FILE_MODE), "r+b") as out:
            gathered = Gathered(out)
            if gathered.size > file.size:
                gathered.restart()
            patience = Patience(self._server, self._sleep)
            while gathered.size < file.size:
                before = gathered.size
                try:
                    self._fetch_part(file, gathered, patience)
                except Interrupted as error:
                    patience.wait(error, progressed=gathered.size > before)
            out.flush()
            os.fsync(out.fileno())
            return gathered.digest()

    def _fetch_part(self, file: WantedFile, gathered: Gathered, patience: Patience) -> None:
        """Take what the server gives at one go."""
        with self._server.file(file.name, gathered.size, file.size, file.etag) as part:
            if part.start != gathered.size:
                patience.restart(file.name)
                gathered.restart()
            if part.record_id is not None and len(self.records) < MAX_RECORDS:
                self.records.append(part.record_id)
            while chunk := part.read(CHUNK_BYTES):
                if gathered.size + len(chunk) > file.size:
                    raise _wrong_size(file, f"more than {file.size}")
                gathered.add(chunk)
                self.received += len(chunk)
                self._tell(gathered.size)
        if gathered.size < file.size:
            if part.start == 0 and part.announced == gathered.size > 0:
                raise _wrong_size(file, str(gathered.size))
            raise Interrupted(f"{file.name} ended early")

    def _tell(self, done: int) -> None:
        if self._progress is not None:
            self._progress(self._before + done, self._total)


class Patience:
    """How much longer a server is asked that gives out."""

    def __init__(self, server: Server, sleep: Callable[[float], None]) -> None:
        self._server = server
        self._sleep = sleep
        self._failures = 0
        self._restarts = 0

    def wait(self, interrupted: Interrupted, *, progressed: bool = False) -> None:
        """Pause before the next attempt. Raises: PullUnavailable when it was the last."""
        self._failures = 1 if progressed else self._failures + 1
        if self._failures >= ATTEMPTS:
            raise PullUnavailable(self._server.url, str(interrupted)) from interrupted
        pause_s = FIRST_PAUSE_S * 2 ** (self._failures - 1)
        self._sleep(pause_s if interrupted.wait_s is None else interrupted.wait_s)

    def restart(self, name: str) -> None:
        """A file starts anew. Raises: PullUnavailable if it did so too often."""
        self._restarts += 1
        if self._restarts > MAX_RESTARTS:
            raise PullUnavailable(self._server.url, f"{name} is not given in parts, and breaks off again and again")


def _listing(server: Server, sleep: Callable[[float], None]) -> Listing:
    patience = Patience(server, sleep)
    while True:
        try:
            return read_listing(server.url, server.listing())
        except Interrupted as error:
            patience.wait(error)


def _wrong_size(file: WantedFile, found: str) -> ModelDigestError:
    return ModelDigestError(f"model file {file.name}", f"{file.size} bytes, as listed", f"{found} bytes")
