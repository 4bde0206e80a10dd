"""A Whisper model in CTranslate2's form to a folder in the safetensors layout, which the transformers library reads.

The file is a list of named arrays. Its numbers are taken as they are; attention's projections, one array there, are parted again.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tallystick_platform.errors import ModelUnusable, kind_of
from tallystick_platform.formats.errors import FormatError
from tallystick_platform.formats.limits import MAX_RANK, MAX_TENSOR_NAME_BYTES, MAX_TENSORS
from tallystick_platform.formats.reading import open_regular, read_exactly, read_whole

SPECIFICATION = "WhisperSpec"
VERSION = 6
MAX_CONFIG_BYTES = 1_048_576
_TYPES: dict[int, np.dtype[Any]] = {
    0: np.dtype("<f4"),
    1: np.dtype("i1"),
    2: np.dtype("<i2"),
    3: np.dtype("<i4"),
    4: np.dtype("<f2"),
}
_NAMES = (
    ("layer_norm/gamma", "layer_norm.weight"),
    ("layer_norm/beta", "layer_norm.bias"),
    ("/position_encodings/encodings", "/embed_positions.weight"),
    ("embeddings/weight", "embed_tokens.weight"),
    ("self_attention/layer_norm", "self_attn_layer_norm"),
    ("/attention/layer_norm", "/encoder_attn_layer_norm"),
    ("ffn/layer_norm", "final_layer_norm"),
    ("ffn/linear_0", "fc1"),
    ("ffn/linear_1", "fc2"),
    ("self_attention/linear_1", "self_attn.out_proj"),
    ("/attention/linear_2", "/encoder_attn.out_proj"),
)
_LAYER = re.compile(r"/layer_(\d+)")
_PARTED = {
    "self_attention/linear_0": ("self_attn", ("q_proj", "k_proj", "v_proj")),
    "attention/linear_0": ("encoder_attn", ("q_proj",)),
    "attention/linear_1": ("encoder_attn", ("k_proj", "v_proj")),
}


def read_arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Every array of the file, by its name there. Raises: ModelUnusable."""
    try:
        with open_regular(path) as (file, size):
            return dict(_arrays(file, size, path))
    except (FormatError, UnicodeDecodeError, struct.error) as error:
        raise ModelUnusable(reason=f"{path.name} is no model of CTranslate2: {kind_of(error)}") from error


def _arrays(file: BinaryIO, size: int, path: Path) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    def number(form: str) -> int:
        found: int = struct.unpack(form, read_exactly(file, struct.calcsize(form), path))[0]
        return found

    def text() -> str:
        length = number("<H")
        if length > MAX_TENSOR_NAME_BYTES:
            raise FormatError(path=path, reason=f"a name of {length} bytes")
        return read_exactly(file, length, path).rstrip(b"\0").decode()

    if number("<I") != VERSION or text() != SPECIFICATION:
        raise FormatError(path=path, reason=f"not {SPECIFICATION} in version {VERSION} of the format")
    number("<I")
    count = number("<I")
    if count > MAX_TENSORS:
        raise FormatError(path=path, reason=f"{count} arrays, the limit is {MAX_TENSORS}")
    for _ in range(count):
        name, rank = text(), number("<B")
        shape = [number("<I") for _ in range(min(rank, MAX_RANK + 1))]
        dtype, length = _TYPES.get(number("<B")), number("<I")
        left = size - file.tell()
        if (
            dtype is None
            or rank > MAX_RANK
            or length > left
            or length != dtype.itemsize * int(np.prod(shape, dtype=object))
        ):
            raise FormatError(path=path, reason=f"{name!a:.60} claims a shape that its bytes do not give")
        yield name, np.frombuffer(read_exactly(file, length, path), dtype).reshape(shape)


