import dataclasses
import threading
import tracemalloc

import cbor2
import pytest

from tallystick import encoding
from tallystick.encoding import (
    RECORD_PREFIX,
    decode_field,
    decode_large,
    decode_record,
    decode_value,
    decode_with_fields,
    encode_fields,
    encode_outcome,
    encode_record,
    encode_value,
    field_value,
    outcome_of_fields,
)
from tallystick.encoding.items import MAX_ITEMS, has_more_items
from tallystick.encoding.keepsakes import MAX_KEEPSAKES, MAX_KEPT_BYTES, Keepsakes
from tallystick.errors import EncodingError, RecordError
from tallystick.record import FIELD_NAMES, LARGE_FIELDS, MAX_RECORD_BYTES, Gpu, RecordFault, Response, State
from tests.support.memory_peak import peak_below
from tests.support.vectors.cast import bare_record, signed_record, whole_record
from tests.support.vectors.encoded_records import RECORDS, blob_record

MAX_DECODING_BYTES = 50_000_000
"""What the worst record may make a reader hold at once."""


def plain(value: object) -> object:
    """What a general encoder would be given for a record."""
    if dataclasses.is_dataclass(value):
        name = type(value).__name__
        members = {
            field.name.removesuffix("_"): plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
        if name == "Record":
            members["v"] = 2
        return {"blob": members} if name == "BlobRef" else members
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.value if isinstance(value, State) else value


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_a_record_is_written_as_a_general_encoder_writes_it(record):
    assert encode_record(record) == cbor2.dumps(plain(record), canonical=True)


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_a_record_comes_back_as_it_was(record):
    assert decode_record(encode_record(record)) == record


def test_the_fields_are_the_records_bytes_in_order():
    data = encode_record(whole_record())
    fields = decode_with_fields(data)[1]
    assert RECORD_PREFIX + b"".join(fields) == data
    assert [decode_field(field)[0] for field in fields] == list(FIELD_NAMES)
    assert encode_fields(whole_record()) == fields


def test_a_tuple_is_written_as_a_list():
    record = whole_record()
    assert encode_record(dataclasses.replace(record, parameters={"stop": ("a",)})) == encode_record(
        dataclasses.replace(record, parameters={"stop": ["a"]})
    )


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (None, "f6"), (True, "f5"), (False, "f4"), (0, "00"), (23, "17"), (24, "1818"), (255, "18ff"), (256, "190100"),
        (65_535, "19ffff"), (65_536, "1a00010000"), (2**32 - 1, "1affffffff"), (2**32, "1b0000000100000000"), (-1, "20"),
        (-24, "37"), (-25, "3818"), (2**63 - 1, "1b7fffffffffffffff"), (-(2**63), "3b7fffffffffffffff"), (0.0, "f90000"),
        (-0.0, "f98000"), (1.5, "f93e00"), (100_000.0, "fa47c35000"), (1.1, "fb3ff199999999999a"), (5e-324, "fb0000000000000001"),
        (b"", "40"), (b"\x01", "4101"), ("", "60"), ("\u00fc", "62c3bc"), ([], "80"), ({}, "a0"),
        ({"b": 1, "aa": 2, "a": 3}, "a3616103616201626161" + "02"), (["a", {"b": "c"}], "826161a161626163"),
        ("x" * 256, "790100" + "78" * 256), (b"x" * 24, "5818" + "78" * 24),
    ],
)  # fmt: skip
def test_a_value_has_the_encoding_of_rfc_8949(value, encoded):
    assert encode_value(value).hex() == encoded == cbor2.dumps(value, canonical=True).hex()
    assert decode_value(bytes.fromhex(encoded)) == value


