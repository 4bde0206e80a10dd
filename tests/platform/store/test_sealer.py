"""The sealer: when an epoch is over, what a draft is bound to, and what is left of a key that was dropped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tallystick.ids import Epoch, Index
from tallystick.keys import AuditorKey, unwrap_epoch_key
from tallystick.sealing import open_sealed, record_secret, sealed_header
from tallystick_platform.errors import DraftUnreadable, EpochKeyMissing
from tallystick_platform.store.epoch_keys import EpochKeyFiles
from tallystick_platform.store.sealer import Sealer
from tests.support.clocks import FixedClock
from tests.support.journals import EPOCH_SECONDS, LOG_ID, Setting, completed, would_be

CLOCK = FixedClock()
NOW = CLOCK.now_us()
RECORD = replace(completed(would_be(CLOCK), CLOCK), admission_seq=1, sender_seq=1)


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


@pytest.fixture
def sealer(setting: Setting) -> Sealer:
    sealer = setting.sealer()
    sealer.resume(None)
    sealer.adopt_epoch(sealer.plan_epoch(Index(0), NOW))
    return sealer


def test_without_an_epoch_one_is_due(setting: Setting) -> None:
    sealer = setting.sealer()
    sealer.resume(None)
    assert sealer.epoch_due(NOW)
    assert not sealer.epoch_open()


def test_an_epoch_is_over_after_its_seconds_and_not_before(sealer: Sealer) -> None:
    assert not sealer.epoch_due(NOW)
    assert not sealer.epoch_due(NOW + EPOCH_SECONDS * 1_000_000 - 1)
    assert sealer.epoch_due(NOW + EPOCH_SECONDS * 1_000_000)


def test_another_set_of_auditors_needs_another_epoch(setting: Setting) -> None:
    other = AuditorKey.generate()
    sealer = setting.sealer()
    sealer.resume(None)
    plan = sealer.plan_epoch(Index(0), NOW)
    for auditors, due in (([setting.auditor], False), ([setting.auditor, other], True), ([other], True)):
        changed = setting.sealer(auditors)
        changed.resume(plan)
        assert changed.epoch_due(NOW) is due


def test_the_order_of_the_auditors_does_not_matter(setting: Setting) -> None:
    first, second = AuditorKey.generate(), AuditorKey.generate()
    sealer = setting.sealer([first, second])
    sealer.resume(None)
    plan = sealer.plan_epoch(Index(0), NOW)
    again = setting.sealer([second, first])
    again.resume(plan)
    assert not again.epoch_due(NOW)


def test_a_plan_made_again_has_the_same_key(setting: Setting) -> None:
    sealer = setting.sealer()
    sealer.resume(None)
    keys = [
        unwrap_epoch_key(sealer.plan_epoch(Index(0), NOW).wraps[0], setting.auditor, LOG_ID, 1).secret for _ in range(2)
    ]
    assert keys[0] == keys[1]


def test_every_auditor_gets_a_wrap_that_opens_the_records(setting: Setting) -> None:
    auditors = [AuditorKey.generate(), AuditorKey.generate()]
    sealer = setting.sealer(auditors)
    sealer.resume(None)
    plan = sealer.plan_epoch(Index(0), NOW)
    sealer.adopt_epoch(plan)
    sealed = sealer.seal(RECORD, Index(3))
    for wrap, auditor in zip(plan.wraps, auditors, strict=True):
        nonce = sealed_header(sealed.sealed).nonce
        secret = record_secret(unwrap_epoch_key(wrap, auditor, LOG_ID, 1), 3, nonce)
        opened = open_sealed(
            sealed.sealed, log_id=LOG_ID, index=3, epoch=1, fields_root=sealed.fields_root, secret=secret
        )
        assert opened.record.id == RECORD.id


def test_one_record_sealed_twice_at_one_place_has_two_secrets(sealer: Sealer) -> None:
    first, second = sealer.seal(RECORD, Index(3)), sealer.seal(RECORD, Index(3))
    assert first.secret != second.secret
    assert first.sealed != second.sealed


def test_a_lost_key_makes_another_epoch_due(setting: Setting, sealer: Sealer) -> None:
    plan = sealer.plan_epoch(Index(5), NOW)
    EpochKeyFiles(setting.keys_dir, LOG_ID).erase(plan.number)
    sealer.resume(plan)
    assert sealer.epoch_due(NOW)
    with pytest.raises(EpochKeyMissing):
        sealer.seal(RECORD, Index(0))


def test_a_closed_epoch_seals_nothing(setting: Setting, sealer: Sealer) -> None:
    sealer.resume(replace(sealer.plan_epoch(Index(5), NOW), closed=True))
    assert sealer.epoch_due(NOW)
    assert not sealer.epoch_open()
    with pytest.raises(EpochKeyMissing):
        sealer.seal(RECORD, Index(0))


def test_a_draft_opens_under_its_own_epoch_and_number(sealer: Sealer) -> None:
    protected = sealer.protect_draft(7, b"draft")
    assert b"draft" not in protected
    assert sealer.reveal_draft(Epoch(1), 7, protected) == b"draft"


def test_one_draft_protected_twice_gives_different_bytes(sealer: Sealer) -> None:
    assert sealer.protect_draft(7, b"draft") != sealer.protect_draft(7, b"draft")


def test_a_draft_opens_nowhere_else(sealer: Sealer) -> None:
    protected = sealer.protect_draft(7, b"draft")
    sealer.adopt_epoch(sealer.plan_epoch(Index(5), NOW))
    for epoch, seq, data in (
        (Epoch(2), 7, protected),
        (Epoch(1), 8, protected),
        (Epoch(1), 7, protected[:-1]),
        (Epoch(1), 7, b""),
        (Epoch(1), 7, protected[:-1] + bytes((protected[-1] ^ 1,))),
    ):
        with pytest.raises(DraftUnreadable):
            sealer.reveal_draft(epoch, seq, data)


def test_a_draft_of_an_older_epoch_opens_after_a_restart(setting: Setting, sealer: Sealer) -> None:
    protected = sealer.protect_draft(7, b"draft")
    plan = sealer.plan_epoch(Index(5), NOW)
    again = setting.sealer()
    again.resume(plan)
    assert again.reveal_draft(Epoch(1), 7, protected) == b"draft"


def test_a_forgotten_epoch_is_gone_from_memory_and_disk(setting: Setting, sealer: Sealer) -> None:
    protected = sealer.protect_draft(7, b"draft")
    sealer.adopt_epoch(sealer.plan_epoch(Index(5), NOW))
    sealer.forget_before(Epoch(2))
    assert EpochKeyFiles(setting.keys_dir, LOG_ID).held() == [2]
    with pytest.raises(EpochKeyMissing):
        sealer.reveal_draft(Epoch(1), 7, protected)
    assert sealer.seal(RECORD, Index(5)).epoch == 2