def renamed(arrays: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """The same arrays under the transformers library's names. Raises: ModelUnusable for those that are not plain numbers."""
    found: dict[str, np.ndarray[Any, Any]] = {}
    for name, array in arrays.items():
        if not array.shape:
            continue  # a switch of the other runtime
        if array.dtype.kind != "f":
            raise ModelUnusable(reason=f"{name} is quantised, which is not converted here")
        where, _, kind = name.rpartition("/")
        block = next((block for block in _PARTED if where.endswith("/" + block)), None)
        if block is None:
            found[_plain(name)] = array
            continue
        attention, parts = _PARTED[block]
        place = _plain(where.removesuffix(block))
        for part, piece in zip(parts, np.split(array, len(parts)), strict=True):
            if (part, kind) != ("k_proj", "bias"):  # the library's have none: it is zeros
                found[f"{place}{attention}.{part}.{kind}"] = piece
    return {f"model.{name}": np.ascontiguousarray(array) for name, array in found.items()}


def _plain(name: str) -> str:
    for theirs, ours in _NAMES:
        name = name.replace(theirs, ours)
    return _LAYER.sub(r".layers.\1", name).replace("/", ".")


def convert_whisper(source: Path, target: Path) -> None:
    """Write weights, configuration and tokenizer into an empty folder. `source` is the file of the weights, beside its configuration.

    Raises: ModelUnusable.
    """
    import transformers
    from safetensors.numpy import save_file

    arrays = read_arrays(source)
    weights = renamed(arrays)
    try:
        own = json.loads(read_whole(source.parent / "config.json", MAX_CONFIG_BYTES))
        tokenizer: Any = transformers.PreTrainedTokenizerFast(tokenizer_file=str(source.parent / "tokenizer.json"))  # type: ignore[no-untyped-call]
        config = _config(arrays, weights)
        generation = _generation(own, config, tokenizer)
        mels = weights["model.encoder.conv1.weight"].shape[1]
        transformers.WhisperFeatureExtractor(feature_size=mels).save_pretrained(target)  # type: ignore[no-untyped-call]
    except (FormatError, OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise ModelUnusable(reason=f"{source.name} cannot be converted: {kind_of(error)}") from error
    save_file(weights, str(target / "model.safetensors"), metadata={"format": "pt"})
    config.save_pretrained(target)
    generation.save_pretrained(target)
    tokenizer.save_pretrained(target)


def _config(arrays: dict[str, np.ndarray[Any, Any]], weights: dict[str, np.ndarray[Any, Any]]) -> Any:
    import transformers

    def layers(side: str) -> int:
        return len({name.split(".")[3] for name in weights if name.startswith(f"model.{side}.layers.")})

    vocabulary, width = weights["model.decoder.embed_tokens.weight"].shape
    first = _first_special(vocabulary)
    return transformers.WhisperConfig(
        architectures=["WhisperForConditionalGeneration"],
        dtype="float16",
        vocab_size=vocabulary,
        d_model=width,
        num_mel_bins=weights["model.encoder.conv1.weight"].shape[1],
        max_source_positions=weights["model.encoder.embed_positions.weight"].shape[0],
        max_target_positions=weights["model.decoder.embed_positions.weight"].shape[0],
        encoder_layers=layers("encoder"),
        decoder_layers=layers("decoder"),
        encoder_attention_heads=int(arrays["encoder/num_heads"]),
        decoder_attention_heads=int(arrays["decoder/num_heads"]),
        encoder_ffn_dim=weights["model.encoder.layers.0.fc1.weight"].shape[0],
        decoder_ffn_dim=weights["model.decoder.layers.0.fc1.weight"].shape[0],
        decoder_start_token_id=first + 1,
        bos_token_id=first,
        eos_token_id=first,
        pad_token_id=first,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )


def _first_special(vocabulary: int) -> int:
    """The end token, behind which the others stand; English alone has one word less. Source: openai/whisper, tokenizer.py."""
    return 50_256 if vocabulary == 51_864 else 50_257


def _generation(own: dict[str, Any], config: Any, tokenizer: Any) -> Any:
    import transformers

    def token(text: str) -> int:
        found: int = tokenizer.convert_tokens_to_ids(f"<|{text}|>")
        return found

    multilingual = config.eos_token_id != _first_special(51_864)
    languages = {text: at for text, at in tokenizer.get_added_vocab().items() if at in set(own.get("lang_ids", ()))}
    spoken: dict[str, Any] = (
        {
            "lang_to_id": languages,
            "task_to_id": {"transcribe": token("transcribe"), "translate": token("translate")},
        }
        if multilingual
        else {}
    )
    return transformers.GenerationConfig(  # type: ignore[no-untyped-call]
        alignment_heads=own["alignment_heads"],
        begin_suppress_tokens=own["suppress_ids_begin"],
        suppress_tokens=own["suppress_ids"],
        decoder_start_token_id=config.decoder_start_token_id,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
        is_multilingual=multilingual,
        max_initial_timestamp_index=50,
        max_length=config.max_target_positions,
        no_timestamps_token_id=token("notimestamps"),
        prev_sot_token_id=token("startofprev"),
        return_timestamps=False,
        **spoken,
    )
