"""The bounds of everything that is read from a model that somebody brought. Units stand last in each name.

A bound is checked on the number in the header, before anything of that size is read or allocated.
"""

from __future__ import annotations

KIB = 1_024
MIB = 1_024 * KIB
TIB = 1_024 * 1_024 * MIB

# -- folders and archives. The largest open models have some 200 files in a folder or two.
MAX_FILES = 4_096
MAX_FOLDER_BYTES = 2 * TIB
MAX_NAME_BYTES = 255
MAX_PATH_DEPTH = 8
MAX_ARCHIVE_RATIO = 200  # unpacked to packed, for members above MIN_RATIO_BYTES; weights hardly compress
MIN_RATIO_BYTES = 16 * MIB
MAX_ARCHIVE_READ_BYTES = 2 * MIB  # the largest piece of an archive's own bookkeeping

# -- texts. A tokenizer of 262,144 words is 33 MB; nothing parses it before an engine does.
MAX_TEXT_BYTES = 128 * MIB
MAX_JSON_BYTES = 4 * MIB
MAX_JSON_VALUES = 262_144
MAX_JSON_DEPTH = 64
MAX_CONFIGS = 64  # files that are parsed because a loader might act on them
MAX_INDEX_BYTES = 16 * MIB
MAX_INDEX_TENSORS = 131_072  # over all shards of a model; the largest open models have some 92,000

# -- tensors in one file
MAX_TENSORS = 65_536
MAX_TENSOR_NAME_BYTES = 512
MAX_RANK = 8
MAX_DIMENSION = 2**48
MAX_SAFETENSORS_HEADER_BYTES = 16 * MIB
MAX_WIDE_HEADER_BYTES = 4 * MIB  # a header with escapes or beyond ASCII takes up to four times its size once decoded

# -- GGUF
MAX_GGUF_KEYS = 4_096
MAX_GGUF_KEY_BYTES = 1_024
MAX_GGUF_STRING_BYTES = MIB
MAX_GGUF_KEPT_BYTES = 4 * MIB  # all strings that are kept, chat templates and licences
MAX_GGUF_ITEMS = 2_097_152  # over all arrays; a vocabulary with merges and scores has about 1,000,000
MAX_GGUF_HEADER_BYTES = 128 * MIB
MAX_GGUF_ALIGNMENT_BYTES = 64 * KIB
MAX_GGUF_DIMENSIONS = 4

# -- ONNX
MAX_ONNX_FILES = 32  # a folder for browsers has one model in a dozen precisions
MAX_ONNX_BYTES = 2 * 1_024 * MIB  # what protobuf itself allows
MAX_ONNX_FIELDS = 524_288  # a language model of thirty layers has about 15,000
MAX_ONNX_DEPTH = 32
MAX_ONNX_STRING_BYTES = 64 * KIB

# -- skops
MAX_SKOPS_BYTES = 256 * MIB
MAX_SKOPS_MEMBERS = 4_096
MAX_SKOPS_SCHEMA_BYTES = 8 * MIB
MAX_SKOPS_SCHEMA_VALUES = 524_288
MAX_SKOPS_DEPTH = 160
MAX_SKOPS_NODES = 1_048_576  # visits, where the schema refers to one part from many places
MAX_NPY_HEADER_BYTES = 10 * KIB

# -- signature of a folder
MAX_SIGNATURE_BYTES = 4 * MIB
