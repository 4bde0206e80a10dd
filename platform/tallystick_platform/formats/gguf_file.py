"""The header of a GGUF file: counts, metadata, the list of tensors, and then the tensors one after another.

Source: the format's description in the ggml project, versions 2 and 3, little-endian. Python's numbers do not overflow, so a
product of dimensions is simply compared with the file's size.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tallystick_platform.formats.errors import FormatError
from tallystick_platform.formats.gguf_types import ARRAY, BOOL, FILE_TYPES, SCALARS, STRING, TENSOR_TYPES
from tallystick_platform.formats.limits import (
    MAX_DIMENSION,
    MAX_GGUF_ALIGNMENT_BYTES,
    MAX_GGUF_DIMENSIONS,
    MAX_GGUF_HEADER_BYTES,
    MAX_GGUF_ITEMS,
    MAX_GGUF_KEPT_BYTES,
    MAX_GGUF_KEY_BYTES,
    MAX_GGUF_KEYS,
    MAX_GGUF_STRING_BYTES,
    MAX_TENSOR_NAME_BYTES,
    MAX_TENSORS,
)
from tallystick_platform.formats.names import shown
from tallystick_platform.formats.reading import open_regular

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT_BYTES = 32
MIN_KEY_BYTES = 8 + 1 + 4 + 1  # length, name, type, value
MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8


GgufValue = int | float | bool | str | None
"""None stands for an array, which is measured and not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufTensor:
    """One tensor; `offset` counts from the beginning of the data."""

    type_name: str
    shape: tuple[int, ...]
    offset: int
    size_bytes: int

    @property
    def elements(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufHeader:
    """What a file says of itself. `file_type` is the name of its main quantisation, where it is a known one."""

    architecture: str | None
    metadata: Mapping[str, GgufValue]
    tensors: Mapping[str, GgufTensor]
    file_type: str | None


def read_header(path: Path) -> GgufHeader:
    """Raises: FormatError unless header and file fit each other."""
    with open_regular(path) as (file, file_bytes):
        reader = _Reader(file, min(file_bytes, MAX_GGUF_HEADER_BYTES), path)
        if reader.take(4) != MAGIC:
            raise FormatError(path=path, reason="it does not begin as a GGUF file")
        version = reader.number("<I")
        if version not in VERSIONS:
            what = "big-endian" if version.to_bytes(4, "little") in {v.to_bytes(4, "big") for v in VERSIONS} else "of"
            raise FormatError(path=path, reason=f"a GGUF file {what} version {version}, read here are 2 and 3")
        tensor_count, key_count = reader.number("<Q"), reader.number("<Q")
        _check_count(path, "tensors", tensor_count, MAX_TENSORS, MIN_TENSOR_BYTES, file_bytes)
        _check_count(path, "metadata keys", key_count, MAX_GGUF_KEYS, MIN_KEY_BYTES, file_bytes)
        metadata = _read_metadata(reader, key_count)
        alignment = _alignment(metadata, path)
        tensors = _read_tensors(reader, tensor_count)
        data_begin = -(-reader.position // alignment) * alignment
    _check_layout(tensors, alignment, max(file_bytes - data_begin, 0), path)
    architecture, file_type = metadata.get("general.architecture"), metadata.get("general.file_type")
    return GgufHeader(
        architecture=architecture if isinstance(architecture, str) else None,
        metadata=metadata,
        tensors=tensors,
        file_type=FILE_TYPES.get(file_type) if type(file_type) is int else None,
    )


class _Reader:
    """Forward only, with an end that it never passes."""

    def __init__(self, file: BinaryIO, end: int, path: Path) -> None:
        self._file, self._end, self.path = file, end, path
        self.position = 0
        self.kept_bytes = 0
        self.items = 0

    def take(self, size: int) -> bytes:
        """Requires: `size` is bounded."""
        self._pass(size)
        data = self._file.read(size)
        if len(data) != size:
            raise FormatError(path=self.path, reason="it changed while it was read")
        return data

    def skip(self, size: int) -> None:
        """Go past bytes that nobody needs."""
        self._pass(size)
        self._file.seek(size, 1)

    def number(self, form: str) -> int:
        """One unsigned integer."""
        (value,) = struct.unpack(form, self.take(struct.calcsize(form)))
        return int(value)

    def text(self, limit: int, what: str) -> str:
        """One string of at most `limit` bytes."""
        size = self.number("<Q")
        if size > limit:
            raise FormatError(path=self.path, reason=f"{what} of {size} bytes, the limit is {limit}")
        self.kept_bytes += size
        if self.kept_bytes > MAX_GGUF_KEPT_BYTES:
            raise FormatError(path=self.path, reason=f"its names and texts take more than {MAX_GGUF_KEPT_BYTES} bytes")
        try:
            return self.take(size).decode()
        except UnicodeDecodeError as error:
            raise FormatError(path=self.path, reason=f"{what} that is not UTF-8") from error

    def new_name(self, taken: Container[str], what: str, limit: int) -> str:
        """A visible name that none of `taken` is."""
        name = self.text(limit, f"a {what}")
        if not name or not name.isprintable() or name in taken:
            fault = "stands twice" if name in taken else "is empty or invisible"
            raise FormatError(path=self.path, reason=f"the {what} {shown(name)!r} {fault}")
        return name

    def count_items(self, count: int) -> None:
        """Array items, of all arrays together."""
        self.items += count
        if self.items > MAX_GGUF_ITEMS:
            raise FormatError(path=self.path, reason=f"its arrays claim more than {MAX_GGUF_ITEMS} items")

    def _pass(self, size: int) -> None:
        if size > self._end - self.position:
            reason = "truncated: its header goes on behind its end"
            if self._end == MAX_GGUF_HEADER_BYTES:
                reason = f"its header is longer than {MAX_GGUF_HEADER_BYTES} bytes"
            raise FormatError(path=self.path, reason=reason)
        self.position += size


def _check_count(path: Path, what: str, count: int, limit: int, least_bytes: int, file_bytes: int) -> None:
    if count > limit:
        raise FormatError(path=path, reason=f"it claims {count} {what}, the limit is {limit}")
    if count * least_bytes > file_bytes:
        raise FormatError(path=path, reason=f"it claims {count} {what}, which {file_bytes} bytes cannot hold")


def _read_metadata(reader: _Reader, count: int) -> dict[str, GgufValue]:
    metadata: dict[str, GgufValue] = {}
    for _ in range(count):
        key = reader.new_name(metadata, "metadata key", MAX_GGUF_KEY_BYTES)
        metadata[key] = _read_value(reader, reader.number("<I"))
    return metadata


def _read_value(reader: _Reader, kind: int) -> GgufValue:
    if kind == STRING:
        return reader.text(MAX_GGUF_STRING_BYTES, "a text")
    if kind == ARRAY:
        _skip_array(reader)
        return None
    if kind not in SCALARS:
        raise FormatError(path=reader.path, reason=f"metadata of type {kind}, which the format does not know")
    data = reader.take(struct.calcsize(SCALARS[kind]))
    if kind == BOOL and data not in (b"\0", b"\1"):
        raise FormatError(path=reader.path, reason="a truth value that is neither 0 nor 1")
    value: int | float | bool = struct.unpack(SCALARS[kind], data)[0]
    return value


def _skip_array(reader: _Reader) -> None:
    kind, count = reader.number("<I"), reader.number("<Q")
    reader.count_items(count)
    if kind == STRING:
        for _ in range(count):
            reader.skip(reader.number("<Q"))
    elif kind in SCALARS:
        reader.skip(count * struct.calcsize(SCALARS[kind]))
    else:
        reason = "an array of arrays" if kind == ARRAY else f"an array of type {kind}"
        raise FormatError(path=reader.path, reason=f"{reason}, which is not read here")


def _alignment(metadata: Mapping[str, GgufValue], path: Path) -> int:
    value = metadata.get("general.alignment", DEFAULT_ALIGNMENT_BYTES)
    if type(value) is not int or not 0 < value <= MAX_GGUF_ALIGNMENT_BYTES or value & (value - 1):
        reason = f"its alignment is no power of two up to {MAX_GGUF_ALIGNMENT_BYTES}"
        raise FormatError(path=path, reason=reason)
    return value


def _read_tensors(reader: _Reader, count: int) -> dict[str, GgufTensor]:
    tensors: dict[str, GgufTensor] = {}
    for _ in range(count):
        name = reader.new_name(tensors, "tensor name", MAX_TENSOR_NAME_BYTES)
        rank = reader.number("<I")
        if rank > MAX_GGUF_DIMENSIONS:
            reason = f"the tensor {shown(name)} has {rank} dimensions, the limit is {MAX_GGUF_DIMENSIONS}"
            raise FormatError(path=reader.path, reason=reason)
        shape = tuple(reader.number("<Q") for _ in range(rank))
        kind, offset = reader.number("<I"), reader.number("<Q")
        tensors[name] = _tensor(name, shape, kind, offset, reader.path)
    return tensors


def _tensor(name: str, shape: tuple[int, ...], kind: int, offset: int, path: Path) -> GgufTensor:
    if kind not in TENSOR_TYPES:
        raise FormatError(path=path, reason=f"the tensor {shown(name)} has the type {kind}, which is not known here")
    type_name, block, block_bytes = TENSOR_TYPES[kind]
    if any(not 0 < size <= MAX_DIMENSION for size in shape):
        raise FormatError(path=path, reason=f"the tensor {shown(name)} has an impossible dimension")
    if (shape[0] if shape else 1) % block:
        reason = f"the rows of the tensor {shown(name)} do not consist of whole {type_name} blocks of {block}"
        raise FormatError(path=path, reason=reason)
    size_bytes = math.prod(shape) // block * block_bytes
    return GgufTensor(type_name=type_name, shape=shape, offset=offset, size_bytes=size_bytes)


def _check_layout(tensors: Mapping[str, GgufTensor], alignment: int, data_bytes: int, path: Path) -> None:
    """Tensors follow one another with nothing but padding between them, and end with the file."""
    expected = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].offset):
        if tensor.offset < expected:
            raise FormatError(path=path, reason=f"the tensor {shown(name)} overlaps another")
        if tensor.offset > expected:
            raise FormatError(path=path, reason=f"the bytes before the tensor {shown(name)} belong to none")
        end = tensor.offset + tensor.size_bytes
        if end > data_bytes:
            reason = f"truncated: the tensor {shown(name)} ends at byte {end} of {data_bytes}"
            raise FormatError(path=path, reason=reason)
        expected = -(-end // alignment) * alignment
    # The last tensor's padding may be missing. More than that would be another file behind this one.
    if data_bytes > expected:
        raise FormatError(path=path, reason=f"{data_bytes - expected} bytes follow its last tensor")
