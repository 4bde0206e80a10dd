import dataclasses

import cbor2
import pytest

from tallystick import record
from tallystick.encoding import encode_record
from tallystick.errors import RecordError
from tallystick.record import (
    FIELD_NAMES,
    LARGE_FIELDS,
    MAX_DEVICE_TIME_US,
    MAX_INTEGER,
    MAX_PER_HOUR_MICROS,
    BlobRef,
    Choice,
    Record,
    Response,
    charge_micros,
    clip_text,
)
from tests.support.vectors.cast import whole_record

WHOLE = whole_record()
REF = BlobRef(digest=bytes(32), length=record.MAX_INLINE_BYTES + 1, sealed_digest=bytes(32))


def changed(path: str, value: object) -> Record:
    """The whole record with one attribute replaced, such as `gpu.count`."""
    first, _, rest = path.partition(".")
    inner = getattr(WHOLE, first)
    return dataclasses.replace(WHOLE, **{first: dataclasses.replace(inner, **{rest: value}) if rest else value})


def choices(*parts: object) -> Response:
    return Response(choices=tuple(Choice(index=at, text=part, finish_reason=None) for at, part in enumerate(parts)))


def nested(depth: int) -> object:
    value: object = 0
    for _ in range(depth):
        value = [value]
    return value


def test_the_fields_are_in_canonical_order_and_are_the_records_own():
    attributes = {field.name for field in dataclasses.fields(Record)}
    assert set(FIELD_NAMES) == attributes | {"v"}
    assert list(FIELD_NAMES) == sorted(FIELD_NAMES, key=cbor2.dumps)
    assert len(FIELD_NAMES) == 20


def test_the_version_is_the_class_s_and_not_an_argument():
    assert Record.v == WHOLE.v == 1
    with pytest.raises(TypeError):
        dataclasses.replace(WHOLE, v=2)


def test_a_record_and_its_parts_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        WHOLE.task = "x"
    with pytest.raises(dataclasses.FrozenInstanceError):
        WHOLE.gpu.count = 2


# Each bound: the last value inside, and the first outside.
BOUNDS = [
    ("admission_seq", 1, 0),
    ("admission_seq", MAX_INTEGER, MAX_INTEGER + 1),
    ("sender_seq", 1, 0),
    ("task", "x" * 512, "x" * 513),
    ("task", "x", ""),
    ("model.id", "\u00e9" * 256, "\u00e9" * 257),
    ("error", record.RecordFault(code="c", message=""), record.RecordFault(code="", message="")),
    ("error", record.RecordFault(code="c", message="m" * 2048), record.RecordFault(code="c", message="m" * 2049)),
    ("time.admitted_at", 0, -1),
    ("time.finished_at", MAX_INTEGER, MAX_INTEGER + 1),
    ("time.started_at", None, "now"),
    ("http.path", "/" * 1024, "/" * 1025),
    ("http.request_hash", bytes(32), bytes(33)),
    ("http.response_hash", None, b""),
    ("http.streamed", False, 0),
    ("gpu.kind", "cpu", "tpu"),
    ("gpu.uuid", None, ""),
    ("gpu.count", 65_536, 65_537),
    ("gpu.count", 1, 0),
    ("gpu.memory_bytes", 0, -1),
    ("provider.address", bytes(20), bytes(19)),
    ("price.per_hour_micros", MAX_PER_HOUR_MICROS, MAX_PER_HOUR_MICROS + 1),
    ("price.device_time_us", MAX_DEVICE_TIME_US, MAX_DEVICE_TIME_US + 1),
    ("price.charge_micros", MAX_INTEGER, -1),
    ("model.weights_digest", bytes(32), bytes(31)),
    ("model.quantisation", None, 4),
    ("parameters", {f"p{n}": n for n in range(64)}, {f"p{n}": n for n in range(65)}),
    ("parameters", {"p": "x" * 8186}, {"p": "x" * 8187}),
    ("parameters", {"p" * 512: 1}, {"p" * 513: 1}),
    ("parameters", {"p": [1, "a", None, True, 0.5]}, {"p": [[1]]}),
    ("parameters", {"p": -(2**63)}, {"p": -(2**63) - 1}),
    ("parameters", {"p": 2**63 - 1}, {"p": 2**63}),
    ("parameters", {"p": 1.5}, {"p": float("inf")}),
    ("parameters", {}, {"": 1}),
    ("parameters", {}, {"p": b"x"}),
    ("parameters", {}, {"p": {}}),
    ("parameters", {}, None),
    ("parameters", {}, {1: 1}),
    ("prompt", {"messages": nested(15)}, {"messages": nested(16)}),
    ("prompt", {"x": b"bytes"}, {"x": {1}}),
    ("prompt", {"": ""}, {1: ""}),
    ("prompt", {"messages": []}, {"blob": {}}),
    ("prompt", REF, dataclasses.replace(REF, length=record.MAX_INLINE_BYTES)),
    ("prompt", dataclasses.replace(REF, length=record.MAX_BLOB_BYTES), dataclasses.replace(REF, length=record.MAX_BLOB_BYTES + 1)),
    ("prompt", None, []),
    ("instructions", REF, dataclasses.replace(REF, digest=bytes(31))),
    ("instructions.system", "", b""),
    ("instructions.chat_template_digest", None, bytes(31)),
    ("response", choices(*["x"] * 128), choices(*["x"] * 129)),
    ("response", choices(""), choices(None)),
    ("response", choices(), Response(choices=[])),
    ("response", choices("a"), Response(choices=(Choice(index=1, text="a", finish_reason=None),))),
    ("response", REF, {"choices": []}),
    ("usage.input_tokens", 0, -1),
    ("sender.address", bytes(20), bytes(32)),
    ("sender.proof", "signature", "password"),
    ("sender.signature", bytes(1024), bytes(1025)),
    ("sender.signature", b"\x00", b""),
    ("proof_of_compute.class_", "statistical", "certain"),
    ("proof_of_compute.toploc", bytes(8192), bytes(8193)),
    ("proof_of_compute", None, "none"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "inside", "outside"), BOUNDS, ids=lambda value: str(value)[:24])
