"""Models in formats that run elsewhere, written and checked in a process of their own.

`spec` says what an export is asked for and what comes out; everything else may import torch, so the server imports no more
than that. `run` is one export from beginning to end, `__main__` the process around it. `safetensors`, `gguf` and `onnx` write
the formats; `source`, `weights` and `copying` read a model folder without loading it; `parity` and `streamed` (and `whole`,
for what is no language model) run source and export and compare; `card` and `signing` describe and sign what was written.
"""
