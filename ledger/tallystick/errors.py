"""Every error of the ledger: one root, typed fields, the message built inside."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class TallystickError(Exception):
    """The root of everything that this package raises on purpose."""


class _ForAReason(TallystickError):
    """An error that says its reason and no more."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class IdError(TallystickError):
    """A text is not the identifier, hash or address that it should be."""

    def __init__(self, what: str, text: str, reason: str) -> None:
        super().__init__(f"{what} {_shortened(text)!r}: {reason}")
        self.what = what
        self.text = text
        self.reason = reason


class JsonError(TallystickError):
    """Bytes are not JSON that can be read in one way only.

    `kind` is `size`, `utf8`, `depth`, `syntax` or `duplicate`; a duplicate names its `member`. `line` and `column` count from 1.
    """

    def __init__(
        self, kind: str, reason: str, *, line: int | None = None, column: int | None = None, member: str | None = None
    ) -> None:
        super().__init__(reason if line is None else f"{reason} (line {line}, column {column})")
        self.kind = kind
        self.reason = reason
        self.line = line
        self.column = column
        self.member = member


class RecordError(TallystickError):
    """A field of a record has the wrong type, or is beyond its bound."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"record field {field}: {reason}")
        self.field = field
        self.reason = reason


class EncodingError(TallystickError):
    """Bytes are not the one canonical encoding of anything.

    `offset` is the first byte that differs, where one is known.
    """

    def __init__(self, reason: str, *, offset: int | None = None) -> None:
        super().__init__(reason if offset is None else f"{reason} (at byte {offset})")
        self.reason = reason
        self.offset = offset


class MerkleError(_ForAReason):
    """A tree, path or position that cannot exist."""


class SignatureError(_ForAReason):
    """Bytes are not a strict signature, or not the signature of who is named."""


class KeyFileError(TallystickError):
    """A key file cannot be used, or must not be."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"key file {path}: {reason}")
        self.path = path
        self.reason = reason


class KeyFormatError(TallystickError, ValueError):
    """A text or bytes are not the key that they should be. It never shows them."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.what = what
        self.reason = reason


class OpenError(_ForAReason):
    """A sealed record, blob or epoch wrap does not open."""


class DisclosureError(TallystickError):
    """A disclosed field does not belong to the record that it claims."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"disclosed field {field}: {reason}")
        self.field = field
        self.reason = reason


class ReceiptFormatError(TallystickError):
    """A receipt's JSON does not have the layout of a receipt."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"receipt {field}: {reason}")
        self.field = field
        self.reason = reason


class RequestError(TallystickError):
    """A request cannot be read as its reader says; `param` names the part at fault, empty for the whole."""

    def __init__(self, param: str, reason: str) -> None:
        super().__init__(f"request {_shortened(param)}: {reason}" if param else f"request: {reason}")
        self.param = param
        self.reason = reason


class AnswerError(TallystickError):
    """What a client kept of an answer cannot be read as one; `part` names what is at fault."""

    def __init__(self, part: str, reason: str) -> None:
        super().__init__(f"answer {_shortened(part)}: {reason}")
        self.part = part
        self.reason = reason


class EvidenceFileError(_ForAReason):
    """A file is none of the things that can be verified. It accuses nobody."""


class TrustError(TallystickError):
    """The file of trusted logs cannot be used, or does not hold what was asked for; `name` is the entry, where there is one."""

    def __init__(self, path: str, reason: str, *, name: str | None = None) -> None:
        entry = "" if name is None else f", log {_shortened(name if name.isprintable() else ascii(name))}"
        super().__init__(f"trust file {path}{entry}: {reason}")
        self.path = path
        self.reason = reason
        self.name = name


class BundleError(TallystickError):
    """An evidence bundle is malformed, or contradicts itself.

    `path` names the member, such as `evidence.anchor.path[3]`.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"bundle {path}: {reason}")
        self.path = path
        self.reason = reason


class ManifestError(TallystickError):
    """A model folder, or the list of its files, has no digest: `path` names the file at fault, where there is one."""

    def __init__(self, path: str, reason: str) -> None:
        shown = _shortened(path if path.isprintable() else ascii(path))
        super().__init__(f"manifest, {shown}: {reason}" if path else f"manifest: {reason}")
        self.path = path
        self.reason = reason


class PullError(TallystickError):
    """An export was not fetched. What has come stays where it is: the same command goes on from there."""


class PullUnavailable(PullError):
    """The server could not be reached, or broke off too often."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url}: {reason}")
        self.url = url
        self.reason = reason


class PullRefused(PullError):
    """The server answered, and does not give what was asked; `status` is 0 where its answer is not one of an export."""

    def __init__(self, url: str, status: int, reason: str) -> None:
        super().__init__(f"{url}: " + (f"HTTP {status}: {reason}" if status else reason))
        self.url = url
        self.status = status
        self.reason = reason


class PullBlocked(PullError):
    """This machine stands in the way: no room, a folder that is in use or holds something else."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class PredictError(TallystickError):
    """A model was asked and did not answer; `status` is the HTTP status, 0 where there was none."""

    def __init__(self, url: str, status: int, reason: str) -> None:
        super().__init__(f"{url}: " + (f"HTTP {status}: {reason}" if status else reason))
        self.status = status
        self.reason = reason


class ChainError(TallystickError):
    """The chain node did not give what was asked."""


