"""The journal from outside: what callers may rely on."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from tallystick.errors import RecordError
from tallystick.keys import unwrap_epoch_key
from tallystick.receipts import response_hash, signer
from tallystick.record import Record, State
from tallystick.sealing import check_commitments, open_blob, open_sealed, record_secret
from tallystick_platform.errors import JournalClosed, NotAdmitted, Overloaded, StoreLocked
from tallystick_platform.store.group import Admit, Operation
from tallystick_platform.store.journal import Journal
from tallystick_platform.store.records import StoredRecord
from tallystick_platform.store.tables import DraftRow, EpochRow, table_of
from tallystick_platform.store.wraps import unpack_wraps
from tallystick_platform.store.writer import Writer
from tests.support.journals import (
    ALICE,
    ANCHOR_DEADLINE_S,
    BOB,
    DOMAIN,
    LOG_ID,
    TOKEN_ID,
    WALLET,
    Running,
    Setting,
    completed,
    record_many,
    record_one,
    would_be,
)


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


def opened(setting: Setting, stored: StoredRecord) -> Record:
    """The record as the auditor reads it, from the wraps in the epoch row."""
    with setting.database().reading() as connection:
        row = connection.execute(table_of(EpochRow).select().where(EpochRow.number == stored.epoch)).one()
    key = unwrap_epoch_key(unpack_wraps(row.wraps)[0], setting.auditor, LOG_ID, stored.epoch)
    secret = record_secret(key, stored.index)
    found = open_sealed(stored.sealed, log_id=LOG_ID, index=stored.index, fields_root=stored.fields_root, secret=secret)
    check_commitments(found, stored.fields_root)
    return found.record


async def test_the_first_record_has_index_0_and_both_sequence_numbers_1(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        entry = await journal.commit(completed(ticket.record, setting.clock))
    assert (ticket.record.admission_seq, ticket.record.sender_seq, entry.index) == (1, 1, 0)


async def test_numbers_continue_after_a_restart(setting: Setting) -> None:
    async with Running(setting) as journal:
        await record_many(journal, setting.clock, 3)
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        entry = await journal.commit(completed(ticket.record, setting.clock))
    assert (ticket.record.admission_seq, ticket.record.sender_seq, entry.index) == (4, 4, 3)


async def test_sender_numbers_are_gap_free_for_each_sender_on_its_own(setting: Setting) -> None:
    async with Running(setting) as journal:
        senders = [ALICE, BOB, ALICE, ALICE, BOB]
        tickets = await asyncio.gather(
            *(journal.admit(would_be(setting.clock, sender=sender), token_id=TOKEN_ID) for sender in senders)
        )
    numbers = defaultdict(list)
    for ticket in tickets:
        numbers[ticket.record.sender.address].append(ticket.record.sender_seq)
    assert numbers == {ALICE: [1, 2, 3], BOB: [1, 2]}
    assert sorted(ticket.record.admission_seq for ticket in tickets) == [1, 2, 3, 4, 5]


async def test_concurrent_requests_share_commits(setting: Setting) -> None:
    async with Running(setting) as journal:
        await record_many(journal, setting.clock, 40)
        samples = next(iter(journal.metrics.journal_group.collect())).samples
    commits = next(sample.value for sample in samples if sample.name.endswith("_count"))
    assert commits < 40


async def test_the_receipt_is_signed_by_the_writer_over_what_was_exchanged(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock, body=b'{"a":1}'), token_id=TOKEN_ID)
        entry = await journal.commit(completed(ticket.record, setting.clock, "yes"))
    assert signer(entry.receipt) == WALLET.address
    receipt = entry.receipt.receipt
    assert (receipt.log_id, receipt.index, receipt.leaf) == (LOG_ID, entry.index, entry.leaf)
    assert receipt.request_hash == ticket.record.http.request_hash
    assert receipt.response_hash == response_hash([b"yes"])
    assert receipt.issued_at == setting.clock.now_us() // 1_000_000
    assert receipt.anchor_by == receipt.issued_at + ANCHOR_DEADLINE_S


async def test_a_record_without_an_output_has_the_hash_of_no_outputs_in_its_receipt(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        entry = await journal.commit(replace(ticket.record, state=State.FAILED))
    assert entry.receipt.receipt.response_hash == response_hash(())


async def test_the_admission_receipt_names_the_request_and_is_signed_once(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
    signed = ticket.admission
    assert signed is ticket.admission
    assert signer(signed) == WALLET.address
    assert signed.domain == DOMAIN
    assert (signed.admission.record_id, signed.admission.sender_seq) == (ticket.record.id, 1)
    assert signed.admission.anchor_by == signed.admission.admitted_at + ANCHOR_DEADLINE_S


async def test_the_auditor_opens_the_stored_record(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        offered = completed(ticket.record, setting.clock)
        await journal.commit(offered)
        stored = await journal.entry(offered.id)
    assert stored is not None
    found = opened(setting, stored)
    assert found.response == offered.response
    assert found.id == offered.id
    assert found.admission_seq == 1


async def test_the_record_secret_opens_that_record(setting: Setting) -> None:
    async with Running(setting) as journal:
        entry = await record_one(journal, setting.clock)
        stored = await journal.entry(entry.record_id)
    assert stored is not None
    found = open_sealed(
        stored.sealed, log_id=LOG_ID, index=entry.index, fields_root=entry.fields_root, secret=entry.record_secret
    )
    assert found.record.id == entry.record_id


async def test_a_large_prompt_goes_to_a_blob_that_is_stored_with_the_record(setting: Setting) -> None:
    content = "tally " * 20_000
    async with Running(setting) as journal:
        offered = replace(would_be(setting.clock), prompt={"messages": [{"role": "user", "content": content}]})
        ticket = await journal.admit(offered, token_id=TOKEN_ID)
        entry = await journal.commit(completed(ticket.record, setting.clock))
        stored = await journal.entry(entry.record_id)
        assert stored is not None
        ref = opened(setting, stored).prompt
        blob = await journal.blob(ref.sealed_digest)
    assert blob is not None
    assert open_blob(blob, ref, entry.record_secret) == offered.prompt


async def test_a_terminal_record_of_no_admission_is_refused(setting: Setting) -> None:
    async with Running(setting) as journal:
        with pytest.raises(NotAdmitted):
            await journal.commit(replace(completed(would_be(setting.clock), setting.clock), admission_seq=1))


async def test_a_second_terminal_record_of_one_admission_is_refused(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        record = completed(ticket.record, setting.clock)
        await journal.commit(record)
        with pytest.raises(NotAdmitted):
            await journal.commit(record)
        assert journal.counts().size == 1


async def test_a_second_terminal_record_is_refused_while_the_first_is_on_its_way(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        record = completed(ticket.record, setting.clock)
        first, second = await asyncio.gather(journal.commit(record), journal.commit(record), return_exceptions=True)
        assert journal.counts().size == 1
    assert not isinstance(first, BaseException)
    assert isinstance(second, NotAdmitted)


async def test_an_outcome_that_does_not_fit_the_format_is_told_and_recorded_as_failed(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        good = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        broken = replace(completed(ticket.record, setting.clock), task="")
        results = await asyncio.gather(
            journal.commit(broken), journal.commit(completed(good.record, setting.clock)), return_exceptions=True
        )
        stored = await journal.entry(ticket.record.id)
        assert journal.counts().open == 0
    assert isinstance(results[0], RecordError)
    assert not isinstance(results[1], BaseException)
    assert stored is not None
    found = opened(setting, stored)
    assert found.state is State.FAILED
    assert found.error is not None
    assert found.error.code == "record_invalid"
    assert found.prompt == ticket.record.prompt


async def test_a_draft_too_large_to_seal_is_recorded_without_its_contents(setting: Setting) -> None:
    wide = {f"p{number}": "x" * 4_000 for number in range(64)}
    async with Running(setting) as journal:
        ticket = await journal.admit(replace(would_be(setting.clock), parameters=wide), token_id=TOKEN_ID)
        with pytest.raises(Exception, match="bytes"):
            await journal.commit(completed(ticket.record, setting.clock))
        stored = await journal.entry(ticket.record.id)
    assert stored is not None
    assert opened(setting, stored).parameters == {}


async def test_a_request_that_cannot_be_written_down_is_refused_and_uses_no_number(setting: Setting) -> None:
    async with Running(setting) as journal:
        with pytest.raises(RecordError):
            await journal.admit(replace(would_be(setting.clock), prompt={"a": "\ud800"}), token_id=TOKEN_ID)
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
    assert (ticket.record.admission_seq, ticket.record.sender_seq) == (1, 1)


async def test_a_caller_who_leaves_before_admission_leaves_nothing_or_a_cancelled_record(setting: Setting) -> None:
    async with Running(setting) as journal:
        waiting = asyncio.create_task(journal.admit(would_be(setting.clock), token_id=TOKEN_ID))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await journal.recover()
        await journal.recover()
        assert journal.counts().open == 0
        page = await journal.list(ALICE)
        assert [stored.state for stored in page.records] in ([], [State.CANCELLED])


async def test_a_caller_who_leaves_between_the_ticket_and_seeing_it_leaves_a_cancelled_record(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Writer.put

    def leave_when_told(self: Writer, operation: Operation) -> None:
        if isinstance(operation, Admit):
            operation.future.add_done_callback(lambda _: waiting.cancel())
        put(self, operation)

    monkeypatch.setattr(Writer, "put", leave_when_told)
    async with Running(setting) as journal:
        waiting = asyncio.create_task(journal.admit(would_be(setting.clock), token_id=TOKEN_ID))
        await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()
        await journal.recover()
        assert journal.counts().open == 0
        assert [stored.state for stored in (await journal.list(ALICE)).records] == [State.CANCELLED]


async def test_leaving_during_commit_does_not_undo_the_record(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        committing = asyncio.create_task(journal.commit(completed(ticket.record, setting.clock)))
        await asyncio.sleep(0)
        committing.cancel()
        await asyncio.gather(committing, return_exceptions=True)
        await journal.recover()
        assert (await journal.entry(ticket.record.id)) is not None


async def test_the_bound_on_open_admissions_is_kept(setting: Setting) -> None:
    async with Running(setting, max_open=2) as journal:
        tickets = [await journal.admit(would_be(setting.clock), token_id=TOKEN_ID) for _ in range(2)]
        with pytest.raises(Overloaded) as refused:
            await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        await journal.commit(completed(tickets[0].record, setting.clock))
        await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
    assert (refused.value.limit, refused.value.retry_after_s) == (2, 1)


async def test_what_a_dead_process_left_becomes_interrupted_records(setting: Setting) -> None:
    async with Running(setting) as journal:
        tickets = [await journal.admit(would_be(setting.clock, streamed=True), token_id=TOKEN_ID) for _ in range(3)]
        await journal.commit(completed(tickets[1].record, setting.clock))
    setting.clock.advance(60)
    async with Running(setting) as journal:
        assert await journal.recover() == 2
        assert journal.counts().open == 0
        stored = [await journal.entry(ticket.record.id) for ticket in tickets]
    found = [opened(setting, one) for one in stored if one is not None]
    assert [record.state for record in found] == [State.INTERRUPTED, State.COMPLETED, State.INTERRUPTED]
    assert found[0].error is not None
    assert "what was delivered is unknown" in found[0].error.message
    assert found[0].time.finished_at == setting.clock.now_us()
    assert found[0].prompt == tickets[0].record.prompt


async def test_recovery_of_nothing_is_0(setting: Setting) -> None:
    async with Running(setting) as journal:
        assert await journal.recover() == 0
        await record_one(journal, setting.clock)
        assert await journal.recover() == 0


async def test_a_draft_that_does_not_open_still_ends_in_a_record(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
    database = setting.database()
    with database.writing() as connection:
        connection.execute(table_of(DraftRow).update().values(ciphertext=b"\x00" * 40))
    async with Running(setting, database) as journal:
        assert await journal.recover() == 1
        stored = await journal.entry(ticket.record.id)
    assert stored is not None
    found = opened(setting, stored)
    assert found.state is State.INTERRUPTED
    assert found.error is not None
    assert "does not open" in found.error.message
    assert found.http.request_hash == ticket.record.http.request_hash
    assert found.prompt is None


async def test_a_deleted_draft_leaves_no_bytes_in_the_file(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        with setting.database().reading() as connection:
            ciphertext = connection.execute(table_of(DraftRow).select()).one().ciphertext
        await journal.commit(completed(ticket.record, setting.clock))
    assert ciphertext[:64] not in setting.journal_path.read_bytes()


async def test_nothing_of_a_request_stands_in_clear_in_the_database(setting: Setting) -> None:
    async with Running(setting) as journal:
        await record_one(journal, setting.clock)
        await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
    data = setting.journal_path.read_bytes()
    assert b"What is a tally stick" not in data
    assert b"split in two" not in data


async def test_records_are_listed_newest_first_by_pages(setting: Setting) -> None:
    async with Running(setting) as journal:
        for _ in range(5):
            await record_one(journal, setting.clock)
        await record_one(journal, setting.clock, sender=BOB)
        first = await journal.list(ALICE, limit=2)
        second = await journal.list(ALICE, limit=2, cursor=first.next_cursor)
        third = await journal.list(ALICE, limit=2, cursor=second.next_cursor)
    pages = [[stored.sender_seq for stored in page.records] for page in (first, second, third)]
    assert pages == [[5, 4], [3, 2], [1]]
    assert third.next_cursor is None


async def test_records_are_filtered_by_state_and_model(setting: Setting) -> None:
    async with Running(setting) as journal:
        await record_one(journal, setting.clock)
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        await journal.commit(replace(ticket.record, state=State.TIMED_OUT))
        timed_out = await journal.list(ALICE, state=State.TIMED_OUT)
        of_model = await journal.list(ALICE, model="smollm2-135m-instruct")
        of_other = await journal.list(ALICE, model="another")
    assert [stored.record_id for stored in timed_out.records] == [ticket.record.id]
    assert len(of_model.records) == 2
    assert of_other.records == []


async def test_a_page_is_never_longer_than_its_bound(setting: Setting) -> None:
    async with Running(setting) as journal:
        await record_many(journal, setting.clock, 101)
        assert len((await journal.list(ALICE, limit=1_000)).records) == 100


async def test_an_admission_is_open_until_it_is_recorded(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        assert await journal.is_open(ticket.record.id)
        assert await journal.entry(ticket.record.id) is None
        await journal.commit(completed(ticket.record, setting.clock))
        assert not await journal.is_open(ticket.record.id)


async def test_subscribers_are_woken_by_records_and_not_by_admissions(setting: Setting) -> None:
    woken: list[int] = []
    async with Running(setting) as journal:
        journal.subscribe(lambda: woken.append(journal.counts().size))
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        assert woken == []
        await journal.commit(completed(ticket.record, setting.clock))
        await asyncio.sleep(0)
        assert woken == [1]


async def test_a_closed_journal_takes_nothing(setting: Setting) -> None:
    async with Running(setting) as journal:
        pass
    with pytest.raises(JournalClosed):
        await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
    await journal.close()


async def test_closing_finishes_what_waits(setting: Setting) -> None:
    database = setting.database()
    journal: Journal = setting.journal(database)
    await journal.start()
    waiting = [asyncio.create_task(journal.admit(would_be(setting.clock), token_id=TOKEN_ID)) for _ in range(3)]
    await asyncio.sleep(0)
    await journal.close()
    assert len(await asyncio.gather(*waiting)) == 3
    database.close()


async def test_a_journal_has_one_writer_process(setting: Setting) -> None:
    first, second = setting.database(), setting.database()
    first.lock()
    with pytest.raises(StoreLocked):
        second.lock()
    first.close()
    second.lock()
    second.close()
