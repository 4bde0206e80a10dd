"""Every error of the ledger: one root, typed fields, the message built inside."""

from __future__ import annotations

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
        super().__init__(f"chain node refused ({code}): {message}" + (f" 0x{data.hex()}" if data else ""))
        self.code = code
        self.message = message
        self.data = data


class VerificationError(TallystickError):
    """One numbered check found something proven wrong.

    `where` names the record, batch or field; `expected` and `found` are what was derived and what stands there.
    """

    def __init__(self, step: int, name: str, where: str, expected: str, found: str) -> None:
        super().__init__(f"check {step} {name}: {where}: expected {expected}, found {found}")
        self.step = step
        self.name = name
        self.where = where
        self.expected = expected
        self.found = found


class _StepError(VerificationError):
    """A verification error that knows its own step."""

    STEP: ClassVar[int]
    NAME: ClassVar[str]

    def __init__(self, where: str, expected: str, found: str) -> None:
        super().__init__(self.STEP, self.NAME, where, expected, found)


class ContractCodeError(_StepError):
    """Check 1: the code at the address is not the published contract."""

    STEP, NAME = 1, "contract-code"


class IndexContinuityError(_StepError):
    """Check 2: an index is missing, repeated or out of order."""

    STEP, NAME = 2, "index-continuity"


class LeavesError(_StepError):
    """Check 3: a leaf does not follow from its record."""

    STEP, NAME = 3, "leaves"


class RootsError(_StepError):
    """Check 4: a batch root does not follow from its leaves."""

    STEP, NAME = 4, "roots"


class HeadsError(_StepError):
    """Check 5: a head does not follow from the head before it."""

    STEP, NAME = 5, "heads"


class ReceiptsError(_StepError):
    """Check 6: a signed receipt contradicts the chain."""

    STEP, NAME = 6, "receipts"


class DecryptionError(_StepError):
    """Check 7: a sealed record does not open with the key of its epoch."""

    STEP, NAME = 7, "decryption"


class CanonicalEncodingError(_StepError):
    """Check 8: an opened record is not canonically encoded."""

    STEP, NAME = 8, "canonical-encoding"


class FieldCommitmentsError(_StepError):
    """Check 9: an opened record does not give the fields root in its leaf."""

    STEP, NAME = 9, "field-commitments"


class SequenceCompletenessError(_StepError):
    """Check 10: a sender's or the log's sequence has a hole or a repetition."""

    STEP, NAME = 10, "sequence-completeness"


class TimeOrderError(_StepError):
    """Check 11: a record's times contradict each other or the block's."""

    STEP, NAME = 11, "time-order"


class PriceArithmeticError(_StepError):
    """Check 12: a charge does not follow from price and device time."""

    STEP, NAME = 12, "price-arithmetic"


class SenderProofError(_StepError):
    """Check 13: the sender did not sign what the record says."""

    STEP, NAME = 13, "sender-proof"


class ModelDigestError(_StepError):
    """Check 14: the files of a model folder are not those that the record names."""

    STEP, NAME = 14, "model-digest"


class ReplayError(_StepError):
    """Check 15: the model computes another answer from the record's prompt and parameters."""

    STEP, NAME = 15, "replay"


def _shortened(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
