"""The table "What a thief could do" of docs/trust-model.md, where no test of it stands elsewhere."""

from dataclasses import replace

import pytest

from tallystick.errors import OpenError
from tallystick.keys import AuditorKey, Wallet
from tallystick.receipts.signed import SignedReceipt
from tallystick.sealing import decrypt, record_secret, sealed_header
from tallystick_platform.store.epoch_keys import EpochKeyFiles
from tests.support.dishonest.writers import answering, begun
from tests.support.journals import LOG_ID, Running, Setting, record_one
from tests.support.synthetic_log import ALICE, MODEL
from tests.support.synthetic_server import served


def test_thief_1_has_the_chain_and_reads_sizes_and_numbers(auditor, tmp_path):
    log = begun()
    texts = ["The butler did it. " + "x" * size for size in (0, 3, 6)]
    sealed = log.append([answering(log.request(ALICE), text) for text in texts])
    shown = b"".join(
        bytes.fromhex(str(event["data"])[2:]) + b"".join(bytes.fromhex(str(topic)[2:]) for topic in event["topics"])
        for event in log.node().events()
    )
    for secret in (b"butler", b"tally stick", ALICE, MODEL.id.encode(), MODEL.weights_digest):
        assert secret not in shown
    assert [sealed_header(one.sealed).admission_seq for one in sealed] == [3, 4, 5]
    assert len({len(one.sealed) for one in sealed}) == 1
    thief = auditor.write_key(AuditorKey(b"\x44" * 32))
    with served(log.node()) as url:
        options = auditor.log_options(url, log.log_id)
        shown_to_thief = auditor.run("show", 2, *options, "--auditor-key", thief)
        assert shown_to_thief.exit_code == 2
        assert "butler" not in shown_to_thief.written
        assert "butler" in auditor.run("show", 2, *options, "--auditor-key", auditor.key_file).written


async def test_thief_3_has_a_backup_and_the_key_of_its_epoch_and_reads_no_earlier_one(tmp_path):
    setting = Setting(tmp_path)
    async with Running(setting) as journal:
        earlier = await record_one(journal, setting.clock)
        setting.clock.advance(setting.epoch_seconds)
        newest = await record_one(journal, setting.clock)
        stored = [await journal.entry(one.record_id) for one in (earlier, newest)]
    files = EpochKeyFiles(setting.keys_dir, LOG_ID)
    assert files.held() == [newest.epoch]
    key = files.load(newest.epoch)

    def read(entry):
        secret = record_secret(key, entry.index, sealed_header(entry.sealed).nonce)
        place = {"index": entry.index, "epoch": entry.epoch, "fields_root": entry.fields_root}
        return decrypt(entry.sealed, log_id=LOG_ID, secret=secret, **place)

    assert b"What is a tally stick" in read(stored[1])
    with pytest.raises(OpenError):
        read(stored[0])


def test_thief_5_has_the_key_of_a_writer_that_was_replaced(auditor):
    log = begun()
    stolen = log.writer
    log.rotate_writer(Wallet(b"\x07" * 32))
    log.open_epoch()
    log.append_requests(1)
    old, new = log.receipts[1].receipt, log.receipts[2].receipt
    later = SignedReceipt.sign(stolen, log.domain, replace(new, leaf=b"\x12" * 32))
    early = SignedReceipt.sign(
        stolen, log.domain, replace(new, leaf=b"\x12" * 32, issued_at=old.issued_at, anchor_by=old.anchor_by)
    )
    for forged in (later, early):
        auditor.judge(log, kept=[forged]).leaves_open("when it was not this log's writer", check="receipts")
    dated_back = SignedReceipt.sign(stolen, log.domain, replace(old, leaf=b"\x12" * 32))
    auditor.judge(log, kept=[dated_back], closed=True).proves("receipts", saying="expected the receipt's leaf")
    taken = begun()
    taken.rotate_writer(Wallet(b"\x07" * 32))
    taken.writer = stolen
    taken.open_epoch()
    taken.append_requests(1)
    for block in taken.blocks[-2:]:
        block.state = replace(block.state, writer=Wallet(b"\x07" * 32).address)
    auditor.judge(taken).leaves_open("what was shown does not fit together, in 6 authorship")
