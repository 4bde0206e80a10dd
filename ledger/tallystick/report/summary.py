"""The sentence under a verdict: what is proven, and what is not."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.verify import Check, LogSubject, Outcome, Status, Verdict


def summary(verdict: Verdict) -> str:
    """Say the outcome in a few words; never without what was not covered."""
    checks = verdict.checks
    failed = [check for check in checks if check.status is Status.FAIL]
    held = [check for check in checks if check.status is Status.PASS]
    if verdict.outcome is Outcome.WRONG:
        count = verdict.failures_found
        parts = [f"Proven wrong: {count} {'failure' if count == 1 else 'failures'} in {_names(failed)}."]
    elif verdict.outcome is Outcome.PROVEN:
        parts = [f"Proven{_as_of(verdict)}: {len(held)} of {len(checks)} checks hold."]
    elif held:
        open_checks = [check for check in checks if check.number in verdict.asked and not check.held]
        parts = [f"Could not check what was asked for: {_names(open_checks)}."]
    else:
        parts = ["Nothing could be checked."]
    partly = [check for check in held if check.not_covered]
    for title, some in (
        ("Covered in part", partly),
        ("Not covered", [check for check in checks if check.status is Status.NOT_COVERED]),
        ("Skipped", [check for check in checks if check.status is Status.SKIPPED]),
    ):
        if some:
            parts.append(f"{title}: {_names(some)}.")
    return " ".join(parts)


def _names(checks: Sequence[Check]) -> str:
    return ", ".join(f"{check.number} {check.name}" for check in checks)


def _as_of(verdict: Verdict) -> str:
    block = verdict.subject.head_block
    if block is not None:
        return f" as of block {block.number}"
    return "" if isinstance(verdict.subject, LogSubject) else " by the bundle alone, without a chain node"
