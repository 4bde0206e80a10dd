"""Files of requests and of their answers at rest, encrypted (at_rest.py), until their time is over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from tallystick.ids import Address
from tallystick_platform.store.at_rest import AtRest
from tallystick_platform.store.database import Database
from tallystick_platform.store.row_macs import RowMacs
from tallystick_platform.store.row_writes import delete_rows, insert_row
from tallystick_platform.store.tables import KEPT_CONTENT, KEPT_FILE


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFile:
    """One file. `digest` is the Keccak-256 of what it holds; after `keep_until` it is forgotten. Units: bytes, microseconds UTC."""

    id: str
    number: int
    owner: Address
    purpose: str
    name: str
    size_bytes: int
    digest: bytes
    created_at: int
    keep_until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """How much an owner keeps. Units: bytes."""

    files: int
    size_bytes: int


class FileStore:
    """The files of a journal's database. Blocking: call it from a thread. Raises: RowTampered, wherever a row is read."""

    def __init__(self, database: Database, macs: RowMacs) -> None:
        self._database = database
        self._macs = macs
        self._at_rest = AtRest(macs)

    def insert(self, file: KeptFile, content: bytes) -> KeptFile:
        """Keep a file; its number is given here."""
        with self._database.writing() as connection:
            return insert_file(connection, self._macs, self._at_rest, file, content)

    def get(self, file_id: str, owner: Address) -> KeptFile | None:
        """The file of this id, if it is this owner's."""
        with self._database.reading() as connection:
            row = connection.execute(select(KEPT_FILE).where(KEPT_FILE.c.id == file_id)).first()
        found = None if row is None else self._file(self._macs.check(KEPT_FILE, row))
        return found if found is not None and found.owner == owner else None

    def content(self, file: KeptFile) -> bytes | None:
        """What a file holds; None if it is gone."""
        with self._database.reading() as connection:
            row = connection.execute(select(KEPT_CONTENT).where(KEPT_CONTENT.c.id == file.id)).first()
        if row is None:
            return None
        values: Mapping[str, Any] = self._macs.check(KEPT_CONTENT, row)
        return self._at_rest.open(KEPT_CONTENT, file.id, "content", values["content"])

    def files(self, owner: Address, purpose: str | None, *, below: int | None, limit: int) -> Sequence[KeptFile]:
        """An owner's files, newest first, up to `limit` of them, below number `below`."""
        query = select(KEPT_FILE).where(KEPT_FILE.c.owner == bytes(owner))
        if purpose is not None:
            query = query.where(KEPT_FILE.c.purpose == purpose)
        if below is not None:
            query = query.where(KEPT_FILE.c.number < below)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(KEPT_FILE.c.number.desc()).limit(limit)).all()
        return [self._file(self._macs.check(KEPT_FILE, row)) for row in rows]

    def held(self, owner: Address) -> Holding:
        """How much an owner keeps."""
        query = select(func.count(), func.coalesce(func.sum(KEPT_FILE.c.size_bytes), 0))
        with self._database.reading() as connection:
            files, size_bytes = connection.execute(query.where(KEPT_FILE.c.owner == bytes(owner))).one()
        return Holding(files=files, size_bytes=size_bytes)

    def remove(self, file_id: str) -> None:
        """Forget a file. One that is gone is no error."""
        with self._database.writing() as connection:
            delete_rows(connection, self._macs, KEPT_CONTENT, KEPT_CONTENT.c.id == file_id)
            delete_rows(connection, self._macs, KEPT_FILE, KEPT_FILE.c.id == file_id)

    def sweep(self, now_us: int) -> int:
        """Forget what has been kept for as long as it is; says how many files."""
        with self._database.reading() as connection:
            over = list(connection.execute(select(KEPT_FILE.c.id).where(KEPT_FILE.c.keep_until <= now_us)).scalars())
        for file_id in over:
            self.remove(file_id)
        return len(over)

    def _file(self, row: Mapping[str, Any]) -> KeptFile:
        return KeptFile(
            **{n: row[n] for n in ("id", "number", "purpose", "size_bytes", "digest", "created_at", "keep_until")},
            owner=Address(row["owner"]),
            name=self._at_rest.open(KEPT_FILE, row["id"], "name", row["name"]).decode(),
        )


def insert_file(connection: Connection, macs: RowMacs, at_rest: AtRest, file: KeptFile, content: bytes) -> KeptFile:
    """Keep a file in the caller's transaction; its number is given here."""
    last = connection.execute(select(func.max(KEPT_FILE.c.number))).scalar() or 0
    row = {
        "id": file.id,
        "number": last + 1,
        "owner": bytes(file.owner),
        "purpose": file.purpose,
        "name": at_rest.close(KEPT_FILE, file.id, "name", file.name.encode()),
        "size_bytes": file.size_bytes,
        "digest": file.digest,
        "created_at": file.created_at,
        "keep_until": file.keep_until,
    }
    insert_row(connection, macs, KEPT_FILE, row)
    box = at_rest.close(KEPT_CONTENT, file.id, "content", content)
    insert_row(connection, macs, KEPT_CONTENT, {"id": file.id, "content": box})
    return KeptFile(
        **{name: getattr(file, name) for name in KeptFile.__dataclass_fields__ if name != "number"}, number=last + 1
    )
