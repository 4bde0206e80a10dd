from dataclasses import replace

import pytest

from tallystick.chain.authorship import TransactionWithheld
from tallystick.chain.faults import EventsWithheld
from tallystick.chain.reader import LedgerReader
from tallystick.errors import (
    AuthorshipError,
    DecryptionError,
    FieldCommitmentsError,
    HeadsError,
    OpenError,
    Party,
    RootsError,
)
from tallystick.heads import MODE_COMMIT
from tallystick.keys import Wallet
from tallystick.verify.one_record import RecordAbsent, RecordOffChain, find_record
from tests.support.forgery import forge
from tests.support.synthetic_log import AUDITOR, CONTRACT, STRANGER, TERMS, SyntheticLog


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


def test_a_record_of_a_later_writer_is_found(log):
    log.rotate_writer(Wallet(b"\x07" * 32))
    log.open_epoch()
    log.append_requests(1)
    assert find_record(log.reader(), 8, [AUDITOR]).opened.index == 8


def test_an_index_beyond_the_log_is_absent(log):
    with pytest.raises(RecordAbsent, match="8 records"):
        find_record(log.reader(), 8, [AUDITOR])


def test_a_record_of_an_epoch_without_a_wrap_does_not_open(log):
    with pytest.raises(OpenError, match="epoch 2 was not wrapped"):
        find_record(log.reader(), 4, [STRANGER])


def test_a_vault_record_does_not_open(log):
    log.append([log.request()], vault=b"\x11" * 32)
    with pytest.raises(OpenError, match="vault"):
        find_record(log.reader(), 8, [AUDITOR])


def test_a_record_of_a_log_of_roots_is_not_on_the_chain():
    log = SyntheticLog(terms=replace(TERMS, mode=MODE_COMMIT))
    log.open_epoch()
    log.append_requests(1)
    with pytest.raises(RecordOffChain):
        find_record(log.reader(), 0, [AUDITOR])


def test_a_root_that_is_not_the_contracts_is_the_nodes_doing(log):
    node = log.node()
    node.batches[1] = replace(node.batches[1], root=b"\x31" * 32)
    with pytest.raises(RootsError) as caught:
        find_record(LedgerReader(node, CONTRACT, log.log_id), 4, [AUDITOR])
    assert caught.value.accused is Party.NODE


def test_a_batch_that_the_writer_did_not_sign_is_not_shown():
    log = SyntheticLog()
    log.writer = Wallet(b"\x66" * 32)
    log.open_epoch()
    log.append_requests(1)
    with pytest.raises(AuthorshipError):
        find_record(log.reader(), 0, [AUDITOR])


def test_a_record_of_a_writer_whom_the_keeper_did_not_name_is_not_shown(log):
    thief = Wallet(b"\x66" * 32)
    log.rotate_writer(thief, by=thief)
    log.open_epoch()
    log.append_requests(1)
    with pytest.raises(AuthorshipError):
        find_record(log.reader(), 8, [AUDITOR])


def test_a_batch_that_a_retired_writer_signed_is_not_shown(log):
    retired = log.writer
    log.rotate_writer(Wallet(b"\x07" * 32))
    log.open_epoch()
    log.writer, current = retired, log.writer
    log.append_requests(1)
    for block in log.blocks:
        block.state = replace(block.state, writer=current.address)
    with pytest.raises(AuthorshipError):
        find_record(log.reader(), 8, [AUDITOR])
    assert find_record(log.reader(), 4, [AUDITOR]).opened.index == 4


def test_terms_that_are_not_the_logs_are_the_nodes_doing(log):
    node = log.node()
    event = node.blocks[0].events[0]
    event["data"] = event["data"][:-2] + "3d"  # another skew
    with pytest.raises(HeadsError):
        find_record(LedgerReader(node, CONTRACT, log.log_id), 4, [AUDITOR])


def test_a_node_that_withholds_something_is_named(log):
    node = log.node()
    node.transactions = {}
    with pytest.raises(TransactionWithheld):
        find_record(LedgerReader(node, CONTRACT, log.log_id), 4, [AUDITOR])
    node = log.node()
    node.max_events = 0
    with pytest.raises(EventsWithheld):
        find_record(LedgerReader(node, CONTRACT, log.log_id), 4, [AUDITOR])


def test_a_record_that_is_not_what_its_leaf_says_is_not_shown(log):
    record = log.request()
    log.append([record], lambda sealed: forge(record, log.epoch_key, sealed.index, fields_root=b"\x12" * 32))
    with pytest.raises(FieldCommitmentsError):
        find_record(log.reader(), 8, [AUDITOR])


def test_a_record_under_another_epochs_key_does_not_open(log):
    record = log.request()
    other = SyntheticLog()
    other.open_epoch()
    log.append([record], lambda sealed: forge(record, other.epoch_key, sealed.index))
    with pytest.raises(DecryptionError):
        find_record(log.reader(), 8, [AUDITOR])
