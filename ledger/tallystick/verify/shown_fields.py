"""Disclosed fields as typed values, read by the one strict decoder of records."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from tallystick.encoding import RECORD_PREFIX, decode_record, encode_fields
from tallystick.ids import Address, RecordId
from tallystick.record import FIELD_NAMES, HttpExchange, Record, RecordTime, Sender, State


def read_shown_fields(field_bytes: Mapping[str, bytes]) -> Record:
    """A record that holds the fields given; in its other fields stands a blank that means nothing.

    Raises: EncodingError or RecordError if a field is not in the canonical encoding, or beyond its bounds.
    """
    blank = _blank_fields()
    fields = [field_bytes.get(name, blank[position]) for position, name in enumerate(FIELD_NAMES)]
    return decode_record(RECORD_PREFIX + b"".join(fields))


@cache
def _blank_fields() -> tuple[bytes, ...]:
    blank = Record(
        id=RecordId(bytes.fromhex("00000000000070008000000000000000")),
        admission_seq=1,
        sender_seq=1,
        task="blank",
        state=State.INTERRUPTED,
        error=None,
        time=RecordTime(admitted_at=0, started_at=None, finished_at=0),
        http=HttpExchange(method="-", path="-", streamed=False),
        gpu=None,
        provider=None,
        price=None,
        model=None,
        parameters={},
        request=None,
        prompt=None,
        instructions=None,
        response=None,
        usage=None,
        sender=Sender(address=Address(bytes(20)), proof="token", token_id=None, signature=None),
        proof_of_compute=None,
    )
    return tuple(encode_fields(blank))
