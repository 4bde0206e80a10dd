"""Bounds that no other test of this folder reaches, lowered so that a small file passes them."""

import json

import pytest
from onnx import TensorProto, helper

from tallystick_platform.formats import (
    card,
    gguf_file,
    limits,
    listing,
    onnx_file,
    onnx_tensors,
    skops_file,
    weights,
)
from tallystick_platform.formats.card import licence_of
from tallystick_platform.formats.errors import FormatError
from tallystick_platform.formats.folder import inspect_folder
from tallystick_platform.formats.gguf_file import read_header
from tallystick_platform.formats.onnx_file import read_model
from tallystick_platform.formats.skops_file import read
from tests.support.model_files import small_gguf, write_model, zip_bytes


def test_the_header_of_a_gguf_file_is_bounded_as_a_whole(tmp_path, monkeypatch):
    (tmp_path / "m.gguf").write_bytes(small_gguf())
    monkeypatch.setattr(gguf_file, "MAX_GGUF_HEADER_BYTES", 100)
    with pytest.raises(FormatError, match="longer than 100 bytes"):
        read_header(tmp_path / "m.gguf")


@pytest.fixture
def onnx_path(tmp_path):
    """Two tensors, an input of a long name."""
    tensors = [helper.make_tensor(name, TensorProto.FLOAT, [1], [0.0]) for name in "ab"]
    value = helper.make_tensor_value_info("x" * 40, TensorProto.FLOAT, [1])
    node = helper.make_node("Relu", ["x" * 40], ["y"])
    graph = helper.make_graph(
        [node], "g", [value], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])], tensors
    )
    (tmp_path / "m.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    read_model(tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


@pytest.mark.parametrize(
    ("module", "name", "limit", "reason"),
    [
        (onnx_file, "MAX_ONNX_BYTES", 50, "protobuf allows 50"),
        (onnx_tensors, "MAX_TENSORS", 1, "more than 1 tensors"),
        (onnx_file, "MAX_ONNX_STRING_BYTES", 3, "more than 3 bytes"),
    ],
)
def test_an_onnx_model_is_bounded(onnx_path, monkeypatch, module, name, limit, reason):
    monkeypatch.setattr(module, name, limit)
    with pytest.raises(FormatError, match=reason):
        read_model(onnx_path)


@pytest.mark.parametrize(
    ("name", "limit", "reason"),
    [
        ("MAX_SKOPS_MEMBERS", 1, "2 members, the limit is 1"),
        ("MAX_SKOPS_BYTES", 20, "claims to unpack"),
        ("MAX_SKOPS_SCHEMA_BYTES", 20, "the limit is 20"),
        ("MAX_SKOPS_SCHEMA_VALUES", 1, "more than 2 values"),
        ("MAX_SKOPS_DEPTH", 0, "deep"),
        ("MAX_NPY_HEADER_BYTES", 10, "no array"),
    ],
)
def test_a_skops_file_is_bounded(tmp_path, monkeypatch, name, limit, reason):
    header = b"\x93NUMPY\x01\x00\x46\x00" + b"{'descr':'<f8','fortran_order':False,'shape':(1,)}".ljust(69) + b"\n"
    schema = json.dumps({"protocol": 2, "__class__": "a", "__module__": "b"}).encode()
    (tmp_path / "m.skops").write_bytes(zip_bytes(("schema.json", schema), ("a.npy", header + bytes(8))))
    monkeypatch.setattr(skops_file, name, limit)
    with pytest.raises(FormatError, match=reason):
        read(tmp_path / "m.skops")


def test_an_index_is_bounded(tmp_path, monkeypatch):
    folder = write_model(tmp_path / "m", model__safetensors__index__json=b'{"weight_map": {}}' + b" " * 99)
    monkeypatch.setattr(weights, "MAX_INDEX_BYTES", 99)
    with pytest.raises(FormatError, match="the limit is 99"):
        inspect_folder(folder)


def test_a_signature_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "MAX_SIGNATURE_BYTES", 9)
    with pytest.raises(FormatError, match="a signature of more than 9 bytes"):
        inspect_folder(write_model(tmp_path / "m", model__sig=b"x" * 10))


def test_no_more_of_a_card_is_read_than_its_bound(tmp_path, monkeypatch):
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    monkeypatch.setattr(card, "MAX_CARD_BYTES", 8)
    assert licence_of(tmp_path, {"README.md"}) is None


def test_every_bound_is_a_positive_number():
    bounds = {name: value for name, value in vars(limits).items() if name.startswith(("MAX_", "MIN_"))}
    assert all(type(value) is int and value > 0 for value in bounds.values())
