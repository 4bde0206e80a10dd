"""Admissions: numbered without gaps, each with exactly one record or one draft."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import select

from tallystick.errors import KeyFileError
from tallystick.ids import Epoch
from tallystick.record import Record
from tallystick_platform.errors import DraftUnreadable, EpochKeyMissing
from tallystick_platform.store.check.finding import Finding, Subject
from tallystick_platform.store.check.macs import rows_of
from tallystick_platform.store.drafts import decode_draft
from tallystick_platform.store.tables import AdmissionRow, DraftRow, RecordRow, table_of

ADMISSION, DRAFT, RECORD = (table_of(model) for model in (AdmissionRow, DraftRow, RecordRow))


def check_admissions(subject: Subject) -> Iterator[Finding]:
    """`seq` from 1 without gaps, `sender_seq` from 1 without gaps per sender, one outcome each."""
    expected_seq = 1
    last_of_sender: dict[bytes, int] = {}
    query = (
        select(ADMISSION, RECORD.c.log_index, DRAFT.c.epoch.label("draft_epoch"))
        .outerjoin(RECORD, RECORD.c.admission_seq == ADMISSION.c.seq)
        .outerjoin(DRAFT, DRAFT.c.admission_seq == ADMISSION.c.seq)
        .order_by(ADMISSION.c.seq)
    )
    for row in rows_of(subject.connection, query):
        seq = row["seq"]
        if seq != expected_seq:
            yield _finding("admission-sequence", seq, ("seq",), f"seq {expected_seq}", f"seq {seq}")
        expected_seq = seq + 1
        expected = last_of_sender.get(row["sender"], 0) + 1
        if row["sender_seq"] != expected:
            found = f"{row['sender_seq']} of sender 0x{row['sender'].hex()}"
            yield _finding("sender-sequence", seq, ("sender", "sender_seq"), f"sender_seq {expected}", found)
        last_of_sender[row["sender"]] = row["sender_seq"]
        outcomes = (row["log_index"] is not None) + (row["draft_epoch"] is not None)
        if outcomes != 1:
            found = "neither" if outcomes == 0 else "both"
            yield _finding("one-outcome", seq, ("seq",), "a record, or a draft until there is one", found)


def check_drafts(subject: Subject) -> Iterator[Finding]:
    """Each draft opens, and is the draft of its admission."""
    query = select(DRAFT.c.ciphertext, DRAFT.c.epoch, DRAFT.c.admission_seq.label("draft_seq"), ADMISSION).outerjoin(
        ADMISSION, ADMISSION.c.seq == DRAFT.c.admission_seq
    )
    for row in rows_of(subject.connection, query):
        subject.checked.rows[DRAFT.name] += 1
        seq = row["draft_seq"]
        if row["seq"] is None:
            yield _draft(seq, ("admission_seq",), f"admission {seq}", "no such admission")
        try:
            record = decode_draft(subject.reveal(Epoch(row["epoch"]), seq, row["ciphertext"]))
        except (DraftUnreadable, EpochKeyMissing, KeyFileError, ValueError) as error:
            yield _draft(seq, ("admission_seq", "epoch", "ciphertext"), "a draft that opens", str(error))
            continue
        if row["seq"] is not None and _facts_of(record) != _facts_in(row):
            yield _draft(seq, ("ciphertext",), "the draft of this admission", f"that of {record.admission_seq}")


def _facts_of(record: Record) -> tuple[object, ...]:
    return (record.admission_seq, record.id, record.sender.address, record.sender_seq, record.http.request_hash)


def _facts_in(row: Mapping[str, Any]) -> tuple[object, ...]:
    return (row["seq"], row["record_id"], row["sender"], row["sender_seq"], row["request_hash"])


def _finding(check: str, seq: int, columns: tuple[str, ...], expected: str, found: str) -> Finding:
    return Finding(check=check, table="admission", row=seq, columns=columns, expected=expected, found=found)


def _draft(seq: int, columns: tuple[str, ...], expected: str, found: str) -> Finding:
    return Finding(check="draft", table="draft", row=seq, columns=columns, expected=expected, found=found)
