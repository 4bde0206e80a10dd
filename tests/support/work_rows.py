"""Jobs of several requests, and files of them, as they stand when they are asked for."""

from __future__ import annotations

from tallystick.hashing import keccak256
from tallystick.ids import RecordId
from tallystick_platform.store.database import Database
from tallystick_platform.store.kept_files import FileStore, KeptFile
from tallystick_platform.store.row_macs import RowMacs
from tallystick_platform.store.work import LineAsked, Work, WorkKind, WorkState, WorkStore
from tests.support.journals import ALICE, TOKEN_ID

LINE = LineAsked("first", "/v1/chat/completions", b'{"secret":"words"}')
CONTENT = b"secret words\n"


def a_work(**changes: object) -> Work:
    given: dict[str, object] = {
        "id": "ab" * 16,
        "number": 0,
        "kind": WorkKind.REMOTE,
        "owner": ALICE,
        "token_id": TOKEN_ID,
        "path": "/remotejobs/v2/jobs",
        "state": WorkState.QUEUED,
        "lines": 1,
        "completed": 0,
        "failed": 0,
        "record_id": RecordId(b"\x01" * 16),
        "ended_by": None,
        "error": None,
        "asked": {"tag": "secret words"},
        "created_at": 1,
        "due_by": 1_000,
        "started_at": None,
        "finished_at": None,
        "keep_until": None,
    }
    return Work(**(given | changes))


def a_file(**changes: object) -> KeptFile:
    given: dict[str, object] = {
        "id": "file-1",
        "number": 0,
        "owner": ALICE,
        "purpose": "batch",
        "name": "secret words.jsonl",
        "size_bytes": len(CONTENT),
        "digest": keccak256(CONTENT),
        "created_at": 1,
        "keep_until": 1_000,
    }
    return KeptFile(**(given | changes))


def work_rows(database: Database, macs: RowMacs) -> None:
    """A row in every table of jobs and files."""
    WorkStore(database, macs).insert(a_work(), [LINE])
    FileStore(database, macs).insert(a_file(), CONTENT)
