"""Answers that are kept for whoever repeats a request."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tallystick_platform.errors import RowTampered
from tallystick_platform.store import answers
from tallystick_platform.store.answers import KEEP_US, KeptAnswer, KeptAnswers
from tallystick_platform.store.database import Database
from tests.support.clocks import FixedClock
from tests.support.journals import Bytes, Setting

ANSWER = KeptAnswer(b"\x01" * 32, 200, ((b"content-type", b"application/json"),), b'{"secret":"what was answered"}')


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Setting(tmp_path).database()
    yield database
    database.close()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def kept(database: Database, tmp_path: Path, clock: FixedClock) -> KeptAnswers:
    return KeptAnswers(database, Setting(tmp_path).macs, clock, Bytes("answers"))


def changed(tmp_path: Path, statement: str) -> None:
    with sqlite3.connect(Setting(tmp_path).journal_path) as connection:
        connection.execute(statement)


def test_an_answer_can_be_had_again_by_its_own_token_and_key_alone(kept: KeptAnswers) -> None:
    kept.keep("tok-1", "a", ANSWER)
    assert kept.find("tok-1", "a") == ANSWER
    assert kept.find("tok-1", "b") is None
    assert kept.find("tok-2", "a") is None


def test_the_name_of_one_is_not_the_name_of_another(kept: KeptAnswers) -> None:
    assert len({kept.name(*pair) for pair in (("a", "bc"), ("ab", "c"), ("abc", ""), ("", "abc"))}) == 4


def test_nothing_of_it_stands_in_clear_and_neither_does_its_key(kept: KeptAnswers, tmp_path: Path) -> None:
    kept.keep("tok-1", "an-idempotency-key", ANSWER)
    for path in (tmp_path / "journal").iterdir():
        assert b"what was answered" not in path.read_bytes()
        assert b"an-idempotency-key" not in path.read_bytes()


def test_an_answer_is_gone_after_a_day_and_its_key_is_free_again(kept: KeptAnswers, clock: FixedClock) -> None:
    kept.keep("tok-1", "a", ANSWER)
    clock.advance(KEEP_US / 1_000_000)
    assert kept.find("tok-1", "a") is None
    kept.keep("tok-1", "a", ANSWER)
    assert kept.find("tok-1", "a") == ANSWER


def test_beyond_the_bound_the_oldest_of_the_token_go(
    kept: KeptAnswers, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MAX_KEPT_PER_TOKEN", 2)
    kept.keep("tok-2", "another's", ANSWER)
    for key in ("first", "second", "third"):
        clock.advance(1)
        kept.keep("tok-1", key, ANSWER)
    assert kept.find("tok-1", "first") is None
    assert kept.find("tok-1", "second") == kept.find("tok-1", "third") == kept.find("tok-2", "another's") == ANSWER


@pytest.mark.parametrize(
    "change", ["expires_at = expires_at + 1", "token_id = 'tok-2'", "ciphertext = zeroblob(64)", "ciphertext = x'00'"]
)
def test_a_row_that_was_changed_is_not_given(kept: KeptAnswers, tmp_path: Path, change: str) -> None:
    kept.keep("tok-1", "a", ANSWER)
    changed(tmp_path, f"UPDATE kept_answer SET {change}")
    with pytest.raises(RowTampered):
        kept.find("tok-1", "a")


def test_another_operator_cannot_read_it(kept: KeptAnswers, database: Database, clock: FixedClock) -> None:
    from tallystick_platform.store.row_macs import RowMacs

    kept.keep("tok-1", "a", ANSWER)
    other: Callable[[int], bytes] = Bytes("other")
    assert KeptAnswers(database, RowMacs(b"\x09" * 32), clock, other).find("tok-1", "a") is None
