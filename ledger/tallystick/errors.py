"""Every error of the ledger: one root, typed fields, the message built inside."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class TallystickError(Exception):
    """The root of everything that this package raises on purpose."""


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


class MerkleError(TallystickError):
    """A tree, path or position that cannot exist."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SignatureError(TallystickError):
    """Bytes are not a strict signature, or not the signature of who is named."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


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


class OpenError(TallystickError):
    """A sealed record, blob or epoch wrap does not open."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


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


class EvidenceFileError(TallystickError):
    """A file is none of the things that can be verified. It accuses nobody."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


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
    ACCUSED: ClassVar[Party] = Party.WRITER

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


class ContractCodeError(_StepError):
    """Check 1: the code at the address is not the published contract."""

    STEP, NAME = 1, "contract-code"
    ACCUSED = Party.NODE


class IndexContinuityError(_StepError):
    """Check 2: an entry or index is missing, repeated or out of order."""

    STEP, NAME = 2, "index-continuity"
    ACCUSED = Party.NODE


class LeavesError(_StepError):
    """Check 3: a leaf does not follow from its record."""

    STEP, NAME = 3, "leaves"
    ACCUSED = Party.NODE


class RootsError(_StepError):
    """Check 4: a batch root does not follow from its leaves."""

    STEP, NAME = 4, "roots"
    ACCUSED = Party.NODE


class HeadsError(_StepError):
    """Check 5: a head does not follow from the head before it."""

    STEP, NAME = 5, "heads"
    ACCUSED = Party.NODE


class AuthorshipError(_StepError):
    """Check 6: an entry is not signed by who may make it."""

    STEP, NAME = 6, "authorship"
    ACCUSED = Party.NODE


class CompletenessError(_StepError):
    """Check 7: an admission number is missing, came twice, or came too late."""

    STEP, NAME = 7, "completeness"


class ReceiptsError(_StepError):
    """Check 8: what the writer signed contradicts the log, the log's terms, or something else that it signed."""

    STEP, NAME = 8, "receipts"


class DecryptionError(_StepError):
    """Check 9: a sealed record or a blob does not open with the key of its epoch."""

    STEP, NAME = 9, "decryption"


class CanonicalEncodingError(_StepError):
    """Check 10: an opened record is not canonically encoded."""

    STEP, NAME = 10, "canonical-encoding"


class FieldCommitmentsError(_StepError):
    """Check 11: an opened record does not give the fields root in its leaf."""

    STEP, NAME = 11, "field-commitments"


class RequestBindingError(_StepError):
    """Check 12: a record's prompt, instructions or parameters are not those of its request, or its header is not its own."""

    STEP, NAME = 12, "request-binding"


class ResponseBindingError(_StepError):
    """Check 13: a record's response is not the one that was promised, or contradicts its state."""

    STEP, NAME = 13, "response-binding"


class SequencesError(_StepError):
    """Check 14: a sender's numbers have a hole or a repetition, a record id came twice, or accepted work did not end."""

    STEP, NAME = 14, "sequences"


class TimesError(_StepError):
    """Check 15: a record's times contradict each other, the block's, or other records' on the same device."""

    STEP, NAME = 15, "times"


class PriceArithmeticError(_StepError):
    """Check 16: a charge does not follow from its basis."""

    STEP, NAME = 16, "price-arithmetic"


class SenderProofError(_StepError):
    """Check 17: the sender did not sign what the record says."""

    STEP, NAME = 17, "sender-proof"


class ModelDigestError(_StepError):
    """Check 18: the files of a model folder are not those that the record names."""

    STEP, NAME = 18, "model-digest"
    ACCUSED = Party.FOLDER


class ReplayError(_StepError):
    """Check 19: the model computes another answer from the record's prompt and parameters."""

    STEP, NAME = 19, "replay"


def _shortened(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
