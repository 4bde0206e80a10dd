"""The sealer of the service: epoch keys from files, wraps for the auditors, receipts by the operator's wallet."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tallystick.ids import Epoch, Index, LogId
from tallystick.keys import KEY_ID_BYTES, AuditorPublicKey, EpochKey, Wallet, hkdf_expand, wrap_epoch_key
from tallystick.receipts.messages import AdmissionReceipt, Domain, Receipt
from tallystick.receipts.signed import SignedAdmission, SignedReceipt
from tallystick.record import Record
from tallystick.sealing import SealedRecord, seal
from tallystick_platform.errors import DraftUnreadable, EpochKeyMissing
from tallystick_platform.store.epoch_keys import EpochKeyFiles

DRAFT_INFO = b"tallystick/v2/draft"
DRAFT_NONCE_BYTES = 12
US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochPlan:
    """An epoch as the journal's row has it, or will have it. Units: opened_at in microseconds UTC."""

    number: Epoch
    first_index: Index
    wraps: tuple[bytes, ...]
    opened_at: int
    closed: bool = False


class Sealer:
    """Seals for one log. `random(n)` gives n unpredictable bytes. Used by the journal's writer alone."""

    def __init__(
        self,
        *,
        wallet: Wallet,
        domain: Domain,
        log_id: LogId,
        auditors: Sequence[AuditorPublicKey],
        keys_dir: Path,
        epoch_seconds: int,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._wallet = wallet
        self._auditors = tuple(auditors)
        self._auditor_ids = {auditor.key_id for auditor in auditors}
        self.epoch_keys = EpochKeyFiles(keys_dir, log_id)
        self._epoch_us = epoch_seconds * US_PER_S
        self._random = random
        self._last: EpochPlan | None = None
        self._key: EpochKey | None = None
        self._drafts: dict[Epoch, AESGCM] = {}
        self.domain = domain
        self.log_id = log_id

    @property
    def epoch(self) -> Epoch:
        """The epoch adopted last."""
        return Epoch(0) if self._last is None else self._last.number

    def epoch_open(self) -> bool:
        """Whether an epoch was adopted or resumed and is not closed."""
        return self._last is not None and not self._last.closed

    def resume(self, epoch: EpochPlan | None) -> None:
        """Take up where the journal's last epoch row stands; None for a new journal. Repeatable."""
        self._last = epoch
        self._key = None if epoch is None or epoch.closed else self.epoch_keys.load(epoch.number)

    def epoch_due(self, now_us: int) -> bool:
        """Whether another epoch must be adopted: none is open, its key is lost, its time is over, or the auditors changed."""
        if self._last is None or self._key is None or now_us - self._last.opened_at >= self._epoch_us:
            return True
        return {wrap[:KEY_ID_BYTES] for wrap in self._last.wraps} != self._auditor_ids

    def plan_epoch(self, next_index: Index, now_us: int) -> EpochPlan:
        """Make the next epoch's key durable and wrap it for every auditor.

        Planned again after a failure, it is the same epoch with the same key, wrapped afresh.

        Raises: KeyFileError
        """
        key = self.epoch_keys.create(Epoch(self.epoch + 1))
        wraps = tuple(wrap_epoch_key(key, auditor) for auditor in self._auditors)
        return EpochPlan(number=Epoch(key.epoch), first_index=next_index, wraps=wraps, opened_at=now_us)

    def adopt_epoch(self, epoch: EpochPlan) -> None:
        """Seal under this epoch from now on. The journal has its row."""
        self.resume(epoch)

    def forget_before(self, epoch: Epoch) -> None:
        """Drop the keys of all earlier epochs, from memory and from disk.

        Raises: KeyFileError
        """
        for held in self.epoch_keys.held():
            if held < epoch:
                self.epoch_keys.erase(held)
        self._drafts = {held: cipher for held, cipher in self._drafts.items() if held >= epoch}

    def seal(self, record: Record, index: Index) -> SealedRecord:
        """Seal a terminal record under the open epoch.

        Raises: RecordError, EncodingError, EpochKeyMissing
        """
        if self._key is None:
            raise EpochKeyMissing(epoch=self.epoch)
        return seal(record, epoch_key=self._key, index=index, random=self._random)

    def protect_draft(self, admission_seq: int, data: bytes) -> bytes:
        """Encrypt a draft under a key of the open epoch.

        The nonce is random: after a failed commit the same number may go to another draft, and a counter would meet it twice.
        """
        nonce = self._random(DRAFT_NONCE_BYTES)
        return nonce + self._draft_cipher(self.epoch).encrypt(nonce, data, _associated(self.epoch, admission_seq))

    def reveal_draft(self, epoch: Epoch, admission_seq: int, data: bytes) -> bytes:
        """Open what `protect_draft` made.

        Raises: EpochKeyMissing, DraftUnreadable
        """
        cipher = self._draft_cipher(epoch)
        nonce, ciphertext = data[:DRAFT_NONCE_BYTES], data[DRAFT_NONCE_BYTES:]
        try:
            return cipher.decrypt(nonce, ciphertext, _associated(epoch, admission_seq))
        except (InvalidTag, ValueError) as error:
            raise DraftUnreadable(admission_seq=admission_seq, reason="it does not decrypt") from error

    def sign_receipt(self, receipt: Receipt) -> SignedReceipt:
        """Sign as the log's writer."""
        return SignedReceipt.sign(self._wallet, self.domain, receipt)

    def sign_admission(self, admission: AdmissionReceipt) -> SignedAdmission:
        """Sign as the log's writer."""
        return SignedAdmission.sign(self._wallet, self.domain, admission)

    def _draft_cipher(self, epoch: Epoch) -> AESGCM:
        cipher = self._drafts.get(epoch)
        if cipher is None:
            key = self._key if self._key is not None and epoch == self.epoch else self.epoch_keys.load(epoch)
            if key is None:
                raise EpochKeyMissing(epoch=epoch)
            cipher = self._drafts[epoch] = AESGCM(hkdf_expand(key.secret, DRAFT_INFO + self.log_id))
        return cipher


def _associated(epoch: Epoch, admission_seq: int) -> bytes:
    return epoch.to_bytes(4, "big") + admission_seq.to_bytes(8, "big")
