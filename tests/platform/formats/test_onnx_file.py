"""What an ONNX model needs, read from its bytes."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tallystick_platform.formats.errors import FormatError, UnsafeModel
from tallystick_platform.formats.limits import MAX_ONNX_DEPTH, MAX_ONNX_FIELDS
from tallystick_platform.formats.onnx_file import read_model
from tallystick_platform.formats.onnx_tensors import ELEMENT_TYPES


def small_model(nodes=None, initializers=None, **fields) -> onnx.ModelProto:
    """`y = x @ w`, or other nodes over the same values."""
    weight = numpy_helper.from_array(np.zeros((4, 3), np.float32), "w")
    graph = helper.make_graph(
        nodes or [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [weight] if initializers is None else initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], **fields)


def outside(location: str, *, dims=(4, 3), **entries: str) -> onnx.TensorProto:
    """A float tensor whose bytes lie in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


@pytest.fixture
def saved(tmp_path):
    """Writes a model or bytes and gives the path."""

    def write(model):
        path = tmp_path / "model.onnx"
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        return path

    return write


def test_operator_sets_and_weights_are_read(saved):
    summary = read_model(saved(small_model()))
    assert summary.opsets == {"": 18}
    weights = summary.weights
    assert (weights.elements, weights.total_bytes, weights.largest) == ({"F32": 12}, 48, 12)


def test_types_and_their_names_are_those_of_the_library():
    known = {number: name for name, number in TensorProto.DataType.items() if name != "UNDEFINED"}
    assert ELEMENT_TYPES.keys() == known.keys()
    for number, (_, bits) in ELEMENT_TYPES.items():
        if bits >= 8:
            assert helper.tensor_dtype_to_np_dtype(number).itemsize * 8 == bits


def test_weights_beside_the_model_are_found_and_measured(tmp_path):
    onnx.save(small_model(), tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    assert read_model(tmp_path / "m.onnx").external_files == {"m.data": 48}


@pytest.mark.parametrize(
    "location", ["../m.data", "/etc/passwd", "a/../../m.data", "a\\m.data", "c:m.data", "m.data\n", ".", "", "a//b"]
)
def test_weights_outside_of_the_folder_are_refused(saved, location):
    with pytest.raises((UnsafeModel, FormatError)) as caught:
        read_model(saved(small_model(initializers=[outside(location)])))
    assert "lies" in str(caught.value)


def test_weights_behind_a_link_are_refused(saved, tmp_path):
    (tmp_path / "m.data").symlink_to("/etc/passwd")
    with pytest.raises(FormatError):
        read_model(saved(small_model(initializers=[outside("m.data")])))


def test_weights_behind_a_linked_folder_are_refused(saved, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "m.data").write_bytes(bytes(48))
    (tmp_path / "in").symlink_to("out")
    with pytest.raises(UnsafeModel, match="symbolic link"):
        read_model(saved(small_model(initializers=[outside("in/m.data")])))


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"offset": "1"}, "truncated"),
        ({"offset": str(2**64)}, "truncated"),
        ({"offset": "-1"}, "no number"),
        ({"offset": "1_0"}, "no number"),
        ({"offset": "\u0661"}, "no number"),
        ({"length": "47"}, "type and shape do not give"),
        ({"length": str(10**18)}, "type and shape do not give"),
    ],
)
def test_a_place_in_another_file_that_is_not_there_is_refused(saved, tmp_path, entries, reason):
    (tmp_path / "m.data").write_bytes(bytes(48))
    with pytest.raises(FormatError, match=reason):
        read_model(saved(small_model(initializers=[outside("m.data", **entries)])))


def test_two_places_for_one_tensor_are_refused(saved, tmp_path):
    (tmp_path / "m.data").write_bytes(bytes(48))
    tensor = outside("m.data")
    tensor.external_data.add(key="location", value="../../secret")
    with pytest.raises(FormatError, match="not said once"):
        read_model(saved(small_model(initializers=[tensor])))


def test_few_bytes_that_stand_for_many_tensors_are_refused(saved, tmp_path):
    (tmp_path / "m.data").write_bytes(bytes(48))
    with pytest.raises(FormatError, match="more than twice over"):
        read_model(saved(small_model(initializers=[outside("m.data") for _ in range(3)])))


def test_a_tensor_outside_hidden_in_a_branch_is_found(saved):
    branch = helper.make_graph([helper.make_node("Identity", ["w"], ["b"])], "then", [], [], [outside("../secret")])
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    with pytest.raises(UnsafeModel):
        read_model(saved(small_model([node])))


