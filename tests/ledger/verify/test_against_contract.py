"""The verifier against the compiled contract on the embedded chain: no event or state here was written by a test."""

from dataclasses import replace

from tallystick.keys import EpochKey, wrap_epoch_key
from tallystick.sealing import seal
from tallystick.verify import Outcome, Status, Step, VerifyOptions, find_record, verify_log
from tallystick.verify.verdict import LEDGER_STEPS
from tests.support.chains import START_S, deployed_ledger
from tests.support.synthetic_log import AUDITOR, synthetic_record


def test_what_the_contract_wrote_is_proven_record_by_record():
    with deployed_ledger(wraps=()) as ledger:
        index = 0
        for epoch in (1, 2):
            key = EpochKey(ledger.log_id, epoch, bytes([epoch]) * 32)
            ledger.open_epoch(epoch, [wrap_epoch_key(key, AUDITOR.public)])
            for count in (3, 2):
                admitted_us = START_S * 1_000_000 + index
                records = [synthetic_record(index + n + 1, admitted_us=admitted_us) for n in range(count)]
                sealed = [seal(record, epoch_key=key, index=index + n) for n, record in enumerate(records)]
                ledger.append([(one.fields_root, one.sealed) for one in sealed])
                index += count
        verdict = verify_log(ledger.reader, VerifyOptions(auditor_keys=[AUDITOR]))
        assert verdict.outcome is Outcome.PROVEN, verdict.failures
        passed = {check.number for check in verdict.checks if check.status is Status.PASS}
        assert passed == set(LEDGER_STEPS) - {Step.RECEIPTS, Step.SENDER_PROOF}
        assert (verdict.check(Step.DECRYPTION).held, verdict.check(Step.ROOTS).held) == (10, 4)
        assert find_record(ledger.reader, 6, [AUDITOR]).opened.record.admission_seq == 7
        earlier = verify_log(ledger.reader, replace(VerifyOptions(), at_block=verdict.subject.head_block.number - 1))
        assert (earlier.outcome, earlier.subject.size) == (Outcome.PROVEN, 8)
