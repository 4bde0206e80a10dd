"""The header of a safetensors file against its data."""

import json
import os

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from tallystick_platform.formats.errors import FormatError
from tallystick_platform.formats.limits import (
    MAX_RANK,
    MAX_SAFETENSORS_HEADER_BYTES,
    MAX_TENSOR_NAME_BYTES,
    MAX_TENSORS,
    MAX_WIDE_HEADER_BYTES,
)
from tallystick_platform.formats.safetensors_file import DTYPE_BITS, MAX_METADATA_QUOTES, TensorEntry, read_index
from tests.support.memory_peak import MIB, peak_below
from tests.support.model_files import safetensors_bytes, tensor, two_tensors


@pytest.fixture
def refused(tmp_path):
    """Writes bytes and gives the reason for which they are refused."""

    def reason(data: bytes) -> str:
        path = tmp_path / "m.safetensors"
        path.write_bytes(data)
        with pytest.raises(FormatError) as caught:
            read_index(path)
        return caught.value.reason

    return reason


def test_a_file_that_the_library_wrote_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "m.safetensors"
    arrays = {"w": np.zeros((3, 4), np.float16), "b": np.zeros(5, np.int64), "s": np.zeros((), bool)}
    save_file(arrays, path, metadata={"format": "np", "note": 'quoted "text", with: all'})
    index = read_index(path)
    assert {name: (entry.dtype, entry.shape) for name, entry in index.tensors.items()} == {
        "w": ("F16", (3, 4)),
        "b": ("I64", (5,)),
        "s": ("BOOL", ()),
    }
    assert index.metadata == {"format": "np", "note": 'quoted "text", with: all'}
    assert index.data_bytes == sum(array.nbytes for array in arrays.values())
    assert index.file_bytes == path.stat().st_size


def test_entries_know_how_many_numbers_they_hold(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(two_tensors())
    assert read_index(path).tensors["b"] == TensorEntry(dtype="F32", shape=(2, 2), begin=8, end=24)
    assert read_index(path).tensors["b"].elements == 4


def test_an_empty_tensor_takes_no_bytes_and_overlaps_nothing(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(
        safetensors_bytes({"a": tensor(0, 8), "e": tensor(8, 8, shape=[0, 3]), "b": tensor(8, 16)}, bytes(16))
    )
    assert read_index(path).tensors["e"].elements == 0


def test_a_length_that_claims_exabytes_is_refused_before_anything_is_read(refused):
    assert "the limit is" in refused((2**63).to_bytes(8, "little") + b"{}")
    assert "the limit is" in refused((MAX_SAFETENSORS_HEADER_BYTES + 1).to_bytes(8, "little") + b"{}")
    assert "truncated" in refused(MAX_SAFETENSORS_HEADER_BYTES.to_bytes(8, "little") + b"{}")


@pytest.mark.parametrize(
    ("header", "data", "reason"),
    [
        ({"a": tensor(0, 8), "b": tensor(4, 12)}, bytes(12), "overlap"),
        ({"a": tensor(0, 8), "b": tensor(0, 8)}, bytes(8), "overlap"),
        ({"a": tensor(0, 8), "b": tensor(12, 16)}, bytes(16), "belong to none"),
        ({"a": tensor(4, 8)}, bytes(8), "before its first tensor"),
        ({"a": tensor(0, 8)}, bytes(7), "truncated"),
        ({"a": tensor(0, 8)}, bytes(9), "after the last tensor"),
        ({}, b"PK\x03\x04", "after the last tensor"),
        ({"a": tensor(8, 0, shape=[2])}, bytes(8), "ends before it begins"),
        ({"a": tensor(-8, 0, shape=[2])}, bytes(8), "ends before it begins"),
        ({"a": tensor(0, 8, shape=[3])}, bytes(8), "type and shape do not give"),
        ({"a": tensor(0, 8, shape=[2**47, 2**47])}, bytes(8), "type and shape do not give"),
        ({"a": tensor(0, 8, shape=[2**62, 4])}, bytes(8), "impossible dimensions"),
        ({"a": tensor(0, 8, shape=[-2, -1])}, bytes(8), "impossible dimensions"),
        ({"a": tensor(0, 4, shape=[1] * (MAX_RANK + 1))}, bytes(4), "impossible dimensions"),
        ({"a": tensor(0, 8, dtype="F33")}, bytes(8), "none of the format's"),
        ({"a" * (MAX_TENSOR_NAME_BYTES + 1): tensor(0, 8)}, bytes(8), "name"),
        ({"a\x1b[2J": tensor(0, 8)}, bytes(8), "name"),
        ({'a"b': tensor(0, 8)}, bytes(8), "quotation mark"),
        ({"": tensor(0, 8)}, bytes(8), "name"),
        ({"a": {**tensor(0, 8), "code": "x"}}, bytes(8), "not what the format describes"),
        ({"a": {"dtype": "F32", "shape": [2]}}, bytes(8), "not what the format describes"),
        ({"a": {**tensor(0, 8), "shape": [2.0]}}, bytes(8), "not what the format describes"),
        ({"a": [0, 8]}, bytes(8), "not what the format describes"),
        ({"__metadata__": {"a": 1}}, b"", "object of strings"),
        ({"__metadata__": None}, b"", "object of strings"),
        ({"__metadata__": ["a"]}, b"", "object of strings"),
    ],
)
def test_a_header_that_does_not_fit_its_data_is_refused(refused, header, data, reason):
    assert reason in refused(safetensors_bytes(header, data))


@pytest.mark.parametrize(
    "header",
    [
        '{"a":%s,"a":%s}',
        '{"a":%s,"\\u0061":%s}',
        '{"__metadata__":{"k":"v"},"__metadata__":{},"a":%s}',
        '{"__metadata__":{"k":"v","k":"w"},"a":%s}',
    ],
)
def test_a_key_that_stands_twice_is_refused(refused, header):
    entry = json.dumps(tensor(0, 8))
    assert "twice in" in refused(safetensors_bytes((header.replace("%s", entry)).encode(), bytes(8)))


def test_a_field_of_a_tensor_that_stands_twice_is_refused(refused):
    header = b'{"a":{"dtype":"F64","dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    assert "stands twice" in refused(safetensors_bytes(header, bytes(8)))


@pytest.mark.parametrize("header", [b"[]", b"{}{}", b" {}", b'{"a":', b"{\xff}", b'{"a\xff":1}', b"\x80\x02"])
def test_what_is_no_json_object_is_refused(refused, header):
    refused(safetensors_bytes(header))


def test_the_number_of_tensors_is_bounded(refused):
    header = {f"t{number}": tensor(0, 0) for number in range(MAX_TENSORS + 1)}
    assert f"more than {MAX_TENSORS} tensors" in refused(safetensors_bytes(header))


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "m.safetensors")
    with pytest.raises(FormatError, match="not a regular file"):
        read_index(tmp_path / "m.safetensors")


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "real.safetensors").write_bytes(two_tensors())
    (tmp_path / "m.safetensors").symlink_to("real.safetensors")
    with pytest.raises(FormatError):
        read_index(tmp_path / "m.safetensors")


