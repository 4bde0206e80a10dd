"""A node that lies about one thing of an honest log: nothing is proven then, and the writer is accused of nothing."""

from dataclasses import replace

import pytest

from tallystick.chain.reader import LedgerReader
from tallystick.errors import ChainError, Party
from tallystick.heads import MAX_NUMBER, MODE_COMMIT
from tallystick.ids import to_hex
from tallystick.keys import Wallet
from tallystick.verify.verdict import Outcome, Step
from tallystick.verify.whole_log import VerifyOptions, verify_log
from tests.support.synthetic_log import AUDITOR, CONTRACT, TERMS, SyntheticLog
from tests.support.tampering import changed, moved, reader_of

STRUCTURE = set(range(Step.CONTRACT_CODE, Step.COMPLETENESS))


def honest(terms=TERMS):
    log = SyntheticLog(terms=terms)
    log.open_epoch()
    log.append_requests(2)
    log.rotate_writer(Wallet(b"\x07" * 32))
    log.open_epoch()
    log.append_requests(1)
    log.void(4, 9)
    log.append_requests(3)
    return log


LOG = honest()
COMMITTED = honest(replace(TERMS, mode=MODE_COMMIT))
EVENTS = LOG.node().events()
CHANGED = [one for one in changed(EVENTS) if one.field != "transactionHash"]
CHANGED_OF_ROOTS = [one for one in changed(COMMITTED.node().events()) if one.field != "transactionHash"]


def judged(log, reader, messages=()):
    """The verdict, or None where the node's answer could not be judged at all."""
    try:
        return verify_log(reader, VerifyOptions(auditor_keys=[AUDITOR], messages=messages))
    except ChainError:
        return None


def named(tampered):
    return f"{tampered.change}-{tampered.kind}-{tampered.field}".replace(" ", "")


def accuses_nobody(verdict):
    return verdict is None or (verdict.outcome is Outcome.UNCHECKED and verdict.accused == ())


@pytest.mark.parametrize("tampered", CHANGED, ids=named)
def test_one_changed_bit_of_an_event_is_found_and_accuses_nobody(tampered):
    verdict = judged(LOG, reader_of(LOG, tampered.events), LOG.receipts)
    assert accuses_nobody(verdict)
    if verdict is not None:
        assert any(failure.accused is Party.NODE for failure in verdict.failures)


@pytest.mark.parametrize("tampered", list(moved(EVENTS)), ids=named)
def test_an_event_left_out_told_twice_or_swapped_is_found_and_accuses_nobody(tampered):
    assert accuses_nobody(judged(LOG, reader_of(LOG, tampered.events)))


@pytest.mark.parametrize("tampered", CHANGED_OF_ROOTS, ids=named)
def test_one_changed_bit_of_an_event_of_a_log_of_roots_is_found(tampered):
    verdict = judged(COMMITTED, reader_of(COMMITTED, tampered.events))
    assert accuses_nobody(verdict)
    if verdict is not None:
        assert verdict.failures


def test_a_transaction_that_is_not_the_entrys_own_leaves_its_author_open():
    told = [one for one in changed(EVENTS) if one.field == "transactionHash"]
    for tampered in (told[-1], next(one for one in told if one.kind == "WriterRotated")):
        verdict = judged(LOG, reader_of(LOG, tampered.events))
        assert accuses_nobody(verdict)
        assert verdict.check(Step.AUTHORSHIP).blocks


@pytest.mark.parametrize(
    ("field", "step"),
    [
        ("records.fields_root", Step.ROOTS),
        ("records.ciphertext", Step.ROOTS),
        ("records.nonce", Step.ROOTS),
        ("records.admission_seq", Step.LEAVES),
        ("records.length", Step.LEAVES),
        ("records.flags", Step.ROOTS),
        ("root", Step.ROOTS),
        ("head", Step.HEADS),
        ("count", Step.LEAVES),
        ("batch", Step.INDEX_CONTINUITY),
    ],
)
def test_a_lie_about_a_batch_is_named_by_the_first_check_that_finds_it(field, step):
    tampered = next(one for one in CHANGED if one.kind == "BatchAppended" and one.field == field)
    verdict = judged(LOG, reader_of(LOG, tampered.events))
    assert verdict is not None
    assert step in {failure.step for failure in verdict.failures}
    assert min(failure.step for failure in verdict.failures if failure.accused is Party.NODE) <= step


@pytest.mark.parametrize("field", ["wraps.key_id", "wraps.encapsulation"])
def test_one_changed_bit_of_a_wrap_is_a_head_that_does_not_follow(field):
    tampered = next(one for one in CHANGED if one.kind == "EpochOpened" and one.field == field)
    verdict = judged(LOG, reader_of(LOG, tampered.events))
    assert verdict is not None
    assert [failure.name for failure in verdict.failures if failure.accused is Party.NODE] == ["heads"]


STATE = {
    "writer": b"\x55" * 20,
    "size": 99,
    "entries": LOG.entries - 1,
    "head": b"\x55" * 32,
    "batch_count": 9,
    "epoch": 9,
    "epoch_open": False,
}


