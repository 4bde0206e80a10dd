"""A GGUF file, streamed: keys first, then one tensor after the other, a few rows of it at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from tallystick_platform.exporter.errors import ExportFailed, ExportRefused
from tallystick_platform.exporter.gguf.architectures import EMBEDDINGS, Shape
from tallystick_platform.exporter.gguf.quantization import Quantization
from tallystick_platform.exporter.gguf.vocabulary import Vocabulary
from tallystick_platform.exporter.spec import ExportSpec, Progress
from tallystick_platform.exporter.weights import Weights

ROWS_BYTES = 8 * 1_048_576  # of 32-bit numbers, converted at a time
QUANTIZATION_VERSION = 2
FALLBACK = "F16"  # where a row is no whole number of blocks


class Tensor:
    """One tensor of the file to come; behaves as the array that the library's writer takes, and streams itself."""

    def __init__(self, weights: Weights, source: str, name: str, kind: str, heads: int | None) -> None:
        import gguf

        self.name, self.kind = name, gguf.GGMLQuantizationType[kind]
        self.shape = weights.places[source].entry.shape
        block, size = gguf.GGML_QUANT_SIZES[self.kind]
        self.row_bytes = self.shape[-1] // block * size
        self.nbytes = int(np.prod(self.shape[:-1], dtype=np.int64)) * self.row_bytes
        self._weights, self._source, self._heads = weights, source, heads
        self.told: Callable[[int], None] = lambda _count: None

    def tofile(self, file: IO[bytes]) -> None:
        """Convert and write, chunk by chunk. Raises: ExportFailed, OSError."""
        import gguf

        for rows in self._rows():
            with np.errstate(over="ignore"):  # what does not fit is refused below
                data = gguf.quants.quantize(rows, self.kind)
            if self.kind is gguf.GGMLQuantizationType.F16 and not np.isfinite(data).all():
                raise ExportFailed(reason=f"{self._source!a} holds numbers that 16 bits cannot; export it as BF16")
            file.write(np.ascontiguousarray(data).tobytes())
            self.told(rows.nbytes)

    def _rows(self) -> Iterator[npt.NDArray[np.float32]]:
        if len(self.shape) == 1:
            whole = self._weights.floats(self._source)
            yield whole if self._heads is None else paired(whole[:, None], self._heads)[:, 0]
            return
        count = self.shape[0]
        # Rows change places only within a head, so a chunk of whole heads can be put in order by itself.
        unit = 1 if self._heads is None else count // self._heads
        step = unit * max(1, ROWS_BYTES // (4 * self.shape[1] * unit))
        for first in range(0, count, step):
            rows = self._weights.floats(self._source, first, min(step, count - first))
            yield rows if self._heads is None else paired(rows, len(rows) // unit)


def paired(rows: npt.NDArray[np.float32], heads: int) -> npt.NDArray[np.float32]:
    """Rows of rotary projections with each rotation's two rows side by side. Shapes: (heads * head size, features)."""
    halves = rows.reshape(heads, 2, len(rows) // heads // 2, *rows.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows.shape))


def plan(weights: Weights, shape: Shape, quantization: Quantization) -> tuple[list[Tensor], tuple[str, ...]]:
    """The file's tensors in the source's order, and notes on those that could not be had in the format that was chosen.

    Raises: ExportRefused where a tensor is unknown or missing.
    """
    import gguf

    tensors, fallen = [], []
    for source, where in weights.places.items():
        name = shape.place(source)
        if name is None:
            continue
        kind = "F32"  # norms and biases: few numbers, and kernels want them wide
        if len(where.entry.shape) > 1:
            kind = quantization.embeddings if name in EMBEDDINGS else quantization.weights
            block, _ = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
            if where.entry.shape[-1] % block:
                fallen.append(name)
                kind = FALLBACK
        if where.size == 0 or len(where.entry.shape) not in (1, 2):
            raise ExportRefused(reason=f"the tensor {source!a} has the shape {list(where.entry.shape)}")
        tensors.append(Tensor(weights, source, name, kind, shape.heads_of(name)))
    missing = sorted(shape.expected() - {tensor.name for tensor in tensors})
    if missing:
        raise ExportRefused(
            reason=f"the source has no tensor for {missing[0]}, and {len(missing) - 1} more are missing"
        )
    notes = [f"{len(fallen)} tensors are {FALLBACK}: their rows are no whole number of blocks"] if fallen else []
    return tensors, tuple(notes)


def write_gguf(
    path: Path, spec: ExportSpec, shape: Shape, words: Vocabulary, chosen: Quantization, tensors: list[Tensor],
    progress: Progress,
) -> None:  # fmt: skip
    """Write the file, durably. Raises: ExportFailed, OSError."""
    import gguf

    writer: Any = gguf.GGUFWriter(path, shape.architecture.name)
    try:
        _write_keys(writer, spec, shape, words, chosen)
        for tensor in tensors:
            quantized = tensor.kind not in (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16)
            stored = (*tensor.shape[:-1], tensor.row_bytes) if quantized else tensor.shape
            kind = np.dtype(np.uint8 if quantized else np.float32)
            writer.add_tensor_info(tensor.name, stored, kind, tensor.nbytes, raw_dtype=tensor.kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        total, done = sum(4 * int(np.prod(tensor.shape)) for tensor in tensors), 0

        def told(count: int) -> None:
            nonlocal done
            done += count
            progress("writing", done / total)

        for tensor in tensors:
            tensor.told = told
            writer.write_tensor_data(tensor)
        writer.flush()
    finally:
        writer.close()
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _write_keys(writer: Any, spec: ExportSpec, shape: Shape, words: Vocabulary, chosen: Quantization) -> None:
    import gguf

    writer.add_name(spec.model)
    writer.add_version(spec.version)
    if spec.licence:
        writer.add_license(spec.licence)
    writer.add_string("tallystick.source_digest", spec.source_digest.hex())
    for name, value in shape.keys().items():
        (writer.add_float32 if isinstance(value, float) else writer.add_uint32)(name, value)
    writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{chosen.weights}"])
    writer.add_quantization_version(QUANTIZATION_VERSION)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(words.pre)
    writer.add_token_list(list(words.tokens))
    writer.add_token_types(list(words.types))
    writer.add_token_merges(list(words.merges))
    writer.add_add_bos_token(words.add_start)
    writer.add_add_space_prefix(False)
    adders = {
        "bos": writer.add_bos_token_id, "eos": writer.add_eos_token_id, "unk": writer.add_unk_token_id,
        "pad": writer.add_pad_token_id,
    }  # fmt: skip
    for name, number in words.special.items():
        adders[name](number)
    if words.template is not None:
        writer.add_chat_template(words.template)