@pytest.mark.parametrize(
    "encoded",
    [
        "", "1801", "190001", "1a00000001", "1b0000000000000001", "3800", "fb3ff0000000000000", "fa3fc00000", "5f4101ff",
        "9f01ff", "bf616101ff", "7f6161ff", "a2616201616101", "a2616101616102", "0000", "c000", "d81c80", "d81d00", "d9010080", "f7",
        "f0", "f820", "c24101", "f97e00", "f97c00", "fb7ff8000000000000", "62c328", "63eda080", "a10102", "a1410102", "1b8000000000000000",
        "3b8000000000000000", "9bffffffffffffffff", "5bffffffffffffffff", "1c", "ff", "81" * 100 + "00",
    ],
)  # fmt: skip
def test_bytes_that_are_no_values_deterministic_encoding_are_refused(encoded):
    with pytest.raises((EncodingError, RecordError)):
        decode_value(bytes.fromhex(encoded))


def test_every_tag_is_refused_before_anything_is_made_of_it():
    for tag in [*range(1_100), 43_000, 55_799, 65_535, 65_536, 2**32, 2**64 - 1]:
        head = cbor2.dumps(cbor2.CBORTag(tag, None))[:-1]
        with pytest.raises(EncodingError, match="tag"):
            decode_value(head + b"\x80")


def test_a_shared_reference_cannot_stand_for_more_than_its_bytes():
    # Twenty lists of ten references each to the one before: a few hundred bytes that would be 10^20 values.
    inner = b"\xd8\x1c\x80"
    for number in range(20):
        inner = b"\xd8\x1c\x8a" + inner + b"\xd8\x1d" + bytes((number,)) * 1 + b"\xd8\x1d\x00" * 8
    with pytest.raises(EncodingError):
        decode_value(inner)


@pytest.mark.parametrize(
    "head", ["9b000000ffffffffff", "bb000000ffffffffff", "5b000000ffffffffff", "7b000000ffffffffff"]
)
def test_a_claimed_length_allocates_nothing(head):
    tracemalloc.start()
    with pytest.raises(EncodingError):
        decode_value(bytes.fromhex(head))
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_a_record_longer_than_any_is_refused_before_it_is_read():
    with pytest.raises(EncodingError, match=str(MAX_RECORD_BYTES)):
        decode_record(b"\xb6" + bytes(MAX_RECORD_BYTES))


def test_a_value_longer_than_any_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr(encoding, "MAX_BLOB_BYTES", 10)
    assert decode_value(encode_value("x" * 9)) == "x" * 9
    with pytest.raises(EncodingError, match="the 10 of any value"):
        decode_value(encode_value("x" * 10))


def test_every_single_bit_of_a_record_matters():
    data = encode_record(bare_record())
    for at in range(len(data)):
        for bit in range(8):
            changed = data[:at] + bytes((data[at] ^ 1 << bit,)) + data[at + 1 :]
            try:
                other = decode_record(changed)
            except (EncodingError, RecordError):
                continue
            assert other != bare_record()
            assert encode_record(other) == changed


def test_a_cut_record_is_refused_at_every_length():
    data = encode_record(bare_record())
    for length in range(len(data)):
        with pytest.raises((EncodingError, RecordError)):
            decode_record(data[:length])


def test_an_error_says_where_the_canonical_form_was_left():
    data = encode_record(whole_record())
    at = data.index(b"linput_tokens") + len(b"linput_tokens")
    with pytest.raises(EncodingError) as caught:
        decode_record(data[:at] + b"\x19\x00\x1f" + data[at + 2 :])
    assert caught.value.offset == at


def test_an_unknown_version_is_named_before_anything_else_is_found_wrong():
    with pytest.raises(RecordError, match="version 3"):
        decode_record(cbor2.dumps({"v": 3, "something": "else"}, canonical=True))


@pytest.mark.parametrize(("tree", "name"), [({"v": 2}, "id"), ({}, "v")])
def test_a_missing_field_is_named(tree, name):
    with pytest.raises(RecordError, match=f"record.{name} is missing|record.{name}: is missing"):
        decode_record(cbor2.dumps(tree))