@pytest.mark.parametrize("field", STATE)
def test_a_lie_about_the_contracts_state_is_found_and_accuses_nobody(field):
    node = LOG.node()
    node.blocks[-1].state = replace(node.blocks[-1].state, **{field: STATE[field]})
    verdict = judged(LOG, LedgerReader(node, CONTRACT, LOG.log_id))
    assert accuses_nobody(verdict)


def invented():
    """A whole log that somebody else wrote under the same terms: only the signatures are not the writer's."""
    log = SyntheticLog()
    log.writer = Wallet(b"\x66" * 32)  # signs, while the terms name another
    log.open_epoch()
    log.append_requests(2)
    for block in log.blocks:
        block.state = replace(block.state, writer=TERMS.writer)
    return log


def test_a_whole_log_that_a_node_invented_has_no_authors_signature():
    verdict = judged(None, invented().reader())
    assert verdict is not None
    assert [failure.name for failure in verdict.failures] == ["authorship"]
    assert verdict.outcome is Outcome.UNCHECKED


def test_a_new_writer_whom_the_keeper_did_not_name_is_no_writer():
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(2)
    thief = Wallet(b"\x66" * 32)
    log.rotate_writer(thief, by=thief)
    log.open_epoch()
    log.append_requests(2)
    verdict = judged(log, log.reader())
    assert verdict is not None
    assert [failure.name for failure in verdict.failures] == ["authorship"]
    assert verdict.outcome is Outcome.UNCHECKED


@pytest.mark.parametrize("last", [1, MAX_NUMBER])
def test_a_last_number_that_the_contract_refuses_was_never_there_whoever_signed_it(last):
    log = honest()
    log.rotate_writer(Wallet(b"\x08" * 32), last_admission=last)  # the one before had its numbers from 3 on
    found = judged(log, log.reader())
    assert accuses_nobody(found)
    assert any("the last admission number" in str(failure) for failure in found.failures)


def test_what_a_writer_signed_whom_the_keeper_did_not_name_accuses_nobody():
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(2)
    thief = Wallet(b"\x66" * 32)
    log.rotate_writer(thief, by=thief)
    log.open_epoch()
    log.append_requests(1)
    honest, other = log.receipts[2], log.receipt(log.records[2], replace(log.sealed[2], leaf=b"\x01" * 32))
    verdict = judged(log, log.reader(), [honest, other])
    assert accuses_nobody(verdict)
    assert verdict.check(Step.RECEIPTS).blocks


def test_the_first_writers_word_against_itself_is_proof_whatever_a_node_shows_besides():
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(2)
    two = [log.receipts[1], log.receipt(log.records[1], replace(log.sealed[1], leaf=b"\x01" * 32))]
    thief = Wallet(b"\x66" * 32)
    log.rotate_writer(thief, by=thief)
    log.open_epoch()
    log.append_requests(1)
    assert judged(log, log.reader(), two).outcome is Outcome.WRONG


@pytest.mark.parametrize("field", ["input", "r", "s", "nonce", "chainId", "to", "gas", "yParity"])
def test_one_change_to_the_last_transaction_is_found_and_accuses_nobody(field):
    log = LOG
    node = log.node()
    transaction = dict(node.blocks[-1].transaction)
    value = str(transaction[field])
    transaction[field] = value[:-1] + ("0" if value[-1] != "0" else "1")
    node.transactions = {**node.transactions, transaction["hash"]: transaction}
    verdict = judged(log, LedgerReader(node, CONTRACT, log.log_id))
    assert accuses_nobody(verdict)
    assert verdict is None or verdict.check(Step.AUTHORSHIP).held != 2


def test_under_a_log_that_is_not_whole_the_records_accuse_nobody():
    log = SyntheticLog()
    log.open_epoch()
    wrong = log.request()
    log.append([replace(wrong, price=replace(wrong.price, charge_micros=1))])
    assert judged(log, log.reader()).outcome is Outcome.WRONG
    node = log.node()
    node.transactions = {}
    verdict = judged(log, LedgerReader(node, CONTRACT, log.log_id))
    assert verdict.outcome is Outcome.UNCHECKED
    assert [failure.name for failure in verdict.failures] == ["price-arithmetic"]
    assert verdict.accused == ()


def test_blocks_whose_times_run_backwards_are_the_nodes():
    node = LOG.node()
    node.blocks[3] = replace(node.blocks[3], timestamp=node.blocks[2].timestamp - 1)
    verdict = judged(LOG, LedgerReader(node, CONTRACT, LOG.log_id))
    assert accuses_nobody(verdict)


def test_an_event_of_another_block_than_the_node_has_means_that_the_chain_moved():
    node = LOG.node()
    node.blocks[2].events[0]["blockHash"] = to_hex(b"\x01" * 32)
    assert judged(LOG, LedgerReader(node, CONTRACT, LOG.log_id)) is None
