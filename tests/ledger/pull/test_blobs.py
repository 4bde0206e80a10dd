import pytest

from tallystick.errors import PullBlocked
from tallystick.hashing import keccak256
from tallystick.pull import BlobFolder, blobs

DATA = b"a sealed blob"
DIGEST = keccak256(DATA)


def test_a_blob_is_kept_under_its_digest_and_found_there(tmp_path):
    folder = BlobFolder(tmp_path / "blobs")
    assert folder(DIGEST) is None
    folder.keep(DIGEST, DATA)
    assert folder(DIGEST) == DATA
    assert [path.name for path in (tmp_path / "blobs").iterdir()] == [DIGEST.hex()]


def test_a_file_with_other_content_or_beyond_the_bound_is_no_blob(tmp_path, monkeypatch):
    folder = BlobFolder(tmp_path)
    folder.place(DIGEST).write_bytes(DATA + b"\x00")
    assert folder(DIGEST) is None
    folder.place(DIGEST).write_bytes(DATA)
    assert folder(DIGEST) == DATA
    monkeypatch.setattr(blobs, "MAX_SEALED_BLOB_BYTES", len(DATA) - 2)
    assert folder(DIGEST) is None


def test_a_digest_of_another_length_names_no_file(tmp_path):
    assert BlobFolder(tmp_path)(b"../secret") is None


def test_a_folder_that_cannot_be_written_or_read_is_named(tmp_path):
    place = tmp_path / "file"
    place.write_bytes(b"")
    with pytest.raises(PullBlocked, match="file"):
        BlobFolder(place).keep(DIGEST, DATA)
    with pytest.raises(PullBlocked, match="file"):
        BlobFolder(place)(DIGEST)
