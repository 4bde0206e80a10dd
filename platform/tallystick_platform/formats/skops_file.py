"""What a skops file would build, and whether all of it is on the library's own list of trusted types.

A skops file is a zip with `schema.json`, which names every type, and arrays in NumPy's format. The library decides what it trusts;
before it looks, everything that would make it work or allocate without bound is refused here.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast
from zipfile import ZipFile, ZipInfo

from tallystick_platform.formats.errors import FormatError, UnsafeArchive, UnsafeModel
from tallystick_platform.formats.json_text import parse_json, walk
from tallystick_platform.formats.limits import (
    KIB,
    MAX_NPY_HEADER_BYTES,
    MAX_SKOPS_BYTES,
    MAX_SKOPS_DEPTH,
    MAX_SKOPS_MEMBERS,
    MAX_SKOPS_NODES,
    MAX_SKOPS_SCHEMA_BYTES,
    MAX_SKOPS_SCHEMA_VALUES,
)
from tallystick_platform.formats.names import shown
from tallystick_platform.formats.reading import BoundedReads
from tallystick_platform.formats.zip_file import open_zip

SCHEMA = "schema.json"
REMEDY = "train it with numbers alone and save it again with skops.io.dump"
MAX_NPZ_MEMBERS = 16
MAX_NPZ_READ_BYTES = 128 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class SkopsSummary:
    """Types by their full names. `estimator` is the one that the file is about; `untrusted` would have to be trusted by hand."""

    estimator: str
    untrusted: tuple[str, ...]
    arrays_bytes: int


def read(path: Path) -> SkopsSummary:
    """Raises: FormatError; UnsafeModel where an array holds Python objects. Untrusted types are told, not refused."""
    try:
        with open_zip(path, max_files=MAX_SKOPS_MEMBERS, max_bytes=MAX_SKOPS_BYTES) as (archive, members):
            sizes = {member.orig_filename: member.file_size for member in members}
            schema = _read_schema(archive, sizes, path)
            for member in members:
                if member.orig_filename != SCHEMA:
                    _check_array(archive, member, path)
    except UnsafeArchive as error:
        raise FormatError(path=path, reason=f"{error.name}: {error.reason}") from error
    if not any(isinstance(value, dict) and "__class__" in value for _, value in walk(schema)):
        raise FormatError(path=path, reason="it is no skops file: its schema names no type")
    arrays_bytes = _check_files(schema, sizes, path)
    _check_visits(schema, path)
    return SkopsSummary(
        estimator=shown(f"{schema.get('__module__')}.{schema.get('__class__')}"),
        untrusted=_untrusted(path),
        arrays_bytes=arrays_bytes,
    )


def _read_schema(archive: ZipFile, sizes: dict[str, int], path: Path) -> dict[str, Any]:
    size = sizes.get(SCHEMA)
    if size is None or size > MAX_SKOPS_SCHEMA_BYTES:
        what = "no schema.json" if size is None else f"a schema of {size} bytes, the limit is {MAX_SKOPS_SCHEMA_BYTES}"
        raise FormatError(path=path, reason=f"it is no skops file: {what}")
    schema = parse_json(archive.read(SCHEMA), path, MAX_SKOPS_SCHEMA_VALUES, MAX_SKOPS_DEPTH)
    if not isinstance(schema, dict) or not isinstance(schema.get("protocol"), int):
        raise FormatError(path=path, reason="it is no skops file: its schema names no protocol")
    return schema


def _check_array(archive: ZipFile, member: ZipInfo, path: Path) -> None:
    """An array in NumPy's format, whose header claims what is there; `.npz`, for sparse matrices, holds such arrays."""
    name = member.orig_filename
    if name.endswith(".npy"):
        with archive.open(member) as content:
            _check_npy(content.read(MAX_NPY_HEADER_BYTES + 16), member.file_size, name, path)
    elif name.endswith(".npz"):
        bounded = BoundedReads(io.BytesIO(archive.read(member)), MAX_NPZ_READ_BYTES, path)
        with ZipFile(cast("BinaryIO", bounded)) as inner:
            if (
                len(inner.infolist()) > MAX_NPZ_MEMBERS
                or sum(item.file_size for item in inner.infolist()) > MAX_SKOPS_BYTES
            ):
                raise FormatError(path=path, reason=f"{shown(name)} unpacks to more than {MAX_SKOPS_BYTES} bytes")
            for item in inner.infolist():
                with inner.open(item) as content:
                    _check_npy(content.read(MAX_NPY_HEADER_BYTES + 16), item.file_size, name, path)
    elif not name.endswith(".bin"):
        raise FormatError(path=path, reason=f"it holds {shown(name)}, which is no array")


