"""A journal that is put back from a backup: what it may not do, and how it goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tallystick.chain.events import BATCH_APPENDED, BatchAppended, EpochOpened, NumbersVoided
from tallystick.chain.packing import unpack_records
from tallystick.errors import OpenError
from tallystick.ids import to_hex
from tallystick.record import Record
from tallystick.sealing import open_sealed
from tallystick.verify.verdict import Outcome
from tallystick_platform.anchor.adoption import adoption_margin
from tallystick_platform.anchor.errors import AdoptionRefused, HeadMismatch, NothingToAdopt, WriterChanged
from tallystick_platform.errors import AdmissionClosed
from tallystick_platform.settings import load_settings
from tallystick_platform.store.adoption import gaps, merged
from tallystick_platform.store.entries import JournalEntry
from tallystick_platform.store.jobs import ExportJob, JobState, JobStore
from tests.support.anchoring import KEEPER, LOG, client_of
from tests.support.job_rows import a_job
from tests.support.journals import ALICE, BOB, TOKEN_ID, accepted, completed, ending, record_one, would_be
from tests.support.restored import MACS, MARGIN, Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(folder=tmp_path / "home")


async def answered(home: Home, *senders: bytes, anchor: bool = True) -> list[JournalEntry]:
    """Serve one request of each sender, and anchor the records."""
    async with home.serving() as serving:
        assert serving.agreed
        entries = [await record_one(serving.journal, home.clock, sender) for sender in senders]
        if anchor:
            serving.anchor()
    return entries


async def restored_behind(home: Home, tmp_path: Path, *, lost: int = 3) -> list[JournalEntry]:
    """Two records, a backup, then `lost` more that reach the chain; the backup is put back."""
    await answered(home, ALICE, ALICE)
    home.back_up(tmp_path / "backup")
    entries = await answered(home, *[ALICE] * lost)
    home.put_back(tmp_path / "backup")
    return entries


def opens(home: Home, index: int, secret: bytes) -> bool:
    """Whether a secret opens the record that the chain has at an index."""
    for event in home.reader.events(0, home.reader.latest_block().number):
        if isinstance(event, BatchAppended) and event.first_index <= index < event.first_index + event.count:
            record = unpack_records(event.records)[index - event.first_index]
            try:
                open_sealed(
                    record.sealed,
                    log_id=LOG.log_id,
                    index=index,
                    epoch=event.epoch,
                    fields_root=record.fields_root,
                    secret=secret,
                )
            except OpenError:
                return False
            return True
    raise AssertionError(f"the chain has no record {index}")


async def test_an_index_that_a_restored_journal_gives_out_again_has_another_secret(home, tmp_path):
    """What the lost journal had not anchored is not seen on the chain: only the nonce keeps the two records apart."""
    await answered(home, ALICE)
    home.back_up(tmp_path / "backup")
    (first,) = await answered(home, ALICE, anchor=False)
    home.put_back(tmp_path / "backup")
    (second,) = await answered(home, BOB)
    assert (first.index, second.index) == (1, 1)
    assert opens(home, 1, second.record_secret)
    assert not opens(home, 1, first.record_secret)


async def test_a_journal_behind_its_chain_admits_signs_and_recovers_nothing(home, tmp_path):
    async with home.serving() as serving:
        await serving.journal.admit(would_be(home.clock), token_id=TOKEN_ID)  # open when the backup is made
    home.back_up(tmp_path / "backup")
    await answered(home, ALICE)
    home.put_back(tmp_path / "backup")
    async with home.serving() as serving:
        assert not serving.agreed
        with pytest.raises(AdmissionClosed) as caught:
            await serving.journal.admit(would_be(home.clock, sender=BOB), token_id=TOKEN_ID)
        assert "tallystick-server journal adopt" in str(caught.value)
        with pytest.raises(AdmissionClosed):
            await serving.journal.recover()
        assert serving.journal.counts().size == 0
        sent = len(home.chain.blocks)
        serving.service.turn()
        assert len(home.chain.blocks) == sent
        status = serving.service.status()
        assert (status.halted, status.error_type) == (True, "ChainAhead")


async def test_an_adopted_journal_goes_on_behind_the_chain_above_every_number_and_verifies(home, tmp_path):
    lost = await restored_behind(home, tmp_path)
    adopted = home.adopt()
    assert (adopted.entries, adopted.records, adopted.size) == (1, len(lost), 5)
    assert list(adopted.voids) == [(6, 5 + MARGIN)]
    (bob, alice) = await answered(home, BOB, ALICE)
    assert (bob.index, alice.index) == (5, 6)
    assert [bob.receipt.receipt.admission_seq, alice.receipt.receipt.admission_seq] == [6 + MARGIN, 7 + MARGIN]
    verdict = home.verify()
    assert verdict.failures == ()
    assert verdict.outcome is Outcome.PROVEN
    assert verdict.subject.voided == MARGIN
    assert home.findings() == []


async def test_every_sender_goes_on_above_the_void_numbers(home, tmp_path):
    await restored_behind(home, tmp_path)
    home.adopt()
    async with home.serving() as serving:
        tickets = [
            await serving.journal.admit(would_be(home.clock, sender=sender), token_id=TOKEN_ID)
            for sender in (BOB, ALICE, BOB)
        ]
        assert [ticket.record.sender_seq for ticket in tickets] == [6 + MARGIN, 6 + MARGIN, 7 + MARGIN]


async def test_what_was_sealed_under_the_lost_key_stays_closed_to_its_secrets(home, tmp_path):
    lost = await restored_behind(home, tmp_path)
    home.adopt()
    (bob,) = await answered(home, BOB)
    assert not any(opens(home, bob.index, entry.record_secret) for entry in lost)
    assert bob.epoch == 2


async def test_the_entries_after_an_adoption_are_void_numbers_then_an_epoch_then_batches(home, tmp_path):
    await restored_behind(home, tmp_path)
    before = home.reader.log_state().entries
    home.adopt()
    await answered(home, BOB)
    events = list(home.reader.events(0, home.reader.latest_block().number))[1 + before :]
    assert [type(event) for event in events] == [NumbersVoided, EpochOpened, BatchAppended]


async def test_a_draft_ends_with_its_number_void_or_on_the_chain(home, tmp_path):
    async with home.serving() as serving:
        stays = await serving.journal.admit(would_be(home.clock), token_id=TOKEN_ID)
        ends = await serving.journal.admit(would_be(home.clock), token_id=TOKEN_ID)
        home_backup = tmp_path / "backup"
        home.back_up(home_backup)
        await serving.journal.commit(completed(ends.record, home.clock))
        serving.anchor()
    home.put_back(home_backup)
    adopted = home.adopt()
    number = stays.record.admission_seq
    assert list(adopted.voids) == [(number, number), (3, 2 + MARGIN)]
    async with home.serving() as serving:
        assert await serving.journal.recover() == 0
        serving.anchor()
    assert home.findings() == []
    assert home.verify().failures == ()


async def test_records_that_both_have_are_compared_and_stay_this_journal_s_own(home, tmp_path):
    await answered(home, ALICE)
    kept = (await answered(home, ALICE, ALICE, anchor=False))[-1]
    home.back_up(tmp_path / "backup")
    async with home.serving() as serving:
        serving.anchor()
    home.put_back(tmp_path / "backup")
    adopted = home.adopt()
    assert (adopted.records, adopted.size) == (0, 3)
    await answered(home, BOB)
    assert home.reader.log_state().size == 4
    assert opens(home, kept.index, kept.record_secret)
    assert home.findings() == []


async def test_an_adoption_of_nothing_is_refused_unless_the_journal_is_known_to_be_a_backup(home, tmp_path):
    await answered(home, ALICE)
    home.back_up(tmp_path / "backup")
    await answered(home, ALICE, anchor=False)
    home.put_back(tmp_path / "backup")
    with pytest.raises(NothingToAdopt):
        home.adopt()
    adopted = home.adopt(restored=True)
    assert list(adopted.voids) == [(2, 1 + MARGIN)]
    (bob,) = await answered(home, BOB)
    assert bob.receipt.receipt.admission_seq == 2 + MARGIN
    assert home.verify().failures == ()


async def test_a_second_backup_is_adopted_like_the_first_and_repeats_no_void_number(home, tmp_path):
    await restored_behind(home, tmp_path)
    first = home.adopt()
    home.back_up(tmp_path / "second")  # adopted, and not yet anchored
    await answered(home, BOB)
    home.put_back(tmp_path / "second")
    second = home.adopt()
    assert list(second.voids) == [(first.floor + 2, first.floor + 1 + MARGIN)]
    await answered(home, ALICE)
    voided = [e for e in home.reader.events(0, home.reader.latest_block().number) if isinstance(e, NumbersVoided)]
    assert [(event.first, event.last) for event in voided] == [*first.voids, *second.voids]
    assert home.findings() == []
    assert home.verify().failures == ()


async def test_an_empty_journal_takes_over_a_log_from_its_chain_alone(home, tmp_path):
    await answered(home, ALICE, ALICE)
    (tmp_path / "nothing").mkdir()
    home.put_back(tmp_path / "nothing")
    adopted = home.adopt()
    assert (adopted.records, adopted.size) == (2, 2)
    (bob,) = await answered(home, BOB)
    assert bob.index == 2
    assert home.verify().failures == ()
    assert home.findings() == []


async def test_the_newer_of_two_copies_is_behind_after_the_older_was_adopted_and_can_be_adopted_in_turn(home, tmp_path):
    await answered(home, ALICE)
    home.back_up(tmp_path / "older")
    await answered(home, ALICE)
    home.back_up(tmp_path / "newer")
    home.put_back(tmp_path / "older")
    home.adopt()
    await answered(home, BOB, BOB)
    home.put_back(tmp_path / "newer")
    async with home.serving() as serving:
        assert not serving.agreed
    assert home.adopt().records == 2


async def test_another_record_at_an_index_that_both_have_is_refused(home, tmp_path):
    await answered(home, ALICE)
    home.back_up(tmp_path / "backup")
    await answered(home, ALICE)
    home.put_back(tmp_path / "backup")
    async with home.serving() as serving:
        serving.journal.release()  # a service that does not wait for the comparison
        await record_one(serving.journal, home.clock, BOB)
    with pytest.raises(AdoptionRefused, match="record 1 here is another"):
        home.adopt()


async def test_entries_that_are_not_deep_enough_are_waited_for(home, tmp_path):
    await restored_behind(home, tmp_path)
    with pytest.raises(AdoptionRefused, match="blocks later"):
        home.adopt(confirmations=1_000)
    home.chain.mine(1_000)
    assert home.adopt(confirmations=1_000).records == 3


async def test_a_chain_that_was_changed_under_us_is_a_head_mismatch(home, tmp_path):
    await restored_behind(home, tmp_path)
    original = home.chain.call

    def call(method: str, params: list[object]) -> object:
        answer = original(method, params)
        if method == "eth_getLogs":
            batches = to_hex(BATCH_APPENDED)
            return [e | {"data": flipped(e["data"])} if e["topics"][0] == batches else e for e in answer]
        return answer

    home.chain.call = call
    with pytest.raises(HeadMismatch):
        home.adopt()


def flipped(data: str) -> str:
    """The event of a batch with one nibble of a record's ciphertext changed."""
    at = len(data) - 200
    return data[:at] + ("0" if data[at] != "0" else "1") + data[at + 1 :]


