import dataclasses

import cbor2
import pytest

from tallystick import record
from tallystick.encoding import decode_record, encode_record
from tallystick.errors import RecordError
from tallystick.record import (
    FIELD_NAMES,
    LARGE_FIELDS,
    MAX_DEVICE_TIME_US,
    MAX_INTEGER,
    MAX_PER_HOUR_MICROS,
    BlobRef,
    Output,
    Price,
    Record,
    Response,
    SenderSignature,
    State,
    charge_micros,
    charged,
    clip_text,
)
from tests.support.vectors.cast import accepted_record, ending_record, every_output, signed_record, whole_record

WHOLE = whole_record()
REF = BlobRef(digest=bytes(32), length=record.MIN_BLOB_BYTES, sealed_digest=bytes(32))


def changed(path: str, value: object) -> Record:
    """The whole record with one attribute replaced, such as `gpu.count`."""
    first, _, rest = path.partition(".")
    inner = getattr(WHOLE, first)
    return dataclasses.replace(WHOLE, **{first: dataclasses.replace(inner, **{rest: value}) if rest else value})


def response(kind: str, content: object, **more: object) -> Response:
    return Response(outputs=(Output(kind=kind, content=content, **more),))


SIGNATURE = SenderSignature(nonce=bytes(32), deadline=1, signature=bytes(65))
DEVICE_TIME = WHOLE.price
TOKENS = dataclasses.replace(WHOLE.price, basis="tokens", rates={"input_tokens": 1})
FIXED = dataclasses.replace(WHOLE.price, basis="fixed", rates={"request": 1})
CALL = {"id": "", "name": "", "arguments": ""}
MEDIA = {"type": "", "digest": bytes(32), "length": 0}
TENSOR = {"dtype": "", "shape": [], "data": b""}
SIXTEEN = [f"n{n}" for n in range(16)]
MESSAGE = {"role": "", "content": None, "tool_calls": [CALL]}


def rated(counts: list[str]) -> object:
    return dataclasses.replace(TOKENS, rates=dict.fromkeys(counts, 1))


def nested(depth: int) -> object:
    value: object = 0
    for _ in range(depth):
        value = [value]
    return value


def test_the_fields_are_in_canonical_order_and_are_the_records_own():
    attributes = {field.name for field in dataclasses.fields(Record)}
    assert set(FIELD_NAMES) == attributes | {"v"}
    assert list(FIELD_NAMES) == sorted(FIELD_NAMES, key=cbor2.dumps)
    assert len(FIELD_NAMES) == 22


