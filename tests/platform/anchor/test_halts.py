"""When journal and chain tell different stories, nothing more is sent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tallystick.chain.packing import pack_records
from tallystick.ids import Epoch, FieldsRoot, Head, Index, Leaf, Root
from tallystick.keys import Wallet
from tallystick_platform.ledger_chain.gas import MAX_CALLDATA_BYTES
from tallystick_platform.store.rows import PendingRecord
from tests.support.anchor_rows import MemoryRows
from tests.support.anchoring import LOG, Rig, client_of, sealed_bytes


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.journal(6)
    rig.settle()
    return rig


def halted_by(rig: Rig) -> str:
    rig.journal()
    rig.advance_ms(1_000)
    sends, size = rig.node.calls["eth_sendRawTransaction"], rig.chain_size
    for _ in range(3):
        rig.turn()
    assert rig.node.calls["eth_sendRawTransaction"] == sends
    assert rig.chain_size == size
    status = rig.service.status()
    assert status.halted
    assert not status.healthy
    assert status.error_type is not None
    return status.error_type


def append_elsewhere(rig: Rig) -> None:
    """Another server with the same key appends a record."""
    client = client_of(rig.chain)
    packed = pack_records([(FieldsRoot(b"f" * 32), sealed_bytes(99, 60))])
    head = rig.reader.log_state().head
    client.send(client.build_append(client.nonce(), LOG, head, packed, 1))


def test_an_old_backup_of_the_journal_finds_the_chain_ahead(rig):
    rig.rows.batches.pop()
    rig.rows.sealed = rig.rows.sealed[: rig.rows.batches[-1].end]
    assert halted_by(rig) == "ChainAhead"


def test_a_journal_that_starts_again_over_a_used_log_finds_the_chain_ahead(rig):
    rig.rows = MemoryRows(rig.log_id)
    rig.store._target = rig.rows
    assert halted_by(rig) == "ChainAhead"


def test_a_journal_with_another_past_is_a_head_mismatch(rig):
    last = rig.rows.batches[-1]
    rig.rows.batches[-1] = replace(last, head=Head(b"x" * 32))
    assert halted_by(rig) == "HeadMismatch"


def test_a_root_that_differs_on_the_chain_is_a_batch_mismatch(rig):
    rig.journal()
    rig.advance_ms(1_000)
    rig.turn()
    rig.rows.batches[-1] = replace(rig.rows.batches[-1], root=Root(b"x" * 32))
    assert halted_by(rig) == "BatchMismatch"


def test_a_log_that_was_handed_to_another_writer_halts(rig):
    log = rig.chain.state.logs[bytes(rig.contract), bytes(rig.log_id)]
    log.writer = bytes(Wallet(bytes.fromhex("22" * 32)).address)
    assert halted_by(rig) == "WriterChanged"


def test_a_record_that_no_transaction_carries_halts(rig):
    index = len(rig.rows.sealed)
    rig.rows.journal(
        PendingRecord(
            index=Index(index), epoch=Epoch(1), fields_root=FieldsRoot(bytes(32)), sealed=bytes(MAX_CALLDATA_BYTES),
            leaf=Leaf(bytes(32)), created_at_us=rig.clock.now_us(),
        )
    )  # fmt: skip
    assert halted_by(rig) == "RecordTooLarge"


def test_a_record_of_an_epoch_without_a_row_halts(rig):
    rig.journal()
    rig.rows.sealed[-1] = replace(rig.rows.sealed[-1], epoch=Epoch(9))
    assert halted_by(rig) == "EpochMissing"


def test_a_second_writer_with_the_same_key_is_found_before_anything_is_sent(rig):
    append_elsewhere(rig)
    assert halted_by(rig) == "ChainAhead"


def test_a_second_writer_that_takes_a_planned_batch_s_place_is_a_head_mismatch(rig):
    rig.chain.auto_mine = False
    rig.journal()
    rig.advance_ms(1_000)
    rig.turn()
    rig.chain.drop_pool()
    append_elsewhere(rig)
    rig.chain.mine()
    assert halted_by(rig) == "HeadMismatch"


def test_a_backup_taken_before_the_last_batch_was_noted_is_caught_up(rig):
    """The same rows, planned alike, are the same log: the chain's place for them is looked up, and nothing is sent."""
    last = rig.rows.batches[-1]
    rig.rows.batches[-1] = replace(last, state=type(last.state).PLANNED, signed=None, mined=None)
    epoch = rig.rows.epochs[-1]
    rig.rows.epochs[-1] = replace(epoch, state=type(epoch.state).PLANNED, signed=None, mined=None)
    rig.crash()
    sends = rig.node.calls["eth_sendRawTransaction"]
    rig.settle()
    assert rig.node.calls["eth_sendRawTransaction"] == sends
    assert rig.rows.batches[-1].mined == last.mined
    rig.audit()
