"""Models in formats that run elsewhere, written and checked in a process of their own.

`spec` holds the request and the result of an export, `offers` what a version can be exported to: the server imports these two alone, as
everything else may import torch. `run` is one export from beginning to end, `__main__` the process around it. `safetensors`, `gguf` and
`onnx` write the formats; `source`, `weights` and `copying` read a model folder without loading it; `merging` makes one model of an adapter
and its base; `parity` and `streamed` (and `whole`, for other models than language models) run source and export and compare; `card` and
`signing` describe and sign what was written.
"""