@pytest.mark.parametrize("field", ["value", "sparse_value", "tensors"])
def test_a_tensor_outside_hidden_in_an_attribute_is_found(saved, field):
    attribute = onnx.AttributeProto(name="value")
    tensor = outside("../secret")
    if field == "value":
        attribute.t.CopyFrom(tensor)
    elif field == "tensors":
        attribute.tensors.append(tensor)
    else:
        attribute.sparse_tensor.values.CopyFrom(tensor)
    node = helper.make_node("Constant", [], ["y"])
    node.attribute.append(attribute)
    with pytest.raises(UnsafeModel):
        read_model(saved(small_model([node])))


def test_a_tensor_outside_hidden_in_a_function_is_found(saved):
    node = helper.make_node("Constant", [], ["o"], value=outside("../secret"))
    function = helper.make_function("own", "F", ["i"], ["o"], [node], [helper.make_opsetid("", 18)])
    with pytest.raises(UnsafeModel):
        read_model(saved(small_model([helper.make_node("F", ["x"], ["y"], domain="own")], functions=[function])))


def test_operators_that_need_a_library_are_refused_by_name(saved):
    with pytest.raises(UnsafeModel, match=r"ai\.onnx\.contrib") as caught:
        read_model(saved(small_model([helper.make_node("PyOp", ["x"], ["y"], domain="ai.onnx.contrib")])))
    assert "export the model again" in caught.value.remedy


def test_operators_that_the_model_brings_as_functions_are_taken(saved):
    body = [helper.make_node("Relu", ["i"], ["o"])]
    function = helper.make_function("own", "F", ["i"], ["o"], body, [helper.make_opsetid("", 18)])
    summary = read_model(saved(small_model([helper.make_node("F", ["x"], ["y"], domain="own")], functions=[function])))
    assert summary.weights.elements == {"F32": 12}


def test_compiled_code_is_refused(saved):
    with pytest.raises(UnsafeModel, match="compiled code"):
        read_model(saved(small_model([helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft")])))


@pytest.mark.parametrize("dims", [(2**40, 2**40), (-1,), (2**62, 4), (5,), (1,) * 9])
def test_a_tensor_that_claims_more_than_its_bytes_is_refused(saved, dims):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=bytes(4))
    with pytest.raises(FormatError):
        read_model(saved(small_model(initializers=[tensor])))


def test_a_tensor_without_raw_bytes_cannot_claim_more_than_it_holds(saved):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=(10**9,), float_data=[1.0])
    with pytest.raises(FormatError, match="more elements"):
        read_model(saved(small_model(initializers=[tensor])))


def test_graphs_nested_too_deeply_are_refused(saved):
    graph = helper.make_graph([], "leaf", [], [])
    for _ in range(MAX_ONNX_DEPTH + 1):
        graph = helper.make_graph([helper.make_node("Loop", [], [], body=graph)], "g", [], [])
    with pytest.raises(FormatError, match="nested"):
        read_model(saved(helper.make_model(graph)))


def test_training_state_is_refused(saved):
    model = small_model()
    model.training_info.add()
    with pytest.raises(FormatError, match="training"):
        read_model(saved(model))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x08\x08",
        b"\x80" * 64,
        b"\x0b\x0c",
        b"\x3a" + b"\xff" * 9 + b"\x01",
        b"\x00\x00",
        b"\x80\x04K\x01.",
        b"\xf2\x01\x00",
        b"\x38\x01" * 8,
    ],
)
def test_what_is_no_model_is_refused(saved, data):
    with pytest.raises(FormatError):
        read_model(saved(data))


def test_the_number_of_fields_is_bounded(saved):
    node = b"\x0a\x02\x12\x00"
    nodes = node * (MAX_ONNX_FIELDS // 2 + 1)
    length, encoded = len(nodes), b""
    while length > 0x7F:
        encoded += bytes([length & 0x7F | 0x80])
        length >>= 7
    with pytest.raises(FormatError, match="protobuf fields"):
        read_model(saved(b"\x3a" + encoded + bytes([length]) + nodes))


def test_numbers_may_be_packed_or_not(saved):
    packed = b"\x0a\x02\x04\x03\x10\x01\x4a\x30" + bytes(48)
    loose = b"\x08\x04\x08\x03\x10\x01\x4a\x30" + bytes(48)
    assert TensorProto.FromString(packed) == TensorProto.FromString(loose)
    empty = small_model(initializers=[])
    for tensor in (packed, loose):
        graph = empty.graph.SerializeToString() + b"\x2a" + bytes([len(tensor)]) + tensor
        data = b"\x3a" + bytes([len(graph) & 0x7F | 0x80, len(graph) >> 7]) + graph + b"\x42\x02\x10\x12"
        assert onnx.ModelProto.FromString(data).graph.initializer[0].dims == [4, 3]
        assert read_model(saved(data)).weights.elements == {"F32": 12}