def test_an_unknown_field_is_named_and_shortened():
    tree = cbor2.loads(encode_record(bare_record())) | {"z" * 1000: 1}
    with pytest.raises(RecordError, match="zzz") as caught:
        decode_record(cbor2.dumps(tree, canonical=True))
    assert len(str(caught.value)) < 200


def test_bytes_that_start_with_no_fields_key_are_no_field():
    for refused in (decode_field, field_value):
        with pytest.raises(EncodingError):
            refused(b"fcolour\x01")
    assert field_value(b"dtaskdchat") == b"dchat"


def test_a_prompt_in_a_blob_reads_back_as_a_reference():
    assert decode_record(encode_record(blob_record())).prompt == blob_record().prompt


# What is kept of earlier records must never show in a later one.


def test_a_field_whose_text_holds_the_next_fields_key_is_read_whole():
    tricky = RecordFault(code="emodel\xf6", message="estate emodel fprompt madmission_seq")
    for _ in range(3):
        record = dataclasses.replace(bare_record(), error=tricky, task="dtime eerror dtime")
        assert decode_record(encode_record(record)) == record


def test_a_kept_part_does_not_excuse_another_with_equal_values():
    gpu = whole_record().gpu
    one = dataclasses.replace(gpu, count=1)
    encode_record(dataclasses.replace(whole_record(), gpu=one))
    with pytest.raises(RecordError):
        encode_record(dataclasses.replace(whole_record(), gpu=dataclasses.replace(one, count=True)))


def test_a_kept_part_in_anothers_place_is_refused():
    record = whole_record()
    encode_record(record)
    for name, part in (
        ("gpu", record.provider),
        ("provider", record.gpu),
        ("model", record.sender),
        ("sender", record.model),
    ):
        with pytest.raises(RecordError):
            encode_record(dataclasses.replace(record, **{name: part}))


def test_a_kept_field_does_not_excuse_a_fault_after_it():
    data = encode_record(whole_record())
    decode_record(data)
    with pytest.raises((EncodingError, RecordError)):
        decode_record(data.replace(b"NVIDIA H200", b"NVIDIA H20\xff"))
    with pytest.raises(EncodingError):
        decode_record(data.replace(b"ecount\x01", b"ecount\x18\x01"))


def test_keepsakes_are_found_by_identity_and_by_values():
    keepsakes, part = Keepsakes(), ("part",)
    keepsakes.keep_written(part, b"field")
    keepsakes.keep_part((Gpu, "name"), part)
    assert keepsakes.written(part) == b"field"
    assert keepsakes.written(tuple(["part"])) is None  # noqa: C409 - equal, yet another object
    assert keepsakes.part((Gpu, "name")) is part
    assert keepsakes.part((Gpu, "other")) is None


def test_keepsakes_are_bounded_in_number_and_in_size():
    keepsakes = Keepsakes()
    parts = [(number,) for number in range(3 * MAX_KEEPSAKES)]
    for part in parts:
        keepsakes.keep_written(part, b"field")
        keepsakes.keep_part(part, part)
        assert len(keepsakes._written) <= MAX_KEEPSAKES
        assert len(keepsakes._parts) <= MAX_KEEPSAKES
    large = "x" * (MAX_KEPT_BYTES + 1)
    keepsakes.keep_part((large,), part)
    keepsakes.keep_written(large, large.encode())
    assert keepsakes.part((large,)) is None
    assert keepsakes.written(large) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("gpu", {"count": True}), ("gpu", {"count": 1.0}), ("model", {"dtype": b"float32"}), ("sender", {"proof": []})],
)
def test_a_kept_part_does_not_excuse_values_that_only_equal_its_own(name, value):
    tree = cbor2.loads(encode_record(whole_record()))
    decode_record(encode_record(whole_record()))
    with pytest.raises(RecordError):
        decode_record(cbor2.dumps({**tree, name: {**tree[name], **value}}, canonical=True))


def test_kept_values_under_other_keys_are_refused():
    data = encode_record(whole_record())
    decode_record(data)
    for old, new in ((b"ecount\x01", b"ecounu\x01"), (b"eproof", b"eprooe"), (b"eclass", b"eclasz")):
        with pytest.raises(RecordError, match="missing"):
            decode_record(data.replace(old, new))


