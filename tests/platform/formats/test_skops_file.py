"""What a skops file would build."""

import io
import json
import time
import zipfile

import numpy as np
import pytest
import scipy.sparse
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from tallystick_platform.formats import skops_file
from tallystick_platform.formats.errors import FormatError, UnsafeModel
from tallystick_platform.formats.skops_file import read
from tests.support.model_files import EVIL_PICKLE, zip_bytes

X, Y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1])


@pytest.fixture
def saved(tmp_path):
    """Writes a schema and arrays, or bytes, and gives the path."""

    def write(schema=None, *, data: bytes | None = None, **arrays: bytes):
        path = tmp_path / "m.skops"
        members = [(f"{name}.npy", content) for name, content in arrays.items()]
        path.write_bytes(data or zip_bytes(("schema.json", json.dumps(schema).encode()), *members))
        return path

    return write


def npy(array: np.ndarray) -> bytes:
    """An array as NumPy saves it."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def node(name: str = "dict", loader: str = "DictNode", **fields):
    """One part of a schema."""
    return {"__class__": name, "__module__": "builtins", "__loader__": loader, **fields}


def array_node(file: str, **fields):
    """A part that reads an array."""
    return {
        "__class__": "ndarray",
        "__module__": "numpy",
        "__loader__": "NdArrayNode",
        "type": "numpy",
        "file": file,
        **fields,
    }


def listed(*content, **fields):
    """A list of parts."""
    return node("list", "ListNode", content=list(content), **fields)


def test_a_trusted_estimator_is_read_by_name(tmp_path):
    skops.io.dump(LogisticRegression().fit(X, Y), tmp_path / "m.skops")
    summary = read(tmp_path / "m.skops")
    assert summary.estimator == "sklearn.linear_model._logistic.LogisticRegression"
    assert summary.untrusted == ()
    assert summary.arrays_bytes > 0


def test_types_that_the_library_does_not_trust_are_named(tmp_path):
    skops.io.dump(DecisionTreeClassifier().fit(X, Y), tmp_path / "m.skops")
    assert any(name.endswith("Tree") for name in read(tmp_path / "m.skops").untrusted)


def test_a_command_in_the_schema_is_named_and_not_run(saved):
    schema = {"__class__": "system", "__module__": "posix", "__loader__": "FunctionNode", "protocol": 2}
    schema["content"] = {"module_path": "posix", "function": "system"}
    summary = read(saved(schema))
    assert any("system" in name for name in summary.untrusted)


def test_an_array_of_objects_is_refused_as_pickle(saved):
    schema = {**listed(array_node("a.npy")), "protocol": 2}
    with pytest.raises(UnsafeModel, match="pickle") as caught:
        read(saved(schema, a=npy(np.array([{"x": 1}], dtype=object))))
    assert "skops.io.dump" in caught.value.remedy


@pytest.mark.parametrize("content", [EVIL_PICKLE, b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 9000])
def test_what_is_no_array_is_refused(saved, content):
    with pytest.raises(FormatError):
        read(saved({**listed(array_node("a.npy")), "protocol": 2}, a=content))


@pytest.mark.parametrize(
    ("said", "claimed"),
    [(b"(4,)", b"(9,)"), (b"(4,), ", b"(9e9,)"), (b"(4,), }    ", b"(9**9,), } "), (b"(4,)", b"(-4)")],
)
def test_an_array_that_claims_more_than_its_bytes_is_refused(saved, said, claimed):
    content = npy(np.zeros(4))
    assert said in content
    with pytest.raises(FormatError):
        read(saved({**listed(array_node("a.npy")), "protocol": 2}, a=content.replace(said, claimed)))


@pytest.mark.parametrize("change", [lambda content: content[:-1], lambda content: content + b"x"])
def test_an_array_of_another_size_than_its_header_says_is_refused(saved, change):
    with pytest.raises(FormatError, match="claims a shape"):
        read(saved({**listed(array_node("a.npy")), "protocol": 2}, a=change(npy(np.zeros(4)))))


def test_a_pickle_among_the_members_is_refused(tmp_path):
    path = tmp_path / "m.skops"
    path.write_bytes(zip_bytes(("schema.json", b'{"protocol":2,"__class__":"a"}'), ("data.pkl", EVIL_PICKLE)))
    with pytest.raises(FormatError, match=r"data\.pkl"):
        read(path)


def test_a_schema_that_refers_to_itself_exponentially_is_refused_at_once(saved):
    # Each list holds the one before it twice, the second time by its number alone: 2**60 visits from sixty lines.
    part = listed(__id__=1000)
    for number in range(1, 60):
        part = listed(part, {"__id__": part["__id__"]}, __id__=1000 + number)
    began = time.monotonic()
    with pytest.raises(FormatError, match="refers to itself"):
        read(saved({**part, "protocol": 2}))
    assert time.monotonic() - began < 5


def test_one_array_used_over_and_over_is_refused(saved, monkeypatch):
    monkeypatch.setattr(skops_file, "MAX_SKOPS_BYTES", 4096)
    parts = [array_node("a.npy") for _ in range(9)]
    with pytest.raises(FormatError, match="so often"):
        read(saved({**listed(*parts), "protocol": 2}, a=npy(np.zeros(64))))


def test_an_array_that_is_not_there_is_named(saved):
    with pytest.raises(FormatError, match=r"not there: b\.npy"):
        read(saved({**listed(array_node("b.npy")), "protocol": 2}))


@pytest.mark.parametrize(
    "schema",
    [
        [],
        {},
        {"protocol": 2},
        {"protocol": "2", "__class__": "a"},
        {"protocol": 99, **node()},
        {"protocol": 2, **node(loader="Nothing")},
        {"protocol": 2, "__class__": "a", "__id__": []},
        {"protocol": 2, "__class__": {}, "__module__": 1, "__loader__": []},
        {"protocol": 2, **node(content=7)},
    ],
)
def test_a_schema_that_is_none_is_refused(saved, schema):
    with pytest.raises(FormatError):
        read(saved(schema))


def test_a_sparse_matrix_is_read_and_its_inner_archive_is_measured(tmp_path, monkeypatch):
    skops.io.dump(scipy.sparse.csr_matrix(np.eye(64)), tmp_path / "m.skops")
    assert read(tmp_path / "m.skops").arrays_bytes > 0
    monkeypatch.setattr(skops_file, "MAX_NPZ_MEMBERS", 1)
    with pytest.raises(FormatError, match="unpacks to more"):
        read(tmp_path / "m.skops")


def test_a_deep_schema_is_refused(saved):
    depth = 5_000
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    with pytest.raises(FormatError, match="deep"):
        read(saved(data=zip_bytes(("schema.json", deep))))


@pytest.mark.parametrize(
    "data", [b"PK", b"PK\x03\x04", b"PK\x05\x06" + bytes(18), EVIL_PICKLE, zip_bytes(("a.npy", b""))]
)
def test_what_is_no_skops_file_is_refused(saved, data):
    with pytest.raises(FormatError):
        read(saved(data=data))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(saved):
    bomb = zip_bytes(("schema.json", b"{}"), ("a.npy", bytes(40 * 1_048_576)))
    with pytest.raises(FormatError, match="times its size"):
        read(saved(data=bomb))


def test_the_schema_is_bounded(saved):
    with pytest.raises(FormatError, match="limit"):
        read(saved(data=zip_bytes(("schema.json", b" " * 9_000_000), method=zipfile.ZIP_STORED)))
