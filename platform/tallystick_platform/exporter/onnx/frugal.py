"""What keeps the builder's memory small: weights are widened and written in parts, and what was read is not kept."""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

PART_NUMBERS = 1 << 21  # 8 MB of widened weights at a time
MADV_PAGEOUT = 21


class StreamedTensor(ir.LazyTensor):
    """A weight in the precision of its file, widened to float32 part by part when it is written."""

    __slots__ = ("_source",)

    def __init__(self, source: Any, lazy: ir.LazyTensor) -> None:
        super().__init__(lazy.raw, lazy.dtype, lazy.shape, name=lazy.name)
        self._source = source.detach()

    def tofile(self, file: Any) -> None:
        """Write every number in the order of rows."""
        for part in self._parts():
            file.write(np.ascontiguousarray(part.float().numpy()).data)
        forget(self._source)

    def columns(self, begin: int, end: int) -> Any:
        """Some of the columns, in float32 and in one piece."""
        part = np.ascontiguousarray(self._source[:, begin:end].float().numpy())
        forget(self._source)
        return part

    def _parts(self) -> Any:
        if self._source.ndim == 0:
            return [self._source]
        rows = max(1, PART_NUMBERS // max(1, self._source[0].numel())) if len(self._source) else 1
        return self._source.split(rows)


class Spill:
    """A file that takes finished weights until the model is saved."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()

    def keep(self, array: Any, name: str) -> ir.ExternalTensor:
        """The array as a tensor that lies in the file."""
        offset = self._path.stat().st_size
        with self._path.open("ab") as file:
            file.write(np.ascontiguousarray(array).data)
        return ir.ExternalTensor(
            self._path.name,
            offset,
            array.nbytes,
            ir.DataType.from_numpy(array.dtype),
            shape=ir.Shape(array.shape),
            name=name,
            base_dir=self._path.parent,
        )


def stream_initializers(original: Callable[..., None]) -> Callable[..., None]:
    """A replacement for the builder's `make_initializer`: what it would widen as a whole is widened in parts."""
    import torch

    def make_initializer(builder: Any, tensor: Any, /, name: str, **how: Any) -> None:
        original(builder, tensor, name, **how)
        value = builder.values[name]
        lazy = isinstance(value.const_value, ir.LazyTensor) and value.const_value.dtype == ir.DataType.FLOAT
        if lazy and isinstance(tensor, torch.Tensor) and tensor.is_floating_point():
            value.const_value = StreamedTensor(tensor, value.const_value)

    return make_initializer


def forget(source: Any) -> None:
    """Let the kernel take back the pages of a mapped weight. They can be read again; memory that is no file's stays."""
    if sys.platform != "linux":
        return
    begin = source.data_ptr()
    first, last = -(-begin // mmap.PAGESIZE) * mmap.PAGESIZE, (begin + source.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if last > first:
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), MADV_PAGEOUT)