async def test_a_log_whose_writer_is_another_is_not_adopted(home, tmp_path):
    await restored_behind(home, tmp_path)
    keeper = client_of(home.chain, KEEPER)
    head = home.reader.log_state().head
    keeper.send(keeper.build_rotate(keeper.nonce(), LOG, head, KEEPER.address, 10))
    with pytest.raises(WriterChanged):
        home.adopt()


async def test_a_change_of_the_writer_and_back_is_adopted_and_its_numbers_are_passed(home):
    await answered(home, ALICE)
    for writer in (KEEPER.address, client_of(home.chain).address):
        keeper = client_of(home.chain, KEEPER)
        head = home.reader.log_state().head
        keeper.send(keeper.build_rotate(keeper.nonce(), LOG, head, writer, 50))
    adopted = home.adopt()
    assert (adopted.entries, adopted.floor, list(adopted.voids)) == (2, 50, [(2, 50)])
    (bob,) = await answered(home, BOB)
    assert (bob.epoch, bob.receipt.receipt.admission_seq) == (2, 51)
    assert home.findings() == []


async def test_a_change_of_the_writer_that_lost_nothing_voids_nothing_and_no_sender_jumps(home):
    await answered(home, ALICE, ALICE, ALICE)
    for writer in (KEEPER.address, client_of(home.chain).address):
        keeper = client_of(home.chain, KEEPER)
        head = home.reader.log_state().head
        keeper.send(keeper.build_rotate(keeper.nonce(), LOG, head, writer, 3))
    adopted = home.adopt()
    assert (list(adopted.voids), adopted.floor) == ([], 3)
    async with home.serving() as serving:
        ticket = await serving.journal.admit(would_be(home.clock, sender=BOB), token_id=TOKEN_ID)
        assert (ticket.record.admission_seq, ticket.record.sender_seq) == (4, 1)
        await serving.journal.commit(completed(ticket.record, home.clock))
        serving.anchor()
    assert home.findings() == []
    assert home.verify().failures == ()


