"""The verifier against the contract itself, on the embedded chain: what it derives is what the contract keeps."""

from dataclasses import replace

from tallystick.hashing import keccak256
from tallystick.keys import EpochKey, Wallet, wrap_epoch_key
from tallystick.sealing import seal
from tallystick.verify.one_record import find_record
from tallystick.verify.verdict import Outcome, Step
from tallystick.verify.whole_log import VerifyOptions, verify_log
from tests.support.chains import START_S, deployed_ledger
from tests.support.synthetic_log import ALICE, AUDITOR, synthetic_record

NEW_WRITER = Wallet(b"\x0b" * 32)


class Writer:
    """Writes records to a ledger on the chain as a service would."""

    def __init__(self, ledger):
        self.ledger = ledger
        self.number = self.sender_seq = self.size = 0
        self.epoch_key = None

    def open_epoch(self, epoch):
        self.epoch_key = EpochKey(self.ledger.log_id, epoch, keccak256(b"epoch" + bytes([epoch])))
        self.ledger.open_epoch(epoch, [wrap_epoch_key(self.epoch_key, AUDITOR.public)])

    def append(self, count, **changes):
        sealed = [seal(self.record(**changes), epoch_key=self.epoch_key, index=self.size + n, random=keccak_of)
                  for n in range(count)]  # fmt: skip
        self.ledger.append([(one.fields_root, one.sealed) for one in sealed])
        self.size += count

    def record(self, **changes):
        self.number, self.sender_seq = self.number + 1, self.sender_seq + 1
        admitted_us = int(self.ledger.clock.now_s * 1_000_000)
        record = synthetic_record(self.number, sender=ALICE, sender_seq=self.sender_seq, admitted_us=admitted_us)
        return replace(record, **changes)

    def void(self, first, last):
        self.ledger.void(first, last)
        self.number = self.sender_seq = last


def keccak_of(count):
    return keccak256(b"random")[:count]


def grown(ledger):
    writer = Writer(ledger)
    writer.open_epoch(1)
    writer.append(3)
    writer.append(1)
    ledger.rotate(NEW_WRITER, 4)
    writer.open_epoch(2)
    writer.append(5)
    writer.void(10, 12)
    writer.append(2)
    return writer


def test_a_log_that_the_contract_took_is_proven_and_every_record_found():
    with deployed_ledger(wraps=(), now_s=START_S, prefund=[NEW_WRITER.address]) as ledger:
        writer = grown(ledger)
        verdict = verify_log(ledger.reader, VerifyOptions(auditor_keys=[AUDITOR]))
        assert verdict.failures == ()
        assert verdict.outcome is Outcome.PROVEN
        assert (verdict.check(Step.DECRYPTION).held, verdict.check(Step.AUTHORSHIP).held) == (11, 2)
        assert verdict.subject.voided == 3
        assert verify_log(ledger.reader, VerifyOptions()).outcome is Outcome.PROVEN
        for index in (0, 4, writer.size - 1):
            assert find_record(ledger.reader, index, [AUDITOR]).opened.index == index


def test_a_lie_that_the_contract_took_is_the_writers():
    with deployed_ledger(wraps=(), now_s=START_S, prefund=[NEW_WRITER.address]) as ledger:
        writer = grown(ledger)
        writer.append(1, prompt={"messages": []})
        verdict = verify_log(ledger.reader, VerifyOptions(auditor_keys=[AUDITOR]))
        assert verdict.outcome is Outcome.WRONG
        assert [failure.name for failure in verdict.failures] == ["request-binding"]
