"""The anchorer's rows: what may follow what, and what each change needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tallystick.hashing import keccak256
from tallystick.ids import Hash32, Head, Index, LogId, Root
from tallystick.merkle import tree_root
from tallystick_platform.errors import RowTampered, StateConflict
from tallystick_platform.store.batches import Batches
from tallystick_platform.store.rows import AnchorState, Batch, Mined, Row, Signed, Tip, Totals
from tallystick_platform.store.tables import BATCH
from tests.support.journals import LOG_ID, Running, Setting, record_many

FIRST_EPOCH, SECOND_EPOCH = 3, 2
RAW = b"signed transaction"
SIGNED = Signed(nonce=4, tx_hash=Hash32(keccak256(RAW)), raw=RAW)


def mined(block: int = 10, gas_used: int = 100) -> Mined:
    return Mined(
        tx_hash=SIGNED.tx_hash, block_number=block, block_hash=Hash32(b"\x0b" * 32), block_time=99, gas_used=gas_used
    )


@pytest.fixture
async def batches(tmp_path: Path) -> Iterator[Batches]:
    """Three records of epoch 1, two of epoch 2, nothing planned."""
    setting = Setting(tmp_path)
    async with Running(setting) as journal:
        await record_many(journal, setting.clock, FIRST_EPOCH)
        setting.clock.advance(setting.epoch_seconds)
        await record_many(journal, setting.clock, SECOND_EPOCH)
    database = setting.database()
    yield setting.batches(database)
    database.close()


def planned(batches: Batches, first_index: int = 0, count: int = FIRST_EPOCH) -> Batch:
    tip = batches.tip()
    records = batches.records(first_index, count)
    root = tree_root([record.leaf for record in records])
    batch = Batch(
        number=tip.batch_count,
        entry=tip.entries,
        epoch=records[0].epoch,
        first_index=Index(first_index),
        count=count,
        root=root,
        head=tip.head_after_batch(records[0].epoch, count, root),
    )
    batches.plan_batch(batch, 5)
    return batch


def opened(batches: Batches) -> Row:
    """The next epoch, at its place."""
    epoch, tip = batches.next_epoch(), batches.tip()
    assert epoch is not None
    head = tip.head_after(epoch)
    batches.place(epoch, tip.entries, head)
    return replace(epoch, entry=tip.entries, head=head)


def some_batch(**changes: int) -> Batch:
    """A batch that nothing is known of."""
    fields = {"number": 0, "entry": 0, "epoch": 1, "first_index": 0, "count": 1} | changes
    return Batch(**fields, root=Root(bytes(32)), head=Head(bytes(32)))  # type: ignore[arg-type]


def test_records_come_in_order_from_the_index_asked_for(batches: Batches) -> None:
    found = batches.records(2, 2)
    assert [(record.index, record.epoch) for record in found] == [(2, 1), (3, 2)]
    assert list(batches.leaves(2, 2)) == [record.leaf for record in found]


def test_a_planned_batch_is_the_last_one(batches: Batches) -> None:
    batch = planned(batches)
    assert batches.last_batch() == batch
    assert batches.batch(0) == batch
    assert batches.head_at(1) == batch.head
    assert batches.head_at(2) is None
    assert batches.batch_holding(2) == batch
    assert batches.batch_holding(3) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"number": 1},
        {"entry": 1},
        {"first_index": 1},
        {"epoch": 2},
        {"count": 5},
        {"count": 6},
        {"count": 4},
    ],
    ids=["number", "entry", "first index", "epoch", "all of two epochs", "more than journaled", "into the next epoch"],
)
def test_a_batch_that_does_not_continue_the_log_is_refused(batches: Batches, changes: dict[str, int]) -> None:
    with pytest.raises(StateConflict):
        batches.plan_batch(some_batch(**changes), 5)
    assert batches.last_batch() is None


def test_a_batch_is_planned_once(batches: Batches) -> None:
    batch = planned(batches)
    with pytest.raises(StateConflict):
        batches.plan_batch(batch, 5)


def test_a_row_goes_from_planned_to_sent_to_mined_to_final(batches: Batches) -> None:
    batch = planned(batches)
    batches.save_signed(batch, SIGNED, 6)
    assert batches.last_batch() == replace(batch, state=AnchorState.SENT, signed=SIGNED)
    batches.save_mined(batch, mined(), 7)
    assert batches.last_batch() == replace(batch, state=AnchorState.MINED, signed=SIGNED, mined=mined())
    batches.save_final(batch)
    assert batches.last_batch() == replace(batch, state=AnchorState.FINAL, signed=SIGNED, mined=mined())


def test_an_epoch_row_goes_the_same_way_and_keeps_its_wraps(batches: Batches) -> None:
    epoch = opened(batches)
    assert (epoch.number, epoch.first_index, len(epoch.wraps)) == (1, 0, 1)
    batches.save_signed(epoch, SIGNED, 6)
    batches.save_mined(epoch, mined(), 7)
    batches.save_final(epoch)
    following = batches.next_epoch()
    assert following is not None
    assert (following.number, following.first_index) == (2, FIRST_EPOCH)


@pytest.mark.parametrize("reached", [AnchorState.PLANNED, AnchorState.SENT, AnchorState.MINED, AnchorState.FINAL])
def test_each_change_is_refused_in_the_wrong_state(batches: Batches, reached: AnchorState) -> None:
    batch = planned(batches)
    steps = {
        AnchorState.SENT: lambda: batches.save_signed(batch, SIGNED, 6),
        AnchorState.MINED: lambda: batches.save_mined(batch, mined(), 7),
        AnchorState.FINAL: lambda: batches.save_final(batch),
    }
    for state, step in steps.items():
        if list(AnchorState).index(state) <= list(AnchorState).index(reached):
            step()
    refused = {
        AnchorState.PLANNED: [steps[AnchorState.FINAL], lambda: batches.take_back([batch])],
        AnchorState.SENT: [steps[AnchorState.FINAL], lambda: batches.take_back([batch])],
        AnchorState.MINED: [steps[AnchorState.SENT]],
        AnchorState.FINAL: [steps[AnchorState.SENT], steps[AnchorState.MINED], steps[AnchorState.FINAL]],
    }
    before = batches.last_batch()
    for change in refused[reached]:
        with pytest.raises(StateConflict):
            change()
    assert batches.last_batch() == before


def test_a_row_that_does_not_exist_cannot_change(batches: Batches) -> None:
    batch = some_batch(number=9)
    with pytest.raises(StateConflict, match="no such row"):
        batches.save_final(batch)


def test_a_reorganised_row_is_sent_again_and_keeps_its_transaction(batches: Batches) -> None:
    batch = planned(batches)
    batches.save_signed(batch, SIGNED, 6)
    batches.save_mined(batch, mined(), 7)
    taken = batches.last_batch()
    assert taken is not None
    batches.take_back([taken])
    assert batches.last_batch() == replace(batch, state=AnchorState.SENT, signed=SIGNED)


def test_a_reorganised_row_that_was_never_signed_here_is_planned_again(batches: Batches) -> None:
    batch = planned(batches)
    batches.save_mined(batch, mined(), 7)
    found = batches.last_batch()
    assert found is not None
    batches.take_back([found])
    assert batches.last_batch() == batch


def test_taking_back_is_all_or_nothing(batches: Batches) -> None:
    first = planned(batches)
    second = planned(batches, FIRST_EPOCH, SECOND_EPOCH)
    batches.save_mined(first, mined(), 7)
    with pytest.raises(StateConflict):
        batches.take_back([first, second])
    found = batches.batch(0)
    assert found is not None
    assert found.state is AnchorState.MINED


def test_unfinished_rows_come_in_the_order_of_the_chain(batches: Batches) -> None:
    opened(batches)
    first = planned(batches)
    opened(batches)
    planned(batches, FIRST_EPOCH, SECOND_EPOCH)
    names = [(type(row).__name__, row.number, row.entry) for row in batches.unfinished()]
    assert names == [("Epoch", 1, 0), ("Batch", 0, 1), ("Epoch", 2, 2), ("Batch", 1, 3)]
    batches.save_mined(first, mined(), 7)
    batches.save_final(first)
    assert [row.entry for row in batches.unfinished()] == [0, 2, 3]


def test_an_epoch_without_a_place_is_not_under_way(batches: Batches) -> None:
    assert batches.unfinished() == []


def test_a_place_is_the_log_s_next_entry_and_given_once(batches: Batches) -> None:
    epoch, tip = batches.next_epoch(), batches.tip()
    assert epoch is not None
    with pytest.raises(StateConflict):
        batches.place(epoch, tip.entries + 1, Head(bytes(32)))
    row = opened(batches)
    with pytest.raises(StateConflict):
        batches.place(epoch, 1, Head(bytes(32)))
    assert batches.head_at(1) == row.head


def test_the_tip_is_the_log_as_it_will_stand_and_the_standing_as_it_does(batches: Batches) -> None:
    assert batches.tip() == Tip.empty(LOG_ID)
    epoch = opened(batches)
    batch = planned(batches)
    tip = batches.tip()
    assert (tip.entries, tip.size, tip.batch_count, tip.epoch, tip.epoch_open) == (2, 3, 1, 1, True)
    assert tip.head == batch.head
    assert batches.standing(final=False) == Tip.empty(LOG_ID)
    batches.save_mined(epoch, mined(), 6)
    batches.save_final(epoch)
    batches.save_mined(batch, mined(), 7)
    assert batches.standing(final=False) == tip
    assert batches.standing(final=True).head == epoch.head


def test_a_journal_knows_whether_its_first_entry_is_of_this_log(batches: Batches) -> None:
    assert batches.begins_here()
    opened(batches)
    assert batches.begins_here()
    assert not Batches(batches._database, batches._macs, LogId(b"x" * 32)).begins_here()


def test_the_block_of_the_entry_before_is_where_a_search_begins(batches: Batches) -> None:
    epoch = opened(batches)
    batch = planned(batches)
    assert batches.block_before(epoch) is None
    assert batches.block_before(batch) is None
    batches.save_mined(epoch, mined(block=4), 6)
    assert batches.block_before(batch) == 4


def test_rows_beyond_a_shorter_chain_are_those_that_had_stood_past_it(batches: Batches) -> None:
    rows = [opened(batches), planned(batches), opened(batches), planned(batches, FIRST_EPOCH, SECOND_EPOCH)]
    for row in rows:
        batches.save_mined(row, mined(), 7)
    beyond = batches.rows_beyond(2)
    assert [(type(row).__name__, row.number) for row in beyond] == [("Epoch", 2), ("Batch", 1)]


def test_depth_counts_what_no_mined_batch_holds(batches: Batches) -> None:
    before = batches.depth()
    assert before.records == FIRST_EPOCH + SECOND_EPOCH
    assert before.sealed_bytes == sum(len(record.sealed) for record in batches.records(0, 10))
    assert before.oldest_created_at_us == batches.records(0, 1)[0].created_at_us
    batch = planned(batches)
    batches.save_signed(batch, SIGNED, 6)
    assert batches.depth().records == FIRST_EPOCH + SECOND_EPOCH
    batches.save_mined(batch, mined(), 7)
    after = batches.depth()
    assert after.records == SECOND_EPOCH
    assert after.oldest_created_at_us == batches.records(FIRST_EPOCH, 1)[0].created_at_us


def test_the_anchored_size_follows_mined_batches_and_reorgs(batches: Batches) -> None:
    batch = planned(batches)
    assert batches.anchored_size == 0
    batches.save_mined(batch, mined(), 7)
    assert batches.anchored_size == FIRST_EPOCH
    batches.take_back([batch])
    assert batches.anchored_size == 0


def test_totals_sum_what_reached_the_chain(batches: Batches) -> None:
    batches.save_mined(opened(batches), mined(gas_used=11), 6)
    first = planned(batches)
    planned(batches, FIRST_EPOCH, SECOND_EPOCH)
    batches.save_mined(first, mined(block=12, gas_used=100), 7)
    assert batches.totals() == Totals(
        gas_used=111,
        records_mined=FIRST_EPOCH,
        last_final_index=None,
        batches={AnchorState.MINED: 1, AnchorState.PLANNED: 1},
    )
    batches.save_final(first)
    assert batches.totals().last_final_index == FIRST_EPOCH - 1


def test_nothing_anchored_is_nothing_everywhere(batches: Batches) -> None:
    assert batches.last_batch() is None
    assert batches.totals() == Totals(gas_used=0, records_mined=0, last_final_index=None, batches={})


def test_batches_are_paged_newest_first(batches: Batches) -> None:
    planned(batches)
    planned(batches, FIRST_EPOCH, SECOND_EPOCH)
    assert [batch.number for batch in batches.page(None, 1)] == [1]
    assert [batch.number for batch in batches.page(1, 10)] == [0]


def test_a_batch_row_that_something_else_changed_is_not_read(batches: Batches) -> None:
    planned(batches)
    with batches._database.writing() as connection:
        connection.execute(BATCH.update().values(state="final"))
    with pytest.raises(RowTampered):
        batches.last_batch()
