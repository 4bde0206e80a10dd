"""The body of `POST /v1/models/{model_id}/exports`, as it stands on the wire."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from tallystick_platform.api.chat_parsing import explained
from tallystick_platform.api.refusals import BadRequest
from tallystick_platform.api.strict_json import read_object

MAX_QUANTIZATION_CHARS = 32


class ExportBody(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The format to export to, and how its weights are quantised; without that as the format keeps them best."""

    format: Literal["safetensors", "onnx", "gguf"]
    quantization: Annotated[str, Meta(pattern=rf"^[A-Za-z0-9_]{{1,{MAX_QUANTIZATION_CHARS}}}$")] | None = None


_DECODER = msgspec.json.Decoder(ExportBody)


def parse_export(body: bytes) -> ExportBody:
    """Read an export request.

    Raises: BadRequest, naming the parameter.
    """
    text, _ = read_object(body)
    try:
        return _DECODER.decode(text)
    except msgspec.ValidationError as error:
        raise explained(str(error)) from error
    except msgspec.DecodeError as error:  # a lone surrogate: the other reader lets it pass
        raise BadRequest(f"The body is not valid JSON: {error}.", code="invalid_json") from error