def test_the_version_is_the_class_s_and_not_an_argument():
    assert Record.v == WHOLE.v == 2
    with pytest.raises(TypeError):
        dataclasses.replace(WHOLE, v=1)


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
    ("http.path", "/", ""),
    ("time.due_by", None, 1),
    ("request.target", "/" * 4096, "/" * 4097),
    ("request.target", "/", ""),
    ("request.reader", "r" * 512, "r" * 513),
    ("request.reader", "r", ""),
    ("request.content_type", "", b""),
    ("request.content_type", "t" * 5000, 1),
    ("request.body", b"", ""),
    ("request.body", bytes(100_000), bytearray(1)),
    ("request.salt", bytes(16), bytes(15)),
    ("request.salt", bytes(16), bytes(17)),
    ("request", REF, dataclasses.replace(REF, sealed_digest=b"")),
    ("follows", WHOLE.id, bytes(16)),
    ("follows", None, "019aa4b6"),
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
    ("prompt", REF, dataclasses.replace(REF, length=record.MIN_BLOB_BYTES - 1)),
    ("prompt", dataclasses.replace(REF, length=record.MAX_BLOB_BYTES), dataclasses.replace(REF, length=record.MAX_BLOB_BYTES + 1)),
    ("prompt", None, []),
    ("instructions", REF, dataclasses.replace(REF, digest=bytes(31))),
    ("instructions.system", "", b""),
    ("instructions.chat_template_digest", None, bytes(31)),
    ("response", Response(outputs=(Output(kind="text", content=""),) * 2048), Response(outputs=(Output(kind="text", content=""),) * 2049)),
    ("response", Response(outputs=()), Response(outputs=[])),
    ("response", REF, {"outputs": []}),
    ("response", response("text", ""), response("text", None)),
    ("response", response("text", "x", finish_reason=""), response("text", "x", finish_reason=1)),
    ("response", response("text", "x", logprobs=nested(13)), response("text", "x", logprobs=nested(14))),
    ("response", response("text", "x"), response("poem", "x")),
    ("response", response("text", "x"), response(None, "x")),
    ("response", response("text", "x"), Response(outputs=("x",))),
    ("response", response("message", MESSAGE), response("message", MESSAGE | {"name": ""})),
    ("response", response("message", MESSAGE | {"content": ""}), response("message", MESSAGE | {"content": []})),
    ("response", response("message", MESSAGE | {"tool_calls": []}), response("message", MESSAGE | {"tool_calls": None})),
    ("response", response("message", MESSAGE), response("message", MESSAGE | {"tool_calls": [CALL | {"type": "function"}]})),
    ("response", response("message", MESSAGE), response("message", MESSAGE | {"tool_calls": [CALL | {"arguments": {}}]})),
    ("response", response("message", MESSAGE), response("message", {"role": ""})),
    ("response", response("vector", b""), response("vector", bytes(3))),
    ("response", response("vector", bytes(4)), response("vector", [0.0])),
    ("response", response("labels", []), response("labels", None)),
    ("response", response("labels", [{"label": "", "score": 0.0}]), response("labels", [{"label": "", "score": 0}])),
    ("response", response("labels", [{"label": "", "score": 0.0}]), response("labels", [{"label": "", "score": float("nan")}])),
    ("response", response("scores", [{"index": 0, "score": 0.5}]), response("scores", [{"index": -1, "score": 0.5}])),
    ("response", response("scores", [{"index": 0, "score": 0.5}]), response("scores", [["index", "score"]])),
    ("response", response("media", MEDIA), response("media", MEDIA | {"digest": bytes(31)})),
    ("response", response("tensor", TENSOR), response("tensor", TENSOR | {"shape": [-1]})),
    ("response", response("document", nested(13)), response("document", nested(14))),
    ("response", response("document", None), response("document", {1})),
    ("usage", {"n" * 64: 0}, {"n" * 65: 0}),
    ("usage", {"n": 0}, {"": 0}),
    ("usage", {f"n{n}": n for n in range(16)}, {f"n{n}": n for n in range(17)}),
    ("usage", {"n": MAX_INTEGER}, {"n": MAX_INTEGER + 1}),
    ("usage", None, {}),
    ("usage", None, []),
    ("price", DEVICE_TIME, dataclasses.replace(DEVICE_TIME, rates={"input_tokens": 1})),
    ("price", DEVICE_TIME, dataclasses.replace(DEVICE_TIME, basis="favour")),
    ("price", TOKENS, dataclasses.replace(TOKENS, rates=None)),
    ("price", TOKENS, dataclasses.replace(TOKENS, rates={})),
    ("price", dataclasses.replace(TOKENS, rates={"n" * 64: 10**14}), dataclasses.replace(TOKENS, rates={"n": 10**14 + 1})),
    ("price", rated(SIXTEEN), rated([*SIXTEEN, "x"])),
    ("price", FIXED, dataclasses.replace(FIXED, rates={"day": 1})),
    ("price", FIXED, dataclasses.replace(FIXED, rates={"request": 1, "day": 1})),
    ("price", FIXED, dataclasses.replace(FIXED, rates={"request": -1})),
    ("sender.signature", SIGNATURE, bytes(65)),
    ("sender.signature", SIGNATURE, dataclasses.replace(SIGNATURE, signature=bytes(64))),
    ("sender.signature", SIGNATURE, dataclasses.replace(SIGNATURE, nonce=bytes(31))),
    ("sender.signature", SIGNATURE, dataclasses.replace(SIGNATURE, deadline=-1)),
    ("sender.address", bytes(20), bytes(32)),
    ("sender.proof", "signature", "password"),
    ("proof_of_compute.class_", "statistical", "certain"),
    ("proof_of_compute.toploc", bytes(8192), bytes(8193)),
    ("proof_of_compute", None, "none"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "inside", "outside"), BOUNDS, ids=lambda value: str(value)[:24])
def test_a_value_at_its_bound_is_written_and_one_beyond_is_refused_by_name(path, inside, outside):
    assert decode_record(encode_record(changed(path, inside))) == changed(path, inside)
    with pytest.raises(RecordError) as caught:
        encode_record(changed(path, outside))
    assert caught.value.field.startswith(path.partition(".")[0])


