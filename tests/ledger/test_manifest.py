import hashlib
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick import manifest
from tallystick.errors import ManifestError
from tallystick.manifest import MAX_DEPTH, MAX_PART_BYTES, FileEntry, Manifest, combine, hash_folder, name_fault

ENTRY = FileEntry(name="config.json", size=2, sha256=hashlib.sha256(b"{}").digest())


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    (folder / "extra").mkdir(parents=True)
    (folder / "config.json").write_bytes(b"{}")
    (folder / "model.safetensors").write_bytes(b"weights" * 1_000)
    (folder / "extra" / "a.txt").write_bytes(b"")
    (folder / "extra-b").write_bytes(b"b")
    return folder


def entry(name):
    return FileEntry(name=name, size=1, sha256=bytes(32))


def test_the_digest_can_be_computed_with_nothing_but_sha256(folder):
    names = ["config.json", "extra-b", "extra/a.txt", "model.safetensors"]
    listed = [
        {"algorithm": "sha256", "digest": hashlib.sha256((folder / name).read_bytes()).hexdigest(), "name": name}
        for name in names
    ]
    found = hash_folder(folder)
    assert found.digest == hashlib.sha256(json.dumps(listed, separators=(",", ":")).encode()).digest()
    assert [file.name for file in found.files] == names
    assert found.size == 2 + 7_000 + 0 + 1


def test_a_platform_with_model_signing_gives_the_same_digest(folder):
    weights_digest = pytest.importorskip("tallystick_platform.engine.weights_digest")
    for name in (".gitignore", ".gitattributes", "model.sig"):
        (folder / name).write_bytes(b"left out")
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_bytes(b"left out")
    (folder / "extra" / "model.sig").write_bytes(b"covered")
    (folder / "extra" / ".gitkeep").write_bytes(b"covered")
    (folder / ".gitmodules").write_bytes(b"covered")
    (folder / "zählung ☃.json").write_bytes(b"covered")
    theirs, ours = weights_digest.compute(folder), hash_folder(folder)
    assert ours.digest == theirs.digest
    assert {file.name: file.sha256 for file in ours.files} == theirs.resources


def test_signature_and_git_files_at_the_top_are_not_covered(folder):
    before = hash_folder(folder)
    (folder / "model.sig").write_bytes(b"signature")
    (folder / ".gitignore").write_bytes(b"*")
    assert hash_folder(folder) == before


def test_progress_ends_with_every_byte_read(folder):
    told = []
    found = hash_folder(folder, lambda done, total: told.append((done, total)))
    assert told[-1] == (found.size, found.size)
    assert told == sorted(told)


def test_a_symbolic_link_is_refused_even_where_it_is_not_covered(folder):
    (folder / "model.sig").symlink_to(folder / "config.json")
    with pytest.raises(ManifestError, match=r"model\.sig: is a symbolic link"):
        hash_folder(folder)


def test_a_linked_folder_is_refused(folder, tmp_path):
    (folder / "more").symlink_to(tmp_path)
    with pytest.raises(ManifestError, match="symbolic link"):
        hash_folder(folder)


def test_a_pipe_is_refused_and_not_waited_for(folder):
    os.mkfifo(folder / "pipe")
    with pytest.raises(ManifestError, match="neither a file nor a folder"):
        hash_folder(folder)


@pytest.mark.parametrize("name", [b"a\nb", b"a\x1b[2Jb", b"\xff\xfe", b"back\\slash", b"\xe2\x80\xaegpj", b"a\x7f"])
def test_a_name_that_no_manifest_holds_is_refused_and_shown_harmlessly(folder, name):
    (folder / os.fsdecode(name)).write_bytes(b"x")
    with pytest.raises(ManifestError) as raised:
        hash_folder(folder)
    assert str(raised.value).isprintable()


def test_a_folder_that_is_not_there_is_an_error_of_its_own(tmp_path):
    with pytest.raises(ManifestError, match="No such file"):
        hash_folder(tmp_path / "none")


def test_a_folder_without_files_is_refused(tmp_path):
    with pytest.raises(ManifestError, match="there are no files"):
        hash_folder(tmp_path)


def test_a_file_that_grows_while_it_is_read_is_refused(folder, monkeypatch):
    monkeypatch.setattr(manifest, "CHUNK_BYTES", 1_000)
    path = folder / "model.safetensors"

    def grow(done, total):
        with path.open("ab") as file:
            file.write(b"more" * (done < 10_000))

    with pytest.raises(ManifestError, match="changed while it was read"):
        hash_folder(folder, grow)


def test_a_file_that_turns_into_a_link_is_not_followed(folder):
    last = folder / [name for name, _ in manifest.list_files(folder)][-1]

    def swap(done, total):
        if not last.is_symlink():
            last.unlink()
            last.symlink_to("/dev/zero")

    with pytest.raises(ManifestError, match="Too many levels of symbolic links"):
        hash_folder(folder, swap)