@pytest.mark.parametrize(
    "field", ["gpu", "model", "sender", "provider", "proof_of_compute", "time", "http", "usage", "price", "request"]
)
@pytest.mark.parametrize("value", [[], "text", 1])
def test_a_structure_that_is_no_map_is_refused(field, value):
    with pytest.raises(RecordError, match="not a map"):
        decode_record(cbor2.dumps({**cbor2.loads(encode_record(whole_record())), field: value}, canonical=True))


@pytest.mark.parametrize("outputs", [None, {}, "text", [1], [None]])
def test_outputs_that_are_no_list_of_maps_are_refused(outputs):
    tree = cbor2.loads(encode_record(whole_record()))
    with pytest.raises(RecordError):
        decode_record(cbor2.dumps({**tree, "response": {"outputs": outputs}}, canonical=True))


def test_a_signature_of_a_sender_is_read_back_and_never_kept():
    record = signed_record()
    for nonce in (bytes(32), b"\x01" * 32):
        signature = dataclasses.replace(record.sender.signature, nonce=nonce)
        one = dataclasses.replace(record, sender=dataclasses.replace(record.sender, signature=signature))
        assert decode_record(encode_record(one)) == one
    assert id(one.sender) not in encoding._keepsakes._written


def test_a_structure_with_a_list_in_place_of_a_text_is_refused():
    tree = cbor2.loads(encode_record(whole_record()))
    with pytest.raises(RecordError, match="holds a list or a map"):
        decode_record(cbor2.dumps({**tree, "gpu": {**tree["gpu"], "name": []}}, canonical=True))


# The content of a blob is held to the shape of the field that it stands for.


@pytest.mark.parametrize("name", LARGE_FIELDS)
def test_the_content_of_each_large_field_comes_back_from_its_bytes(name):
    field = dict(zip(FIELD_NAMES, encode_fields(whole_record()), strict=True))[name]
    assert decode_large(name, field_value(field)) == getattr(whole_record(), name)


@pytest.mark.parametrize("name", LARGE_FIELDS)
@pytest.mark.parametrize(
    "value",
    [None, [], "text", {"other": 1}, {"blob": {"digest": bytes(32), "length": 2000, "sealed_digest": bytes(32)}}],
)
def test_what_is_not_the_content_of_a_large_field_is_refused(name, value):
    if (name, value) == ("prompt", {"other": 1}):  # a prompt is any map
        assert decode_large(name, encode_value(value)) == value
        return
    with pytest.raises(RecordError):
        decode_large(name, encode_value(value))


def test_the_content_of_a_large_field_is_read_in_its_one_form_alone():
    data = encode_value({"a": 1, "b": 2})
    with pytest.raises(EncodingError, match="canonical"):
        decode_large("prompt", data[:1] + data[4:] + data[1:4])


def test_a_blob_longer_than_any_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr(encoding, "MAX_BLOB_BYTES", 3)
    with pytest.raises(EncodingError, match="the 3 of any value"):
        decode_large("prompt", encode_value({"a": 1}))


def test_the_encoding_of_an_outcome_is_that_of_the_map_of_its_two_members():
    for record in (whole_record(), bare_record(), dataclasses.replace(whole_record(), response=Response(outputs=()))):
        outputs = record.response.outputs if record.response else ()
        expected = cbor2.dumps({"error": plain(record.error), "outputs": plain(outputs)}, canonical=True)
        fields = encode_fields(record)
        assert encode_outcome(record.error, outputs) == expected
        assert outcome_of_fields(fields[6], fields[16]) == expected


# What a hostile writer can make a reader hold


def test_a_tag_does_not_hide_items_from_the_count():
    assert has_more_items(bytes.fromhex("d81885") + b"\x80" * 5, 5)
    assert has_more_items(b"\x82\xd8\x18\x80\x80", 3)


