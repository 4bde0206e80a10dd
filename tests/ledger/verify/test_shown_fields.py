from dataclasses import replace

import pytest

from tallystick.encoding import encode_fields
from tallystick.errors import EncodingError, RecordError
from tallystick.record import FIELD_NAMES, RecordTime, State
from tallystick.verify.shown_fields import read_shown_fields
from tests.support.synthetic_log import synthetic_record

RECORD = synthetic_record(7)
FIELDS = dict(zip(FIELD_NAMES, encode_fields(RECORD), strict=True))


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_each_field_alone_reads_as_in_the_whole_record(name):
    assert getattr(read_shown_fields({name: FIELDS[name]}), name) == getattr(RECORD, name)


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_a_byte_after_a_field_is_refused(name):
    with pytest.raises((EncodingError, RecordError)):
        read_shown_fields({name: FIELDS[name] + b"\x00"})


def test_a_field_under_another_name_is_refused():
    with pytest.raises((EncodingError, RecordError)):
        read_shown_fields({"price": FIELDS["usage"]})


ACCEPTED = replace(
    RECORD,
    state=State.ACCEPTED,
    time=RecordTime(admitted_at=1_000_000, started_at=None, finished_at=1_000_001, due_by=9_000_000),
    response=None,
    price=None,
)


@pytest.mark.parametrize("names", [("state",), ("time",), ("state", "time"), ("id", "http")])
def test_what_is_shown_of_accepted_work_reads_as_it_stands(names):
    fields = dict(zip(FIELD_NAMES, encode_fields(ACCEPTED), strict=True))
    shown = read_shown_fields({name: fields[name] for name in names})
    assert all(getattr(shown, name) == getattr(ACCEPTED, name) for name in names)
