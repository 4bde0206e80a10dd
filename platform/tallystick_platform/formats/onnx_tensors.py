"""The tensors inside an ONNX model: their types and sizes, and the bytes that lie in files beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tallystick_platform.formats.errors import UnsafeModel
from tallystick_platform.formats.limits import MAX_DIMENSION, MAX_ONNX_STRING_BYTES, MAX_RANK, MAX_TENSORS
from tallystick_platform.formats.names import name_fault, shown
from tallystick_platform.formats.protobuf import Field, ProtobufFile
from tallystick_platform.formats.reading import open_regular
from tallystick_platform.formats.weights import Weights

# TensorProto.DataType: name and bits of one element. Strings have no size of their own.
ELEMENT_TYPES: Mapping[int, tuple[str, int]] = MappingProxyType(
    {
        1: ("F32", 32),
        2: ("U8", 8),
        3: ("I8", 8),
        4: ("U16", 16),
        5: ("I16", 16),
        6: ("I32", 32),
        7: ("I64", 64),
        8: ("STRING", 0),
        9: ("BOOL", 8),
        10: ("F16", 16),
        11: ("F64", 64),
        12: ("U32", 32),
        13: ("U64", 64),
        14: ("C64", 64),
        15: ("C128", 128),
        16: ("BF16", 16),
        17: ("F8_E4M3", 8),
        18: ("F8_E4M3FNUZ", 8),
        19: ("F8_E5M2", 8),
        20: ("F8_E5M2FNUZ", 8),
        21: ("U4", 4),
        22: ("I4", 4),
        23: ("F4", 4),
        24: ("F8_E8M0", 8),
        25: ("U2", 2),
        26: ("I2", 2),
        27: ("F6_E2M3", 6),
        28: ("F6_E3M2", 6),
    }
)


class TensorTally:
    """Adds up what the tensors of one model take, into `weights`."""

    def __init__(self, source: ProtobufFile, path: Path) -> None:
        self._source, self._path = source, path
        self.weights = Weights()
        self._tensors = 0
        self._external: dict[str, list[tuple[int, int]]] = {}

    def add(self, tensor: Field) -> None:
        self._tensors += 1
        if self._tensors > MAX_TENSORS:
            raise self._source.fault(f"more than {MAX_TENSORS} tensors")
        shape: list[int] = []
        kind, raw_bytes = 0, None
        external: list[tuple[str, str]] = []
        for field in self._source.message(tensor):
            if field.number == 1:
                shape += self._source.numbers(field, MAX_RANK)
            elif field.number == 2:
                kind = field.value
            elif field.number == 9:
                raw_bytes = field.end - field.begin
            elif field.number == 13:
                external.append(self._entry(field))
        if kind not in ELEMENT_TYPES or len(shape) > MAX_RANK or any(not 0 <= size <= MAX_DIMENSION for size in shape):
            raise self._source.fault("a tensor has an unknown type or an impossible shape")
        name, bits = ELEMENT_TYPES[kind]
        elements = math.prod(shape)
        size_bytes = -(-elements * bits // 8)
        if external:
            self._note_external(external, size_bytes)
        elif raw_bytes is not None and raw_bytes != size_bytes:
            raise self._source.fault(f"a tensor has {raw_bytes} bytes, which its type and shape do not give")
        elif elements > 8 * (tensor.end - tensor.begin):
            raise self._source.fault("a tensor claims more elements than its bytes can hold")
        self.weights.add(name, elements, size_bytes)

    def _note_external(self, entries: list[tuple[str, str]], size_bytes: int) -> None:
        locations = [value for key, value in entries if key == "location"]
        values = dict(entries)
        if len(locations) != 1:
            raise self._source.fault("a tensor lies elsewhere, and where is not said once")
        fault = name_fault(locations[0])
        if fault:
            reason = f"a tensor lies in {shown(locations[0])!r}: {fault}"
            raise UnsafeModel(file=self._path.name, reason=reason, remedy="keep its data in a file beside it")
        try:
            offset, length = _decimal(values.get("offset", "0")), _decimal(values.get("length", str(size_bytes)))
        except ValueError as error:
            raise self._source.fault("a tensor's place in another file is no number") from error
        if offset < 0 or length != size_bytes:
            raise self._source.fault(f"a tensor has {length} bytes elsewhere, which its type and shape do not give")
        self._external.setdefault(locations[0], []).append((offset, length))

    def check_external(self) -> dict[str, int]:
        """Every named file is there, a regular one, and holds what is said to lie in it."""
        found = {}
        for location, ranges in self._external.items():
            beside = self._path.parent / location
            for folder in list(beside.relative_to(self._path.parent).parents)[:-1]:
                if (self._path.parent / folder).is_symlink():
                    raise UnsafeModel(
                        file=shown(location), reason="a symbolic link", remedy="put the file itself in its place"
                    )
            with open_regular(beside) as (_, size):
                end = max(offset + length for offset, length in ranges)
                if end > size:
                    raise self._source.fault(f"truncated: {shown(location)} has {size} bytes of {end}")
                # Weights may share bytes; a few bytes that stand for terabytes are a bomb.
                if sum(length for _, length in ranges) > 2 * size:
                    raise self._source.fault(f"its tensors use the bytes of {shown(location)} more than twice over")
            found[location] = end
        return found

    def _entry(self, field: Field) -> tuple[str, str]:
        key = value = ""
        for part in self._source.message(field):
            if part.number == 1:
                key = self._source.text(part, MAX_ONNX_STRING_BYTES)
            elif part.number == 2:
                value = self._source.text(part, MAX_ONNX_STRING_BYTES)
        return key, value


def _decimal(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError(text)
    return int(text)