def _check_npy(head: bytes, size: int, name: str, path: Path) -> None:
    from numpy.lib import format as npy

    stream = io.BytesIO(head)
    try:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(stream, max_header_size=MAX_NPY_HEADER_BYTES)
    except Exception as error:
        raise FormatError(path=path, reason=f"{shown(name)} is no array in NumPy's format") from error
    if dtype.hasobject:
        raise UnsafeModel(file=path.name, reason=f"{shown(name)} holds Python objects, that is pickle", remedy=REMEDY)
    if any(length < 0 for length in shape) or math.prod(shape) * dtype.itemsize != size - stream.tell():
        raise FormatError(path=path, reason=f"{shown(name)} claims a shape that its bytes do not give")


def _check_files(schema: dict[str, Any], sizes: dict[str, int], path: Path) -> int:
    """Bytes of all arrays that the schema names, counted once for every node that would hold a copy."""
    total = 0
    for _, value in walk(schema):
        file = value.get("file") if isinstance(value, dict) and "__loader__" in value else None
        if not isinstance(file, str):
            continue
        total += sizes.get(file, 0)
        if file not in sizes or total > MAX_SKOPS_BYTES:
            reason = f"its schema names an array that is not there: {shown(file)}"
            if file in sizes:
                reason = f"its schema uses its arrays so often that they take more than {MAX_SKOPS_BYTES} bytes"
            raise FormatError(path=path, reason=reason)
    return total


def _check_visits(schema: dict[str, Any], path: Path) -> None:
    """The library visits a part again wherever the schema refers to it, parts of parts too: that number is bounded."""
    places: dict[int, list[dict[str, Any]]] = {}
    for _, value in walk(schema):
        identity = value.get("__id__") if isinstance(value, dict) else None
        if identity is not None and type(identity) is not int:
            raise FormatError(path=path, reason="a part of its schema is named by no number")
        if identity is not None:
            places.setdefault(identity, []).append(value)
    known: dict[int, int] = {}

    def visits(value: Any) -> int:
        if not isinstance(value, dict | list):
            return 0
        identity = value.get("__id__") if isinstance(value, dict) else None
        if type(identity) is not int:
            return 1 + inside(value)
        if identity not in known:
            known[identity] = 1  # on its own path it is not visited again
            known[identity] = 1 + max(inside(place) for place in places[identity])
        return known[identity]

    def inside(value: dict[str, Any] | list[Any]) -> int:
        total = sum(visits(item) for item in (value.values() if isinstance(value, dict) else value))
        if total > MAX_SKOPS_NODES:
            raise FormatError(path=path, reason=f"its schema refers to itself more than {MAX_SKOPS_NODES} times")
        return total

    try:
        visits(schema)
    except RecursionError as error:
        raise FormatError(path=path, reason="its schema refers to itself too deeply") from error


def _untrusted(path: Path) -> tuple[str, ...]:
    import skops.io

    try:
        return tuple(shown(name) for name in skops.io.get_untrusted_types(file=path))
    except Exception as error:
        raise FormatError(path=path, reason=f"skops cannot read it ({type(error).__name__})") from error