class ChainUnavailable(ChainError):
    """No answer from the node: the outcome is unknown."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"chain node {url}: {reason}")
        self.url = url
        self.reason = reason


class ChainRejected(ChainError):
    """The node answered, and refused; `data` holds the contract's revert bytes, if any."""

    def __init__(self, code: int, message: str, data: bytes = b"") -> None:
        refused = f"chain node refused ({code})" if code else "chain node"
        super().__init__(f"{refused}: {message}" + (f" 0x{data.hex()}" if data else ""))
        self.code = code
        self.message = message
        self.data = data


class Party(StrEnum):
    """Who contradicted himself, where a check did not hold."""

    WRITER = "the log's writer"
    MAKER = "the file's maker"
    """Whoever made a bundle, or changed it since: its signer, or somebody it passed through."""
    ANSWERER = "whoever sent this answer, or changed it since"
    """A saved answer does not fit the receipt that came with it. Whoever saved it himself knows which of the two it was."""
    SIGNER = "the receipt's signer"
    FOLDER = "the model folder"
    NODE = "the chain node"
    """A node is nobody's witness against others: what it says is checked against signatures and hashes, and where it contradicts
    these or itself, nothing was learned about the log."""


class VerificationError(TallystickError):
    """One numbered check did not hold.

    `where` names the record, batch or field; `expected` and `found` are what was derived and what stands there; `accused` is who
    contradicted himself. `signed` is true where the accused party's own signatures prove it, whatever a node says; `timed` where it rests
    on block times, or on nothing newer being there: nobody signs these, and a node can lie about them.
    """

    def __init__(
        self,
        step: int,
        name: str,
        where: str,
        expected: str,
        found: str,
        accused: Party,
        *,
        signed: bool = False,
        timed: bool = False,
    ) -> None:
        super().__init__(f"check {step} {name}: {where}: expected {expected}, found {found}")
        self.step = step
        self.name = name
        self.where = where
        self.expected = expected
        self.found = found
        self.accused = accused
        self.signed = signed
        self.timed = timed


class _StepError(VerificationError):
    """A verification error that knows its own step, and who is to blame unless it is said otherwise."""

    STEP: ClassVar[int]
    NAME: ClassVar[str]
    ACCUSED: ClassVar[Party]

    def __init_subclass__(cls, *, step: int, name: str, accused: Party = Party.WRITER) -> None:
        cls.STEP, cls.NAME, cls.ACCUSED = step, name, accused

    def __init__(
        self,
        where: str,
        expected: str,
        found: str,
        accused: Party | None = None,
        *,
        signed: bool = False,
        timed: bool = False,
    ) -> None:
        accused = accused or self.ACCUSED
        super().__init__(self.STEP, self.NAME, where, expected, found, accused, signed=signed, timed=timed)


class ContractCodeError(_StepError, step=1, name="contract-code", accused=Party.NODE):
    """Check 1: the code at the address is not the published contract."""


class IndexContinuityError(_StepError, step=2, name="index-continuity", accused=Party.NODE):
    """Check 2: an entry or index is missing, repeated or out of order."""


class LeavesError(_StepError, step=3, name="leaves", accused=Party.NODE):
    """Check 3: a leaf does not follow from its record."""


class RootsError(_StepError, step=4, name="roots", accused=Party.NODE):
    """Check 4: a batch root does not follow from its leaves."""


class HeadsError(_StepError, step=5, name="heads", accused=Party.NODE):
    """Check 5: a head does not follow from the head before it."""


class AuthorshipError(_StepError, step=6, name="authorship", accused=Party.NODE):
    """Check 6: an entry is not signed by who may make it."""


class CompletenessError(_StepError, step=7, name="completeness"):
    """Check 7: an admission number is missing, came twice, or came too late."""


class ReceiptsError(_StepError, step=8, name="receipts"):
    """Check 8: what the writer signed contradicts the log, the log's terms, or something else that it signed."""


class DecryptionError(_StepError, step=9, name="decryption"):
    """Check 9: a sealed record or a blob does not open with the key of its epoch."""


class CanonicalEncodingError(_StepError, step=10, name="canonical-encoding"):
    """Check 10: an opened record is not canonically encoded."""


class FieldCommitmentsError(_StepError, step=11, name="field-commitments"):
    """Check 11: an opened record does not give the fields root in its leaf."""


class RequestBindingError(_StepError, step=12, name="request-binding"):
    """Check 12: a record's prompt, instructions or parameters are not those of its request, or its header is not its own."""


class ResponseBindingError(_StepError, step=13, name="response-binding"):
    """Check 13: a record's response is not the one that was promised, or contradicts its state."""


class SequencesError(_StepError, step=14, name="sequences"):
    """Check 14: a sender's numbers have a hole or a repetition, a record id came twice, or accepted work did not end."""


class TimesError(_StepError, step=15, name="times"):
    """Check 15: a record's times contradict each other, the block's, or other records' on the same device."""


class PriceArithmeticError(_StepError, step=16, name="price-arithmetic"):
    """Check 16: a charge does not follow from its basis."""


class SenderProofError(_StepError, step=17, name="sender-proof"):
    """Check 17: the sender did not sign what the record says."""


class ModelDigestError(_StepError, step=18, name="model-digest", accused=Party.FOLDER):
    """Check 18: the files of a model folder are not those that the record names."""


class ReplayError(_StepError, step=19, name="replay"):
    """Check 19: the model computes another answer from the record's prompt and parameters."""


def _shortened(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
