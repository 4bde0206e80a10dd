"""ONNX exports: language models with their KV cache, encoders and classifiers, whisper.

`export.py` is the line of one export: `plan` says whether and how this model goes to ONNX, then stages follow, each in a process
of its own so that the memory of one is given back before the next begins: *build* writes the files, *quantise* makes an encoder's
smaller, *run* computes with them in ONNX Runtime, *reference* computes the same with torch from the source. `compare` sets the two
side by side. `frugal` and `quantising` keep the builder of language models from holding the whole model at once.
"""
