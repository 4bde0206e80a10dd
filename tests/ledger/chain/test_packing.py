import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.chain.packing import PackedRecord, PackingError, pack_records, packed_size, unpack_records
from tallystick.heads import MAX_NUMBER
from tallystick.merkle import MAX_BATCH_RECORDS, MAX_CIPHERTEXT_BYTES, MIN_CIPHERTEXT_BYTES
from tests.support.evm import packed as packed_by_hand

ROOT = b"\x0a" * 32


def sealed_of(ciphertext=b"c" * MIN_CIPHERTEXT_BYTES, *, flags=0x20, number=5):
    return bytes((flags,)) + number.to_bytes(8, "big") + b"n" * 16 + ciphertext


SEALED = st.builds(
    lambda flags, number, ciphertext: sealed_of(ciphertext, flags=flags, number=number),
    st.sampled_from([0x20, 0x21]),
    st.integers(1, MAX_NUMBER),
    st.binary(min_size=MIN_CIPHERTEXT_BYTES, max_size=90),
)
BATCHES = st.lists(st.tuples(st.binary(min_size=32, max_size=32), SEALED), min_size=1, max_size=12)


def test_a_record_is_its_length_its_root_its_header_and_its_ciphertext():
    assert pack_records([(ROOT, sealed_of())]) == b"\x00\x00\x11" + ROOT + sealed_of()


@given(BATCHES)
def test_what_is_packed_is_unpacked_again(records):
    packed = pack_records(records)
    assert packed == packed_by_hand(records)
    assert len(packed) == sum(packed_size(len(sealed)) for _, sealed in records)
    assert unpack_records(packed) == [PackedRecord(fields_root=root, sealed=sealed) for root, sealed in records]


@given(BATCHES, st.data())
def test_a_batch_cut_anywhere_is_refused_or_holds_fewer_records(records, data):
    packed = pack_records(records)
    cut = data.draw(st.integers(0, len(packed) - 1))
    try:
        found = unpack_records(packed[:cut])
    except PackingError:
        return
    assert [(record.fields_root, record.sealed) for record in found] == records[: len(found)]
    assert len(pack_records(records[: len(found)])) == cut


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_or_are_the_one_packing(packed):
    try:
        records = unpack_records(packed)
    except PackingError:
        return
    assert pack_records([(record.fields_root, record.sealed) for record in records]) == packed


def test_a_record_shows_its_admission_number():
    (record,) = unpack_records(pack_records([(ROOT, sealed_of(number=MAX_NUMBER))]))
    assert record.admission_seq == MAX_NUMBER


@pytest.mark.parametrize("size", [MIN_CIPHERTEXT_BYTES, MAX_CIPHERTEXT_BYTES])
def test_a_ciphertext_at_its_bounds_is_packed(size):
    (record,) = unpack_records(pack_records([(ROOT, sealed_of(bytes(size)))]))
    assert len(record.sealed) == 25 + size


def test_a_full_batch_is_packed():
    assert len(unpack_records(pack_records([(ROOT, sealed_of())] * MAX_BATCH_RECORDS))) == MAX_BATCH_RECORDS


@pytest.mark.parametrize(
    ("fault", "second"),
    [
        ("17 to", (ROOT, sealed_of(bytes(MIN_CIPHERTEXT_BYTES - 1)))),
        ("17 to", (ROOT, sealed_of(bytes(MAX_CIPHERTEXT_BYTES + 1)))),
        ("flags", (ROOT, sealed_of(flags=0x10))),
        ("flags", (ROOT, sealed_of(flags=0x22))),
        ("admission number 0", (ROOT, sealed_of(number=0))),
        ("admission number", (ROOT, sealed_of(number=MAX_NUMBER + 1))),
    ],
)
def test_a_record_with_one_fault_is_refused_both_ways_by_its_position(fault, second):
    records = [(ROOT, sealed_of()), second]
    for refused in (lambda: pack_records(records), lambda: unpack_records(packed_by_hand(records))):
        with pytest.raises(PackingError, match=fault) as caught:
            refused()
        assert caught.value.position == 1


def test_a_fields_root_of_another_size_is_refused():
    with pytest.raises(PackingError, match="fields root"):
        pack_records([(ROOT[:31], sealed_of())])


@pytest.mark.parametrize(
    ("packed", "fault"),
    [
        (b"", "not 0"),
        (packed_by_hand([(ROOT, sealed_of())] * (MAX_BATCH_RECORDS + 1)), "not 1025"),
        (packed_by_hand([(ROOT, sealed_of())]) + b"\x00", "1 bytes are left"),
        (packed_by_hand([(ROOT, sealed_of())])[:-1], "1 bytes past the end"),
        (packed_by_hand([(ROOT, sealed_of())])[:59], "59 bytes are left"),
    ],
)
def test_bytes_that_are_no_batch_are_refused(packed, fault):
    with pytest.raises(PackingError, match=fault):
        unpack_records(packed)


@pytest.mark.parametrize("count", [0, MAX_BATCH_RECORDS + 1])
def test_no_batch_of_another_count_is_packed(count):
    with pytest.raises(PackingError, match="1 to 1024"):
        pack_records([(ROOT, sealed_of())] * count)
