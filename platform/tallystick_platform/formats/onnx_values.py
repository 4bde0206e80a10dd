"""The inputs and outputs of an ONNX model."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from tallystick_platform.formats.limits import MAX_ONNX_STRING_BYTES, MAX_RANK
from tallystick_platform.formats.names import shown
from tallystick_platform.formats.onnx_tensors import ELEMENT_TYPES
from tallystick_platform.formats.protobuf import Field, ProtobufFile


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxValue:
    """An input or output. A dimension is a number, a name, or None where the model does not say."""

    name: str
    dtype: str | None
    shape: tuple[int | str | None, ...] | None


def read_value(source: ProtobufFile, value: Field) -> OnnxValue:
    """Raises: FormatError."""
    name = ""
    dtype: str | None = None
    shape: tuple[int | str | None, ...] | None = None
    for field in source.message(value):
        if field.number == 1:
            name = shown(source.text(field, MAX_ONNX_STRING_BYTES))
        elif field.number == 2:
            for kind in source.message(field):
                if kind.number == 1:
                    dtype, shape = _tensor_type(source, kind)
    return OnnxValue(name=name, dtype=dtype, shape=shape)


def _tensor_type(source: ProtobufFile, kind: Field) -> tuple[str | None, tuple[int | str | None, ...] | None]:
    dtype: str | None = None
    shape: tuple[int | str | None, ...] | None = None
    for field in source.message(kind):
        if field.number == 1:
            dtype = ELEMENT_TYPES.get(field.value, (None, 0))[0]
        elif field.number == 2:
            sizes = (_dimension(source, part) for part in source.message(field) if part.number == 1)
            shape = tuple(islice(sizes, MAX_RANK + 1))
            if len(shape) > MAX_RANK:
                raise source.fault(f"an input or output of more than {MAX_RANK} dimensions")
    return dtype, shape


def _dimension(source: ProtobufFile, field: Field) -> int | str | None:
    found: int | str | None = None
    for part in source.message(field):
        if part.number == 1:
            found = part.value
        elif part.number == 2:
            found = shown(source.text(part, MAX_ONNX_STRING_BYTES), 60)
    return found
