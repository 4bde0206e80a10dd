"""The same writer on the real contract, run by an EVM: what the synthetic log says of the contract is then not taken on trust."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tallystick.binding import record_request_hash
from tallystick.hashing import keccak256
from tallystick.ids import LogId
from tallystick.keys import AuditorKey, EpochKey, Wallet, wrap_epoch_key
from tallystick.receipts.messages import AdmissionReceipt, Domain, Receipt
from tallystick.receipts.signed import SignedAdmission, SignedReceipt
from tallystick.record import Record, Request
from tallystick.sealing import SealedRecord, seal
from tests.support.chains import PROMISE_S, SKEW_S, DeployedLedger, deployed_ledger
from tests.support.synthetic_log import AUDITOR, synthetic_record

US = 1_000_000
SUCCESSOR = Wallet(b"\x07" * 32)
"""Who may be named as the next writer; it has what its transactions cost."""


class OnContract:
    """A log on the real contract and its writer."""

    def __init__(self, ledger: DeployedLedger) -> None:
        self.ledger = ledger
        self.domain = Domain(chain_id=ledger.chain_id, contract=ledger.contract)
        self.epoch_key: EpochKey | None = None
        self._drawn = 0

    @property
    def log_id(self) -> LogId:
        """The log's identifier."""
        return self.ledger.log_id

    def open_epoch(self, auditors: Sequence[AuditorKey] = (AUDITOR,), *, wraps: Sequence[bytes] | None = None) -> None:
        """Open the next epoch, with its key wrapped for these auditors, or with other bytes in the wraps' place."""
        epoch = 1 if self.epoch_key is None else self.epoch_key.epoch + 1
        self.epoch_key = EpochKey(self.log_id, epoch, keccak256(b"epoch" + bytes([epoch])))
        if wraps is None:
            wraps = [wrap_epoch_key(self.epoch_key, auditor.public) for auditor in auditors]
        self.ledger.open_epoch(epoch, wraps)

    def request(self, number: int) -> Record:
        """The record of a request that was admitted a moment ago."""
        return synthetic_record(number, admitted_us=int(self.ledger.clock.now_s) * US)

    def append(self, records: Sequence[Record]) -> list[SealedRecord]:
        """Seal records and append them as one batch."""
        assert self.epoch_key is not None
        size = self.ledger.reader.log_state().size
        sealed = [
            seal(record, epoch_key=self.epoch_key, index=size + n, random=self._random)
            for n, record in enumerate(records)
        ]
        self.ledger.append([(one.fields_root, one.sealed) for one in sealed])
        return sealed

    def pass_the_promise(self) -> None:
        """Let so much time pass that everything which was promised is due; the next epoch makes the block."""
        self.ledger.clock.now_s += PROMISE_S + SKEW_S + 60
        self.open_epoch()

    def receipt(self, record: Record, sealed: SealedRecord) -> SignedReceipt:
        """The receipt that the writer gives for a record."""
        issued_at = record.time.finished_at // US
        receipt = Receipt(
            log_id=self.log_id,
            index=sealed.index,
            admission_seq=record.admission_seq,
            leaf=sealed.leaf,
            request_hash=sealed.request_hash,
            response_hash=sealed.response_hash,
            sender=record.sender.address,
            issued_at=issued_at,
            anchor_by=record.time.admitted_at // US + PROMISE_S,
        )
        return SignedReceipt.sign(self.ledger.wallet, self.domain, receipt)

    def admission(self, record: Record) -> SignedAdmission:
        """The admission that the writer gave for a record."""
        assert isinstance(record.request, Request)
        admitted_at = record.time.admitted_at // US
        admission = AdmissionReceipt(
            log_id=self.log_id,
            admission_seq=record.admission_seq,
            sender_seq=record.sender_seq,
            request_hash=record_request_hash(record.http, record.request),
            sender=record.sender.address,
            admitted_at=admitted_at,
            record_by=admitted_at + PROMISE_S,
        )
        return SignedAdmission.sign(self.ledger.wallet, self.domain, admission)

    def _random(self, count: int) -> bytes:
        self._drawn += 1
        return keccak256(b"random" + self._drawn.to_bytes(8, "big"))[:count]


@contextmanager
def on_contract() -> Iterator[OnContract]:
    """A log on the contract with one epoch and two honest records."""
    with deployed_ledger(wraps=(), prefund=[SUCCESSOR.address]) as ledger:
        log = OnContract(ledger)
        log.open_epoch()
        log.append([log.request(1), log.request(2)])
        yield log
