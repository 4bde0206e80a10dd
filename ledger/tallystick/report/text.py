"""Verdicts and records as a page for a terminal; `NO_COLOR` and pipes are the console's business."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from rich.text import Text

from tallystick.errors import VerificationError
from tallystick.hashing import keccak256
from tallystick.ids import checksum_address, to_hex
from tallystick.report.documents import utc
from tallystick.report.lines import line_of, table_of, tokens_of
from tallystick.report.printable import printable
from tallystick.report.summary import remedies, summary
from tallystick.verify.verdict import BundleSubject, Check, LogSubject, Outcome, Status, Verdict

STYLES: Final = {
    Status.PASS: "green",
    Status.FAIL: "bold red",
    Status.SKIPPED: "dim",
    Status.NOT_COVERED: "yellow",
    Status.IN_PART: "yellow",
}
OUTCOME_STYLES: Final = {Outcome.PROVEN: "bold green", Outcome.WRONG: "bold red", Outcome.UNCHECKED: "bold yellow"}
_LONG_HEX: Final = re.compile(r"0x(?:[0-9a-f]{2}){129,}")
"""More bytes than a signature has: what they hash to says more than they do."""
MAX_SHOWN_TEXT: Final = 4_000
"""A longer text in a record is cut on the terminal, and says so; `--json` shows it whole."""

# What each check counts: one, and several.
UNITS: Final = {
    1: ("contract", "contracts"),
    2: ("entry", "entries"),
    3: ("leaf", "leaves"),
    4: ("root", "roots"),
    5: ("head", "heads"),
    6: ("signature", "signatures"),
    7: ("number", "numbers"),
    8: ("signed message", "signed messages"),
    9: ("record", "records"),
    10: ("record", "records"),
    11: ("record", "records"),
    12: ("request", "requests"),
    13: ("response", "responses"),
    14: ("record", "records"),
    15: ("record", "records"),
    16: ("price", "prices"),
    17: ("sender proof", "sender proofs"),
    18: ("file", "files"),
    19: ("answer", "answers"),
}


def render_verdict(verdict: Verdict, *, version: str, checked_at_s: int) -> Text:
    """The page of a verdict. Units: `checked_at_s` is Unix seconds."""
    page = Text()
    subject = verdict.subject
    lines = _log_lines(subject) if isinstance(subject, LogSubject) else _bundle_lines(subject)
    for line in (*lines, f"checked by tallystick {version} at {utc(checked_at_s)}"):
        page.append(line + "\n")
    page.append("\n")
    for checks in _grouped(verdict.checks):
        if len(checks) > 1:
            _append_skipped(page, checks)
        else:
            _append_check(page, checks[0])
    if verdict.failures:
        page.append("\n")
        for failure in verdict.failures:
            page.append(f"check {failure.step} {failure.name}: {printable(failure.where)}\n", style="bold red")
            page.append(f"  expected {printable(failure.expected)}\n  found    {printable(failure.found)}\n")
            page.append(f"  accuses  {failure.accused}{_proof(verdict, failure)}\n")
        left_out = verdict.failures_found - len(verdict.failures)
        if left_out:
            page.append(f"and {left_out} more\n", style="bold red")
    wanted = remedies(verdict)
    if wanted:
        page.append("\nwhat would make the rest possible:\n", style="bold")
        for remedy in wanted:
            page.append(f"  {printable(remedy)}\n")
    page.append("\n")
    page.append(summary(verdict), style=OUTCOME_STYLES[verdict.outcome])
    return page


def render_record(document: Mapping[str, object]) -> Text:
    """A page of names and values, from a document of this package."""
    page = Text()
    _append_members(page, document, "")
    page.rstrip()
    return page


def _log_lines(subject: LogSubject) -> list[str]:
    block = subject.head_block
    lines = [
        f"log {to_hex(subject.log_id)}",
        f"on chain {subject.chain_id}, contract {checksum_address(subject.contract)}"
        + ("" if subject.code_hash is None else f", code hash {to_hex(subject.code_hash)}"),
        f"from block {subject.first_block} to block {block.number} ({to_hex(block.hash)}, {utc(block.timestamp)}"
        + (f", {subject.age_s} s old)" if subject.age_s else ")"),
    ]
    if subject.writer is not None and subject.head is not None:
        records = "1 record" if subject.size == 1 else f"{subject.size} records"
        batches = "1 batch" if subject.batch_count == 1 else f"{subject.batch_count} batches"
        lines.append(f"{records} in {batches}, {subject.entries} entries, head {to_hex(subject.head)}")
        writers = ", then ".join(checksum_address(writer) for writer in subject.writers)
        lines.append(f"written by {writers or checksum_address(subject.writer)}; promises {subject.promise_s} s")
    if subject.voided:
        lines.append(f"{subject.voided} admission numbers were declared lost by the writer: they excuse nothing")
    if subject.erased:
        lines.append(f"{subject.erased} records are erased, intact")
    if subject.opened_from or subject.opened_to is not None:
        last = "the last" if subject.opened_to is None else str(subject.opened_to)
        lines.append(f"opening records {subject.opened_from} to {last}; the structure is checked as a whole")
    lines += [f"opened with auditor key {key_id.hex()}" for key_id in subject.auditor_key_ids]
    return lines


def _bundle_lines(subject: BundleSubject) -> list[str]:
    what = "evidence" if subject.kind == "bundle" else subject.kind
    lines = [
        what + ("" if subject.index is None else f" of record {subject.index}") + f" of log {to_hex(subject.log_id)}",
        f"on chain {subject.chain_id}, contract {checksum_address(subject.contract)}",
    ]
    if subject.signer is not None:
        vouched = "whose log this is was not checked" if subject.vouched is None else f"vouched for: {subject.vouched}"
        lines.append(f"signed by {checksum_address(subject.signer)}; {vouched}")
    if subject.opened:
        lines.append("opened with the record secret in the bundle")
    if subject.disclosed:
        lines.append(f"disclosed: {', '.join(subject.disclosed)}")
    if subject.model_digest is not None:
        lines.append(f"held against a model folder of digest {subject.model_digest.hex()}")
    block = subject.head_block
    lines.append(
        "offline: no chain node was asked" if block is None else f"against block {block.number} ({to_hex(block.hash)})"
    )
    return lines


def _grouped(checks: Sequence[Check]) -> list[list[Check]]:
    """The checks in order; those that were skipped one after another for the same reason together."""
    groups: list[list[Check]] = []
    for check in checks:
        last = groups[-1][-1] if groups else None
        skipped = check.status is Status.SKIPPED and last is not None and last.status is Status.SKIPPED
        if skipped and last is not None and last.reasons == check.reasons:
            groups[-1].append(check)
        else:
            groups.append([check])
    return groups


def _append_skipped(page: Text, checks: Sequence[Check]) -> None:
    page.append(f"{checks[0].number:>2} {checks[0].name} to {checks[-1].number} {checks[-1].name}: ")
    page.append(f"{Status.SKIPPED}", style=STYLES[Status.SKIPPED])
    page.append(f"\n{'':37}{printable(checks[0].reasons[0].text)}\n", style="dim")


def _append_check(page: Text, check: Check) -> None:
    page.append(f"{check.number:>2} {check.name:<22}")
    page.append(f"{check.status:<12}", style=STYLES[check.status])
    counts = []
    if check.held:
        counts.append(f"{check.held} {UNITS[check.number][check.held != 1]}")
    if check.failed:
        counts.append(f"{check.failed} failed")
    page.append(", ".join(counts))
    for position, reason in enumerate(check.reasons):
        page.append("" if not position and not counts else f"\n{'':37}")
        count = f"{reason.count} {UNITS[check.number][reason.count != 1]} " if reason.count else ""
        page.append(printable(f"{count}{reason.text}"), style="yellow" if reason.blocks else "dim")
    page.append("\n")


def _proof(verdict: Verdict, failure: VerificationError) -> str:
    return "" if failure.accused in verdict.accused else " (not proven)"


def _append_members(page: Text, members: Mapping[str, object], indent: str) -> None:
    for name, value in members.items():
        page.append(f"{indent}{printable(str(name))}", style="bold")
        if lines := table_of(value) or tokens_of(value) or (_lines(value) if isinstance(value, list) else []):
            page.append("\n")
            for line in lines:
                page.append(f"{indent}  {printable(line)}\n")
        elif isinstance(value, Mapping) and value:
            page.append("\n")
            _append_members(page, value, indent + "  ")
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            page.append("\n")
            for number, item in enumerate(value):
                _append_members(page, {str(number): item}, indent + "  ")
        else:
            _append_value(page, name, value, indent)


def _lines(parts: list[object]) -> list[str]:
    """The lines that a person reads; none where some part is no line."""
    lines = [line for part in parts if (line := line_of(part)) is not None]
    return lines if len(lines) == len(parts) else []


def _append_value(page: Text, name: str, value: object, indent: str) -> None:
    if value is None:
        page.append(" -\n", style="dim")
        return
    text = value if isinstance(value, str) else _number(name, value)
    if _LONG_HEX.fullmatch(text):
        text = f"{len(text) // 2 - 1} bytes, keccak256 {to_hex(keccak256(bytes.fromhex(text[2:])))}"
    if len(text) > MAX_SHOWN_TEXT:
        text = f"{text[:MAX_SHOWN_TEXT]}... ({len(text) - MAX_SHOWN_TEXT} more characters)"
    first, *more = printable(text).split("\n")
    page.append(f" {first}\n")
    for line in more:
        page.append(f"{indent}  {line}\n")


def _number(name: str, value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        if name.endswith("_at"):
            return f"{value} us ({utc(value / 1_000_000)})"
        if name == "block_time":
            return f"{value} s ({utc(value)})"
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
