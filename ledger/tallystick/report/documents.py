"""Verdicts and records as JSON documents: hashes and addresses as hex, times as integers with their unit in the name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Final

from tallystick.errors import VerificationError
from tallystick.ids import checksum_address, format_record_id, to_hex
from tallystick.record import BlobRef, ProofOfCompute, Record, Request
from tallystick.report.summary import remedies, summary
from tallystick.verify.one_record import FoundRecord
from tallystick.verify.verdict import BlockRef, BundleSubject, Check, LogSubject, Verdict

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
    return {
        "kind": "log",
        "chain_id": subject.chain_id,
        "contract": checksum_address(subject.contract),
        "code_hash": None if subject.code_hash is None else to_hex(subject.code_hash),
        "log_id": to_hex(subject.log_id),
        "writer": None if subject.writer is None else checksum_address(subject.writer),
        "writers": [checksum_address(writer) for writer in subject.writers],
        "keeper": None if subject.keeper is None else checksum_address(subject.keeper),
        "promise_s": subject.promise_s,
        "size": subject.size,
        "entries": subject.entries,
        "head": None if subject.head is None else to_hex(subject.head),
        "batch_count": subject.batch_count,
        "voided": subject.voided,
        "erased": subject.erased,
        "first_block": subject.first_block,
        "head_block": _block(subject.head_block),
        "head_block_age_s": subject.age_s,
        "opened": {"from": subject.opened_from, "to": subject.opened_to},
        "auditor_keys": [key_id.hex() for key_id in subject.auditor_key_ids],
    }


def bundle_subject(subject: BundleSubject) -> dict[str, object]:
    """Which record's evidence was checked, against what."""
    return {
        "kind": subject.kind,
        "chain_id": subject.chain_id,
        "contract": checksum_address(subject.contract),
        "log_id": to_hex(subject.log_id),
        "index": subject.index,
        "signer": None if subject.signer is None else checksum_address(subject.signer),
        "vouched": subject.vouched,
        "opened": subject.opened,
        "disclosed": list(subject.disclosed),
        "head_block": None if subject.head_block is None else _block(subject.head_block),
        **({} if subject.model_digest is None else {"model_digest": subject.model_digest.hex()}),
    }


def record_document(record: Record) -> dict[str, object]:
    """All fields of a record."""
    return {"v": record.v, **{name: _field(name, getattr(record, name)) for name in _names(record)}}


def shown_fields_document(record: Record, names: Sequence[str]) -> dict[str, object]:
    """Some fields of a record."""
    whole = record_document(record)
    return {name: whole[name] for name in whole if name in names}


def found_record_document(found: FoundRecord) -> dict[str, object]:
    """A record with its place on the chain."""
    return {
        "index": found.opened.index,
        "leaf": to_hex(found.leaf),
        "batch": found.batch,
        "block_number": found.block_number,
        "block_time": found.block_time,
        "tx_hash": to_hex(found.tx_hash),
        "record": record_document(found.opened.record),
    }


def utc(seconds: float) -> str:
    """A time as people read it. Units: Unix seconds."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (OverflowError, OSError, ValueError):  # a record may hold a time beyond the calendar
        return f"{seconds} s after 1970"


def _check(check: Check) -> dict[str, object]:
    return {
        "number": check.number,
        "name": check.name,
        "status": str(check.status),
        "held": check.held,
        "failed": check.failed,
        "not_covered": check.not_covered,
        "reasons": [
            {
                "count": reason.count,
                "text": reason.text,
                "blocks": reason.blocks,
                **({} if reason.remedy is None else {"remedy": reason.remedy}),
            }
            for reason in check.reasons
        ],
    }


def _block(block: BlockRef) -> dict[str, object]:
    return {"number": block.number, "hash": to_hex(block.hash), "timestamp": block.timestamp}


def _body(request: Request) -> object:
    """A body as text where it is text, else in hex."""
    try:
        return request.body.decode()
    except UnicodeDecodeError:
        return to_hex(request.body)


def _names(record: Record) -> list[str]:
    return [field.name for field in fields(record)]


def _field(name: str, value: object) -> object:
    if name in {"id", "follows"} and isinstance(value, bytes):
        return format_record_id(value)  # type: ignore[arg-type]  # a decoded record's id has its 16 bytes
    return _plain(value)


def _plain(value: object) -> object:
    if isinstance(value, BlobRef):
        return {"blob": {field.name: _plain(getattr(value, field.name)) for field in fields(value)}}
    if isinstance(value, ProofOfCompute):
        return {"class": value.class_, "toploc": _plain(value.toploc)}
    if isinstance(value, Request):
        return {**{field.name: _plain(getattr(value, field.name)) for field in fields(value)}, "body": _body(value)}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, bytes):
        return checksum_address(value) if len(value) == 20 else to_hex(value)  # type: ignore[arg-type]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
