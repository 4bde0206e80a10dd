"""The header of a GGUF file against its data."""

import struct

import gguf
import numpy as np
import pytest

from tallystick_platform.formats.errors import FormatError
from tallystick_platform.formats.gguf_file import read_header
from tallystick_platform.formats.gguf_types import FILE_TYPES, TENSOR_TYPES
from tallystick_platform.formats.limits import (
    MAX_GGUF_ITEMS,
    MAX_GGUF_KEPT_BYTES,
    MAX_GGUF_KEY_BYTES,
    MAX_GGUF_KEYS,
    MAX_GGUF_STRING_BYTES,
    MAX_TENSORS,
)
from tests.support.model_files import (
    GGUF_ARRAY,
    GGUF_F32,
    GGUF_Q4_0,
    GGUF_STRING,
    GGUF_U32,
    gguf_bytes,
    gguf_key,
    gguf_string,
    gguf_tensor,
    small_gguf,
)

ALIGNED = struct.pack("<I", 64)


@pytest.fixture
def refused(tmp_path):
    """Writes bytes and gives the reason for which they are refused."""

    def reason(data: bytes) -> str:
        path = tmp_path / "m.gguf"
        path.write_bytes(data)
        with pytest.raises(FormatError) as caught:
            read_header(path)
        return caught.value.reason

    return reason