@pytest.mark.parametrize(
    ("value", "items"),
    [([], 1), ("x" * 300, 1), (b"x" * 70_000, 1), ({"a": [1, 2, {}], "b": 1.1}, 8), ([[0] * 300] * 2, 603), (-1, 1)],
)
def test_items_are_counted_without_building_them(value, items):
    data = encode_value(value) + bytes(1000)  # bytes after the value are the decoder's to refuse
    assert has_more_items(data, items - 1)
    assert not has_more_items(data, items)


def test_a_value_of_too_many_items_is_refused_before_it_is_built():
    data = encode_value(["", *[0] * (MAX_ITEMS - 1)])
    for refused in (decode_value, lambda data: decode_large("prompt", data)):
        with peak_below(1_000_000), pytest.raises(RecordError, match="more than 262144 items"):
            refused(data)
    assert len(decode_value(encode_value([0] * (MAX_ITEMS - 1)))) == MAX_ITEMS - 1


def crowded(unit: bytes, per_list: int) -> bytes:
    """A record at its limit of bytes whose prompt is full of one small item."""
    shell = encode_record(dataclasses.replace(bare_record(), prompt={"x": []}))
    room = MAX_RECORD_BYTES - len(shell) - 8
    body = unit * (room // len(unit))
    count = room // len(unit) * per_list
    return shell.replace(b"fprompt\xa1ax\x80", b"fprompt\xa1ax" + cbor2.dumps([0] * count)[:5] + body)


@pytest.mark.parametrize(
    ("unit", "per_unit"),
    [(b"\x80", 1), (b"\xa0", 1), (b"\x81\x00", 1), (b"\xa1`\x00", 1), (b"\xf9<\x01", 1), (b"aa", 1)],
)
def test_a_record_full_of_small_items_stays_within_bounded_memory(unit, per_unit):
    data = crowded(unit, per_unit)
    assert MAX_RECORD_BYTES - 20 < len(data) <= MAX_RECORD_BYTES
    with peak_below(MAX_DECODING_BYTES):
        decode_record(data)


def test_a_known_order_of_keys_does_not_excuse_a_key_that_is_forbidden_elsewhere():
    for key in ("", "p" * 513):
        encode_value({key: 1})
        with pytest.raises(RecordError):
            encode_record(dataclasses.replace(bare_record(), parameters={key: 1}))


def test_the_table_of_key_orders_is_bounded():
    for number in range(1000):
        encode_value({f"k{number}": 1, "a": 2})
    encode_value({f"k{number}": 1 for number in range(100)})
    encode_value({"k" * 1000: 1})
    known = encoding.atoms._key_orders
    assert len(known) <= encoding.atoms.MAX_KEY_ORDERS
    assert all(len(keys) <= encoding.atoms.MAX_KNOWN_KEYS for keys in known)


def test_threads_share_the_encoder_without_mixing_records():
    gpu = whole_record().gpu
    gpus = [dataclasses.replace(gpu, name=f"device {number}") for number in range(64)]
    records = [dataclasses.replace(whole_record(), gpu=gpu) for gpu in gpus]
    expected = [encode_record(record) for record in records]
    wrong: list[int] = []

    def work() -> None:
        for _ in range(5):
            for number, record in enumerate(records):
                if encode_record(record) != expected[number] or decode_with_fields(expected[number])[0] != record:
                    wrong.append(number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_keys_of_a_structure_out_of_order_are_refused():
    data = encode_record(whole_record())
    price = b"ebasiskdevice-timeerates\xf6"
    assert price in data
    with pytest.raises(EncodingError, match="keys of price are not in canonical order"):
        decode_record(data.replace(price, b"erates\xf6ebasiskdevice-time"))


def test_a_blob_reference_that_is_null_is_refused():
    tree = cbor2.loads(encode_record(whole_record()))
    with pytest.raises(RecordError, match=r"response.blob: is null"):
        decode_record(cbor2.dumps({**tree, "response": {"blob": None}}, canonical=True))
