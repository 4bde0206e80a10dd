"""Files of requests and of their answers, one JSON object a line, as OpenAI's batches have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from tallystick.errors import JsonError
from tallystick.hashing import keccak256
from tallystick.ids import format_record_id
from tallystick.strict_json import read_json
from tallystick_platform.jobs.work_errors import BadBatch
from tallystick_platform.store.kept_files import KeptFile
from tallystick_platform.store.work import LineAsked, Work, WorkLine, WorkState

MAX_LINES: Final = 10_000
MAX_LINE_BYTES: Final = 1_048_576
MAX_NAME_CHARS: Final = 256
OUTPUT: Final = "batch_output"
ERRORS: Final = "batch_error"
"""What a file of answers is for, and the name under which its batch keeps its id."""

_encode = msgspec.json.Encoder().encode


class BatchRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the file of a batch."""

    custom_id: Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS)]
    method: Literal["POST"]
    url: str
    body: dict[str, Any]


def read_batch(content: bytes, endpoint: str) -> list[LineAsked]:
    """The requests of a file. What each asks is read when its turn comes.

    Raises: BadBatch
    """
    found: list[LineAsked] = []
    names: set[str] = set()
    for number, text in enumerate(content.split(b"\n"), 1):
        if not text.strip():
            continue
        if len(found) == MAX_LINES:
            raise BadBatch(line=0, reason=f"has more than {MAX_LINES} requests")
        request = _request(text, number)
        if request.url != endpoint:
            raise BadBatch(line=number, reason=f"has another 'url' than the batch's endpoint, {endpoint}")
        if request.custom_id in names:
            raise BadBatch(line=number, reason="has the 'custom_id' of a line before it")
        names.add(request.custom_id)
        found.append(LineAsked(request.custom_id, request.url, _encode(request.body)))
    if not found:
        raise BadBatch(line=0, reason="holds no request")
    return found


def _request(text: bytes, number: int) -> BatchRequest:
    if len(text) > MAX_LINE_BYTES:
        raise BadBatch(line=number, reason=f"has more than {MAX_LINE_BYTES} bytes")
    try:
        return msgspec.convert(read_json(text, MAX_LINE_BYTES), BatchRequest)
    except JsonError as error:
        raise BadBatch(line=number, reason=str(error)) from error
    except msgspec.ValidationError as error:
        raise BadBatch(line=number, reason=f"is no request of a batch: {error}") from error


def batch_files(
    work: Work, lines: Sequence[WorkLine], state: WorkState, now_us: int, keep_until: int
) -> list[tuple[KeptFile, bytes]]:
    """The files of a batch that has ended: one of its answers, one of what was refused or never asked; neither where it would be empty."""
    good = [_encode(_answered(line)) for line in lines if line.status is not None and line.status < 300]
    bad = [_encode(_answered(line)) for line in lines if line.status is not None and line.status >= 300]
    bad += [_encode(_unasked(line, state)) for line in lines if line.status is None]
    found = []
    for purpose, texts in ((OUTPUT, good), (ERRORS, bad)):
        content = b"".join(text + b"\n" for text in texts)
        if content:
            file = KeptFile(
                id=f"file-{work.id.removeprefix('batch_')}-{purpose.removeprefix('batch_')}",
                number=0,
                owner=work.owner,
                purpose=purpose,
                name=f"{work.id}_{purpose.removeprefix('batch_')}.jsonl",
                size_bytes=len(content),
                digest=keccak256(content),
                created_at=now_us,
                keep_until=keep_until,
            )
            found.append((file, content))
    return found


def _answered(line: WorkLine) -> dict[str, object]:
    body = b"null" if line.answer is None else line.answer.body
    request_id = line.id if line.record_id is None else format_record_id(line.record_id)
    response = {"status_code": line.status, "request_id": request_id, "body": msgspec.Raw(body)}
    return {"id": f"batch_req_{line.id}", "custom_id": line.asked.name, "response": response, "error": None}


def _unasked(line: WorkLine, state: WorkState) -> dict[str, object]:
    error = {"code": f"batch_{state.value}", "message": f"the batch was {state.value} before this request was answered"}
    return {"id": f"batch_req_{line.id}", "custom_id": line.asked.name, "response": None, "error": error}
