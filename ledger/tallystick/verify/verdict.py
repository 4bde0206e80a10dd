"""What a verification says: numbered checks, each with what was really computed, and what that proves about whom."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

from tallystick.errors import Party, VerificationError
from tallystick.ids import Address, Head, LogId


class Step(IntEnum):
    """The numbered checks by name; each has its error in `errors`, which says the same number and name."""

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

    @property
    def title(self) -> str:
        """Its name as it is shown: `contract-code`."""
        return self.name.lower().replace("_", "-")


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

    count: int
    text: str
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
class Exported:
    """What an export's record says: the record at `index` lists files of this digest, made from the model of the digest `source`."""

    index: int
    source: bytes
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleSubject:
    """Which record's evidence was checked, and against which chain state; `head_block` is None offline.

    `model_digest` is that of the folder that was held against the record, None where none was; `exported` what an export's record says
    of its files. `vouched` says who said whose log
    it is, None where nobody did. `kind` is `bundle`, or `receipt`, `admission`, `head`, `erasure` for what was signed alone.
    """

    kind: str = "bundle"
    chain_id: int
    contract: Address
    log_id: LogId
    index: int | None
    signer: Address | None
    vouched: str | None
    opened: bool
    disclosed: tuple[str, ...]
    head_block: BlockRef | None
    model_digest: bytes | None = None
    exported: Exported | None = None


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
