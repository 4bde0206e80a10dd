"""Any damage to a model file gives a FormatError, a refusal or a right answer; never another error, never much memory."""

import contextlib
import io
import json
import tempfile
import zipfile
from functools import cache
from pathlib import Path

import gguf
import numpy as np
import onnx
import pytest
import skops.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from safetensors import SafetensorError, safe_open
from sklearn.linear_model import LogisticRegression

from tallystick_platform.formats.archive import extract_tar, extract_zip
from tallystick_platform.formats.errors import FormatError, UnsafeArchive, UnsafeModel
from tallystick_platform.formats.folder import inspect_folder
from tallystick_platform.formats.gguf_file import read_header
from tallystick_platform.formats.json_text import parse_json, walk
from tallystick_platform.formats.names import NameTable, name_fault, shown
from tallystick_platform.formats.onnx_file import read_model
from tallystick_platform.formats.safetensors_file import read_index
from tallystick_platform.formats.skops_file import read
from tests.support.memory_peak import MIB, peak_below
from tests.support.model_files import (
    gzipped,
    small_gguf,
    tar_bytes,
    tar_member,
    tar_record,
    two_tensors,
    write_model,
    zip_bytes,
)

REFUSALS = (FormatError, UnsafeModel, UnsafeArchive)


@cache
def small_onnx() -> bytes:
    """A model with a branch, an attribute tensor and a weight that lies in a file beside it."""
    branch = helper.make_graph([helper.make_node("Identity", ["w"], ["b"])], "then", [], [])
    away = TensorProto(name="v", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    away.external_data.add(key="location", value="m.data")
    away.external_data.add(key="length", value="8")
    graph = helper.make_graph(
        [
            helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch),
            helper.make_node("Constant", [], ["k"], value=onnx.numpy_helper.from_array(np.ones(3, np.int64))),
        ],
        "g",
        [helper.make_tensor_value_info("c", TensorProto.BOOL, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        [onnx.numpy_helper.from_array(np.zeros((4, 3), np.float32), "w"), away],
    )
    data: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString()
    return data


@cache
def small_skops() -> bytes:
    """A fitted estimator."""
    data: bytes = skops.io.dumps(LogisticRegression().fit([[0.0], [1.0]], [0, 1]))
    return data


@cache
def small_tar() -> bytes:
    """A folder, a long name and two files."""
    long = tar_member("x", tar_record("path", "a/" + "n" * 120), kind=b"x")
    return tar_bytes(tar_member("a/", kind=b"5"), long, tar_member("x", b"x" * 600), tar_member("b", b"y"))


@cache
def small_zip() -> bytes:
    """Two files, one of them in a folder."""
    return zip_bytes(("a/b", b"x" * 600), ("c", b"y"), ("d/", b""))


def unpacked(extract, suffix):
    """Unpacks a file into a folder of its own; nothing may lie beside it afterwards."""

    def read_archive(path):
        target = path.parent / "target"
        target.mkdir()
        try:
            extract(path, target)
            return [file.relative_to(target).as_posix() for file in target.rglob("*") if file.is_file()]
        except REFUSALS:
            assert list(target.iterdir()) == []
            raise
        finally:
            assert {entry.name for entry in path.parent.iterdir()} <= {path.name, "target"}

    return read_archive


READERS = {
    "safetensors": (two_tensors, read_index, "m.safetensors"),
    "gguf": (small_gguf, read_header, "m.gguf"),
    "onnx": (small_onnx, read_model, "m.onnx"),
    "skops": (small_skops, read, "m.skops"),
    "tar": (small_tar, unpacked(extract_tar, "tar"), "a.tar"),
    "tar.gz": (lambda: gzipped(small_tar()), unpacked(extract_tar, "gz"), "a.tar.gz"),
    "zip": (small_zip, unpacked(extract_zip, "zip"), "a.zip"),
}
KINDS = pytest.mark.parametrize("kind", READERS)
QUICK = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)


def outcome(kind: str, data: bytes) -> object:
    """What a reader makes of bytes: its answer, or None where it refuses them."""
    _, reader, name = READERS[kind]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        if kind == "onnx":
            (path.parent / "m.data").write_bytes(bytes(8))
        try:
            with peak_below(64 * MIB):
                return reader(path)
        except REFUSALS as error:
            refusal = str(error)
    assert refusal.isprintable()
    return None


@KINDS
def test_every_truncation_is_refused(kind):
    whole = READERS[kind][0]()
    assert outcome(kind, whole) is not None
    step = max(1, len(whole) // 150)
    for size in [*range(0, len(whole), step), len(whole) - 1]:
        assert outcome(kind, whole[:size]) is None, size


@KINDS
@QUICK
@given(st.data())
def test_flipped_bytes_are_refused_or_read_in_bounds(kind, data):
    damaged = bytearray(READERS[kind][0]())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, damaged[at] ^ 1, damaged[at] ^ 0x80]))
    outcome(kind, bytes(damaged))


@KINDS
@QUICK
@given(st.data())
def test_pieces_cut_out_put_in_or_said_twice_are_refused_or_read_in_bounds(kind, data):
    whole = READERS[kind][0]()
    begin = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(begin, min(len(whole), begin + 64)))
    middle = data.draw(st.one_of(st.binary(max_size=16), st.just(whole[begin:end] * 2)))
    outcome(kind, whole[:begin] + middle + whole[end:])


@KINDS
@QUICK
@given(junk=st.binary(max_size=600))
def test_bytes_of_no_meaning_are_refused(kind, junk):
    outcome(kind, junk)


