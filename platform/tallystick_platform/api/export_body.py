"""The body of `POST /v1/models/{model_id}/exports`, as it stands on the wire."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from tallystick_platform.api.refusals import BadRequest
from tallystick_platform.api.strict_json import converted, read_object
from tallystick_platform.exporter.spec import QUANTIZATIONS, Format

MAX_QUANTIZATION_CHARS = 32


class ExportBody(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The format to export to, and how its weights are quantised; without that as the format keeps them best."""

    format: Format
    quantization: Annotated[str, Meta(pattern=rf"^[A-Za-z0-9_]{{1,{MAX_QUANTIZATION_CHARS}}}$")] | None = None


def parse_export(body: bytes) -> ExportBody:
    """Read an export request.

    Raises: BadRequest, naming the parameter.
    """
    asked = converted(read_object(body), ExportBody)
    if asked.quantization is not None and asked.quantization.lower() not in _known(asked.format):
        offered = ", ".join(QUANTIZATIONS[asked.format]) or "none: the weights stay as they are"
        raise BadRequest(
            f"'quantization' can be, for {asked.format}: {offered}.", param="quantization", code="invalid_value"
        )
    return asked


def _known(form: Format) -> set[str]:
    return {name.lower() for name in QUANTIZATIONS[form]}
