"""The four large fields, written: what crossed the wire, and what came of it. Each may stand inline or as a reference to a blob.

Texts and bytes in here have no bound of their own: the field around them is bounded, and a large one moves to a blob.
"""

from __future__ import annotations

from typing import Final

from tallystick import record as r
from tallystick.encoding.atoms import (
    byte_string,
    expect,
    free_value,
    hash32,
    hash32_or_null,
    integer,
    text,
    text_or_null,
)
from tallystick.encoding.outputs import write_outputs
from tallystick.errors import RecordError

UNBOUNDED: Final = r.MAX_INTEGER


def write_prompt(prompt: object) -> bytes:
    if prompt is None:
        return b"fprompt\xf6"
    if type(prompt) is r.BlobRef:
        return b"fprompt" + _blob(prompt, "prompt")
    if type(prompt) is not dict:
        raise RecordError("prompt", "is not a map")
    if "blob" in prompt:
        raise RecordError("prompt", "has the key blob, which stands for a blob reference")
    return b"fprompt" + free_value(prompt, "prompt")


def write_request(request: r.Request | r.BlobRef | None) -> bytes:
    if request is None:
        return b"grequest\xf6"
    if isinstance(request, r.BlobRef):
        return b"grequest" + _blob(request, "request")
    expect(request, r.Request, "request")
    return (
        b"grequest\xa5dbody"
        + byte_string(request.body, "request.body", 0, UNBOUNDED)
        + b"dsalt"
        + byte_string(request.salt, "request.salt", r.REQUEST_SALT_BYTES, r.REQUEST_SALT_BYTES)
        + b"freader"
        + text(request.reader, "request.reader")
        + b"ftarget"
        + text(request.target, "request.target", r.MAX_TARGET_BYTES)
        + b"lcontent_type"
        + text_or_null(request.content_type, "request.content_type", UNBOUNDED, 0)
    )


def write_response(response: r.Response | r.BlobRef | None) -> bytes:
    if response is None:
        return b"hresponse\xf6"
    if isinstance(response, r.BlobRef):
        return b"hresponse" + _blob(response, "response")
    expect(response, r.Response, "response")
    return b"hresponse\xa1goutputs" + write_outputs(response.outputs)


def write_instructions(instructions: r.Instructions | r.BlobRef | None) -> bytes:
    if instructions is None:
        return b"linstructions\xf6"
    if isinstance(instructions, r.BlobRef):
        return b"linstructions" + _blob(instructions, "instructions")
    expect(instructions, r.Instructions, "instructions")
    return (
        b"linstructions\xa3fsystem"
        + text_or_null(instructions.system, "instructions.system", UNBOUNDED, 0)
        + b"mchat_template"
        + text_or_null(instructions.chat_template, "instructions.chat_template", UNBOUNDED, 0)
        + b"tchat_template_digest"
        + hash32_or_null(instructions.chat_template_digest, "instructions.chat_template_digest")
    )


def _blob(ref: r.BlobRef, name: str) -> bytes:
    path = f"{name}.blob"
    return (
        b"\xa1dblob\xa3fdigest"
        + hash32(ref.digest, f"{path}.digest")
        + b"flength"
        + integer(ref.length, f"{path}.length", r.MIN_BLOB_BYTES, r.MAX_BLOB_BYTES)
        + b"msealed_digest"
        + hash32(ref.sealed_digest, f"{path}.sealed_digest")
    )
