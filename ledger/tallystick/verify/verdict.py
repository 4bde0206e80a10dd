"""What a verification says: numbered checks, each with what was really computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from tallystick import errors
from tallystick.errors import VerificationError
from tallystick.ids import Address, Head, LogId

MAX_FAILURES_REPORTED: Final = 100
"""Later failures are counted, not kept: a log that is wrong throughout must not fill the auditor's memory."""
MAX_REASONS_REPORTED: Final = 20
"""The same bound for the reasons of what was not covered, per check."""

STEP_ERRORS: Final = (
    errors.ContractCodeError,
    errors.IndexContinuityError,
    errors.LeavesError,
    errors.RootsError,
    errors.HeadsError,
    errors.ReceiptsError,
    errors.DecryptionError,
    errors.CanonicalEncodingError,
    errors.FieldCommitmentsError,
    errors.SequenceCompletenessError,
    errors.TimeOrderError,
    errors.PriceArithmeticError,
    errors.SenderProofError,
    errors.ModelDigestError,
    errors.ReplayError,
)
"""The checks in order: each error names its step and number."""


class Step(IntEnum):
    """The numbered checks by name."""

    CONTRACT_CODE = 1
    INDEX_CONTINUITY = 2
    LEAVES = 3
    ROOTS = 4
    HEADS = 5
    RECEIPTS = 6
    DECRYPTION = 7
    CANONICAL_ENCODING = 8
    FIELD_COMMITMENTS = 9
    SEQUENCE_COMPLETENESS = 10
    TIME_ORDER = 11
    PRICE_ARITHMETIC = 12
    SENDER_PROOF = 13
    MODEL_DIGEST = 14
    REPLAY = 15


LEDGER_STEPS: Final = tuple(step for step in Step if step <= Step.SENDER_PROOF)
"""What a log or a bundle says by itself; the other checks are made where a model folder is held against a record."""


class Status(StrEnum):
    """How one check reads."""

    PASS = "pass"  # noqa: S105 - the word, not a password
    FAIL = "fail"
    SKIPPED = "skipped"
    NOT_COVERED = "not covered"


class Outcome(StrEnum):
    """How the whole verification reads."""

    PROVEN = "proven"
    WRONG = "proven wrong"
    UNCHECKED = "could not check"

    @property
    def exit_code(self) -> int:
        """The exit code of a command that ends so: grep's convention."""
        return (Outcome.PROVEN, Outcome.WRONG, Outcome.UNCHECKED).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why something was not computed, and for how many items; 0 where it was not for items that were counted."""

    text: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One numbered check: what was computed, what of it did not hold, and what could not be computed."""

    number: int
    name: str
    status: Status
    held: int
    failed: int
    not_covered: int
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRef:
    """The block at which something was checked.

    Units: `timestamp` is Unix seconds.
    """

    number: int
    hash: bytes
    timestamp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSubject:
    """Which log was checked, as of which block, with which keys.

    `opened_from` and `opened_to` are the record indices that were asked to be opened, both included.
    """

    chain_id: int
    contract: Address
    code_hash: bytes | None
    log_id: LogId
    writer: Address | None
    size: int
    head: Head | None
    batch_count: int
    first_block: int
    head_block: BlockRef
    opened_from: int
    opened_to: int | None
    auditor_key_ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleSubject:
    """Which record's evidence was checked, and against which chain state; `head_block` is None offline.

    `model_digest` is that of the folder that was held against the record, None where none was.
    """

    chain_id: int
    contract: Address
    log_id: LogId
    index: int
    signer: Address | None
    disclosed: tuple[str, ...]
    opened: bool
    head_block: BlockRef | None
    model_digest: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The result of one verification: who checked what against what, and how each check reads.

    `asked` are the checks that were asked for by name: while one of them computed nothing, nothing counts as proven.
    """

    subject: LogSubject | BundleSubject
    checks: tuple[Check, ...]
    failures: tuple[VerificationError, ...]
    failures_found: int
    asked: tuple[Step, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """Proven wrong if anything failed; proven only if something held, and whatever was asked for by name."""
        if self.failures_found:
            return Outcome.WRONG
        if not all(self.check(step).held for step in self.asked):
            return Outcome.UNCHECKED
        return Outcome.PROVEN if any(check.held for check in self.checks) else Outcome.UNCHECKED

    def check(self, step: int) -> Check:
        """The check of that number."""
        return self.checks[step - 1]


class Tally:
    """Collects what the checks computed; a check that never computed anything cannot read as passed.

    `held` is counted by the caller in place (`tally.held[Step.ROOTS] += 1`): it is the hot path of a long walk.
    """

    __slots__ = ("_failed", "_failures", "_skipped", "_uncovered", "held")

    def __init__(self) -> None:
        steps = len(STEP_ERRORS) + 1  # position 0 is not used
        self.held = [0] * steps
        self._failed = [0] * steps
        self._uncovered: list[Counter[str]] = [Counter() for _ in range(steps)]
        self._skipped: list[str | None] = [None] * steps
        self._failures: list[VerificationError] = []

    @property
    def failures_found(self) -> int:
        """How many failures there were, beyond the ones that are kept too."""
        return sum(self._failed)

    def failed(self, step: int) -> int:
        """How many failures one check has."""
        return self._failed[step]

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
        self._failed[failure.step] += 1
        if len(self._failures) < MAX_FAILURES_REPORTED:
            self._failures.append(failure)

    def uncover(self, step: int, reason: str, count: int = 1) -> None:
        """Count items of a check that could not be computed."""
        reasons = self._uncovered[step]
        if reason not in reasons and len(reasons) >= MAX_REASONS_REPORTED:
            reason = "further reasons"
        reasons[reason] += count

    def skip(self, step: int, reason: str) -> None:
        """Note why a check was not asked for."""
        self._skipped[step] = reason

    def verdict(
        self,
        subject: LogSubject | BundleSubject,
        steps: tuple[Step, ...] = LEDGER_STEPS,
        asked: tuple[Step, ...] = (),
    ) -> Verdict:
        """The checks as they stand; failures in the order of the checks, then of their finding.

        Requires: `steps` are the first ones, in order.
        """
        return Verdict(
            subject=subject,
            checks=tuple(self._check(step) for step in steps),
            failures=tuple(sorted(self._failures, key=lambda failure: failure.step)),
            failures_found=self.failures_found,
            asked=asked,
        )

    def _check(self, step: Step) -> Check:
        uncovered, skipped = self._uncovered[step], self._skipped[step]
        reasons = [Reason(text=text, count=count) for text, count in uncovered.items()]
        if self._failed[step]:
            status = Status.FAIL
        elif self.held[step]:
            status = Status.PASS
        elif skipped is not None:
            status = Status.SKIPPED
        else:
            status = Status.NOT_COVERED
        if skipped is not None:
            reasons.insert(0, Reason(text=skipped, count=0))
        elif status is Status.NOT_COVERED and not reasons:
            reasons.append(Reason(text="there was nothing to check", count=0))
        return Check(
            number=int(step),
            name=STEP_ERRORS[step - 1].NAME,
            status=status,
            held=self.held[step],
            failed=self._failed[step],
            not_covered=sum(uncovered.values()),
            reasons=tuple(reasons),
        )
