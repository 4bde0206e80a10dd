"""The sentences under a verdict: what is proven and about whom, and what is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tallystick.verify.verdict import Check, LogSubject, Outcome, Status, Verdict

ONE_NODE: Final = (
    "This rests on block times and on nothing newer being there, as one node shows it and nobody signs it: "
    "ask a second node (--second-rpc) before you accuse anybody."
)


def summary(verdict: Verdict) -> str:
    """Say the outcome in a few words; never without what was not covered."""
    checks = verdict.checks
    failed = [check for check in checks if check.status is Status.FAIL]
    held = [check for check in checks if check.held and not check.failed]
    blocked = [check for check in checks if check.blocks]
    if verdict.outcome is Outcome.WRONG:
        parts = [f"Proven wrong: {_accused(verdict)} contradicted itself, in {_names(failed)}."]
        if verdict.rests_on_times:
            parts.append(ONE_NODE)
    elif verdict.outcome is Outcome.PROVEN:
        parts = [f"Proven{_as_of(verdict)}: all that was asked for was checked and holds, in {len(held)} checks."]
    elif failed:
        parts = [f"Could not check: what was shown does not fit together, in {_names(failed)}. {_unproven(verdict)}"]
    elif blocked:
        parts = [f"Could not check all that was asked for: {_names(blocked)}."]
    else:
        parts = ["Nothing could be checked."]
    if verdict.outcome is not Outcome.UNCHECKED and blocked:
        parts.append(f"Not checked: {_names(blocked)}.")
    uncovered = [one for one in checks if one.status is Status.NOT_COVERED and not one.blocks]
    if uncovered:
        parts.append(f"Not covered: {_names(uncovered)}.")
    skipped = [check.number for check in checks if check.status is Status.SKIPPED]
    if skipped:
        parts.append(f"Not asked for: {ranges(skipped)}.")
    return " ".join(parts)


def ranges(numbers: Sequence[int]) -> str:
    """Numbers in order, in few words: `1, 7, 9 to 17`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


def remedies(verdict: Verdict) -> list[str]:
    """What would make possible what could not be checked, each once, in the order of the checks."""
    found: dict[str, None] = {}
    for check in verdict.checks:
        for reason in check.reasons:
            if reason.blocks and reason.remedy:
                found[reason.remedy] = None
    return list(found)


def _accused(verdict: Verdict) -> str:
    counts = []
    for party, count in verdict.proven_found:
        counts.append(f"{party} ({count} {'failure' if count == 1 else 'failures'})")
    return " and ".join(counts)


def _unproven(verdict: Verdict) -> str:
    if isinstance(verdict.subject, LogSubject):
        return "The node contradicts itself or the signatures, and accuses nobody: ask another one."
    return "Nobody is proven to have contradicted himself."


def _names(checks: Sequence[Check]) -> str:
    return ", ".join(f"{check.number} {check.name}" for check in checks)


def _as_of(verdict: Verdict) -> str:
    block = verdict.subject.head_block
    if block is not None:
        return f" as of block {block.number}"
    return "" if isinstance(verdict.subject, LogSubject) else " offline, without a chain node"
