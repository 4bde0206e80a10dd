"""Admissions: numbered without gaps, signed, each with exactly one record or one draft."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import select

from tallystick.errors import KeyFileError
from tallystick.ids import Epoch
from tallystick.record import Record
from tallystick_platform.errors import DraftUnreadable, EpochKeyMissing
from tallystick_platform.store.check.finding import Finding, Subject, rows_of, signature_fault
from tallystick_platform.store.drafts import decode_draft, request_hash_of
from tallystick_platform.store.records import admission_of
from tallystick_platform.store.tables import ADMISSION, ADOPTED, DRAFT, RECORD, VOID

SIGNED = ("seq", "sender", "sender_seq", "request_hash", "admitted_at", "record_by", "signature")


def check_admissions(subject: Subject) -> Iterator[Finding]:
    """`seq` from 1 and `sender_seq` from 1 per sender without gaps, but where numbers are void or only the chain's; one outcome each."""
    expected_seq = 1
    last_of_sender: dict[bytes, int] = {}
    voids = [(row["first"], row["last"]) for row in rows_of(subject.connection, select(VOID).order_by(VOID.c.first))]
    query = (
        select(
            ADMISSION,
            RECORD.c.log_index,
            DRAFT.c.epoch.label("draft_epoch"),
            ADOPTED.c.log_index.label("adopted_index"),
        )
        .outerjoin(RECORD, RECORD.c.admission_seq == ADMISSION.c.seq)
        .outerjoin(DRAFT, DRAFT.c.admission_seq == ADMISSION.c.seq)
        .outerjoin(ADOPTED, ADOPTED.c.admission_seq == ADMISSION.c.seq)
        .order_by(ADMISSION.c.seq)
    )
    for row in rows_of(subject.connection, query):
        seq = row["seq"]
        for missing in _missing(subject, range(expected_seq, seq), voids):
            yield Finding("admission-sequence", "admission", seq, ("seq",), f"seq {missing}", f"seq {seq}")
        expected_seq = seq + 1
        floor = max((last for _, last in voids if last < seq), default=0)
        expected = max(last_of_sender.get(row["sender"], 0), floor) + 1
        if row["sender_seq"] != expected:
            found = f"{row['sender_seq']} of sender 0x{row['sender'].hex()}"
            yield Finding(
                "sender-sequence", "admission", seq, ("sender", "sender_seq"), f"sender_seq {expected}", found
            )
        last_of_sender[row["sender"]] = row["sender_seq"]
        outcomes = sum(row[name] is not None for name in ("log_index", "draft_epoch", "adopted_index"))
        outcomes += any(low <= seq <= high for low, high in voids)
        if outcomes != 1:
            found = "none" if outcomes == 0 else "more than one"
            yield Finding("one-outcome", "admission", seq, ("seq",), "a record, or a draft until there is one", found)


def check_promises(subject: Subject) -> Iterator[Finding]:
    """Each admission is signed by the log's writer."""
    for row in rows_of(subject.connection, select(ADMISSION).order_by(ADMISSION.c.seq)):
        fault = signature_fault(subject, admission_of, row)
        if fault is not None:
            yield Finding("promise", "admission", row["seq"], SIGNED, *fault)


def _missing(subject: Subject, numbers: range, voids: list[tuple[int, int]]) -> Iterator[int]:
    """The first of each run of numbers that are neither void nor those of records that only the chain has."""
    first = numbers.start
    for low, high in [*voids, (numbers.stop, numbers.stop)]:
        if first >= numbers.stop:
            return
        end = min(low, numbers.stop)
        if first < end:
            query = select(ADOPTED.c.admission_seq).where(
                ADOPTED.c.admission_seq >= first, ADOPTED.c.admission_seq < end
            )
            for row in rows_of(subject.connection, query.order_by(ADOPTED.c.admission_seq)):
                if row["admission_seq"] != first:
                    yield first
                first = row["admission_seq"] + 1
            if first < end:
                yield first
        first = max(first, high + 1)


def check_drafts(subject: Subject) -> Iterator[Finding]:
    """Each draft opens, and is the draft of its admission."""
    query = select(DRAFT.c.ciphertext, DRAFT.c.epoch, DRAFT.c.admission_seq.label("draft_seq"), ADMISSION).outerjoin(
        ADMISSION, ADMISSION.c.seq == DRAFT.c.admission_seq
    )
    for row in rows_of(subject.connection, query):
        subject.checked.rows[DRAFT.name] += 1
        seq = row["draft_seq"]
        if row["seq"] is None:
            yield Finding("draft", "draft", seq, ("admission_seq",), f"admission {seq}", "no such admission")
        try:
            record = decode_draft(subject.reveal(Epoch(row["epoch"]), seq, row["ciphertext"]))
        except (DraftUnreadable, EpochKeyMissing, KeyFileError, ValueError) as error:
            yield Finding(
                "draft", "draft", seq, ("admission_seq", "epoch", "ciphertext"), "a draft that opens", str(error)
            )
            continue
        if row["seq"] is not None and _facts_of(record) != _facts_in(row):
            yield Finding(
                "draft", "draft", seq, ("ciphertext",), "the draft of this admission", f"that of {record.admission_seq}"
            )


def _facts_of(record: Record) -> tuple[object, ...]:
    return (record.admission_seq, record.id, record.sender.address, record.sender_seq, request_hash_of(record))


def _facts_in(row: Mapping[str, Any]) -> tuple[object, ...]:
    return (row["seq"], row["record_id"], row["sender"], row["sender_seq"], row["request_hash"])
