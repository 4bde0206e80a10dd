"""The tensors of a folder in the safetensors layout, read by name and only as far as asked; nothing is mapped."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tallystick_platform.exporter.copying import reading
from tallystick_platform.exporter.errors import ExportFailed, ExportRefused
from tallystick_platform.formats.safetensors_file import DTYPE_BITS, TensorEntry, read_index

SUFFIX = ".safetensors"
INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"
MAX_TENSORS = 262_144  # over all files
ROWS_BYTES = 8 * 1_048_576  # what is widened at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a tensor lies. Units: `start` and `size` are bytes, `start` from the beginning of the file."""

    file: str
    start: int
    size: int
    entry: TensorEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The tensors of some files of a folder, by name, in the order of the files and of their places in them."""

    folder: Path
    places: Mapping[str, Place]
    metadata: Mapping[str, str]

    @property
    def names(self) -> frozenset[str]:
        """The tensors that are there."""
        return frozenset(self.places)

    @classmethod
    def of(cls, folder: Path, files: tuple[str, ...]) -> Weights:
        """Read the headers of these files. Raises: FormatError, ExportRefused where two files hold the same tensor."""
        places: dict[str, Place] = {}
        metadata: dict[str, str] = {}
        for file in files:
            index = read_index(folder / file)
            header_bytes = index.file_bytes - index.data_bytes
            for name, entry in sorted(index.tensors.items(), key=lambda item: item[1].begin):
                if name in places:
                    raise ExportRefused(reason=f"the tensor {name!a} lies in {places[name].file} and in {file}")
                places[name] = Place(
                    file=file, start=header_bytes + entry.begin, size=entry.end - entry.begin, entry=entry
                )
            if len(places) > MAX_TENSORS:
                raise ExportRefused(reason=f"the model has more than {MAX_TENSORS} tensors")
            metadata = {**index.metadata, **metadata}
        return cls(folder=folder, places=places, metadata=metadata)

    @classmethod
    def of_model(cls, folder: Path) -> Weights:
        """The tensors that a loader would take: of the one file, else of the numbered ones. Raises: as `of`, and where there are none."""
        if (folder / SINGLE_NAME).is_file():
            return cls.of(folder, (SINGLE_NAME,))
        files = tuple(sorted(path.name for path in folder.glob("model-*" + SUFFIX)))
        if not files:
            raise ExportRefused(reason=f"the source holds no {SINGLE_NAME} and no numbered parts of it")
        return cls.of(folder, files)

    def read_rows(self, name: str, first: int, count: int) -> bytearray:
        """The bytes of some rows of a tensor; a scalar has one row. Raises: ExportFailed, OSError."""
        place = self.places[name]
        row = place.size // max(1, _rows(place))
        buffer, done = bytearray(row * count), 0
        with reading(self.folder / place.file) as descriptor:
            while done < len(buffer):
                got = os.preadv(descriptor, [memoryview(buffer)[done:]], place.start + first * row + done)
                if got == 0:
                    raise ExportFailed(reason=f"{place.file} ends inside the tensor {name!a}")
                done += got
        return buffer

    def floats(self, name: str, first: int = 0, count: int | None = None) -> npt.NDArray[np.float32]:
        """Rows of a tensor as 32-bit numbers. Raises: ExportRefused for types that no plain number is stored in."""
        place = self.places[name]
        count = _rows(place) - first if count is None else count
        columns = math.prod(place.entry.shape[1:])
        found = np.empty((count, columns), np.float32)
        step = max(1, ROWS_BYTES // max(1, 4 * columns))
        for start in range(0, count, step):
            rows = min(step, count - start)
            raw = self.read_rows(name, first + start, rows)
            found[start : start + rows] = widened(raw, place.entry.dtype, name).reshape(rows, columns)
        return found.reshape((count, *place.entry.shape[1:]) if place.entry.shape else ())


def widened(raw: bytearray | bytes, dtype: str, name: str) -> npt.NDArray[np.float32]:
    """Stored bytes as 32-bit numbers. Raises: ExportRefused."""
    if dtype == "BF16":
        return (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
    kinds = {"F32": "<f4", "F16": "<f2", "F64": "<f8"}
    if dtype not in kinds:
        bits = DTYPE_BITS.get(dtype, 0)
        raise ExportRefused(reason=f"the tensor {name!a} is stored as {dtype} ({bits} bits), which is no plain number")
    return np.frombuffer(raw, kinds[dtype]).astype("<f4", copy=False)


def _rows(place: Place) -> int:
    return place.entry.shape[0] if place.entry.shape else 1
