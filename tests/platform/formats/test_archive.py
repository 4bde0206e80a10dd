"""Archives: what lands on the disk, and what never does."""

import io
import os
import stat
import tarfile
import time
import zipfile

import pytest

from tallystick_platform.formats import archive
from tallystick_platform.formats.archive import extract_tar, extract_zip
from tallystick_platform.formats.errors import FormatError, UnsafeArchive
from tallystick_platform.formats.tar_file import MAX_END_BYTES, MAX_EXTENDED_BYTES, MAX_EXTENDED_IN_A_ROW
from tests.support.memory_peak import MIB, peak_below
from tests.support.model_files import gzipped, tar_bytes, tar_header, tar_member, tar_record, tar_sum, zip_bytes


@pytest.fixture
def target(tmp_path):
    """The empty folder to unpack into, with something beside it that must stay as it is."""
    (tmp_path / "beside").write_text("untouched")
    folder = tmp_path / "target"
    folder.mkdir()
    yield folder
    assert (tmp_path / "beside").read_text() == "untouched"
    assert {entry.name for entry in tmp_path.iterdir()} <= {"beside", "target", "a.tar", "a.zip"}


def files_in(folder) -> tuple[str, ...]:
    """The files that lie in a folder, by name."""
    return tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))


@pytest.fixture
def untar(tmp_path, target):
    """Unpacks bytes as a tar file."""

    def unpack(data: bytes, **limits):
        (tmp_path / "a.tar").write_bytes(data)
        extract_tar(tmp_path / "a.tar", target, **limits)
        return files_in(target)

    return unpack


@pytest.fixture
def unzip(tmp_path, target):
    """Unpacks bytes as a zip file."""

    def unpack(data: bytes, **limits):
        (tmp_path / "a.zip").write_bytes(data)
        extract_zip(tmp_path / "a.zip", target, **limits)
        return files_in(target)

    return unpack


def refused(unpack, data: bytes, target, **limits) -> str:
    """Why an archive is refused; nothing of it stays."""
    with pytest.raises((UnsafeArchive, FormatError)) as caught:
        unpack(data, **limits)
    assert list(target.iterdir()) == []
    return str(caught.value)


