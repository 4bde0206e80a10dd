"""The header of a safetensors file: a length, a JSON object, and then every byte belongs to exactly one tensor.

Source: the format's own description in the safetensors project. Stricter here: no key may stand twice, and the bounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

import msgspec

from tallystick_platform.formats.errors import FormatError
from tallystick_platform.formats.json_text import parse_json_object
from tallystick_platform.formats.limits import (
    MAX_DIMENSION,
    MAX_RANK,
    MAX_SAFETENSORS_HEADER_BYTES,
    MAX_TENSOR_NAME_BYTES,
    MAX_TENSORS,
    MAX_WIDE_HEADER_BYTES,
)
from tallystick_platform.formats.names import shown
from tallystick_platform.formats.reading import open_regular, read_exactly

LENGTH_BYTES = 8
MAX_METADATA_QUOTES = 8 * MAX_TENSORS
QUOTES_A_TENSOR = 10  # around its name, three keys and its type
DTYPE_BITS: Mapping[str, int] = MappingProxyType(
    {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8}
    | dict.fromkeys(("F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8)
    | {"I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32}
    | {"C64": 64, "F64": 64, "I64": 64, "U64": 64}
)
_METADATA = "__metadata__"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorEntry:
    """One tensor. `begin` and `end` count from the first byte after the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def elements(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorIndex:
    """What a file holds. `data_bytes` is the size of all tensors, `file_bytes` that of the file."""

    tensors: Mapping[str, TensorEntry]
    metadata: Mapping[str, str]
    data_bytes: int
    file_bytes: int


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


class _Top(msgspec.Struct, frozen=True):
    metadata: msgspec.Raw = msgspec.field(name=_METADATA, default=msgspec.Raw())


def read_index(path: Path) -> TensorIndex:
    """Raises: FormatError unless the header and the file fit each other to the byte."""
    with open_regular(path) as (file, file_bytes):
        if file_bytes < LENGTH_BYTES + 2:
            raise FormatError(path=path, reason=f"{file_bytes} bytes are too few for a safetensors file")
        length = int.from_bytes(read_exactly(file, LENGTH_BYTES, path), "little")
        if length > MAX_SAFETENSORS_HEADER_BYTES:
            reason = f"its header claims {length} bytes, the limit is {MAX_SAFETENSORS_HEADER_BYTES}"
            raise FormatError(path=path, reason=reason)
        if length > file_bytes - LENGTH_BYTES:
            reason = f"truncated: its header claims {length} bytes and {file_bytes - LENGTH_BYTES} follow"
            raise FormatError(path=path, reason=reason)
        header = read_exactly(file, length, path)
    data_bytes = file_bytes - LENGTH_BYTES - length
    tensors, metadata = _parse(header, path)
    del header
    _check_layout(tensors, data_bytes, path)
    return TensorIndex(tensors=tensors, metadata=metadata, data_bytes=data_bytes, file_bytes=file_bytes)


def _parse(header: bytes, path: Path) -> tuple[dict[str, TensorEntry], dict[str, str]]:
    if header[:1] != b"{":
        raise FormatError(path=path, reason="its header does not begin as a JSON object")
    if len(header) > MAX_WIDE_HEADER_BYTES and (b"\\" in header or not header.isascii()):
        reason = f"a header of {len(header)} bytes with escapes or beyond ASCII; the limit is {MAX_WIDE_HEADER_BYTES}"
        raise FormatError(path=path, reason=reason)
    try:
        raw_metadata = bytes(msgspec.json.decode(header, type=_Top).metadata)
        quotes = _quotes_of_tensors(header, raw_metadata, path)
        # Raw values are views of the header: nothing of a value is built before its turn.
        values = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        if raw_metadata:
            del values[_METADATA]
        tensors = {name: _entry(name, raw, path) for name, raw in values.items()}
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FormatError(
            path=path, reason=f"its header is not what the format describes: {shown(str(error))}"
        ) from error
    # A key that stands twice replaces its first value without a trace; only the number of quotation marks tells.
    if quotes != QUOTES_A_TENSOR * len(tensors):
        raise FormatError(path=path, reason="a key stands twice in its header")
    return tensors, _read_metadata(raw_metadata, path) if raw_metadata else {}


def _quotes_of_tensors(header: bytes, raw_metadata: bytes, path: Path) -> int:
    """Quotation marks outside the metadata, which bound what parsing the rest can allocate."""
    quotes = header.count(b'"') - (raw_metadata.count(b'"') + 2 if raw_metadata else 0)
    if quotes > QUOTES_A_TENSOR * MAX_TENSORS:
        raise FormatError(path=path, reason=f"it claims more than {MAX_TENSORS} tensors")
    return quotes


def _read_metadata(raw: bytes, path: Path) -> dict[str, str]:
    if len(raw) > MAX_WIDE_HEADER_BYTES:
        raise FormatError(
            path=path, reason=f"its metadata takes {len(raw)} bytes, the limit is {MAX_WIDE_HEADER_BYTES}"
        )
    if raw.count(b'"') > MAX_METADATA_QUOTES:
        raise FormatError(path=path, reason=f"its metadata has more than {MAX_METADATA_QUOTES} quotation marks")
    try:
        msgspec.json.decode(raw, type=dict[str, str])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FormatError(path=path, reason=f"its metadata is not an object of strings: {shown(str(error))}") from error
    # Again, for keys that stand twice. Commas may stand inside of strings, so here only the size bounds their number.
    metadata: dict[str, str] = parse_json_object(raw, path, max_values=len(raw))
    return metadata


def _entry(name: str, raw: msgspec.Raw, path: Path) -> TensorEntry:
    entry = msgspec.json.decode(raw, type=_Entry)
    begin, end = entry.data_offsets
    fault = None
    if not name or len(name.encode()) > MAX_TENSOR_NAME_BYTES or not name.isprintable():
        fault = f"a tensor's name is empty, invisible or longer than {MAX_TENSOR_NAME_BYTES} bytes"
    elif '"' in name or "\\" in name:
        fault = f"the tensor {shown(name)} has a quotation mark or backslash in its name"
    elif entry.dtype not in DTYPE_BITS:
        fault = f"the tensor {shown(name)} has the type {shown(entry.dtype, 20)!r}, which is none of the format's"
    elif len(entry.shape) > MAX_RANK or any(not 0 <= size <= MAX_DIMENSION for size in entry.shape):
        fault = f"the tensor {shown(name)} has a shape of more than {MAX_RANK} or of impossible dimensions"
    elif not 0 <= begin <= end:
        fault = f"the tensor {shown(name)} ends before it begins"
    elif math.prod(entry.shape) * DTYPE_BITS[entry.dtype] != 8 * (end - begin):
        fault = f"the tensor {shown(name)} has {end - begin} bytes, which its type and shape do not give"
    if fault:
        raise FormatError(path=path, reason=fault)
    # The types' names are few: one string each instead of one a tensor.
    return TensorEntry(dtype=_INTERNED[entry.dtype], shape=tuple(entry.shape), begin=begin, end=end)


def _check_layout(tensors: Mapping[str, TensorEntry], data_bytes: int, path: Path) -> None:
    """Every byte of the data belongs to one tensor: no overlap, no hole, nothing after the last."""
    placed = sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end))
    if placed and placed[0][1].begin != 0:
        raise FormatError(path=path, reason=f"{placed[0][1].begin} bytes before its first tensor belong to none")
    for (name, entry), (next_name, following) in pairwise(placed):
        if following.begin < entry.end:
            reason = f"the tensors {shown(name)} and {shown(next_name)} overlap"
            raise FormatError(path=path, reason=reason)
        if following.begin > entry.end:
            raise FormatError(
                path=path, reason=f"the bytes between {shown(name)} and {shown(next_name)} belong to none"
            )
    covered = placed[-1][1].end if placed else 0
    if covered != data_bytes:
        what = "truncated" if covered > data_bytes else "bytes after the last tensor"
        raise FormatError(
            path=path, reason=f"{what}: its tensors need {covered} bytes of data and {data_bytes} are there"
        )


_INTERNED = {name: name for name in DTYPE_BITS}