@QUICK
@given(st.data())
def test_a_changed_schema_of_a_skops_file_is_refused_or_read_in_bounds(data):
    with zipfile.ZipFile(io.BytesIO(small_skops())) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    schema = json.loads(dict(members)["schema.json"])
    places = [(value, key) for _, value in walk(schema) if isinstance(value, dict) for key in value]
    for _ in range(data.draw(st.integers(1, 3))):
        value, key = data.draw(st.sampled_from(places))
        other, name = data.draw(st.sampled_from(places))
        value[key] = data.draw(st.one_of(JSON, st.just(json.loads(json.dumps(other.get(name))))))
    changed = [(name, json.dumps(schema).encode() if name == "schema.json" else content) for name, content in members]
    outcome("skops", zip_bytes(*changed))


@QUICK
@given(st.data())
def test_what_is_read_here_the_libraries_read_alike(data):
    damaged = bytearray(two_tensors())
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] = data.draw(st.integers(0, 255))
    index = outcome("safetensors", bytes(damaged))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        path.write_bytes(damaged)
        if index is None:
            return
        with safe_open(path, "np") as opened:
            assert set(opened.keys()) == set(index.tensors)
            for name, entry in index.tensors.items():
                assert tuple(opened.get_slice(name).get_shape()) == entry.shape


@QUICK
@given(st.data())
def test_what_the_gguf_library_reads_otherwise_is_never_taken(data):
    damaged = bytearray(small_gguf())
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] = data.draw(st.integers(0, 255))
    header = outcome("gguf", bytes(damaged))
    if header is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.gguf"
        path.write_bytes(damaged)
        reader = gguf.GGUFReader(path)
        found = {tensor.name: (tensor.tensor_type.name, tuple(map(int, tensor.shape))) for tensor in reader.tensors}
    assert found == {name: (tensor.type_name, tensor.shape) for name, tensor in header.tensors.items()}


ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "BOOL", "F4", "X"]),
        "shape": st.lists(st.one_of(st.integers(0, 4), st.integers(-(2**70), 2**70)), max_size=4),
        "data_offsets": st.lists(st.integers(-4, 32), min_size=2, max_size=2),
    }
)


@QUICK
@given(st.dictionaries(st.text(max_size=4), ENTRY | JSON, max_size=4), st.integers(0, 40))
def test_a_header_is_taken_only_where_the_library_takes_it(header, size):
    encoded = json.dumps(header).encode()
    raw = len(encoded).to_bytes(8, "little") + encoded + bytes(size)
    if outcome("safetensors", raw) is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        path.write_bytes(raw)
        with contextlib.suppress(SafetensorError), safe_open(path, "np") as opened:
            assert set(opened.keys()) == set(header) - {"__metadata__"}
            return
    # The library refuses types that share bytes where rows do not fill one; nothing else may be taken here alone.
    assert any(entry["dtype"] == "F4" for entry in header.values() if isinstance(entry, dict) and "dtype" in entry)


@QUICK
@given(st.one_of(JSON.map(json.dumps), st.text(max_size=60)))
def test_json_is_read_as_the_library_reads_it_or_refused(text):
    data = text.encode("utf-8", "replace")
    try:
        found = parse_json(data, "c.json")
    except FormatError:
        return
    assert found == json.loads(data) or "NaN" in text


@QUICK
@given(config=JSON, tokenizer=JSON, adapter=JSON)
def test_any_configuration_gives_a_report_or_a_refusal(config, tokenizer, adapter):
    with tempfile.TemporaryDirectory() as name:
        folder = write_model(Path(name) / "m")
        for file, value in (("config.json", config), ("tokenizer_config.json", tokenizer), ("modules.json", adapter)):
            (folder / file).write_text(json.dumps(value))
        with contextlib.suppress(FormatError, UnsafeModel):
            report = inspect_folder(folder)
            assert report.architecture is None or report.architecture.isprintable()


CONFIG_KEYS = st.sampled_from(
    [
        "architectures",
        "model_type",
        "max_position_embeddings",
        "id2label",
        "text_config",
        "quantization_config",
        "auto_map",
    ]
)


@QUICK
@given(config=st.dictionaries(CONFIG_KEYS, JSON, max_size=5))
def test_any_value_of_a_known_key_gives_a_report_or_a_refusal(config):
    with tempfile.TemporaryDirectory() as name, contextlib.suppress(FormatError, UnsafeModel):
        inspect_folder(write_model(Path(name) / "m", config))
        assert not config.get("auto_map")


@given(st.lists(st.text(st.sampled_from("aAb/.\\é\u0301eß \n"), max_size=5), max_size=6))
def test_names_that_are_taken_together_stay_apart_on_every_file_system(names):
    table, taken = NameTable(), []
    for name in names:
        if table.add(name) is None:
            assert name_fault(name) is None
            taken.append(name)
    assert len({name.casefold() for name in taken}) == len(taken)
    assert all(not other.startswith(name + "/") for name in taken for other in taken)
    assert all(Path("/root", name).resolve().is_relative_to("/root") for name in taken)


@given(st.text(max_size=300))
def test_what_is_shown_is_always_one_printable_line(text):
    assert shown(text).isprintable()


MEMBERS = st.lists(
    st.tuples(st.text(st.sampled_from("ab/.."), min_size=1, max_size=6), st.binary(max_size=20)), min_size=1, max_size=5
)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@QUICK
@given(MEMBERS)
def test_an_archive_is_unpacked_as_written_or_leaves_nothing(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    tar = tar_bytes(*(tar_member(name, content) for name, content in members))
    for kind, data in (("zip", buffer.getvalue()), ("tar", tar)):
        names = outcome(kind, data)
        assert names is None or set(names) <= {name.removeprefix("./") for name, _ in members}