def test_the_margin_is_more_than_the_gate_and_the_journal_let_through():
    settings = load_settings(max_unanchored_records=7)
    assert adoption_margin(settings) == 7 + 16_384


def test_spans_that_touch_are_one_and_what_lies_between_them_is_a_gap():
    known = merged([(1, 2), (3, 3), (3, 4), (7, 9), (9, 9)])
    assert known == [(1, 4), (7, 9)]
    assert list(gaps(known, 12)) == [(5, 6), (10, 12)]
    assert list(gaps(known, 8)) == [(5, 6)]
    assert list(gaps([], 2)) == [(1, 2)]
    assert list(gaps([(1, 5)], 5)) == []


async def accepted_job(home: Home) -> Record:
    """Work that is taken on: its record, anchored, and the row of its job."""
    async with home.serving() as serving:
        ticket, _ = await serving.journal.record_at_once(accepted(home.clock), token_id=TOKEN_ID)
        serving.anchor()
    database = home.database()
    JobStore(database, MACS).insert(a_job(record_id=ticket.record.id))
    database.close()
    return ticket.record


def the_job(home: Home) -> ExportJob:
    database = home.database()
    (job_id,) = JobStore(database, MACS).ids()
    job = JobStore(database, MACS).get(job_id)
    database.close()
    assert job is not None
    return job


async def test_an_export_that_the_lost_journal_ended_is_not_ended_twice(home, tmp_path):
    taken = await accepted_job(home)
    home.back_up(tmp_path / "backup")
    async with home.serving() as serving:
        home.clock.advance(60)
        ticket, _ = await serving.journal.record_at_once(ending(taken, home.clock), token_id=TOKEN_ID)
        serving.anchor()
    home.put_back(tmp_path / "backup")
    adopted = home.adopt()
    job = the_job(home)
    assert (adopted.ended, adopted.open_exports) == (1, 0)
    assert (job.state, job.ended_by) == (JobState.FAILED, ticket.record.id)
    await answered(home, BOB)
    assert home.verify().failures == ()
    assert home.findings() == []


async def test_an_export_that_may_have_ended_in_a_record_without_a_key_is_told_of(home, tmp_path):
    await accepted_job(home)
    home.back_up(tmp_path / "backup")
    await answered(home, ALICE)
    home.put_back(tmp_path / "backup")
    for path in (home.folder / "keys").iterdir():
        path.unlink()
    adopted = home.adopt()
    assert (adopted.ended, adopted.open_exports) == (0, 1)
    assert the_job(home).state is JobState.QUEUED
