"""The bodies of the model paths, as they stand on the wire."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from tallystick_platform.formats.limits import MAX_FILES

MAX_REFERENCE_CHARS = 256
MAX_LICENCE_CHARS = 128
MAX_FILE_NAME_CHARS = 4_096

Licence = Annotated[str, Meta(min_length=1, max_length=MAX_LICENCE_CHARS)]
Hex32 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class RegisterBody(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """`POST /v1/models`. `source` is `hf:owner/name` or `hf:owner/name@revision`."""

    source: Annotated[
        str, Meta(min_length=1, max_length=MAX_REFERENCE_CHARS, extra_json_schema={"pattern": "^hf:[^/]+/[^/]+$"})
    ]
    id: Annotated[str, Meta(min_length=1, max_length=MAX_REFERENCE_CHARS)] | None = None
    visibility: Literal["public", "private"] = "private"
    licence: Licence | None = None


class UploadFile(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One file of an upload: its name relative to the model, its bytes, and their SHA-256 in hex."""

    name: Annotated[str, Meta(min_length=1, max_length=MAX_FILE_NAME_CHARS)]
    size: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    sha256: Hex32


class UploadBody(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """`POST /v1/models/{model_id}/uploads`. `base`: for an adapter, the model that it belongs to."""

    files: Annotated[list[UploadFile], Meta(min_length=1, max_length=MAX_FILES)]
    visibility: Literal["public", "private"] = "private"
    licence: Licence | None = None
    base: Annotated[str, Meta(min_length=1, max_length=MAX_REFERENCE_CHARS)] | None = None
