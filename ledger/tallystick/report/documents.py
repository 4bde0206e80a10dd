"""Verdicts and records as JSON documents: hashes and addresses as hex, times as integers with their unit in the name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any, Final

from tallystick.errors import VerificationError
from tallystick.ids import checksum_address, format_record_id, to_hex
from tallystick.record import BlobRef, ProofOfCompute, Record, Request
from tallystick.report.summary import remedies, summary
from tallystick.verify.one_record import FoundRecord
from tallystick.verify.verdict import BundleSubject, Check, LogSubject, Verdict

FORMAT: Final = "tallystick/verdict/v2"


def verdict_document(verdict: Verdict, *, version: str, checked_at_s: int) -> dict[str, object]:
    """The JSON of a verdict: who checked what against what, each check, each failure.

    Units: `checked_at_s` is Unix seconds.
    """
    subject = verdict.subject
    return {
        "format": FORMAT,
        "outcome": str(verdict.outcome),
        "exit_code": verdict.outcome.exit_code,
        "summary": summary(verdict),
        "accused": [{"party": str(party), "failures": count} for party, count in verdict.proven_found],
        "remedies": remedies(verdict),
        "checked_by": f"tallystick {version}",
        "checked_at": checked_at_s,
        "subject": log_subject(subject) if isinstance(subject, LogSubject) else bundle_subject(subject),
        "checks": [_check(check) for check in verdict.checks],
        "failures": [failure_document(failure) for failure in verdict.failures],
        "failures_found": verdict.failures_found,
    }


def failure_document(failure: VerificationError) -> dict[str, object]:
    """The JSON of one failure."""
    return {
        "check": failure.step,
        "name": failure.name,
        "where": failure.where,
        "expected": failure.expected,
        "found": failure.found,
        "accused": str(failure.accused),
        "rests_on_times": failure.timed,
    }


def log_subject(subject: LogSubject) -> dict[str, object]:
    """Which log was checked, against what."""
    members = plain(subject, leave=("age_s", "opened_from", "opened_to", "auditor_key_ids"))
    return {
        "kind": "log",
        **members,
        "head_block_age_s": subject.age_s,
        "opened": {"from": subject.opened_from, "to": subject.opened_to},
        "auditor_keys": [key_id.hex() for key_id in subject.auditor_key_ids],
    }


def bundle_subject(subject: BundleSubject) -> dict[str, object]:
    """Which record's evidence was checked, against what."""
    digest = subject.model_digest
    return {
        **plain(subject, leave=("model_digest", "exported")),
        **({} if digest is None else {"model_digest": digest.hex()}),
    }


def record_document(record: Record) -> dict[str, object]:
    """All fields of a record."""
    return {"v": record.v, **{field.name: _field(field.name, getattr(record, field.name)) for field in fields(record)}}


def shown_fields_document(record: Record, names: Sequence[str]) -> dict[str, object]:
    """Some fields of a record."""
    whole = record_document(record)
    return {name: whole[name] for name in whole if name in names}


def found_record_document(found: FoundRecord) -> dict[str, object]:
    """A record with its place on the chain."""
    return {
        "index": found.opened.index,
        **plain(found, leave=("opened",)),
        "record": record_document(found.opened.record),
    }


def utc(seconds: float) -> str:
    """A time as people read it. Units: Unix seconds."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (OverflowError, OSError, ValueError):  # a record may hold a time beyond the calendar
        return f"{seconds} s after 1970"


def _check(check: Check) -> dict[str, object]:
    reasons = [plain(reason, leave=() if reason.remedy is not None else ("remedy",)) for reason in check.reasons]
    return {**plain(check), "reasons": reasons}


def _body(request: Request) -> object:
    """A body as text where it is text, else in hex."""
    try:
        return request.body.decode()
    except UnicodeDecodeError:
        return to_hex(request.body)


def _field(name: str, value: object) -> object:
    if name in {"id", "follows"} and isinstance(value, bytes):
        return format_record_id(value)  # type: ignore[arg-type]  # a decoded record's id has its 16 bytes
    return _plain(value)


def plain(value: Any, leave: Collection[str] = ()) -> dict[str, object]:
    """The fields of a part in their order, as JSON can hold them: addresses with their checksum, other bytes in hex."""
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value) if field.name not in leave}


def _plain(value: object) -> object:
    if isinstance(value, BlobRef):
        return {"blob": plain(value)}
    if isinstance(value, ProofOfCompute):
        return {"class": value.class_, "toploc": _plain(value.toploc)}
    if isinstance(value, Request):
        return {**plain(value), "body": _body(value)}
    if is_dataclass(value) and not isinstance(value, type):
        return plain(value)
    if isinstance(value, bytes):
        return checksum_address(value) if len(value) == 20 else to_hex(value)  # type: ignore[arg-type]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
