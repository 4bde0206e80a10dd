import uuid

import pytest

from tallystick.errors import IdError
from tallystick.ids import (
    Address,
    RecordId,
    checksum_address,
    format_record_id,
    is_record_id,
    new_record_id,
    parse_address,
    parse_hash,
    parse_hex,
    parse_record_id,
    to_hex,
)

NOW_US = 1_763_700_000_123_456

# EIP-55's own examples.
CHECKSUMMED = [
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0xde709f2102306220921060314715629080e2fb77",
]


def zeros(count: int) -> bytes:
    return bytes(count)


def test_a_new_record_id_is_a_uuid_of_version_7_for_its_millisecond():
    made = uuid.UUID(bytes=new_record_id(NOW_US, lambda count: b"\xff" * count))
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made.int >> 80 == NOW_US // 1000


def test_record_ids_sort_by_microsecond():
    made = [new_record_id(NOW_US + step, lambda count: b"\xff" * count) for step in range(2000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_a_record_id_keeps_62_bits_of_the_randomness():
    one, other = new_record_id(NOW_US, zeros), new_record_id(NOW_US, lambda count: b"\xff" * count)
    assert (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count() == 62


@pytest.mark.parametrize("now_us", [-1, (1 << 48) * 1000])
def test_a_time_outside_48_bits_makes_no_record_id(now_us):
    with pytest.raises(IdError):
        new_record_id(now_us, zeros)


def test_a_record_id_is_read_back_from_its_text_in_either_case():
    made = new_record_id(NOW_US, zeros)
    assert parse_record_id(format_record_id(made)) == parse_record_id(format_record_id(made).upper()) == made
    assert format_record_id(made) == str(uuid.UUID(bytes=made))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "8-4-4-4-12"),
        ("019a9b0c1d2e7abc8def0123456789ab", "8-4-4-4-12"),
        ("019a9b0c-1d2e-7abc-8def-0123456789a", "8-4-4-4-12"),
        ("{19a9b0c-1d2e-7abc-8def-0123456789ab", "hex digit"),
        ("019a9b0c-1d2e-4abc-8def-0123456789ab", "version 7"),
        ("019a9b0c-1d2e-7abc-cdef-0123456789ab", "version 7"),
        (" 19a9b0c-1d2e-7abc-8def-0123456789ab", "hex digit"),
    ],
)
def test_a_text_that_is_no_record_id_is_refused(text, reason):
    with pytest.raises(IdError, match=reason):
        parse_record_id(text)


@pytest.mark.parametrize("size", [0, 15, 17])
def test_a_record_id_has_16_bytes(size):
    assert not is_record_id(bytes([0x77] * size))


def test_hex_is_read_back():
    assert parse_hex(to_hex(b"\x00\xab")) == b"\x00\xab"
    assert parse_hex("0x") == b""
    assert parse_hash("0x" + "Ab" * 32) == b"\xab" * 32


@pytest.mark.parametrize(
    ("text", "size", "reason"),
    [
        ("ab", None, "start with 0x"),
        ("0Xab", None, "start with 0x"),
        ("0xabc", None, "odd"),
        ("0xag", None, "hex digit"),
        ("0xa b0", None, "hex digit"),
        ("0x ab ", None, "hex digit"),
        ("0x\u0661\u0661", None, "hex digit"),
        ("0xab", 2, "1 bytes, not 2"),
    ],
)
def test_hex_that_is_none_is_refused(text, size, reason):
    with pytest.raises(IdError, match=reason):
        parse_hex(text, size)


@pytest.mark.parametrize("text", CHECKSUMMED)
def test_an_address_is_written_with_its_checksum(text):
    assert checksum_address(parse_address(text)) == text


def test_an_address_in_one_case_needs_no_checksum():
    address = parse_address(CHECKSUMMED[0])
    assert parse_address(CHECKSUMMED[0].lower()) == address
    assert parse_address("0x" + CHECKSUMMED[0][2:].upper()) == address


@pytest.mark.parametrize("text", CHECKSUMMED[:4])
def test_an_address_with_one_letter_in_the_wrong_case_is_refused(text):
    at = next(at for at, letter in enumerate(text) if at > 1 and letter.isalpha())
    with pytest.raises(IdError, match="checksum"):
        parse_address(text[:at] + text[at].swapcase() + text[at + 1 :])


def test_an_error_shows_only_the_start_of_a_long_text():
    with pytest.raises(IdError) as caught:
        parse_hex("z" * 10_000)
    assert len(str(caught.value)) < 200
    assert caught.value.what == "hex"


def test_an_address_and_a_record_id_are_bytes_underneath():
    assert isinstance(Address(bytes(20)), bytes)
    assert isinstance(RecordId(bytes(16)), bytes)