def library_tar(form: int) -> bytes:
    """What Python's own library writes, with a name too long for the header."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as written:
        for name in ("config.json", "weights/" + "x" * 120 + ".safetensors", "é.txt"):
            member = tarfile.TarInfo(name)
            member.size = 700
            written.addfile(member, io.BytesIO(b"z" * 700))
    return buffer.getvalue()


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("packing", [bytes, gzipped])
def test_what_the_library_wrote_is_unpacked(untar, target, form, packing):
    names = untar(packing(library_tar(form)))
    assert names == ("config.json", "weights/" + "x" * 120 + ".safetensors", "é.txt")
    assert all((target / name).read_bytes() == b"z" * 700 for name in names)


def test_a_zip_is_unpacked_with_its_folders(unzip, target):
    data = zip_bytes(("config.json", b"{}"), ("a/", b""), ("a/b", b"z" * 700), ("empty/", b""))
    assert unzip(data) == ("a/b", "config.json")
    assert (target / "a" / "b").read_bytes() == b"z" * 700
    assert (target / "empty").is_dir()


def test_a_zip_member_shorter_than_it_claims_is_refused(unzip, target):
    data = zip_bytes(("a", b"x" * 50))
    at = data.rindex(b"PK\x01\x02") + 24
    assert "claims" in refused(unzip, data[:at] + b"\x33" + data[at + 1 :], target)


@pytest.mark.parametrize("mode", [stat.S_IFDIR, stat.S_IFREG])
def test_a_zip_member_that_is_a_folder_and_a_file_at_once_is_refused(unzip, target, mode):
    member = zipfile.ZipInfo("a" if mode == stat.S_IFDIR else "a/")
    member.external_attr = mode << 16
    refused(unzip, zip_bytes((member, b"")), target)


def test_a_folder_with_content_is_refused(unzip, untar, target):
    refused(unzip, zip_bytes(("a/", b"x")), target)
    refused(untar, tar_bytes(tar_member("a/", b"x", kind=b"5")), target)


def test_a_long_name_in_the_gnu_manner_counts(untar, target):
    assert untar(tar_bytes(tar_member("L", b"a/b\0", kind=b"L"), tar_member("x", b"x"))) == ("a/b",)


def test_folders_and_names_from_a_dot_are_unpacked(untar, target):
    assert untar(tar_bytes(tar_member("./", kind=b"5"), tar_member("./a/", kind=b"5"), tar_member("./a/b", b"x"))) == (
        "a/b",
    )
    assert (target / "a" / "b").read_bytes() == b"x"


def test_a_long_name_split_over_the_header_is_joined(untar):
    assert untar(tar_bytes(tar_member("b", b"x", prefix="a"))) == ("a/b",)


def test_permissions_of_the_archive_are_not_kept(untar, unzip, target):
    untar(tar_bytes(tar_sum(tar_header("a", 0).replace(b"0000755", b"0006777", 1))))
    assert stat.S_IMODE((target / "a").stat().st_mode) & 0o7111 == 0


HOSTILE_NAMES = ["/etc/passwd", "../beside", "a/../../beside", "a\\..\\b", "C:a", "a\x1b[2J", "a/", "..", "a" * 300]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_tar_member_that_would_land_elsewhere_is_refused(untar, target, name):
    long = tar_member("x", tar_record("path", name), kind=b"x")
    refused(untar, tar_bytes(long, tar_member("x", b"x")), target)


@pytest.mark.parametrize("name", [*HOSTILE_NAMES[:-2], "..", "a" * 300, "a\0b"])
def test_a_zip_member_that_would_land_elsewhere_is_refused(unzip, target, name):
    data = zip_bytes(("q" * len(name.encode()), b"x"))
    refused(unzip, data.replace(b"q" * len(name.encode()), name.encode()), target)


@pytest.mark.parametrize("kind", list(b"12346SMVDNK"))
def test_only_files_and_folders_come_out_of_a_tar(untar, target, kind):
    refused(untar, tar_bytes(tar_member("a", kind=bytes([kind]), link="../beside")), target)


def test_a_link_that_a_later_member_would_be_written_through_is_refused(untar, target):
    data = tar_bytes(tar_member("a", kind=b"2", link=".."), tar_member("a/beside", b"overwritten"))
    assert "symbolic link" in refused(untar, data, target)


def test_links_and_devices_in_a_zip_are_refused(unzip, target):
    for mode in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFBLK, stat.S_IFSOCK):
        member = zipfile.ZipInfo("a")
        member.external_attr = (mode | 0o777) << 16
        assert "link or device" in refused(unzip, zip_bytes((member, b"../beside")), target)


PAIRS = [("a", "a"), ("a", "A"), ("é", "e\u0301"), ("a/b", "a"), ("a", "a/b"), ("D/a", "d/b")]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_two_members_of_one_name_are_refused(untar, unzip, target, first, second):
    refused(untar, tar_bytes(tar_member(first, b"1"), tar_member(second, b"2")), target)
    refused(unzip, zip_bytes((first, b"1"), (second, b"2")), target)


def test_more_than_the_limits_is_refused(untar, unzip, target):
    two = [("a", b"1"), ("b", b"2")]
    for limits in ({"max_files": 1}, {"max_bytes": 1}):
        refused(untar, tar_bytes(*(tar_member(*member) for member in two)), target, **limits)
        refused(unzip, zip_bytes(*two), target, **limits)


def test_a_size_that_the_archive_claims_is_believed_only_to_refuse_it(untar, target):
    header = tar_sum(tar_header("a")[:124] + b"\x80" + b"\xff" * 11 + tar_header("a")[136:])
    assert "more than" in refused(untar, header + bytes(1024), target)
    header = tar_sum(tar_header("a")[:124] + b"\xff" * 12 + tar_header("a")[136:])
    assert "no number" in refused(untar, header + bytes(1024), target)


@pytest.mark.parametrize("data", [b"", bytes(512), bytes(1023), tar_member("a", b"x"), tar_member("a", b"x")[:600]])
def test_a_truncated_tar_is_refused(untar, target, data):
    assert "truncated" in refused(untar, data, target)


@pytest.mark.parametrize("rest", [b"x", b"PK\x03\x04", tar_member("b", b"hidden")])
def test_bytes_behind_the_end_mark_are_refused(untar, target, rest):
    assert "follow" in refused(untar, tar_bytes(tar_member("a", b"x")) + rest, target)


def test_zeros_without_end_behind_the_end_mark_are_refused(untar, target):
    assert "follow" in refused(untar, tar_bytes(tar_member("a", b"x")) + bytes(MAX_END_BYTES), target)
    assert "half" in refused(untar, tar_member("a") + bytes(512) + tar_member("b"), target)


def test_a_damaged_header_is_refused(untar, target):
    assert "damaged" in refused(untar, tar_bytes(tar_member("a", b"x")).replace(b"a", b"b", 1), target)


@pytest.mark.parametrize(
    "records",
    [
        b"12 path=../\n",
        b"path=a\n",
        b"99 path=a\n",
        b"9 path=a\n\n",
        b"-9 path=a\n",
        b"0 path=a\n",
        b"9" * 5000,
        tar_record("size", "-1"),
        tar_record("size", "9" * 30),
        tar_record("GNU.sparse.major", "1"),
        b"9 path=\xff\xfe\n",
    ],
)
def test_extended_headers_that_are_none_are_refused(untar, target, records):
    refused(untar, tar_bytes(tar_member("x", records, kind=b"x"), tar_member("a", b"x")), target)


def test_a_header_for_all_members_may_not_rename_them(untar, target):
    assert untar(tar_bytes(tar_member("g", tar_record("comment", "c"), kind=b"g"), tar_member("a", b"x"))) == ("a",)
    (target / "a").unlink()
    refused(untar, tar_bytes(tar_member("g", tar_record("path", "b"), kind=b"g"), tar_member("a", b"x")), target)


def test_extended_headers_are_bounded_in_size_and_number(untar, target):
    long = tar_member("x", bytes(MAX_EXTENDED_BYTES + 1), kind=b"x")
    assert "limit" in refused(untar, tar_bytes(long, tar_member("a")), target)
    many = [tar_member("x", tar_record("path", "b"), kind=b"x")] * MAX_EXTENDED_IN_A_ROW
    assert "headers" in refused(untar, tar_bytes(*many, tar_member("a")), target)


def test_digits_without_end_in_an_extended_header_take_no_time(untar, target):
    began = time.monotonic()
    refused(untar, tar_bytes(tar_member("x", b"1" * MAX_EXTENDED_BYTES, kind=b"x"), tar_member("a")), target)
    assert time.monotonic() - began < 2


def test_a_gzip_bomb_is_stopped_early_and_cheaply(untar, target):
    data = gzipped(tar_bytes(tar_member("a", bytes(64 * 1_048_576))))
    with peak_below(8 * MIB):
        assert "times its size" in refused(untar, data, target)


@pytest.mark.parametrize(
    "change", [lambda data: data[:-9], lambda data: data + b"x", lambda data: data[:20] + b"\xff" * 9]
)
def test_broken_gzip_is_refused(untar, target, change):
    refused(untar, change(gzipped(tar_bytes(tar_member("a", os.urandom(2000))))), target)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(unzip, target):
    assert "times its size" in refused(unzip, zip_bytes(("a", bytes(64 * 1_048_576))), target)


def test_members_that_share_bytes_are_refused(unzip, target):
    data = zip_bytes(("a", b"x" * 64), ("b", b"x" * 64), method=zipfile.ZIP_STORED)
    directory = data.rindex(b"PK\x01\x02")
    assert "overlap" in refused(unzip, data[: directory + 42] + bytes(4) + data[directory + 46 :], target)


def test_a_zip_that_names_a_member_otherwise_inside_is_refused(unzip, target):
    data = zip_bytes(("good", b"x"))
    refused(unzip, data.replace(b"good", b"evil", 1), target)


def test_a_zip_with_too_large_a_directory_is_refused_unread(unzip, target):
    members = [zipfile.ZipInfo("a" * 200 + str(number)) for number in range(9_000)]
    data = zip_bytes(*((member, b"") for member in members), method=zipfile.ZIP_STORED)
    with peak_below(16 * MIB):
        assert "directory" in refused(unzip, data, target)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(unzip, target, method):
    assert "compressed by method" in refused(unzip, zip_bytes(("a", b"x" * 99), method=method), target)


def test_encrypted_members_are_refused(unzip, target):
    data = zip_bytes(("a", b"x"))
    at = data.rindex(b"PK\x01\x02") + 8
    assert "encrypted" in refused(unzip, data[:at] + b"\x01" + data[at + 1 :], target)


@pytest.mark.parametrize("cut", [1, 22, 40, 60])
def test_a_truncated_zip_is_refused(unzip, target, cut):
    refused(unzip, zip_bytes(("a", b"x" * 50))[:-cut], target)


def test_a_zip_member_whose_content_was_changed_is_refused(unzip, target):
    data = zip_bytes(("a", b"x" * 50), method=zipfile.ZIP_STORED)
    refused(unzip, data.replace(b"x" * 50, b"y" * 50), target)


def test_a_folder_with_something_in_it_is_not_unpacked_into(untar, target):
    (target / "mine").write_text("mine")
    with pytest.raises(UnsafeArchive, match="not empty"):
        untar(tar_bytes(tar_member("a", b"x")))
    assert (target / "mine").read_text() == "mine"
    (target / "mine").unlink()


def test_a_full_disk_leaves_nothing_behind(untar, target, monkeypatch):
    written = []

    def full(path, pieces):
        if written:
            raise OSError(28, "No space left on device")
        path.write_bytes(b"".join(pieces))
        written.append(path)

    monkeypatch.setattr(archive, "_write", full)
    with pytest.raises(OSError, match="No space"):
        untar(tar_bytes(tar_member("b", b"x"), tar_member("c", b"x")))
    assert list(target.iterdir()) == []
