"""What a verification says: numbered checks, each with what was really computed, and what that proves about whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

from tallystick import errors
from tallystick.errors import Party, VerificationError
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
    errors.AuthorshipError,
    errors.CompletenessError,
    errors.ReceiptsError,
    errors.DecryptionError,
    errors.CanonicalEncodingError,
    errors.FieldCommitmentsError,
    errors.RequestBindingError,
    errors.ResponseBindingError,
    errors.SequencesError,
    errors.TimesError,
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
    AUTHORSHIP = 6
    COMPLETENESS = 7
    RECEIPTS = 8
    DECRYPTION = 9
    CANONICAL_ENCODING = 10
    FIELD_COMMITMENTS = 11
    REQUEST_BINDING = 12
    RESPONSE_BINDING = 13
    SEQUENCES = 14
    TIMES = 15
    PRICE_ARITHMETIC = 16
    SENDER_PROOF = 17
    MODEL_DIGEST = 18
    REPLAY = 19


LEDGER_STEPS: Final = tuple(step for step in Step if step <= Step.SENDER_PROOF)
"""What a log or a bundle says by itself; the other checks are made where a model folder is held against a record."""
CONTENT_STEPS: Final = tuple(step for step in LEDGER_STEPS if step >= Step.DECRYPTION)
"""What needs an opened record."""


class Status(StrEnum):
    """How one check reads."""

    PASS = "pass"  # noqa: S105 - the word, not a password
    FAIL = "fail"
    IN_PART = "in part"
    """What could be computed holds; something that was asked for could not be."""
    NOT_COVERED = "not covered"
    SKIPPED = "skipped"
    """Not asked for."""


class Outcome(StrEnum):
    """How the whole verification reads."""

    PROVEN = "proven"
    WRONG = "proven wrong"
    UNCHECKED = "could not check"

    @property
    def exit_code(self) -> int:
        """The exit code of a command that ends so: grep's convention."""
        return (Outcome.PROVEN, Outcome.WRONG, Outcome.UNCHECKED).index(self)


class Gap(NamedTuple):
    """Why something that was asked for could not be computed, and what would make it possible."""

    text: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why something was not computed, and for how many items; 0 where it was not for items that were counted.

    `blocks` where it was asked for: then nothing counts as proven, and `remedy` says what would make it possible.
    """

    text: str
    count: int
    blocks: bool
    remedy: str | None = None


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

    @property
    def blocks(self) -> bool:
        """Whether something that was asked of this check could not be computed."""
        return any(reason.blocks for reason in self.reasons)


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

    `opened_from` and `opened_to` are the record indices that were asked to be opened, both included; `entries` and `head` are
    where the log stands, and `writers` all that it had, in order. `age_s` is how old the block was when it was read.
    """

    chain_id: int
    contract: Address
    code_hash: bytes | None
    log_id: LogId
    writer: Address | None
    writers: tuple[Address, ...]
    keeper: Address | None
    promise_s: int
    size: int
    entries: int
    head: Head | None
    batch_count: int
    voided: int
    erased: int
    first_block: int
    head_block: BlockRef
    age_s: int
    opened_from: int
    opened_to: int | None
    auditor_key_ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleSubject:
    """Which record's evidence was checked, and against which chain state; `head_block` is None offline.

    `model_digest` is that of the folder that was held against the record, None where none was. `vouched` says who said whose log
    it is, None where nobody did. `kind` is `bundle`, or `receipt`, `admission`, `head`, `erasure` for what was signed alone.
    """

    kind: str = "bundle"
    chain_id: int
    contract: Address
    log_id: LogId
    index: int | None
    signer: Address | None
    vouched: str | None
    disclosed: tuple[str, ...]
    opened: bool
    head_block: BlockRef | None
    model_digest: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The result of one verification: who checked what against what, and how each check reads.

    `proven_found` are the failures, by the party, that prove that it contradicted itself; of the others among the failures,
    nothing is known but that the evidence does not fit.
    """

    subject: LogSubject | BundleSubject
    checks: tuple[Check, ...]
    failures: tuple[VerificationError, ...]
    failures_found: int
    proven_found: tuple[tuple[Party, int], ...]
    rests_on_times: bool = False
    """Whether all of the proof rests on block times, or on nothing newer being there: one node shows these, and nobody signs them."""

    @property
    def outcome(self) -> Outcome:
        """Wrong if somebody is proven to have contradicted himself; proven only if all that was asked for was computed and holds."""
        if self.proven_found:
            return Outcome.WRONG
        if self.failures_found or any(check.blocks for check in self.checks):
            return Outcome.UNCHECKED
        return Outcome.PROVEN if any(check.held for check in self.checks) else Outcome.UNCHECKED

    @property
    def accused(self) -> tuple[Party, ...]:
        """Who is proven to have contradicted himself."""
        return tuple(party for party, _ in self.proven_found)

    def check(self, step: int) -> Check:
        """The check of that number."""
        return self.checks[step - 1]


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
        steps = len(STEP_ERRORS) + 1  # position 0 is not used
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
            name=STEP_ERRORS[step - 1].NAME,
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
