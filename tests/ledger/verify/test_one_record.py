import pytest

from tallystick.errors import CanonicalEncodingError, DecryptionError, FieldCommitmentsError, OpenError, RootsError
from tallystick.sealing import seal
from tallystick.verify import RecordAbsent, find_record
from tests.support.forgery import forge
from tests.support.synthetic_log import AUDITOR, STRANGER, SyntheticLog
from tests.support.tampering import changed, reader_of


@pytest.fixture
def log():
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(3)
    log.open_epoch()
    log.append_requests(5)
    return log


def test_every_record_is_found_and_opened(log):
    reader = log.reader()
    for index in range(log.size):
        found = find_record(reader, index, [STRANGER, AUDITOR])
        assert found.opened.record == log.records[index]
        assert (found.leaf, found.batch) == (log.sealed[index].leaf, int(index >= 3))


def test_a_record_of_the_second_batch_in_a_block_is_found_in_its_batch(log):
    log.append_requests(2)
    log.merge_last_blocks()
    assert [find_record(log.reader(), index, [AUDITOR]).batch for index in (7, 8)] == [1, 2]


def test_an_index_beyond_the_log_is_absent(log):
    with pytest.raises(RecordAbsent, match="8 records"):
        find_record(log.reader(), 8, [AUDITOR])


def test_a_record_of_an_epoch_without_a_wrap_does_not_open(log):
    with pytest.raises(OpenError, match="epoch 2 was not wrapped"):
        find_record(log.reader(), 4, [STRANGER])


def test_a_record_in_vault_custody_does_not_open(log):
    record = log.request()
    log.append([record], lambda one: seal(record, epoch_key=log.epoch_key, index=one.index, custody_nonce=b"\x07" * 32))
    with pytest.raises(OpenError, match="vault"):
        find_record(log.reader(), 8, [AUDITOR])


def test_a_changed_record_does_not_give_the_root_that_the_contract_keeps(log):
    lies = [lie for lie in changed(log.node().events()) if lie.field == "sealed.ciphertext"]
    with pytest.raises(RootsError, match="as the contract keeps"):
        find_record(reader_of(log, lies[1].events), 1, [AUDITOR])


@pytest.mark.parametrize(
    ("error", "forgery"),
    [
        (CanonicalEncodingError, {"record_bytes": b"\xa0"}),
        (FieldCommitmentsError, {"fields_root": b"\x31" * 32}),
    ],
)
def test_a_record_that_was_sealed_wrongly_is_named(log, error, forgery):
    record = log.request()
    log.append([record], lambda one: forge(record, log.epoch_key, one.index, **forgery))
    with pytest.raises(error, match="record 8"):
        find_record(log.reader(), 8, [AUDITOR])


def test_a_record_sealed_with_another_key_is_named(log):
    record, key = log.request(), log.epoch_key
    log.append([record], lambda one: seal(record, epoch_key=type(key)(key.log_id, 2, b"\x31" * 32), index=one.index))
    with pytest.raises(DecryptionError, match="record 8"):
        find_record(log.reader(), 8, [AUDITOR])
