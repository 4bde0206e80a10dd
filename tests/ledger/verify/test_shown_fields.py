import pytest

from tallystick.encoding import encode_fields
from tallystick.errors import EncodingError, RecordError
from tallystick.record import FIELD_NAMES
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
