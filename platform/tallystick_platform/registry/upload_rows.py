"""The rows of uploads and of their parts: written with their MACs, checked whenever they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, select

from tallystick.ids import Address
from tallystick_platform.registry.upload_entries import Announcement, Missing, Upload, gaps
from tallystick_platform.store.row_macs import RowMacs, Value
from tallystick_platform.store.row_writes import delete_rows, insert_row
from tallystick_platform.store.tables import PART, UPLOAD

OPEN = "open"


class UploadRows:
    """Every method works inside the caller's transaction. Raises: RowTampered."""

    def __init__(self, macs: RowMacs) -> None:
        self._macs = macs

    def find(self, connection: Connection, upload_id: str, *, with_missing: bool = True) -> Upload | None:
        """An upload, and which parts of it are missing: a row for each part is read for that."""
        row = connection.execute(select(UPLOAD).where(UPLOAD.c.id == upload_id)).first()
        if row is None:
            return None
        values: Mapping[str, Any] = self._macs.check(UPLOAD, row)
        announced = Announcement.from_json(values["manifest"])
        missing: tuple[Missing, ...] = ()
        if with_missing:
            rows = connection.execute(select(PART).where(PART.c.upload == upload_id))
            parts: list[Mapping[str, Any]] = [self._macs.check(PART, row) for row in rows]
            missing = gaps(announced.files, {(part["file"], part["part"]) for part in parts})
        return Upload(
            id=values["id"],
            owner=Address(values["owner"]),
            token_id=values["token_id"],
            model=values["model"],
            announced=announced,
            missing=missing,
            created_at=values["created_at"],
            expires_at=values["expires_at"],
        )

    def of_owner(self, connection: Connection, owner: Address) -> list[str]:
        """The ids of an owner's uploads, oldest first."""
        query = select(UPLOAD.c.id).where(UPLOAD.c.owner == bytes(owner)).order_by(UPLOAD.c.created_at, UPLOAD.c.id)
        return [str(row[0]) for row in connection.execute(query)]

    def announced_bytes(self, connection: Connection, owner: Address | None = None) -> int:
        """What all uploads, or an owner's, will take when they are complete."""
        query = select(func.coalesce(func.sum(UPLOAD.c.size_bytes), 0))
        if owner is not None:
            query = query.where(UPLOAD.c.owner == bytes(owner))
        return int(connection.execute(query).scalar_one())

    def received_bytes(self, connection: Connection) -> int:
        """What is on disk of all uploads."""
        return int(connection.execute(select(func.coalesce(func.sum(PART.c.size), 0))).scalar_one())

    def expired(self, connection: Connection, now_us: int) -> list[str]:
        """The uploads whose time is over."""
        return [str(row[0]) for row in connection.execute(select(UPLOAD.c.id).where(UPLOAD.c.expires_at <= now_us))]

    def ids(self, connection: Connection) -> set[str]:
        """Every upload."""
        return {str(row[0]) for row in connection.execute(select(UPLOAD.c.id))}

    def insert(self, connection: Connection, upload: Upload) -> None:
        """Begin an upload."""
        values: dict[str, Value] = {
            "id": upload.id,
            "owner": upload.owner,
            "token_id": upload.token_id,
            "model": upload.model,
            "state": OPEN,
            "size_bytes": upload.announced.size_bytes,
            "manifest": upload.announced.to_json(),
            "created_at": upload.created_at,
            "expires_at": upload.expires_at,
        }
        insert_row(connection, self._macs, UPLOAD, values)

    def put_part(
        self, connection: Connection, upload_id: str, file: int, part: int, *, size: int, sha256: bytes, now_us: int
    ) -> None:
        """Note a part that is on disk for good; a second one takes the first one's place."""
        values: dict[str, Value] = {
            "id": f"{upload_id}/{file}/{part}",
            "upload": upload_id,
            "file": file,
            "part": part,
            "size": size,
            "sha256": sha256,
            "received_at": now_us,
        }
        delete_rows(connection, self._macs, PART, PART.c.id == values["id"])
        insert_row(connection, self._macs, PART, values)

    def drop_file(self, connection: Connection, upload_id: str, file: int) -> None:
        """Forget the parts of a file: they do not make up what was announced."""
        delete_rows(connection, self._macs, PART, PART.c.upload == upload_id, PART.c.file == file)

    def delete(self, connection: Connection, upload_id: str) -> None:
        """Forget an upload."""
        delete_rows(connection, self._macs, PART, PART.c.upload == upload_id)
        delete_rows(connection, self._macs, UPLOAD, UPLOAD.c.id == upload_id)
