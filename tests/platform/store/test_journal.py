"""The journal from outside: what callers may rely on."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from tallystick.binding import NO_REQUEST_HASH, record_request_hash, response_digest, response_hash
from tallystick.encoding import decode_value
from tallystick.errors import OpenError, RecordError
from tallystick.keys import unwrap_epoch_key
from tallystick.receipts.signed import signer
from tallystick.record import BlobRef, Record, State
from tallystick.sealing import (
    OpenedRecord,
    check_commitments,
    decrypt_blob,
    open_sealed,
    record_secret,
    response_salt,
    sealed_header,
)
from tallystick.tasks import chat_output
from tallystick_platform.clock import MAX_HELD_S
from tallystick_platform.errors import (
    AdmissionClosed,
    CannotFollow,
    JournalClosed,
    JournalUnavailable,
    NotAdmitted,
    Overloaded,
    RowTampered,
    StoreLocked,
)
from tallystick_platform.store.group import Admit, Operation
from tallystick_platform.store.journal import CLOCK_HELD, Journal
from tallystick_platform.store.records import StoredRecord
from tallystick_platform.store.rows import unpack_wraps
from tallystick_platform.store.tables import DRAFT, EPOCH
from tallystick_platform.store.writer import Writer
from tests.support.journals import (
    ALICE,
    BOB,
    DOMAIN,
    LOG_ID,
    PROMISE_S,
    RANDOM,
    TOKEN_ID,
    WALLET,
    Running,
    Setting,
    accepted,
    completed,
    ending,
    findings,
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
        row = connection.execute(EPOCH.select().where(EPOCH.c.number == stored.epoch)).one()
    key = unwrap_epoch_key(unpack_wraps(row.wraps)[0], setting.auditor, LOG_ID, stored.epoch)
    secret = record_secret(key, stored.index, sealed_header(stored.sealed).nonce)
    found = opened_by(secret, stored)
    check_commitments(found, stored.fields_root)
    return found.record


def opened_by(secret: bytes, stored: StoredRecord) -> OpenedRecord:
    """What a secret opens of a stored record. Raises: OpenError."""
    return open_sealed(
        stored.sealed,
        log_id=LOG_ID,
        index=stored.index,
        epoch=stored.epoch,
        fields_root=stored.fields_root,
        secret=secret,
    )


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
    assert (receipt.admission_seq, receipt.sender) == (1, ALICE)
    assert receipt.request_hash == record_request_hash(ticket.record.http, ticket.record.request)
    digest = response_digest(None, (chat_output("yes", "stop"),))
    assert receipt.response_hash == response_hash(response_salt(entry.record_secret), digest)
    assert receipt.issued_at == setting.clock.now_us() // 1_000_000
    assert receipt.anchor_by == receipt.issued_at + PROMISE_S


async def test_a_record_without_an_output_has_the_hash_of_no_outputs_in_its_receipt(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        entry = await journal.commit(replace(ticket.record, state=State.FAILED))
    digest = response_digest(ticket.record.error, ())
    assert entry.receipt.receipt.response_hash == response_hash(response_salt(entry.record_secret), digest)


async def test_the_admission_is_signed_and_the_same_whenever_it_is_asked_for(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        await journal.commit(completed(ticket.record, setting.clock))
    async with Running(setting) as journal:
        stored = await journal.entry(ticket.record.id)
    signed, admission, record = ticket.admission, ticket.admission.admission, ticket.record
    assert signer(signed) == WALLET.address
    assert signed.domain == DOMAIN
    assert (admission.log_id, admission.admission_seq, admission.sender_seq) == (LOG_ID, 1, 1)
    assert (admission.sender, admission.admitted_at) == (ALICE, record.time.admitted_at // 1_000_000)
    assert admission.request_hash == record_request_hash(record.http, record.request)
    assert admission.record_by == admission.admitted_at + PROMISE_S
    assert stored is not None
    assert stored.admission.to_json() == signed.to_json()


async def test_the_receipt_is_the_same_whenever_it_is_asked_for(setting: Setting) -> None:
    async with Running(setting) as journal:
        entry = await record_one(journal, setting.clock)
    setting.clock.advance(100)
    async with Running(setting) as journal:
        stored = await journal.entry(entry.record_id)
    assert stored is not None
    assert stored.receipt.to_json() == entry.receipt.to_json()


async def test_a_receipt_promises_no_more_than_its_admission(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        setting.clock.advance(600)
        entry = await journal.commit(completed(ticket.record, setting.clock))
    receipt = entry.receipt.receipt
    assert receipt.issued_at == ticket.admission.admission.admitted_at + 600
    assert receipt.anchor_by == ticket.admission.admission.record_by
    assert receipt.anchor_by - receipt.issued_at <= PROMISE_S


async def test_what_was_promised_stands_also_where_the_record_comes_too_late(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
    setting.clock.advance(PROMISE_S + 100)
    async with Running(setting) as journal:
        await journal.recover()
        stored = await journal.entry(ticket.record.id)
    assert stored is not None
    assert stored.receipt.receipt.anchor_by == ticket.admission.admission.record_by
    assert stored.receipt.receipt.anchor_by < stored.receipt.receipt.issued_at


async def test_the_receipt_and_the_admission_speak_of_one_request(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock, body=b"x" * 200_000), token_id=TOKEN_ID)
        entry = await journal.commit(completed(ticket.record, setting.clock))
    assert entry.receipt.receipt.request_hash == ticket.admission.admission.request_hash


async def test_a_request_that_is_a_reference_already_is_not_admitted(setting: Setting) -> None:
    ref = BlobRef(digest=bytes(32), length=2_000, sealed_digest=bytes(32))
    async with Running(setting) as journal:
        with pytest.raises(RecordError, match="request"):
            await journal.admit(replace(would_be(setting.clock), request=ref), token_id=TOKEN_ID)


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
    assert opened_by(entry.record_secret, stored).record.id == entry.record_id


async def test_a_large_request_goes_to_a_blob_that_is_given_to_who_names_its_record(setting: Setting) -> None:
    body = RANDOM(300_000)
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock, body=body), token_id=TOKEN_ID)
        entry = await journal.commit(completed(ticket.record, setting.clock))
        other = await record_one(journal, setting.clock)
        stored = await journal.entry(entry.record_id)
        assert stored is not None
        ref = opened(setting, stored).request
        blob = await journal.blob(entry.record_id, ref.sealed_digest)
        assert await journal.blob(other.record_id, ref.sealed_digest) is None
        assert await journal.blob(entry.record_id, bytes(32)) is None
    assert blob is not None
    assert decode_value(decrypt_blob(blob, ref, entry.record_secret))["body"] == body


async def test_a_changed_blob_is_not_given_out(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock, body=RANDOM(300_000)), token_id=TOKEN_ID)
        entry = await journal.commit(completed(ticket.record, setting.clock))
        with setting.database().writing() as connection:
            digest = connection.exec_driver_sql("SELECT sealed_digest FROM blob").scalar()
            connection.exec_driver_sql("UPDATE blob SET ciphertext = x'00'")
        with pytest.raises(RowTampered):
            await journal.blob(entry.record_id, digest)


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
    found = opened(setting, stored)
    assert (found.parameters, found.prompt) == ({}, None)
    assert found.request == ticket.record.request  # its hash was promised


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
        connection.execute(DRAFT.update().values(ciphertext=b"\x00" * 40))
    async with Running(setting, database) as journal:
        assert await journal.recover() == 1
        stored = await journal.entry(ticket.record.id)
    assert stored is not None
    found = opened(setting, stored)
    assert found.state is State.INTERRUPTED
    assert found.error is not None
    assert "does not open" in found.error.message
    assert (found.http.method, found.http.path) == ("POST", "/v1/chat/completions")
    assert (found.prompt, found.request) == (None, None)
    assert stored.receipt.receipt.request_hash == NO_REQUEST_HASH != ticket.admission.admission.request_hash


async def test_a_deleted_draft_leaves_no_bytes_in_the_file(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        with setting.database().reading() as connection:
            ciphertext = connection.execute(DRAFT.select()).one().ciphertext
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
    journal.release()
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


# -- held: nobody has compared journal and chain


async def held_journal(setting: Setting) -> Journal:
    journal = setting.journal(setting.database())
    await journal.start()
    return journal


async def test_a_journal_begins_held_and_admits_nothing(setting: Setting) -> None:
    journal = await held_journal(setting)
    assert "not compared with the chain" in str(journal.held)
    assert journal.fault == journal.held
    with pytest.raises(AdmissionClosed) as refused:
        await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
    with pytest.raises(AdmissionClosed):
        await journal.record_at_once(accepted(setting.clock), token_id=TOKEN_ID)
    with pytest.raises(AdmissionClosed):
        await journal.recover()
    assert refused.value.retry_after_s == 10
    assert journal.counts().admitted == 0
    journal.release()
    assert journal.fault is None
    await record_one(journal, setting.clock)
    await journal.close()


async def test_nothing_is_admitted_while_the_clock_is_held_beyond_the_bound_and_what_was_admitted_is_recorded(
    setting: Setting,
) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        setting.clock.held = MAX_HELD_S + 0.1
        assert journal.held == journal.fault == CLOCK_HELD
        with pytest.raises(AdmissionClosed, match="clock was set back"):
            await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        with pytest.raises(AdmissionClosed):
            await journal.record_at_once(accepted(setting.clock), token_id=TOKEN_ID)
        await journal.commit(completed(ticket.record, setting.clock))
        journal.hold("the anchorer halted")
        assert journal.held == "the anchorer halted"
        journal.release()
        setting.clock.held = MAX_HELD_S
        assert journal.held is None
        await record_one(journal, setting.clock)


async def test_a_held_journal_seals_nothing_that_a_dead_process_left(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
    journal = await held_journal(setting)
    with pytest.raises(AdmissionClosed):
        await journal.recover()
    assert journal.counts().size == 0
    journal.release()
    assert await journal.recover() == 1
    assert await journal.entry(ticket.record.id) is not None
    await journal.close()


async def test_an_answer_that_ends_while_the_journal_is_held_is_withheld_and_recorded_so_later(
    setting: Setting,
) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        journal.hold("the anchorer halted")
        with pytest.raises(JournalUnavailable, match="halted"):
            await journal.commit(completed(ticket.record, setting.clock))
        assert journal.counts().size == 0
        journal.release()
        await journal.recover()
        stored = await journal.entry(ticket.record.id)
    assert stored is not None
    found = opened(setting, stored)
    assert (found.state, found.response) == (State.FAILED, None)
    assert found.error is not None
    assert found.error.code == "journal_unavailable"


async def test_what_waits_when_the_journal_is_held_is_refused(setting: Setting) -> None:
    async with Running(setting) as journal:
        waiting = [asyncio.create_task(journal.admit(would_be(setting.clock), token_id=TOKEN_ID)) for _ in range(2)]
        at_once = asyncio.create_task(journal.record_at_once(accepted(setting.clock), token_id=TOKEN_ID))
        journal.hold("the anchorer halted")
        results = await asyncio.gather(*waiting, at_once, return_exceptions=True)
        assert [type(result) for result in results] == [AdmissionClosed] * 3
        assert journal.counts().admitted == 0


# -- long work: accepted, and ended by a record that follows


async def test_accepted_work_and_its_end_are_each_admitted_and_recorded_at_once(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket, entry = await journal.record_at_once(accepted(setting.clock), token_id=TOKEN_ID)
        assert [stored.record_id for stored in await journal.unended()] == [entry.record_id]
        setting.clock.advance(60)
        end, later = await journal.record_at_once(ending(ticket.record, setting.clock), token_id=TOKEN_ID)
        assert journal.counts().open == 0
        assert await journal.unended() == []
        follower = await journal.follower(entry.record_id)
        assert await journal.follower(later.record_id) is None
    assert (ticket.record.admission_seq, end.record.admission_seq, later.index) == (1, 2, 1)
    assert follower is not None
    assert (follower.record_id, follower.follows, follower.state) == (end.record.id, ticket.record.id, State.COMPLETED)
    found = opened(setting, follower)
    assert (found.follows, found.sender_seq, found.request) == (ticket.record.id, 2, None)
    assert end.admission.admission.request_hash == later.receipt.receipt.request_hash == NO_REQUEST_HASH
    assert signer(end.admission) == signer(later.receipt) == WALLET.address
    assert findings(setting) == []


async def test_accepted_work_has_one_end(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket, _ = await journal.record_at_once(accepted(setting.clock), token_id=TOKEN_ID)
        together = await asyncio.gather(
            *(journal.record_at_once(ending(ticket.record, setting.clock), token_id=TOKEN_ID) for _ in range(3)),
            return_exceptions=True,
        )
        with pytest.raises(CannotFollow, match="follows it already"):
            await journal.record_at_once(ending(ticket.record, setting.clock), token_id=TOKEN_ID)
        assert journal.counts().size == 2
    assert [isinstance(one, CannotFollow) for one in together] == [False, True, True]


async def test_only_accepted_work_of_the_same_sender_can_be_ended(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket, _ = await journal.record_at_once(accepted(setting.clock), token_id=TOKEN_ID)
        entry = await record_one(journal, setting.clock)
        stranger = ending(replace(ticket.record, sender=replace(ticket.record.sender, address=BOB)), setting.clock)
        for record in (
            stranger,
            replace(ending(ticket.record, setting.clock), follows=entry.record_id),
            replace(ending(ticket.record, setting.clock), follows=b"\x07" * 16),
        ):
            with pytest.raises(CannotFollow, match="not an accepted record of this sender"):
                await journal.record_at_once(record, token_id=TOKEN_ID)
        assert journal.counts().admitted == 2


async def test_a_record_at_once_that_does_not_fit_the_format_uses_no_number(setting: Setting) -> None:
    async with Running(setting) as journal:
        with pytest.raises(RecordError):
            await journal.record_at_once(replace(accepted(setting.clock), task=""), token_id=TOKEN_ID)
        ticket, entry = await journal.record_at_once(accepted(setting.clock), token_id=TOKEN_ID)
    assert (ticket.record.admission_seq, entry.index) == (1, 0)


# -- a restored backup


async def test_after_a_restored_backup_the_secret_of_one_record_opens_nothing_of_the_other_at_its_index(
    setting: Setting,
) -> None:
    async with Running(setting) as journal:
        await record_one(journal, setting.clock)
    backup = setting.journal_path.read_bytes()
    async with Running(setting) as journal:
        first = await record_one(journal, setting.clock, sender=ALICE)
    setting.journal_path.write_bytes(backup)
    async with Running(setting) as journal:
        second = await record_one(journal, setting.clock, sender=BOB)
        stored = await journal.entry(second.record_id)
    assert stored is not None
    assert (first.index, first.epoch) == (second.index, second.epoch)  # one key, one place, two records
    assert opened_by(second.record_secret, stored).record.sender.address == BOB
    with pytest.raises(OpenError):
        opened_by(first.record_secret, stored)
