"""Disclosed fields as typed values, read by the one strict decoder of records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

from tallystick.encoding import RECORD_PREFIX, decode_record, encode_fields
from tallystick.errors import RecordError
from tallystick.ids import Address, RecordId
from tallystick.record import FIELD_NAMES, HttpExchange, Record, RecordTime, Sender, State

DUE_BY: Final = "time.due_by"


def read_shown_fields(field_bytes: Mapping[str, bytes]) -> Record:
    """A record that holds the fields given; in its other fields stands a blank that means nothing.

    Raises: EncodingError or RecordError if a field is not in the canonical encoding, or beyond its bounds.
    """
    try:
        return _filled(field_bytes, _blank_fields(State.INTERRUPTED))
    except RecordError as error:
        if error.field != DUE_BY:
            raise
        # Accepted work has a time by which it is due, and nothing else has: the blanks must not contradict what is shown of it.
        return _filled(field_bytes, _blank_fields(State.ACCEPTED))


def _filled(field_bytes: Mapping[str, bytes], blank: Sequence[bytes]) -> Record:
    fields = [field_bytes.get(name, blank[position]) for position, name in enumerate(FIELD_NAMES)]
    return decode_record(RECORD_PREFIX + b"".join(fields))


@cache
def _blank_fields(state: State) -> tuple[bytes, ...]:
    blank = Record(
        id=RecordId(bytes.fromhex("00000000000070008000000000000000")),
        admission_seq=1,
        sender_seq=1,
        task="blank",
        state=state,
        error=None,
        time=RecordTime(admitted_at=0, started_at=None, finished_at=0, due_by=0 if state is State.ACCEPTED else None),
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