SIZE = MAX_SAFETENSORS_HEADER_BYTES - 64


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":' + b"[" * SIZE,
        b'{"a":' + b'{"a":' * (SIZE // 5),
        b'{"a":[' + b"[]," * (SIZE // 3) + b"1]}",
        b'{"a":[' + b"1," * (SIZE // 2) + b"1]}",
        b'{"' + b'"' * SIZE,
        b"{" + b'"a":1,' * (SIZE // 6) + b"}",
        b'{"__metadata__":{"a":"' + b"x" * (SIZE - 32) + b'"}}',
        b'{"__metadata__":{"a":' + b"9" * (SIZE - 32) + b"}}",
        b'{"a":"' + "\U0001f600".encode() * (SIZE // 4) + b'"}',
        b'{"a":"' + b"\\u0041" * (SIZE // 6) + b'"}',
        b'{"' + b'a\\"' * (MAX_WIDE_HEADER_BYTES // 4),
        b'{"__metadata__":{' + b'"":"",' * (MAX_METADATA_QUOTES // 4 + 1) + b'"":""}}',
    ],
    ids=lambda header: header[:24].decode(errors="replace"),
)
def test_a_header_bomb_costs_little_more_than_its_own_size(refused, header):
    data = safetensors_bytes(header)
    with peak_below(64 * MIB):
        refused(data)


@pytest.mark.parametrize("dtype", sorted(DTYPE_BITS))
def test_the_library_gives_each_type_the_same_size(tmp_path, dtype):
    path = tmp_path / "m.safetensors"
    path.write_bytes(
        safetensors_bytes({"a": tensor(0, DTYPE_BITS[dtype], dtype=dtype, shape=[8])}, bytes(DTYPE_BITS[dtype]))
    )
    assert read_index(path).tensors["a"].elements == 8
    with safe_open(path, "np") as opened:
        assert list(opened.keys()) == ["a"]
