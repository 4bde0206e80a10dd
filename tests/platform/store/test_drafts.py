"""Drafts come back as the records they were."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from tallystick.encoding import encode_record
from tallystick.errors import RecordError
from tallystick.record import ProofOfCompute, Record
from tallystick_platform.store.drafts import decode_draft, encode_draft
from tests.support.clocks import FixedClock
from tests.support.journals import completed, would_be

CLOCK = FixedClock()
DRAFT = replace(would_be(CLOCK), admission_seq=1, sender_seq=1)
BARE = replace(DRAFT, gpu=None, provider=None, model=None, prompt=None, instructions=None, error=None)
FULL = replace(completed(DRAFT, CLOCK), proof_of_compute=ProofOfCompute(class_="statistical", toploc=b"\x01"))


@pytest.mark.parametrize("record", [DRAFT, BARE, FULL], ids=["draft", "bare", "full"])
def test_a_draft_decodes_to_the_same_canonical_record(record: Record) -> None:
    assert encode_record(decode_draft(encode_draft(record))) == encode_record(record)


@pytest.mark.parametrize("value", ["\ud800", object(), 2**70], ids=["surrogate", "object", "huge"])
def test_a_value_that_no_record_can_hold_is_refused(value: object) -> None:
    with pytest.raises(RecordError):
        encode_draft(replace(DRAFT, prompt={"a": value}))


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc1", msgspec.msgpack.encode([1]), msgspec.msgpack.encode({"id": b""}), encode_draft(DRAFT)[:-1]],
    ids=["nothing", "not MessagePack", "a list", "one field", "cut"],
)
def test_what_is_not_a_draft_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="draft"):
        decode_draft(data)
