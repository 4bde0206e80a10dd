"""What must hold for every record, tree, length and key, not only for the ones we thought of."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallystick.binding import record_request_hash, response_digest, response_hash
from tallystick.encoding import RECORD_PREFIX, decode_record, decode_with_fields, encode_fields, encode_record
from tallystick.errors import EncodingError, OpenError, RecordError
from tallystick.ids import LogId
from tallystick.keys import EpochKey
from tallystick.merkle import inclusion_path, root_from_path, tree_root
from tallystick.record import FIELD_NAMES, Record, Request, Response
from tallystick.sealing import (
    OpenedRecord,
    SealedRecord,
    check_commitments,
    check_disclosure,
    disclose,
    open_sealed,
    pad,
    padme,
    record_secret,
    response_salt,
    seal,
    sealed_header,
    unpad,
)
from tests.support.records import records
from tests.support.reference_tree import path_of, root_of
from tests.support.vectors.cast import stream

slow = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
leaf_lists = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=70)
KEY = EpochKey(LogId(b"\x21" * 32), 1, b"\x22" * 32)


def opened_with(sealed: SealedRecord, secret: bytes) -> OpenedRecord:
    return open_sealed(
        sealed.sealed,
        log_id=KEY.log_id,
        index=sealed.index,
        epoch=KEY.epoch,
        fields_root=sealed.fields_root,
        secret=secret,
    )


@slow
@given(records)
def test_a_record_comes_back_from_its_encoding(record: Record) -> None:
    data = encode_record(record)
    assert encode_record(decode_record(data)) == data
    assert RECORD_PREFIX + b"".join(decode_with_fields(data)[1]) == data
    assert len(encode_fields(record)) == len(FIELD_NAMES)


@slow
@given(records, st.data())
def test_one_changed_byte_is_refused_or_means_another_record(record: Record, data: st.DataObject) -> None:
    encoded = encode_record(record)
    at = data.draw(st.integers(0, len(encoded) - 1))
    changed = encoded[:at] + bytes((encoded[at] ^ data.draw(st.integers(1, 255)),)) + encoded[at + 1 :]
    try:
        other = decode_record(changed)
    except (EncodingError, RecordError):
        return
    assert encode_record(other) == changed


@slow
@given(st.binary(max_size=300))
def test_no_bytes_make_the_decoder_fail_in_another_way(data: bytes) -> None:
    with pytest.raises((EncodingError, RecordError)):
        decode_record(data)


@slow
@given(records, st.integers(0, 2**53 - 1), st.sampled_from([b"", b"\x07" * 32]))
def test_a_sealed_record_opens_at_its_place_and_discloses_each_field(record: Record, index: int, vault: bytes) -> None:
    sealed = seal(record, epoch_key=KEY, index=index, random=stream("any"), vault=vault)
    opened = opened_with(sealed, sealed.secret)
    check_commitments(opened, sealed.fields_root)
    assert opened.record_bytes == encode_record(record)
    assert set(check_disclosure(disclose(opened, FIELD_NAMES), sealed.fields_root)) == set(FIELD_NAMES)
    header = sealed_header(sealed.sealed)
    assert (header.vault, header.admission_seq) == (bool(vault), record.admission_seq)
    assert record_secret(KEY, index, header.nonce, vault) == sealed.secret


@slow
@given(records)
def test_the_hashes_of_a_receipt_follow_from_the_opened_record(record: Record) -> None:
    sealed = seal(record, epoch_key=KEY, index=3, random=stream("any"))
    read = opened_with(sealed, sealed.secret).record
    outputs = read.response.outputs if isinstance(read.response, Response) else ()
    digest = response_digest(read.error, outputs)
    assert response_hash(response_salt(sealed.secret), digest) == sealed.response_hash
    assert isinstance(read.request, Request | None)
    assert record_request_hash(read.http, read.request) == sealed.request_hash


@slow
@given(records, st.data())
def test_a_changed_bit_of_a_sealed_record_never_opens(record: Record, data: st.DataObject) -> None:
    sealed = seal(record, epoch_key=KEY, index=5, random=stream("any"))
    at = data.draw(st.integers(0, len(sealed.sealed) - 1))
    changed = bytearray(sealed.sealed)
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(OpenError):
        opened_with(replace(sealed, sealed=bytes(changed)), sealed.secret)


@slow
@given(records, st.booleans())
def test_no_secret_opens_another_record_at_the_same_index(record: Record, repeating: bool) -> None:
    """A backup was restored, so an index is handed out again; the random generator may even repeat itself."""
    other_record = replace(record, sender_seq=record.sender_seq % (2**53 - 1) + 1)
    draws = [stream("machine"), stream("machine" if repeating else "other")]
    one = seal(record, epoch_key=KEY, index=9, random=draws[0])
    other = seal(other_record, epoch_key=KEY, index=9, random=draws[1])
    assert one.secret != other.secret
    assert sealed_header(one.sealed).nonce != sealed_header(other.sealed).nonce
    for sealed, secret in ((one, other.secret), (other, one.secret)):
        with pytest.raises(OpenError):
            opened_with(sealed, secret)


@slow
@given(leaf_lists)
def test_the_fast_tree_is_the_reference_tree(leaves: list[bytes]) -> None:
    assert tree_root(leaves) == root_of(leaves)


@slow
@given(leaf_lists, st.data())
def test_every_path_leads_to_the_root_and_none_from_another_place(leaves: list[bytes], data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(leaves) - 1))
    path = inclusion_path(leaves, position)
    assert path == path_of(leaves, position)
    assert root_from_path(leaves[position], position, len(leaves), path) == root_of(leaves)


@given(st.integers(2, 2**24))
def test_padme_grows_a_length_by_less_than_an_eighth_and_keeps_order(length: int) -> None:
    padded = padme(length)
    assert length <= padded < length * 1.125 + 1
    assert padme(padded) == padded
    assert padme(length + 1) >= padded
    exponent = int(math.log2(length))
    assert padded % (1 << max(0, exponent - exponent.bit_length())) == 0


@given(st.binary(max_size=400))
def test_padding_is_removed_exactly(data: bytes) -> None:
    padded = pad(data)
    assert unpad(padded) == data
    assert len(padded) == padme(len(data) + 1)


@given(st.binary(min_size=1, max_size=60))
def test_other_paddings_are_refused(data: bytes) -> None:
    for wrong in (data.rstrip(b"\x80\x00"), pad(data) + b"\x00" * 64, b"\x00" * len(data)):
        with pytest.raises(OpenError):
            unpad(wrong)
