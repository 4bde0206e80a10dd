"""Small model files, well formed or broken on purpose, written byte by byte."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

from tallystick.manifest import SIGNATURE_NAME

GGUF_F32, GGUF_Q4_0, GGUF_STRING, GGUF_U32, GGUF_ARRAY = 0, 2, 8, 4, 9


def safetensors_bytes(header: dict[str, Any] | bytes, data: bytes = b"") -> bytes:
    """A header, as given or as JSON, and the data behind it."""
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + data


def tensor(begin: int, end: int, dtype: str = "F32", shape: list[int] | None = None) -> dict[str, Any]:
    """An entry of a safetensors header; by default a row of float32."""
    return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape, "data_offsets": [begin, end]}


def two_tensors() -> bytes:
    """A whole safetensors file."""
    header = {"__metadata__": {"format": "pt"}, "a": tensor(0, 8), "b": tensor(8, 24, shape=[2, 2])}
    return safetensors_bytes(header, bytes(24))


def gguf_string(text: str | bytes) -> bytes:
    """Length and bytes."""
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def gguf_key(name: str, kind: int, value: bytes) -> bytes:
    """One entry of metadata."""
    return gguf_string(name) + struct.pack("<I", kind) + value


def gguf_tensor(name: str, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    """One entry of the list of tensors."""
    return gguf_string(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}QIQ", *shape, kind, offset)


def gguf_bytes(
    keys: tuple[bytes, ...] = (),
    tensors: tuple[bytes, ...] = (),
    data: bytes = b"",
    *,
    version: int = 3,
    key_count: int | None = None,
    tensor_count: int | None = None,
    alignment: int = 32,
) -> bytes:
    """A GGUF file; the counts are those of what follows unless something else is to be claimed."""
    head = b"GGUF" + struct.pack(
        "<IQQ",
        version,
        len(tensors) if tensor_count is None else tensor_count,
        len(keys) if key_count is None else key_count,
    )
    body = head + b"".join(keys) + b"".join(tensors)
    return body + bytes(-len(body) % alignment) + data if data or tensors else body


def small_gguf() -> bytes:
    """A whole GGUF file: two tensors, some metadata of each shape."""
    keys = (
        gguf_key("general.architecture", GGUF_STRING, gguf_string("llama")),
        gguf_key("general.file_type", GGUF_U32, struct.pack("<I", 2)),
        gguf_key("llama.context_length", GGUF_U32, struct.pack("<I", 128)),
        gguf_key("llama.block_count", GGUF_U32, struct.pack("<I", 2)),
        gguf_key("llama.embedding_length", GGUF_U32, struct.pack("<I", 32)),
        gguf_key("llama.attention.head_count", GGUF_U32, struct.pack("<I", 4)),
        gguf_key("llama.attention.head_count_kv", GGUF_U32, struct.pack("<I", 2)),
        gguf_key(
            "tokenizer.ggml.tokens",
            GGUF_ARRAY,
            struct.pack("<IQ", GGUF_STRING, 2) + gguf_string("a") + gguf_string("b"),
        ),
    )
    tensors = (gguf_tensor("a", (4,), GGUF_F32, 0), gguf_tensor("b", (32, 2), GGUF_Q4_0, 32))
    return gguf_bytes(keys, tensors, bytes(32) + bytes(36))


def tar_header(name: str, size: int = 0, kind: bytes = b"0", *, link: str = "", prefix: str = "") -> bytes:
    """A ustar header with a right sum."""
    return tar_sum(
        name.encode().ljust(100, b"\0")
        + b"0000755\0" * 3
        + b"%011o\0" % size
        + b"%011o\0" % 0
        + b" " * 8
        + kind
        + link.encode().ljust(100, b"\0")
        + b"ustar\x0000"
        + bytes(80)
        + prefix.encode().ljust(155, b"\0")
        + bytes(12)
    )


def tar_sum(header: bytes) -> bytes:
    """The same header with its sum set right."""
    blank = header[:148] + b" " * 8 + header[156:]
    return header[:148] + b"%06o\0 " % sum(blank) + header[156:]


def tar_member(name: str, content: bytes = b"", kind: bytes = b"0", **fields: str) -> bytes:
    """A header and its content in whole blocks."""
    return tar_header(name, len(content), kind, **fields) + content + bytes(-len(content) % 512)


def tar_bytes(*members: bytes) -> bytes:
    """Members and the end mark."""
    return b"".join(members) + bytes(1024)


def tar_record(key: str, value: str) -> bytes:
    """One record of an extended header."""
    body = f" {key}={value}\n".encode()
    length = len(body) + 1
    while len(str(length)) + len(body) != length:
        length += 1
    return str(length).encode() + body


def gzipped(data: bytes) -> bytes:
    """The same bytes through gzip, without a time."""
    return gzip.compress(data, mtime=0)


def zip_bytes(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip file as the library writes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def write_model(folder: Path, config: dict[str, Any] | None = None, **files: bytes) -> Path:
    """A folder with a config, two tensors, and more files by their names (`__` for a dot)."""
    folder.mkdir(parents=True, exist_ok=True)
    default = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    (folder / "config.json").write_text(json.dumps(default if config is None else config))
    (folder / "model.safetensors").write_bytes(two_tensors())
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content)
    return folder


# What a pickle that runs a command looks like in protocol 4, and in protocol 0, which has no mark of its own.
EVIL_PICKLE = b"\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R."
EVIL_PICKLE_0 = b"cposix\nsystem\n(S'id'\ntR."


def sign_folder(folder: Path, private_key: Path) -> Path:
    """Sign a model folder with an elliptic-curve key, as its publisher would; gives the signature's file."""
    from model_signing import signing

    path = folder / SIGNATURE_NAME
    config: Any = signing.Config()  # type: ignore[no-untyped-call]
    config.use_elliptic_key_signer(private_key=private_key).sign(folder, path)
    return path