@pytest.mark.parametrize("path", ["admission_seq", "time.admitted_at", "gpu.count", "price.charge_micros"])
@pytest.mark.parametrize("value", [True, 1.0, "1", None])
def test_what_only_resembles_an_integer_is_refused(path, value):
    with pytest.raises(RecordError):
        encode_record(changed(path, value))


@pytest.mark.parametrize("path", ["id", "time", "http", "sender", "state"])
def test_a_field_that_every_record_has_is_never_null(path):
    with pytest.raises(RecordError):
        encode_record(changed(path, None))


@pytest.mark.parametrize(
    "path",
    ["gpu", "provider", "price", "model", "error", "usage", "request", "response", "instructions", "proof_of_compute"],
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


@pytest.mark.parametrize("value", [True, 1.0, "1", None])
def test_what_only_resembles_a_count_is_refused(value):
    with pytest.raises(RecordError):
        encode_record(changed("usage", {"input_tokens": value}))


@pytest.mark.parametrize("make", [signed_record, accepted_record, ending_record])
def test_each_kind_of_record_comes_back_as_it_was(make):
    assert decode_record(encode_record(make())) == make()


def test_one_output_of_each_kind_comes_back_as_it_was():
    record_ = changed("response", Response(outputs=every_output()))
    assert {output.kind for output in every_output()} == set(record.OUTPUT_KINDS)
    assert decode_record(encode_record(record_)) == record_


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("time.started_at", dataclasses.replace(accepted_record().time, started_at=1)),
        ("time.due_by", dataclasses.replace(accepted_record().time, due_by=None)),
        ("response", Response(outputs=())),
        ("price", WHOLE.price),
    ],
)
def test_accepted_work_has_a_due_time_and_nothing_of_its_end(name, value):
    encode_record(accepted_record())
    with pytest.raises(RecordError, match=name):
        encode_record(dataclasses.replace(accepted_record(), **{name.partition(".")[0]: value}))


@pytest.mark.parametrize("state", [state for state in State if state is not State.ACCEPTED])
def test_only_accepted_work_is_due(state):
    with pytest.raises(RecordError, match="due_by"):
        encode_record(dataclasses.replace(accepted_record(), state=state))


def price(basis: str, rates: dict[str, int] | None = None, per_hour: int = 0, device_time: int = 0) -> Price:
    return Price(
        basis=basis,
        currency="USD",
        per_hour_micros=per_hour,
        device_time_us=device_time,
        rates=rates,
        charge_micros=0,
    )


@pytest.mark.parametrize(
    ("priced", "usage", "charge"),
    [
        (price("device-time"), None, 0),
        (price("device-time", None, 1, 1), None, 1),
        (price("device-time", None, 3_600_000_000, 1), None, 1),
        (price("device-time", None, 3_600_000_001, 1), None, 2),
        (price("device-time", None, 3_500_000, 900_000), None, 875),
        (price("device-time", None, 3_500_000, 900_001), None, 876),
        (
            price("tokens", {"input_tokens": 150_000, "output_tokens": 600_000}),
            {"input_tokens": 31, "output_tokens": 18},
            16,
        ),
        (
            price("tokens", {"input_tokens": 500_000, "output_tokens": 500_000}),
            {"input_tokens": 1, "output_tokens": 1},
            1,
        ),
        (
            price("tokens", {"input_tokens": 500_001, "output_tokens": 500_000}),
            {"input_tokens": 1, "output_tokens": 1},
            2,
        ),
        (price("tokens", {"images": 40_000_000_000}), {"images": 3, "input_tokens": 50}, 120_000),
        (price("tokens", {"images": 40_000}), {"input_tokens": 50}, 0),
        (price("tokens", {"images": 40_000}, 10**14, 10**11), None, 0),
        (price("fixed", {"request": 20_000}, 10**14, 10**11), {"request": 7}, 20_000),
    ],
)
def test_a_charge_follows_from_its_basis_and_is_rounded_up_once(priced, usage, charge):
    assert charge_micros(priced, usage) == charge
    assert charged(priced, usage) == dataclasses.replace(priced, charge_micros=charge)


def test_the_largest_price_and_device_time_give_a_charge_within_its_bound():
    assert charge_micros(price("device-time", None, MAX_PER_HOUR_MICROS, MAX_DEVICE_TIME_US), None) <= MAX_INTEGER


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
