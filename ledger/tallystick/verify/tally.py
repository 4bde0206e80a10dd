"""What the checks of one verification computed, collected while they run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from tallystick.errors import Party, VerificationError
from tallystick.verify.verdict import (
    LEDGER_STEPS,
    BundleSubject,
    Check,
    Gap,
    LogSubject,
    Reason,
    Status,
    Step,
    Verdict,
)

MAX_FAILURES_REPORTED: Final = 100
"""Later failures are counted, not kept: a log that is wrong throughout must not fill the auditor's memory."""
MAX_REASONS_REPORTED: Final = 20
"""The same bound for the reasons of what was not covered, per check."""


class Tally:
    """Collects what the checks computed; a check that never computed anything cannot read as passed.

    `held` is counted by the caller in place (`tally.held[Step.ROOTS] += 1`): it is the hot path of a long walk.
    """

    __slots__ = (
        "_blocked",
        "_failed",
        "_failures",
        "_found",
        "_noted",
        "_skipped",
        "contested",
        "held",
        "witnessed",
        "writer_is",
    )

    def __init__(self) -> None:
        self.writer_is = Party.WRITER
        """Whom a failure accuses that would accuse the log's writer: another, where nobody says who the writer is."""
        self.witnessed = False
        """Whether a second node shows the same blocks."""
        self.contested = False
        """Whether a second node shows others: then nothing that rests on their times is proven."""
        steps = len(Step) + 1  # position 0 is not used
        self.held = [0] * steps
        self._failed = [0] * steps
        self._found: Counter[tuple[Party, bool, bool]] = Counter()
        self._blocked: list[Counter[Gap]] = [Counter() for _ in range(steps)]
        self._noted: list[Counter[str]] = [Counter() for _ in range(steps)]
        self._skipped: list[str | None] = [None] * steps
        self._failures: list[VerificationError] = []

    @property
    def failures_found(self) -> int:
        """How many failures there were, beyond the ones that are kept too."""
        return sum(self._failed)

    def failed(self, step: int) -> int:
        """How many failures one check has."""
        return self._failed[step]

    def blames(self, party: Party) -> bool:
        """Whether any failure accuses this party."""
        return any(found for (accused, _, _), found in self._found.items() if accused is party)

    def is_blocked(self, step: int) -> bool:
        """Whether something asked of this check could not be computed."""
        return bool(self._blocked[step])

    def hold(self, step: int, check: Callable[..., None], *arguments: object) -> bool:
        """Run a check that returns if it holds and raises if not; tell which."""
        try:
            check(*arguments)
        except VerificationError as failure:
            self.fail(failure)
            return False
        self.held[step] += 1
        return True

    def fail(self, failure: VerificationError) -> None:
        """Count a failure, and keep it while there is room."""
        if failure.accused is Party.WRITER:
            failure.accused = self.writer_is
        self._failed[failure.step] += 1
        self._found[failure.accused, failure.signed, failure.timed] += 1
        if len(self._failures) < MAX_FAILURES_REPORTED:
            self._failures.append(failure)

    def block(self, step: int, gap: Gap, count: int = 1) -> None:
        """Count items that were asked for and could not be computed: nothing is proven while there is one."""
        gaps = self._blocked[step]
        if gap not in gaps and len(gaps) >= MAX_REASONS_REPORTED:
            gap = _FURTHER
        gaps[gap] += count

    def note(self, step: int, reason: str, count: int = 1) -> None:
        """Count items of a check that nobody could compute, or that are not due: they take nothing from the proof."""
        reasons = self._noted[step]
        if reason not in reasons and len(reasons) >= MAX_REASONS_REPORTED:
            reason = _FURTHER.text
        reasons[reason] += count

    def skip(self, step: int, reason: str) -> None:
        """Note why a check was not asked for."""
        self._skipped[step] = reason

    def verdict(
        self, subject: LogSubject | BundleSubject, steps: tuple[Step, ...] = LEDGER_STEPS, *, grounded: bool
    ) -> Verdict:
        """The checks as they stand; failures in the order of the checks, then of their finding.

        `grounded` says that what was read is bound to the writer by its signatures: without it, only what is `signed` proves
        anything against the writer. A node is never accused: it may be wrong without having lied.
        Requires: `steps` are the first ones, in order.
        """
        proven: Counter[Party] = Counter()
        untimed = 0
        for (party, signed, timed), count in self._found.items():
            if timed and self.contested:
                continue
            if party is not Party.NODE and (signed or grounded or party is not Party.WRITER):
                proven[party] += count
                untimed += 0 if timed else count
        return Verdict(
            subject=subject,
            checks=tuple(self._check(step) for step in steps),
            failures=tuple(sorted(self._failures, key=lambda failure: failure.step)),
            failures_found=self.failures_found,
            proven_found=tuple(proven.items()),
            rests_on_times=bool(proven) and not untimed and not self.witnessed,
        )

    def _check(self, step: Step) -> Check:
        blocked, noted, skipped = self._blocked[step], self._noted[step], self._skipped[step]
        reasons = [] if skipped is None else [Reason(text=skipped, count=0, blocks=False)]
        reasons += [Reason(text=gap.text, count=n, blocks=True, remedy=gap.remedy) for gap, n in blocked.items()]
        reasons += [Reason(text=text, count=count, blocks=False) for text, count in noted.items()]
        status = self._status(step)
        if status is Status.NOT_COVERED and not reasons:
            reasons.append(Reason(text="there was nothing to check", count=0, blocks=False))
        return Check(
            number=int(step),
            name=step.title,
            status=status,
            held=self.held[step],
            failed=self._failed[step],
            not_covered=sum(blocked.values()) + sum(noted.values()),
            reasons=tuple(reasons),
        )

    def _status(self, step: Step) -> Status:
        if self._failed[step]:
            return Status.FAIL
        if self.held[step]:
            return Status.IN_PART if self._blocked[step] else Status.PASS
        if self._skipped[step] is not None and not self._blocked[step]:
            return Status.SKIPPED
        return Status.NOT_COVERED


_FURTHER: Final = Gap("further reasons", "solve the ones above first")