def test_a_file_that_the_library_wrote_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_context_length(2048)
    writer.add_token_list(["a", "bc", ""])
    writer.add_token_scores([0.0, -1.0, -2.0])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_tensor("w", np.zeros((3, 64), np.float32))
    quantised = gguf.quants.quantize(np.ones((3, 64), np.float32), gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("q", quantised, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("b", np.zeros(5, np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header = read_header(path)
    assert (header.architecture, header.file_type) == ("qwen2", "Q8_0")
    assert header.metadata["qwen2.context_length"] == 2048
    assert header.metadata["tokenizer.ggml.tokens"] is None
    assert {name: (tensor.type_name, tensor.shape, tensor.size_bytes) for name, tensor in header.tensors.items()} == {
        "w": ("F32", (64, 3), 768),
        "q": ("Q8_0", (64, 3), 204),
        "b": ("F16", (5,), 10),
    }


def test_the_small_file_of_these_tests_is_whole(tmp_path):
    (tmp_path / "m.gguf").write_bytes(small_gguf())
    assert read_header(tmp_path / "m.gguf").tensors["b"].elements == 64


def test_types_and_their_sizes_are_those_of_the_library():
    sizes = {kind.value: (kind.name, *size) for kind, size in gguf.GGML_QUANT_SIZES.items()}
    assert dict(TENSOR_TYPES) == sizes
    names = {kind.value: kind.name.removeprefix("MOSTLY_").removeprefix("ALL_") for kind in gguf.LlamaFileType}
    assert {**FILE_TYPES, gguf.LlamaFileType.GUESSED.value: "GUESSED"} == names


@pytest.mark.parametrize("count", [2**64 - 1, 2**63, 2**32, MAX_TENSORS + 1])
def test_absurd_counts_are_refused_before_anything_is_allocated(refused, count):
    assert "claims" in refused(gguf_bytes(tensor_count=count))
    assert "claims" in refused(gguf_bytes(key_count=count))


def test_counts_that_the_file_cannot_hold_are_refused(refused):
    assert "cannot hold" in refused(gguf_bytes(tensor_count=MAX_TENSORS))
    assert "cannot hold" in refused(gguf_bytes(key_count=MAX_GGUF_KEYS))


@pytest.mark.parametrize("count", [2**64 - 1, 2**61, MAX_GGUF_ITEMS + 1])
@pytest.mark.parametrize("kind", [GGUF_STRING, GGUF_U32, 10])
def test_arrays_of_absurd_length_are_refused(refused, count, kind):
    assert "items" in refused(gguf_bytes((gguf_key("a", GGUF_ARRAY, struct.pack("<IQ", kind, count)),)))


def test_the_items_of_all_arrays_count_together(refused):
    array = struct.pack("<IQ", 0, MAX_GGUF_ITEMS // 2 + 1) + bytes(MAX_GGUF_ITEMS // 2 + 1)
    keys = tuple(gguf_key(name, GGUF_ARRAY, array) for name in "ab")
    assert "items" in refused(gguf_bytes(keys))


@pytest.mark.parametrize("shape", [(2**32, 2**32), (2**48, 2**48, 2**48, 2**48), (2**63, 2), (2**64 - 1,), (0, 4)])
def test_products_of_dimensions_do_not_wrap_around(refused, shape):
    reason = refused(gguf_bytes(tensors=(gguf_tensor("a", shape, GGUF_F32, 0),), data=bytes(32)))
    assert "truncated" in reason or "impossible dimension" in reason


@pytest.mark.parametrize(
    ("tensors", "data", "reason"),
    [
        ((gguf_tensor("a", (8,), GGUF_F32, 0), gguf_tensor("b", (8,), GGUF_F32, 0)), 64, "overlaps"),
        ((gguf_tensor("a", (16,), GGUF_F32, 0), gguf_tensor("b", (8,), GGUF_F32, 32)), 64, "overlaps"),
        ((gguf_tensor("a", (8,), GGUF_F32, 0), gguf_tensor("b", (8,), GGUF_F32, 64)), 96, "belong to none"),
        ((gguf_tensor("a", (8,), GGUF_F32, 2**64 - 1),), 32, "belong to none"),
        ((gguf_tensor("a", (8,), GGUF_F32, 0),), 31, "truncated"),
        ((gguf_tensor("a", (8,), GGUF_F32, 0),), 64, "follow its last tensor"),
        ((gguf_tensor("a", (8,), GGUF_F32, 0), gguf_tensor("a", (8,), GGUF_F32, 32)), 64, "stands twice"),
        ((gguf_tensor("a", (33,), GGUF_Q4_0, 0),), 64, "whole Q4_0 blocks"),
        ((gguf_tensor("a", (8,), 99, 0),), 32, "type 99"),
        ((gguf_tensor("a", (1, 1, 1, 1, 8), GGUF_F32, 0),), 32, "5 dimensions"),
        ((gguf_tensor("", (8,), GGUF_F32, 0),), 32, "empty or invisible"),
        ((gguf_tensor("a\n", (8,), GGUF_F32, 0),), 32, "empty or invisible"),
        ((gguf_tensor("a" * 600, (8,), GGUF_F32, 0),), 32, "limit"),
    ],
)
def test_tensors_that_do_not_fit_the_data_are_refused(refused, tensors, data, reason):
    assert reason in refused(gguf_bytes(tensors=tensors, data=bytes(data)))


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (gguf_key("a", 77, b"\0" * 8), "does not know"),
        (gguf_key("a", 7, b"\2"), "truth value"),
        (gguf_key("a", GGUF_STRING, gguf_string(b"\xff")), "not UTF-8"),
        (gguf_key("a", GGUF_STRING, struct.pack("<Q", 2**63)), "limit"),
        (gguf_key("a", GGUF_STRING, struct.pack("<Q", MAX_GGUF_STRING_BYTES + 1)), "limit"),
        (gguf_key("a" * (MAX_GGUF_KEY_BYTES + 1), GGUF_U32, bytes(4)), "limit"),
        (gguf_key("", GGUF_U32, bytes(4)), "empty or invisible"),
        (gguf_key("a\x1b", GGUF_U32, bytes(4)), "empty or invisible"),
        (gguf_key("a", GGUF_ARRAY, struct.pack("<IQ", GGUF_ARRAY, 1)), "array of arrays"),
        (gguf_key("a", GGUF_ARRAY, struct.pack("<IQ", 50, 1)), "array of type 50"),
        (gguf_key("a", GGUF_ARRAY, struct.pack("<IQQ", GGUF_STRING, 1, 2**64 - 1)), "truncated"),
        (gguf_key("general.alignment", GGUF_U32, struct.pack("<I", 0)), "alignment"),
        (gguf_key("general.alignment", GGUF_U32, struct.pack("<I", 48)), "alignment"),
        (gguf_key("general.alignment", GGUF_U32, struct.pack("<I", 2**31)), "alignment"),
        (gguf_key("general.alignment", GGUF_STRING, gguf_string("32")), "alignment"),
    ],
)
def test_metadata_that_the_format_does_not_know_is_refused(refused, key, reason):
    assert reason in refused(gguf_bytes((key,), data=bytes(32)))


def test_a_key_that_stands_twice_is_refused(refused):
    key = gguf_key("a", GGUF_U32, bytes(4))
    assert "stands twice" in refused(gguf_bytes((key, key)))


def test_texts_that_are_kept_are_bounded_together(refused):
    text = gguf_string("x" * MAX_GGUF_STRING_BYTES)
    keys = tuple(gguf_key(f"k{i}", GGUF_STRING, text) for i in range(MAX_GGUF_KEPT_BYTES // MAX_GGUF_STRING_BYTES))
    assert "names and texts" in refused(gguf_bytes(keys))


@pytest.mark.parametrize("version", [0, 1, 4, 3 << 24])
def test_other_versions_are_refused(refused, version):
    assert "version" in refused(gguf_bytes(version=version))


def test_another_alignment_moves_the_data(tmp_path):
    keys = (gguf_key("general.alignment", GGUF_U32, ALIGNED),)
    tensors = (gguf_tensor("a", (8,), GGUF_F32, 0), gguf_tensor("b", (8,), GGUF_F32, 64))
    (tmp_path / "m.gguf").write_bytes(gguf_bytes(keys, tensors, bytes(96), alignment=64))
    assert read_header(tmp_path / "m.gguf").tensors["b"].offset == 64


@pytest.mark.parametrize("data", [b"", b"GGU", b"GGUF", b"GGML" + bytes(40), b"\x80\x04" + bytes(40)])
def test_what_does_not_begin_as_gguf_is_refused(refused, data):
    refused(data)
