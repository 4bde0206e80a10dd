"""Models that come over HTTP, file by file, in parts, over as many connections and restarts as it takes.

1. `open` notes what is to come: every file with size and SHA-256.
2. A part is written to its place in its file, flushed, and only then noted. *A crash before the note: the part is sent again.*
3. `complete` gives the files a second name in the staging area, and from there on they go the way of every model. *A crash: the
   upload is as it was, and is completed again.* It becomes visible in one piece, if every digest is the announced one.
4. What is not complete when its time is over is removed, also after a restart.

What is refused for what it is (pickle, another task) is removed at once; a file whose digest differs is to be sent again.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection

from tallystick.ids import Address
from tallystick_platform.clock import Clock
from tallystick_platform.formats.errors import FormatError, UnsafeModel
from tallystick_platform.registry.copying import Found, full_disk, link_files
from tallystick_platform.registry.entries import ModelVersion
from tallystick_platform.registry.errors import (
    ContentDiffers,
    ModelTaken,
    RegistryFull,
    SignatureRefused,
    TaskDiffers,
    UploadIncomplete,
    UploadRefused,
    UploadUnknown,
    VersionExists,
)
from tallystick_platform.registry.folders import remove_tree, sync
from tallystick_platform.registry.intake import Arrival
from tallystick_platform.registry.names import parse_model_id
from tallystick_platform.registry.registry import Registry
from tallystick_platform.registry.sources import mark_base
from tallystick_platform.registry.upload_entries import PART_BYTES, AnnouncedFile, Announcement, Part, Upload
from tallystick_platform.registry.upload_rows import UploadRows
from tallystick_platform.store.database import Database
from tallystick_platform.store.row_macs import RowMacs

MAX_OPEN_UPLOADS = 4
"""Of one owner."""
ID_BYTES = 12
US_PER_S = 1_000_000

_ID = re.compile(r"up_[0-9a-f]{24}")
_HOPELESS = (FormatError, UnsafeModel, TaskDiffers, VersionExists, ModelTaken, SignatureRefused)


class Uploads:
    """The uploads into a registry. Synchronous; the HTTP side calls it in threads."""

    def __init__(
        self,
        registry: Registry,
        database: Database,
        macs: RowMacs,
        clock: Clock,
        *,
        lifetime_s: int,
        operator: Address,
    ) -> None:
        self._registry = registry
        self._folders = registry.folders
        self._database = database
        self._rows = UploadRows(macs)
        self._clock = clock
        self._lifetime_s = lifetime_s
        self._operator = operator
        self._busy: dict[str, int] = {}
        self._guard = threading.Lock()

    def open(self, model: str, announced: Announcement, *, owner: Address, token_id: str) -> Upload:
        """Begin an upload, if there is room for the whole of it; or go on with the one of the same files to the same model.

        Raises: BadReference, UploadRefused, ModelTaken, RegistryFull, DiskFull, UnknownModel (the base)
        """
        name = parse_model_id(model)
        announced.check()
        self._registry.check_name(name, self._viewer(owner))
        if announced.base is not None:
            self._registry.find(announced.base, self._viewer(owner))
        self.sweep()
        for known in self.list(owner):
            if known.model.lower() == name.lower() and known.announced == announced:
                return known
        now_us = self._clock.now_us()
        upload = Upload(
            id=f"up_{secrets.token_hex(ID_BYTES)}",
            owner=owner,
            token_id=token_id,
            model=name,
            announced=announced,
            missing=(),
            created_at=now_us,
            expires_at=now_us + self._lifetime_s * US_PER_S,
        )
        with self._database.writing() as connection:
            self._admit(connection, upload)
            self._rows.insert(connection, upload)
        return self.find(upload.id, owner)

    def find(self, upload_id: str, owner: Address, *, model: str | None = None, with_missing: bool = True) -> Upload:
        """An upload of the owner's, and to this model where one is named. Raises: UploadUnknown"""
        with self._database.reading() as connection:
            upload = self._found(connection, upload_id, owner, with_missing=with_missing)
        if model is not None and upload.model.lower() != model.lower():
            raise UploadUnknown(upload=upload_id)
        return upload

    def list(self, owner: Address) -> Sequence[Upload]:
        """An owner's uploads, oldest first."""
        with self._database.reading() as connection:
            found = [self._rows.find(connection, upload_id) for upload_id in self._rows.of_owner(connection, owner)]
        return [upload for upload in found if upload is not None and upload.expires_at > self._clock.now_us()]

    @contextmanager
    def part(self, upload_id: str, owner: Address, name: str, number: int) -> Iterator[Part]:
        """Room for one part. Raises: UploadUnknown, UploadRefused, DiskFull, OSError"""
        upload = self.find(upload_id, owner, with_missing=False)
        index, file = _file(upload, name)
        if not 0 <= number < file.parts:
            raise UploadRefused(file=name, reason=f"it has no part {number}, its parts are 0 to {file.parts - 1}")
        size = file.part_size(number)
        self._folders.need(size)

        def finish(written: int, sha256: bytes) -> None:
            with self._database.writing() as connection:
                self._found(connection, upload_id, owner, with_missing=False)
                now_us = self._clock.now_us()
                self._rows.put_part(connection, upload_id, index, number, size=written, sha256=sha256, now_us=now_us)

        offset = number * PART_BYTES
        with self._using(upload_id), full_disk(self._folders, size):
            part = Part(self._folder(upload_id) / file.name, offset=offset, size=size, finish=finish)
            try:
                yield part
            finally:
                part.close()

    def complete(self, upload_id: str, owner: Address) -> ModelVersion:
        """Check everything and publish it as a version in staging.

        Raises: UploadUnknown, UploadIncomplete, UploadRefused, ContentDiffers and what `Registry.add` raises
        """
        with self._using(upload_id, alone=True):
            upload = self.find(upload_id, owner)
            if upload.missing:
                raise UploadIncomplete(upload=upload_id, missing=upload.missing_parts)
            try:
                version = self._publish(upload)
            except ContentDiffers as error:
                self._send_again(upload, error.file)
                raise
            except _HOPELESS:
                self._remove(upload_id)
                raise
            self._remove(upload_id)
        return version

    def give_up(self, upload_id: str, owner: Address) -> None:
        """Remove an upload. Raises: UploadUnknown, UploadRefused"""
        with self._using(upload_id, alone=True):
            self.find(upload_id, owner, with_missing=False)
            self._remove(upload_id)

    def sweep(self) -> int:
        """Remove uploads whose time is over, and folders that belong to none; says how many."""
        removed = 0
        with self._database.reading() as connection:
            expired = self._rows.expired(connection, self._clock.now_us())
            known = self._rows.ids(connection)
        for upload_id in expired:
            try:
                with self._using(upload_id, alone=True):
                    self._remove(upload_id)
                    removed += 1
            except UploadRefused:
                continue  # it is being completed at this moment; the next sweep will find it, if it is still there
        for folder in self._folders.uploads.iterdir():
            if folder.name not in known and folder.name not in self._busy and self._ownerless(folder.name):
                remove_tree(folder)
                removed += 1
        return removed

    def _publish(self, upload: Upload) -> ModelVersion:
        folder = self._folder(upload.id)
        found = []
        for file in upload.announced.files:
            path = folder / file.name
            if file.size == 0:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                path.touch(mode=0o600)
            if path.stat().st_size != file.size:
                raise ContentDiffers(file=file.name, expected=file.sha256, found=None)
            found.append(Found(name=file.name, path=path, size=file.size))
        expected = {file.name: file.sha256 for file in upload.announced.files}
        with self._folders.stage() as staged, full_disk(self._folders, 0):
            link_files(found, staged.folder)
            base = upload.announced.base
            if base is not None:
                base = mark_base(self._registry, staged, base, self._viewer(upload.owner))
            arrival = Arrival(
                model=upload.model,
                owner=self._viewer(upload.owner),
                visibility=upload.announced.visibility,
                source={"kind": "upload", "upload": upload.id},
                licence=upload.announced.licence,
                base=base,
                expected=expected,
            )
            return self._registry.add(staged, arrival)

    def _viewer(self, owner: Address) -> Address | None:
        """Whom the registry should take the owner for: what the operator uploads is the operator's."""
        return None if owner == self._operator else owner

    def _send_again(self, upload: Upload, name: str) -> None:
        index, _ = _file(upload, name)
        with self._database.writing() as connection:
            self._rows.drop_file(connection, upload.id, index)
        (self._folder(upload.id) / name).unlink(missing_ok=True)

    def _admit(self, connection: Connection, upload: Upload) -> None:
        """Raises: RegistryFull, DiskFull"""
        if len(self._rows.of_owner(connection, upload.owner)) >= MAX_OPEN_UPLOADS:
            raise RegistryFull(bound="uploads of one owner at once", limit=MAX_OPEN_UPLOADS)
        quota = self._registry.quota_bytes
        kept = self._registry.stored_bytes(upload.owner) + self._rows.announced_bytes(connection, upload.owner)
        if kept + upload.announced.size_bytes > quota:
            raise RegistryFull(bound="bytes that one owner may store", limit=quota)
        # What others announced and did not send yet is promised to them.
        promised = self._rows.announced_bytes(connection) - self._rows.received_bytes(connection)
        self._folders.need(promised + upload.announced.size_bytes)

    def _found(self, connection: Connection, upload_id: str, owner: Address, *, with_missing: bool = True) -> Upload:
        known = _ID.fullmatch(upload_id) is not None
        upload = self._rows.find(connection, upload_id, with_missing=with_missing) if known else None
        if upload is None or upload.owner != owner or upload.expires_at <= self._clock.now_us():
            raise UploadUnknown(upload=upload_id)
        return upload

    def _remove(self, upload_id: str) -> None:
        """The row first: a folder without a row is swept up, a row without its files would promise parts that are gone."""
        with self._database.writing() as connection:
            self._rows.delete(connection, upload_id)
        remove_tree(self._folder(upload_id))
        sync(self._folders.uploads)

    def _ownerless(self, upload_id: str) -> bool:
        with self._database.reading() as connection:
            return upload_id not in self._rows.ids(connection)

    def _folder(self, upload_id: str) -> Path:
        return self._folders.uploads / upload_id

    @contextmanager
    def _using(self, upload_id: str, *, alone: bool = False) -> Iterator[None]:
        """Parts may come side by side; completing and removing wait for nobody and let nobody in.

        Raises: UploadRefused
        """
        with self._guard:
            busy = self._busy.get(upload_id, 0)
            if busy < 0 or (alone and busy > 0):
                reason = "it is being completed" if busy < 0 else "parts of it are arriving at this moment"
                raise UploadRefused(file=None, reason=reason)
            self._busy[upload_id] = -1 if alone else busy + 1
        try:
            yield
        finally:
            with self._guard:
                left = 0 if alone else self._busy[upload_id] - 1
                if left:
                    self._busy[upload_id] = left
                else:
                    del self._busy[upload_id]


def _file(upload: Upload, name: str) -> tuple[int, AnnouncedFile]:
    for index, file in enumerate(upload.announced.files):
        if file.name == name:
            return index, file
    raise UploadRefused(file=name[:200], reason="the upload has no such file")
