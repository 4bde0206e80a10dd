"""What may lie in a model folder beside the weights, decided by content; and what to do with the rest.

Weights are read by their own modules. Everything else must be text, a sentencepiece vocabulary, or a picture or sound of the
model's page; whatever is left over is refused with the way to convert it. A name never makes a file safe.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import BinaryIO

from tallystick_platform.formats.errors import FormatError, UnsafeModel
from tallystick_platform.formats.limits import KIB, MAX_TEXT_BYTES
from tallystick_platform.formats.reading import open_regular

HEAD_BYTES = 512
CHUNK_BYTES = 256 * KIB


class Kind(StrEnum):
    """Weights by their format, and the rest."""

    SAFETENSORS = "safetensors"
    GGUF = "gguf"
    ONNX = "onnx"
    SKOPS = "skops"
    TEXT = "text"
    MEDIA = "media"


WEIGHTS: Mapping[str, Kind] = MappingProxyType(
    {".safetensors": Kind.SAFETENSORS, ".gguf": Kind.GGUF, ".onnx": Kind.ONNX, ".skops": Kind.SKOPS}
)
_MEDIA: Mapping[str, bytes] = MappingProxyType(
    {
        ".png": b"\x89PNG\r\n\x1a\n",
        ".jpg": b"\xff\xd8\xff",
        ".jpeg": b"\xff\xd8\xff",
        ".gif": b"GIF8",
        ".webp": b"RIFF",
        ".wav": b"RIFF",
        ".flac": b"fLaC",
        ".pdf": b"%PDF-",
    }
)
_SENTENCEPIECE = frozenset({".model", ".spm", ".spiece"})
_SENTENCEPIECE_HEAD = b"\x0a"  # its first field, the list of pieces

_SAFE_SERIALIZATION = "load it once where you trust it, save it with model.save_pretrained(folder, safe_serialization=True) and bring that"
_REMEDIES: Mapping[str, tuple[str, str]] = MappingProxyType(
    dict.fromkeys(
        (".bin", ".pt", ".pth", ".ckpt", ".t7"),
        ("a PyTorch checkpoint, which runs code when loaded", _SAFE_SERIALIZATION),
    )
    | dict.fromkeys(
        (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle"),
        ("pickle, which runs code when loaded", 'save it with skops.io.dump(model, "model.skops") and bring that'),
    )
    | dict.fromkeys(
        (".npy", ".npz"),
        ("NumPy arrays, which may hold pickle", "save them with safetensors.numpy.save_file and bring that"),
    )
    | dict.fromkeys(
        (".h5", ".hdf5", ".keras", ".pb", ".msgpack", ".tflite"),
        (
            "weights of TensorFlow, Keras or Flax, which no engine here reads",
            "load it in its own framework and export it to ONNX, or save its PyTorch form with safe_serialization=True",
        ),
    )
    | dict.fromkeys(
        (".py", ".pyc", ".pyd", ".pyi", ".ipynb", ".js", ".lua"),
        (
            "code, and code that comes with a model is never run here",
            "use an architecture that the transformers library has itself, and bring the folder without its code",
        ),
    )
    | dict.fromkeys(
        (".so", ".dll", ".dylib", ".exe", ".sh", ".bat", ".cmd", ".ps1", ".jar", ".wasm", ".llamafile"),
        ("a program or library", "remove it; a model needs none"),
    )
    | dict.fromkeys(
        (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".whl", ".nemo", ".mar"),
        ("an archive inside of the folder", "unpack it and bring what is in it"),
    )
)
_TRAINING = ("optimizer", "scheduler", "scaler", "rng_state", "training_args", "trainer_state")
_MAGICS: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip file, as PyTorch checkpoints are"),
    (b"PK\x05\x06", "a zip file"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x89HDF\r\n", "an HDF5 file"),
    (b"\x7fELF", "a program or library"),
    (b"MZ", "a program or library"),
    (b"\xfd7zXZ", "an xz file"),
    (b"(\xb5/\xfd", "a zstd file"),
    (b"7z\xbc\xaf", "a 7z file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"BZh", "a bzip2 file"),
)
_NEWEST_PICKLE = 5


def kind_of(folder: Path, name: str) -> Kind:
    """Raises: UnsafeModel; FormatError where text is too long."""
    suffix = PurePosixPath(name).suffix.lower()
    with open_regular(folder / name) as (file, size):
        head = file.read(HEAD_BYTES)
        if suffix in WEIGHTS:
            disguise = _disguise(head)
            # The length that begins a safetensors file may have any first bytes, those of pickle among them.
            if disguise is None or _begins_as(suffix, head):
                return WEIGHTS[suffix]
            raise _refusal(name, suffix, disguise)
        if suffix in _REMEDIES:
            raise _refusal(name, suffix, _disguise(head))
        if size > MAX_TEXT_BYTES:
            raise FormatError(path=name, reason=f"{size} bytes of what is not weights, the limit is {MAX_TEXT_BYTES}")
        if suffix in _MEDIA and head.startswith(_MEDIA[suffix]):
            return Kind.MEDIA
        if suffix in _SENTENCEPIECE and head.startswith(_SENTENCEPIECE_HEAD):
            return Kind.TEXT
        if not _is_text(head, file):
            raise _refusal(name, suffix, _disguise(head))
    return Kind.TEXT


def may_hold_tensors(name: str) -> bool:
    """Whether a file that an ONNX model names may be what it says: raw numbers, under no name of code or of an archive."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix == ".bin" or (suffix not in _REMEDIES and suffix not in WEIGHTS)


def _begins_as(suffix: str, head: bytes) -> bool:
    return head[8:9] == b"{" if suffix == ".safetensors" else suffix == ".skops" and head.startswith(b"PK\x03\x04")


def _is_text(head: bytes, file: BinaryIO) -> bool:
    """Whether a whole file is UTF-8 without a null byte, as neither archives nor pickles of this century are."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    piece = head
    try:
        while piece:
            if b"\0" in piece:
                return False
            decoder.decode(piece)
            piece = file.read(CHUNK_BYTES)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _disguise(head: bytes) -> str | None:
    """What a file is by its first bytes, where that is something that cannot be taken."""
    if head[:1] == b"\x80" and len(head) > 1 and head[1] <= _NEWEST_PICKLE:
        return "pickle, which runs code when loaded"
    if head[257:262] == b"ustar":
        return "a tar file"
    return next((what for magic, what in _MAGICS if head.startswith(magic)), None)


def _refusal(name: str, suffix: str, disguise: str | None) -> UnsafeModel:
    base = PurePosixPath(name).name.lower()
    if suffix in {".bin", ".pt", ".pth"} and base.startswith(_TRAINING):
        return UnsafeModel(
            file=name,
            reason="a training run's own state, in pickle",
            remedy="remove it; serving the model does not need it",
        )
    if suffix == ".bin" and disguise is None:
        reason = "raw data, as in checkpoints of PyTorch's oldest kind and of engines that are not here"
        return UnsafeModel(file=name, reason=reason, remedy=_SAFE_SERIALIZATION)
    by_name = _REMEDIES.get(suffix)
    if by_name is not None:
        return UnsafeModel(file=name, reason=by_name[0], remedy=by_name[1])
    if disguise is not None:
        return UnsafeModel(file=name, reason=f"by its content it is {disguise}", remedy=_SAFE_SERIALIZATION)
    return UnsafeModel(
        file=name,
        reason="binary data that are no safetensors, GGUF, ONNX or skops",
        remedy="remove it, or convert what it holds to one of these",
    )
