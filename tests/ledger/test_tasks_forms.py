"""Forms with files: what is read out of them, and what is refused; beside a library that reads them too."""

from __future__ import annotations

import io

import httpx
import multipart
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import RequestError
from tallystick.hashing import keccak256
from tallystick.ids import to_hex
from tallystick.tasks.forms import MAX_HEAD_BYTES, MAX_PARTS, MAX_TEXT_BYTES, Part, read_form

TYPE = "multipart/form-data; boundary=b"
NAMES = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8)


def form(*parts: bytes, end: bytes = b"--b--\r\n") -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + end


def field(name: str, data: bytes = b"1", more: bytes = b"") -> bytes:
    return f'Content-Disposition: form-data; name="{name}"'.encode() + more + b"\r\n\r\n" + data


def test_parts_come_in_their_order_with_what_is_said_of_them():
    file = (
        b'Content-Disposition: form-data; name="file"; filename="a b.wav"\r\nContent-Type: audio/wav\r\n\r\n\r\n\0--b'
    )
    parts = read_form("POST", TYPE, form(field("model", "é".encode()), file))
    assert parts == [
        Part(name="model", file_name=None, content_type=None, data="é".encode()),
        Part(name="file", file_name="a b.wav", content_type="audio/wav", data=b"\r\n\0--b"),
    ]
    assert parts[0].text() == "é"
    assert parts[1].stated() == {
        "digest": to_hex(keccak256(b"\r\n\0--b")),
        "length": 6,
        "name": "a b.wav",
        "type": "audio/wav",
    }


@pytest.mark.parametrize(
    "content_type",
    [
        'multipart/form-data; boundary="b"',
        "Multipart/Form-Data;boundary=b",
        " multipart/form-data ; Boundary=b ",
    ],
)
def test_a_content_type_may_be_spelled_in_several_ways(content_type: str):
    assert len(read_form("POST", content_type, form(field("a")))) == 1


@pytest.mark.parametrize(
    "disposition",
    [
        b'Content-Disposition: form-data; name="file"; filename="a.wav"; filename*=utf-8\'\'a.wav',
        b"content-disposition: form-data; name=file; filename=a.wav",
        b'Content-Disposition: form-data; filename="a.wav"; name="file"\r\nContent-Length: 1',
        b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Transfer-Encoding: binary',
    ],
)
def test_heads_as_real_clients_write_them_are_read(disposition: bytes):
    (part,) = read_form("POST", TYPE, form(disposition + b"\r\n\r\n1"))
    assert (part.name, part.file_name, part.data) == ("file", "a.wav", b"1")


@pytest.mark.parametrize(
    ("content_type", "body", "param"),
    [
        (None, form(field("a")), "content_type"),
        ("application/json", form(field("a")), "content_type"),
        ("multipart/form-data", form(field("a")), "content_type"),
        ("multipart/form-data; boundary=", form(field("a")), "content_type"),
        (f"multipart/form-data; boundary={'b' * 71}", form(field("a")), "content_type"),
        ("multipart/form-data; boundary=b; charset=x", form(field("a")), "content_type"),
        ('multipart/form-data; boundary="b "', form(field("a")), "content_type"),
        ("multipart/form-data; boundary=é", form(field("a")), "content_type"),
        (TYPE, b"", ""),
        (TYPE, b"--b--", ""),
        (TYPE, b" " + form(field("a")), ""),
        (TYPE, b"\r\n" + form(field("a")), ""),
        (TYPE, form(field("a"), end=b""), ""),
        (TYPE, form(field("a"), end=b"--b"), ""),
        (TYPE, form(field("a")) + b"x", ""),
        (TYPE, form(field("a")) + b"\r\n", ""),
        (TYPE, form(field("a")).replace(b"\r\n", b"\n"), ""),
        (TYPE, form(field("a", b"\r\n--bad")), ""),
        (TYPE, form(*[field("a")] * (MAX_PARTS + 1)), ""),
        (TYPE, form(b"\r\n1"), ""),
        (TYPE, form(b"Content-Type: text/plain\r\n\r\n1"), ""),
        (TYPE, form(b"Content-Disposition: attachment; name=a\r\n\r\n1"), ""),
        (TYPE, form(b"Content-Disposition: form-data\r\n\r\n1"), ""),
        (TYPE, form(b'Content-Disposition: form-data; name="a"; name="b"\r\n\r\n1'), ""),
        (TYPE, form(b'Content-Disposition: form-data; name="a" x\r\n\r\n1'), ""),
        (TYPE, form(b'Content-Disposition: form-data; name="a\r\n\r\n1'), ""),
        (TYPE, form(b'Content-Disposition: form-data; name="a"\r\n Content-Type: b\r\n\r\n1'), ""),
        (TYPE, form(field("a", more=b"\r\nContent-Disposition: form-data; name=b")), ""),
        (TYPE, form(field("a", more=b"\r\nX: \xff")), ""),
        (TYPE, form(field("a", more=b"\r\nX: \0")), ""),
        (TYPE, form(field("a", more=b"\r\nno colon")), ""),
        (TYPE, form(field("a", more=b"\r\nContent-Transfer-Encoding: base64")), "a"),
        (TYPE, form(field("a", more=b"\r\nX: " + b"x" * MAX_HEAD_BYTES)), ""),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(content_type: str | None, body: bytes, param: str):
    with pytest.raises(RequestError) as refused:
        read_form("POST", content_type, body)
    assert refused.value.param == param


def test_a_form_is_posted():
    with pytest.raises(RequestError, match="POST"):
        read_form("PUT", TYPE, form(field("a")))


@pytest.mark.parametrize("data", [b"\xff", b"x" * (MAX_TEXT_BYTES + 1)], ids=["no UTF-8", "too long"])
def test_a_text_is_utf_8_of_a_bounded_length(data: bytes):
    (part,) = read_form("POST", TYPE, form(field("a", data)))
    with pytest.raises(RequestError) as refused:
        part.text()
    assert refused.value.param == "a"


def test_the_most_parts_and_the_longest_text_are_read():
    assert len(read_form("POST", TYPE, form(*[field("a")] * MAX_PARTS))) == MAX_PARTS
    (part,) = read_form("POST", TYPE, form(field("a", b"x" * MAX_TEXT_BYTES)))
    assert len(part.text()) == MAX_TEXT_BYTES


@given(fields=st.dictionaries(NAMES, st.text(max_size=20), max_size=5), file=st.binary(min_size=1, max_size=200))
def test_what_a_client_s_library_writes_is_read_as_another_library_reads_it(fields: dict[str, str], file: bytes):
    fields.pop("file", None)
    request = httpx.Request("POST", "http://x", data=fields, files={"file": ("a.wav", file, "audio/wav")})
    content_type, body = request.headers["content-type"], request.read()
    found = read_form("POST", content_type, body)
    boundary = content_type.partition("boundary=")[2]
    expected = list(multipart.MultipartParser(io.BytesIO(body), boundary, strict=True))
    assert [(part.name, part.file_name, part.data) for part in found] == [
        (part.name, part.filename, part.raw) for part in expected
    ]
    assert {part.name: part.text() for part in found if part.file_name is None} == fields
