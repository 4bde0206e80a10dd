import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import ModelDigestError, PullRefused, TallystickError
from tallystick.manifest import MAX_DEPTH
from tallystick.pull import listing
from tallystick.pull.listing import read_listing
from tests.support.export_server import ExportServer

URL = "http://host/v1/exports/e1"
FILES = {"config.json": b"{}", "extra/a.txt": b"a"}


def document(contents=FILES, **changes):
    return ExportServer(files=dict(contents)).document() | changes


def named(name):
    """A listing that names one more file, under a digest that covers it."""
    files = document()["files"]
    return document(files=[*files, {"name": name, "size": 1, "sha256": "aa" * 32}])


def read(shown):
    return read_listing(URL, json.dumps(shown).encode())


def test_a_listing_gives_manifest_and_files():
    found = read(document(FILES | {"model.sig": b"signature"}))
    assert [entry.name for entry in found.manifest.files] == ["config.json", "extra/a.txt"]
    assert [file.name for file in found.wanted] == ["config.json", "extra/a.txt", "model.sig"]
    assert found.size == 2 + 1 + 9


@pytest.mark.parametrize("record", [None, 7, "", "a\nb", "x" * 65])
def test_a_record_id_that_is_none_is_left_out(record):
    assert read(document(ended_by=record)).record_id is None


@pytest.mark.parametrize("state", ["queued", "running", "failed", "cancelled", None, 7, "x" * 10_000])
def test_an_export_that_is_not_finished_is_refused_with_its_state(state):
    with pytest.raises(PullRefused, match="not finished") as raised:
        read(document(state=state))
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize(
    "name",
    [
        *("../x", "a/../../x", "/etc/passwd", "..", ".", "a//b", "a\\b", "C:\\x", "a\nb", "a\x1b[2J", "a\u202eb", ""),
        *("x" * 256, "/".join("a" * (MAX_DEPTH + 1)), ".git/config", "config.json/a", "config.json", "CONFIG.json"),
    ],
)
def test_a_hostile_name_is_refused_and_shown_harmlessly(name):
    with pytest.raises(PullRefused) as raised:
        read(named(name))
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    "entry",
    [
        None,
        7,
        {},
        {"name": "a", "size": 1},
        {"name": "a", "size": -1, "sha256": "aa" * 32},
        {"name": "a", "size": 2**53, "sha256": "aa" * 32},
        {"name": "a", "size": True, "sha256": "aa" * 32},
        {"name": "a", "size": 1, "sha256": "aa"},
        {"name": "a", "size": 1, "sha256": "zz" * 32},
        {"name": ["a"], "size": 1, "sha256": "aa" * 32},
    ],
)
def test_a_file_without_name_size_or_digest_is_refused(entry):
    with pytest.raises(PullRefused):
        read(document(files=[entry]))


def test_two_signatures_are_refused():
    signature = {"name": "model.sig", "size": 1, "sha256": "aa" * 32}
    with pytest.raises(PullRefused, match=r"model\.sig twice"):
        read(document(files=[*document()["files"], signature, signature]))


@pytest.mark.parametrize("digest", [None, "", "aa" * 32, 7])
def test_a_digest_that_is_not_of_the_files_is_proven_wrong(digest):
    with pytest.raises(ModelDigestError):
        read(document(manifest_digest=digest))


def test_more_files_than_the_bound_are_refused(monkeypatch):
    monkeypatch.setattr(listing, "MAX_FILES", 0)
    with pytest.raises(PullRefused, match="no list of at most 0 files"):
        read(document())


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b"7", b"<html>", b"[" * 100_000, b'{"state":"finished"}'])
def test_what_is_no_export_is_refused(body):
    with pytest.raises(PullRefused):
        read_listing(URL, body)


def test_a_member_that_stands_twice_is_refused():
    body = json.dumps(document()).encode()
    assert read_listing(URL, body)
    with pytest.raises(PullRefused, match="'files' twice"):
        read_listing(URL, body.removesuffix(b"}") + b', "files": []}')


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "size", "sha256"]) | st.text(), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(JSON, JSON)
def test_any_other_json_is_refused_by_an_error_of_this_package(files, digest):
    with pytest.raises(TallystickError):
        read(document(files=files, manifest_digest=digest))