def test_more_files_than_the_bound_are_refused(folder, monkeypatch):
    monkeypatch.setattr(manifest, "MAX_FILES", 4)
    assert len(hash_folder(folder).files) == 4
    (folder / "fifth").write_bytes(b"")
    with pytest.raises(ManifestError, match="more than 4 files"):
        hash_folder(folder)


def test_a_folder_deeper_than_the_bound_is_refused(folder):
    place = folder.joinpath(*"abcdefg")
    place.mkdir(parents=True)
    (place / "file").write_bytes(b"")
    assert hash_folder(folder).files[0].name == "a/b/c/d/e/f/g/file"
    (place / "h").mkdir()
    (place / "h" / "file").write_bytes(b"")
    with pytest.raises(ManifestError, match="more than 8 parts"):
        hash_folder(folder)


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../x", "a/../b", "/etc/passwd", "a//b", "a/", "./a"),
        *("a\\b", "a\nb", "\ud800", "a\u202eb", "model.sig", ".git/HEAD", "x" * 256, None, 7),
    ],
)
def test_an_odd_name_has_a_fault(name):
    assert name_fault(name)


@pytest.mark.parametrize("name", ["a", "a/b.json", "..a", "a..", "model.sig.txt", "sub/model.sig", "ж☃", " a"])
def test_a_plain_name_has_none(name):
    assert name_fault(name) is None


def test_names_are_bounded_in_depth_and_length():
    assert name_fault("/".join("a" * MAX_DEPTH)) is None
    assert name_fault("/".join("a" * (MAX_DEPTH + 1)))
    assert name_fault("é" * (MAX_PART_BYTES // 2)) is None
    assert name_fault("é" * (MAX_PART_BYTES // 2 + 1))


@pytest.mark.parametrize("size", [-1, 2**53, True, 1.0])
def test_a_size_is_an_integer_within_bounds(size):
    with pytest.raises(ManifestError, match="size"):
        FileEntry(name="a", size=size, sha256=bytes(32))


@pytest.mark.parametrize("name", [None, 7, ["a"], b"a"])
def test_a_name_is_text(name):
    with pytest.raises(ManifestError, match="a name is text"):
        FileEntry(name=name, size=1, sha256=bytes(32))


def test_a_digest_has_32_bytes():
    with pytest.raises(ManifestError, match="31 bytes"):
        FileEntry(name="a", size=1, sha256=bytes(31))


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ([], "there are no files"),
        (["a", "a"], "stands twice"),
        (["b", "a"], "out of order"),
        (["a", "a/b"], "a folder whose name is a file's"),
        (["a", "a-c", "a/b/d"], "a folder whose name is a file's"),
    ],
)
def test_a_manifest_is_sorted_unique_and_possible(names, reason):
    with pytest.raises(ManifestError, match=reason):
        Manifest(files=tuple(entry(name) for name in names))


def test_a_manifest_takes_files_up_to_its_bound(monkeypatch):
    monkeypatch.setattr(manifest, "MAX_FILES", 2)
    assert len(Manifest.of([entry("b"), entry("a")]).files) == 2
    with pytest.raises(ManifestError, match="more than 2 files"):
        Manifest.of([entry("a"), entry("b"), entry("c")])


def test_json_gives_the_manifest_back(folder):
    found = hash_folder(folder)
    assert Manifest.from_json(json.loads(json.dumps(found.to_json()))) == found


def _changed(change):
    document = Manifest.of([ENTRY]).to_json()
    change(document)
    return document


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        _changed(lambda d: d.update(more=1)),
        _changed(lambda d: d.update(format="tallystick/manifest/v2")),
        _changed(lambda d: d.update(files={})),
        _changed(lambda d: d.update(files=[])),
        _changed(lambda d: d.update(digest="00" * 32)),
        _changed(lambda d: d.update(digest=d["digest"].upper())),
        _changed(lambda d: d["files"][0].update(sha256="zz" * 32)),
        _changed(lambda d: d["files"][0].update(size="2")),
        _changed(lambda d: d["files"][0].update(name=["config.json"])),
        _changed(lambda d: d["files"][0].update(name="../config.json")),
        _changed(lambda d: d["files"][0].update(mode=1)),
        _changed(lambda d: d["files"].append(d["files"][0])),
        _changed(lambda d: d["files"][0].pop("size")),
    ],
)
def test_json_that_is_not_a_manifest_is_refused(document):
    with pytest.raises(ManifestError):
        Manifest.from_json(document)


MEMBERS = st.sampled_from(["digest", "files", "format", "name", "size", "sha256"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MEMBERS | st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(JSON)
def test_any_other_json_is_refused_by_the_one_error(document):
    with pytest.raises(ManifestError):
        Manifest.from_json(document)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1), st.binary(min_size=32, max_size=32), min_size=1, max_size=4
    )
)
def test_the_digest_does_not_depend_on_the_order_of_listing(files):
    assert combine(files) == combine(dict(reversed(files.items())))
