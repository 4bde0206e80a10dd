"""The project's encoder against a general one, for any record and any value."""

from __future__ import annotations

import dataclasses

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallystick.encoding import decode_record, decode_value, encode_record, encode_value
from tallystick.encoding.items import has_more_items
from tallystick.errors import EncodingError, RecordError
from tallystick.record import Record, State
from tests.support.records import records, values

some = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def plain(value: object) -> object:
    """The maps and lists that stand for a record, by its attributes' names alone."""
    if dataclasses.is_dataclass(value):
        members = {
            field.name.removesuffix("_"): plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
        return members | ({"v": 2} if isinstance(value, Record) else {})
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.value if isinstance(value, State) else value


@some
@given(records)
def test_any_record_is_written_as_a_general_encoder_writes_it(record: Record) -> None:
    data = encode_record(record)
    assert data == cbor2.dumps(plain(record), canonical=True)
    assert plain(decode_record(data)) == plain(record)


@some
@given(values)
def test_any_value_is_written_as_a_general_encoder_writes_it_and_comes_back(value: object) -> None:
    data = encode_value(value)
    assert data == cbor2.dumps(value, canonical=True)
    again = decode_value(data)
    assert again == value
    assert encode_value(again) == data


def items_in(value: object) -> int:
    if isinstance(value, dict):
        return 1 + len(value) + sum(map(items_in, value.values()))
    if isinstance(value, list):
        return 1 + sum(map(items_in, value))
    return 1


@some
@given(values)
def test_the_items_of_any_value_are_counted_without_building_it(value: object) -> None:
    items = items_in(value)
    data = encode_value(value) + bytes(items)  # short data are never walked
    assert has_more_items(data, items - 1)
    assert not has_more_items(data, items)


@some
@given(records, st.data())
def test_a_record_in_the_words_of_another_encoder_is_refused_unless_it_is_canonical(
    record: Record, data: st.DataObject
) -> None:
    tree = plain(record)
    assert isinstance(tree, dict)
    names = data.draw(st.permutations(list(tree)))
    other = cbor2.dumps({name: tree[name] for name in names})
    if other == encode_record(record):
        return
    with pytest.raises((EncodingError, RecordError)):
        decode_record(other)


@some
@given(st.binary(max_size=200))
def test_any_bytes_are_one_value_in_one_form_or_none(data: bytes) -> None:
    try:
        value = decode_value(data)
    except (EncodingError, RecordError):
        return
    assert encode_value(value) == data
