"""A written GGUF file, run through the transformers library's own reader of such files.

The library reads the configuration, names the tensors and puts their rows in its order; the gguf package turns blocks
back into numbers. None of that is shared with the writing. Tensors are read when a layer runs, so the file is never in
memory as a whole, which the library's own loading would do twice.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from tallystick_platform.errors import kind_of
from tallystick_platform.exporter.copying import reading
from tallystick_platform.exporter.errors import ExportFailed
from tallystick_platform.exporter.streamed import NotStreamable, StreamedModel, quiet, release

ROWS_BYTES = 8 * 1_048_576


class GgufTensors:
    """The tensors of a GGUF file under the library's names."""

    def __init__(self, path: Path, config: Any) -> None:
        import accelerate  # type: ignore[import-untyped]
        import gguf
        import transformers
        from transformers import modeling_gguf_pytorch_utils as library

        self._path = path
        reader: Any = gguf.GGUFReader(path)
        architecture = str(reader.get_field("general.architecture").contents())
        self._places = {
            tensor.name: (int(tensor.data_offset), int(tensor.n_bytes), tensor.tensor_type, tuple(tensor.data.shape))
            for tensor in reader.tensors
        }
        del reader
        release()
        kind: Any = library.TENSOR_PROCESSORS.get(architecture, library.TensorProcessor)
        self._processor = kind(config=config.to_dict())
        with accelerate.init_empty_weights():
            model = transformers.AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
        mapping = library.get_gguf_hf_weights_map(model, self._processor)
        self._sources = {mapping[name]: name for name in self._places if name in mapping}
        self.names = frozenset(self._sources)

    def floats(self, name: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Raises: ExportFailed, OSError."""
        import gguf

        source = self._sources[name]
        start, size, kind, shape = self._places[source]
        block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        rows = shape[0] if len(shape) > 1 else 1
        row_bytes = size // rows
        found = np.empty((rows, row_bytes // block_bytes * block), np.float32)
        step = max(1, ROWS_BYTES // max(1, 4 * found.shape[1]))
        with reading(self._path) as descriptor:
            for first in range(0, rows, step):
                count = min(step, rows - first)
                raw = os.pread(descriptor, count * row_bytes, start + first * row_bytes)
                if len(raw) != count * row_bytes:
                    raise ExportFailed(reason=f"{self._path.name} ends inside the tensor {source}")
                stored = np.frombuffer(raw, np.uint8).reshape(count, row_bytes)
                found[first : first + count] = gguf.quants.dequantize(stored, kind).reshape(count, -1)
        whole = found if len(shape) > 1 else found[0]
        ordered = self._processor.process(weights=whole, name=source, tensor_key_mapping={}, parsed_parameters={})
        return np.ascontiguousarray(ordered.weights)


def gguf_model(path: Path) -> StreamedModel:
    """The file as a model that can be asked. Raises: ExportFailed where the library does not read it."""
    quiet()
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
    except (ValueError, KeyError, TypeError, NotImplementedError) as error:
        raise ExportFailed(reason=f"the library's reader does not take what was written: {kind_of(error)}") from error
    release()
    try:
        return StreamedModel(config, GgufTensors(path, config), f"{path.name} as the library reads it")
    except NotStreamable as error:
        raise ExportFailed(reason=f"the library's reader finds no {error} in what was written") from error
