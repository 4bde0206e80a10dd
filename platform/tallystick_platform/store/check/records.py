"""Records: gap-free indices, the admission they answer, the leaf, the epoch, the receipt; and their blobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import func, select

from tallystick.errors import OpenError
from tallystick.hashing import keccak256
from tallystick.ids import to_hex
from tallystick.merkle import leaf_hash
from tallystick.sealing import sealed_header
from tallystick_platform.store.check.finding import Finding, Subject, rows_of, signature_fault
from tallystick_platform.store.records import receipt_of
from tallystick_platform.store.tables import ADMISSION, ADOPTED, BLOB, RECORD

SHARED = ("record_id", "sender", "sender_seq", "task", "request_hash")  # a record repeats these of its admission
SIGNED = (
    "log_index", "admission_seq", "leaf", "request_hash", "response_hash", "sender", "issued_at", "anchor_by", "signature",
)  # fmt: skip


def check_records(subject: Subject) -> Iterator[Finding]:
    """Every record, in the order of the log."""
    expected_index = 0
    shared = [ADMISSION.c[name].label(f"admitted_{name}") for name in SHARED]
    query = select(RECORD, ADMISSION.c.seq, ADMISSION.c.record_by, *shared).outerjoin(
        ADMISSION, ADMISSION.c.seq == RECORD.c.admission_seq
    )
    for row in rows_of(subject.connection, query.order_by(RECORD.c.log_index)):
        index = row["log_index"]
        if index != expected_index and not _adopted(subject, expected_index, index):
            yield Finding(
                "index-continuity", "record", index, ("log_index",), f"index {expected_index}", f"index {index}"
            )
        expected_index = index + 1
        yield from _admission(row)
        yield from _leaf(subject, row)
        yield from _header(row)
        yield from _receipt(subject, row)
        if row["record_by"] is not None and row["anchor_by"] > row["record_by"]:
            expected, found = f"at most {row['record_by']}, as its admission promises", str(row["anchor_by"])
            yield Finding("receipt", "record", index, ("anchor_by",), expected, found)


def check_blobs(subject: Subject) -> Iterator[Finding]:
    """Every blob: its digest, and that there is a record that it can belong to."""
    query = select(BLOB, RECORD.c.leaf).outerjoin(RECORD, RECORD.c.log_index == BLOB.c.log_index)
    for row in rows_of(subject.connection, query):
        digest = keccak256(row["ciphertext"])
        name = row["sealed_digest"].hex()
        if digest != row["sealed_digest"]:
            yield Finding(
                "blob", "blob", name, ("sealed_digest", "ciphertext"), to_hex(digest), to_hex(row["sealed_digest"])
            )
        if row["leaf"] is None:
            yield Finding("blob", "blob", name, ("log_index",), "the index of a record", str(row["log_index"]))


def _admission(row: Mapping[str, Any]) -> Iterator[Finding]:
    index, seq = row["log_index"], row["admission_seq"]
    if row["seq"] is None:
        yield Finding("admission", "record", index, ("admission_seq",), f"admission {seq}", "no such admission")
        return
    for name in SHARED:
        expected, found = row[f"admitted_{name}"], row[name]
        if expected != found:
            yield Finding("admission", "record", index, (name, "admission_seq"), _text(expected), _text(found))


def _leaf(subject: Subject, row: Mapping[str, Any]) -> Iterator[Finding]:
    leaf = leaf_hash(subject.log_id, row["log_index"], row["fields_root"], row["sealed"])
    if leaf != row["leaf"]:
        columns = ("log_index", "fields_root", "sealed", "leaf")
        yield Finding("leaf", "record", row["log_index"], columns, to_hex(leaf), to_hex(row["leaf"]))


def _header(row: Mapping[str, Any]) -> Iterator[Finding]:
    try:
        sealed_seq = sealed_header(row["sealed"]).admission_seq
    except OpenError as error:
        yield Finding("sealed", "record", row["log_index"], ("sealed",), "a sealed record", str(error))
        return
    if sealed_seq != row["admission_seq"]:
        columns = ("admission_seq", "sealed")
        expected, found = f"admission {sealed_seq}", f"admission {row['admission_seq']}"
        yield Finding("header", "record", row["log_index"], columns, expected, found)


def _adopted(subject: Subject, first: int, end: int) -> bool:
    """Whether only the chain has the records of these indices."""
    query = select(func.count()).select_from(ADOPTED)
    query = query.where(ADOPTED.c.log_index >= first, ADOPTED.c.log_index < end)
    return bool(subject.connection.execute(query).scalar_one() == end - first)


def _receipt(subject: Subject, row: Mapping[str, Any]) -> Iterator[Finding]:
    fault = signature_fault(subject, receipt_of, row)
    if fault is not None:
        yield Finding("receipt", "record", row["log_index"], SIGNED, *fault)


def _text(value: object) -> str:
    return to_hex(value) if isinstance(value, bytes) else str(value)
