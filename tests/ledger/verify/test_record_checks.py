from dataclasses import replace

import pytest

from tallystick.chain import EpochOpened
from tallystick.errors import DecryptionError
from tallystick.keys import wrap_epoch_key
from tallystick.verify import Step, VerifyOptions, verify_log
from tallystick.verify.record_checks import CHUNK_RECORDS, NO_KEY, Placed, RecordChecks
from tallystick.verify.verdict import Tally
from tests.support.forgery import forge
from tests.support.synthetic_log import AUDITOR, LOG, STRANGER, SyntheticLog

COUNT = 2 * CHUNK_RECORDS + 2


@pytest.mark.parametrize("at", [0, CHUNK_RECORDS - 1, CHUNK_RECORDS, CHUNK_RECORDS + 1, COUNT - 1])
def test_a_false_record_is_named_wherever_in_a_chunk_it_stands(at):
    log = SyntheticLog()
    log.open_epoch()
    records = [log.request() for _ in range(COUNT)]
    records[at] = replace(records[at], price=replace(records[at].price, charge_micros=0))
    log.append(records)
    verdict = verify_log(log.reader(), VerifyOptions(auditor_keys=[AUDITOR]))
    assert [(failure.step, failure.where) for failure in verdict.failures] == [(Step.PRICE_ARITHMETIC, f"record {at}")]
    assert verdict.check(Step.PRICE_ARITHMETIC).held == COUNT - 1


def test_a_record_that_does_not_open_takes_no_other_with_it():
    log = SyntheticLog()
    log.open_epoch()
    records = [log.request() for _ in range(COUNT)]
    bad = {3: {"record_bytes": b"\xa0"}, 5: {"fields_root": b"\x31" * 32}}
    log.append(records, lambda one: forge(records[one.index], log.epoch_key, one.index, **bad.get(one.index, {})))
    verdict = verify_log(log.reader(), VerifyOptions(auditor_keys=[AUDITOR]))
    assert [(failure.step, failure.where) for failure in verdict.failures] == [
        (Step.CANONICAL_ENCODING, "record 3"),
        (Step.FIELD_COMMITMENTS, "record 5"),
    ]
    counts = {step: verdict.check(step).held for step in (7, 8, 9, 11)}
    assert counts == {7: COUNT, 8: COUNT - 1, 9: COUNT - 2, 11: COUNT - 1}
    assert {step: verdict.check(step).not_covered for step in (7, 8, 9, 11)} == {7: 0, 8: 0, 9: 1, 11: 1}


class Opening:
    """Record checks over the events of a log, with what they handed on."""

    def __init__(self, keys, count=0):
        self.log = SyntheticLog()
        self.epoch_key = self.log.open_epoch()
        self.tally = Tally()
        self.handed_on = []
        self.checks = RecordChecks(self.tally, LOG, keys, 0, None, self._hand_on)
        if count:
            self.log.append_requests(count)
        for event in self.log.reader().events(0, 99):
            if isinstance(event, EpochOpened):
                self.checks.open_epoch(event)
                self.epoch = event
            elif hasattr(event, "sealed"):
                self.checks.take(Placed(event, None, b"", None, 0))

    def _hand_on(self, placed, record):
        self.handed_on.append((placed.event.index, record))


def test_no_more_than_a_chunk_of_records_ever_waits():
    opening = Opening([AUDITOR], CHUNK_RECORDS + 1)
    assert len(opening.handed_on) == CHUNK_RECORDS
    opening.checks.flush()
    assert [index for index, _ in opening.handed_on] == list(range(CHUNK_RECORDS + 1))


def test_a_new_epoch_waits_for_the_records_of_the_one_before():
    opening = Opening([AUDITOR], 2)
    assert opening.handed_on == []
    opening.checks.open_epoch(replace(opening.epoch, epoch=2))
    assert len(opening.handed_on) == 2


def test_a_wrap_that_names_a_key_and_does_not_open_is_a_failure():
    opening = Opening([AUDITOR])
    wrap = wrap_epoch_key(opening.epoch_key, STRANGER.public)
    opening.checks.open_epoch(replace(opening.epoch, wraps=(AUDITOR.key_id + wrap[8:],)))
    (failure,) = opening.tally.verdict(None).failures
    assert isinstance(failure, DecryptionError)
    assert failure.where == "epoch 1"


def test_without_keys_no_wrap_is_looked_at():
    opening = Opening([], 1)
    opening.checks.open_epoch(replace(opening.epoch, wraps=(b"nonsense",)))
    opening.checks.flush()
    check = opening.tally.verdict(None).check(Step.DECRYPTION)
    assert [(reason.text, reason.count) for reason in check.reasons] == [(NO_KEY, 1)]