def test_a_value_at_its_bound_is_written_and_one_beyond_is_refused_by_name(path, inside, outside):
    encode_record(changed(path, inside))
    with pytest.raises(RecordError) as caught:
        encode_record(changed(path, outside))
    assert caught.value.field.startswith(path.partition(".")[0])


@pytest.mark.parametrize(
    "path", ["admission_seq", "time.admitted_at", "gpu.count", "usage.input_tokens", "price.charge_micros"]
)
@pytest.mark.parametrize("value", [True, 1.0, "1", None])
def test_what_only_resembles_an_integer_is_refused(path, value):
    with pytest.raises(RecordError):
        encode_record(changed(path, value))


@pytest.mark.parametrize("path", ["id", "time", "http", "sender", "state"])
def test_a_field_that_every_record_has_is_never_null(path):
    with pytest.raises(RecordError):
        encode_record(changed(path, None))


@pytest.mark.parametrize(
    "path", ["gpu", "provider", "price", "model", "error", "usage", "response", "proof_of_compute"]
)
def test_a_part_of_another_class_is_refused(path):
    with pytest.raises(RecordError):
        encode_record(changed(path, WHOLE.time))


@pytest.mark.parametrize(
    "place", [{"prompt": {"m": "\ud800"}}, {"prompt": {"\ud800": 1}}, {"task": "\ud800"}, {"parameters": {"\ud800": 1}}]
)
def test_half_a_surrogate_pair_is_refused(place):
    with pytest.raises(RecordError, match="surrogate"):
        encode_record(dataclasses.replace(WHOLE, **place))


def test_a_subclass_of_text_is_refused_because_it_would_come_back_as_another_value():
    class Shout(str):
        __slots__ = ()

    with pytest.raises(RecordError):
        encode_record(changed("task", Shout("chat")))


def test_something_else_than_a_record_is_refused():
    with pytest.raises(RecordError):
        encode_record(object())


@pytest.mark.parametrize(
    ("per_hour_micros", "device_time_us", "charge"),
    [
        (0, 0, 0),
        (1, 1, 1),
        (3_600_000_000, 1, 1),
        (3_600_000_001, 1, 2),
        (3_500_000, 900_000, 875),
        (3_500_000, 900_001, 876),
    ],
)
def test_a_charge_is_rounded_up(per_hour_micros, device_time_us, charge):
    assert charge_micros(per_hour_micros, device_time_us) == charge


def test_the_largest_price_and_device_time_give_a_charge_within_its_bound():
    assert charge_micros(MAX_PER_HOUR_MICROS, MAX_DEVICE_TIME_US) <= MAX_INTEGER


@pytest.mark.parametrize(
    ("text", "limit", "clipped"),
    [
        ("abc", 3, "abc"),
        ("abc", 2, "ab"),
        ("\u00e9\u00e9", 3, "\u00e9"),
        ("\U0001f33f", 3, ""),
        ("a\ud800b", 9, "a?b"),
        ("", 0, ""),
    ],
)
def test_text_is_clipped_on_a_characters_edge(text, limit, clipped):
    assert clip_text(text, limit) == clipped


def test_the_large_fields_are_named_in_canonical_order():
    assert list(LARGE_FIELDS) == sorted(LARGE_FIELDS, key=FIELD_NAMES.index)
