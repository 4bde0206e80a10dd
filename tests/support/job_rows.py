"""An export job as it stands when it is asked for."""

from __future__ import annotations

from tallystick.ids import RecordId
from tallystick_platform.store.jobs import ExportJob, JobFault, JobState, StoredFile
from tests.support.journals import ALICE, BOB, TOKEN_ID

FILE = StoredFile(name="onnx/model.onnx", size=7, sha256=b"\x61" * 32)
SIGNATURE = StoredFile(name="model.sig", size=2, sha256=b"\x62" * 32)


def a_job(**changes: object) -> ExportJob:
    given: dict[str, object] = {
        "id": "exp_000000000000000000000001",
        "number": 0,
        "owner": ALICE,
        "model_owner": BOB,
        "token_id": TOKEN_ID,
        "path": "/v1/models/acme/tiny/exports",
        "model": "acme/tiny",
        "version": "33" * 6,
        "source_digest": b"\x33" * 32,
        "dtype": "float32",
        "format": "onnx",
        "quantization": None,
        "state": JobState.QUEUED,
        "stage": None,
        "progress": 0.0,
        "attempts": 0,
        "record_id": RecordId(b"\x01" * 16),
        "ended_by": None,
        "error": None,
        "files": (),
        "signature": None,
        "digest": None,
        "parity": None,
        "created_at": 1,
        "due_by": 1_000,
        "finished_at": None,
    }
    return ExportJob(**(given | changes))


def a_full_job(**changes: object) -> ExportJob:
    """One with something in every column."""
    given: dict[str, object] = {
        "quantization": "int8",
        "stage": "writing",
        "progress": 0.125,
        "error": JobFault(code="c", message="m"),
        "files": (FILE,),
        "signature": SIGNATURE,
        "digest": b"\x34" * 32,
        "parity": {"passed": True},
        "ended_by": RecordId(b"\x02" * 16),
        "finished_at": 9,
    }
    return a_job(**(given | changes))
