"""What a receipt says about the bytes that crossed the wire."""

import dataclasses

import cbor2
import pytest

from tallystick.binding import (
    NO_REQUEST_HASH,
    record_request_hash,
    request_digest,
    request_hash,
    response_digest,
    response_digest_of_fields,
    response_hash,
)
from tallystick.encoding import encode_fields
from tallystick.errors import RecordError
from tallystick.hashing import keccak256
from tallystick.record import Output, RecordFault, Request
from tests.support.vectors.cast import bare_record, every_output, signed_record, whole_record

SALT, DIGEST = b"\x01" * 16, b"\x02" * 32
REQUEST = ("POST", "/v1/chat/completions?x=1", "application/json", b"{}")


def test_a_request_digest_is_one_hash_over_the_hashes_of_its_parts():
    parts = (b"POST", b"/v1/chat/completions?x=1", b"application/json", b"{}")
    assert request_digest(*REQUEST) == keccak256(b"".join(keccak256(part) for part in parts))


def test_each_part_of_a_request_matters_and_none_runs_into_the_next():
    others = [
        ("PUT", *REQUEST[1:]),
        ("POST", "/v1/chat/completions", *REQUEST[2:]),
        ("POST", "/v1/chat/completions?x=1application/json", None, b"{}"),
        (*REQUEST[:2], "application/json{}", b""),
        (*REQUEST[:3], b"{} "),
    ]
    assert len({request_digest(*parts) for parts in [REQUEST, *others]}) == 6


def test_no_content_type_counts_as_an_empty_one():
    assert request_digest("GET", "/", None, b"") == request_digest("GET", "/", "", b"")


def test_text_is_hashed_as_utf_8():
    assert request_digest("GET", "/é", None, b"") == request_digest("GET", b"/\xc3\xa9".decode(), None, b"")


def test_the_hashes_start_with_bytes_of_their_own():
    assert request_hash(SALT, DIGEST) == keccak256(b"\x02" + SALT + DIGEST)
    assert response_hash(DIGEST, DIGEST) == keccak256(b"\x03" + DIGEST + DIGEST)


@pytest.mark.parametrize(("salt", "digest"), [(bytes(15), DIGEST), (bytes(17), DIGEST), (SALT, bytes(31))])
def test_a_request_hash_of_parts_of_another_size_is_refused(salt, digest):
    with pytest.raises(ValueError, match="16 bytes"):
        request_hash(salt, digest)


@pytest.mark.parametrize(("salt", "digest"), [(bytes(16), DIGEST), (DIGEST, bytes(33))])
def test_a_response_hash_of_parts_of_another_size_is_refused(salt, digest):
    with pytest.raises(ValueError, match="32 bytes"):
        response_hash(salt, digest)


def test_a_record_tells_the_hash_of_its_request():
    record = whole_record()
    request = record.request
    assert isinstance(request, Request)
    digest = request_digest("POST", request.target, request.content_type, request.body)
    assert record_request_hash(record.http, request) == request_hash(request.salt, digest)
    other_method = dataclasses.replace(record.http, method="PUT")
    assert record_request_hash(other_method, request) != record_request_hash(record.http, request)


def test_a_record_without_a_request_has_a_hash_of_zeros():
    assert record_request_hash(bare_record().http, None) == NO_REQUEST_HASH == bytes(32)


@pytest.mark.parametrize("error", [None, RecordFault(code="engine_failed", message="")])
@pytest.mark.parametrize("outputs", [(), every_output()])
def test_a_response_digest_is_over_error_and_outputs_in_their_one_encoding(error, outputs):
    expected = cbor2.dumps(
        {
            "error": None if error is None else {"code": "engine_failed", "message": ""},
            "outputs": [dataclasses.asdict(output) for output in outputs],
        },
        canonical=True,
    )
    assert response_digest(error, outputs) == keccak256(expected)


@pytest.mark.parametrize("make", [whole_record, bare_record, signed_record])
def test_a_response_digest_follows_from_the_fields_as_they_stand(make):
    record = make()
    fields = encode_fields(record)
    outputs = record.response.outputs if record.response else ()
    assert response_digest_of_fields(fields[6], fields[16]) == response_digest(record.error, outputs)


def test_an_output_that_no_record_can_hold_has_no_digest():
    with pytest.raises(RecordError):
        response_digest(None, (Output(kind="poem", content=""),))
