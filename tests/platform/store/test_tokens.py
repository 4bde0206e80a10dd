"""Tokens at rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick_platform.errors import NoSuchToken, RowTampered
from tallystick_platform.store.database import Database
from tallystick_platform.store.tables import TOKEN
from tallystick_platform.store.tokens import TOKEN_FORM, TokenStore, token_hash
from tests.support.journals import ALICE, BOB, Bytes, Setting


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Setting(tmp_path).database()
    yield database
    database.close()


@pytest.fixture
def tokens(database: Database, tmp_path: Path) -> TokenStore:
    return TokenStore(database, Setting(tmp_path).macs, random=Bytes("tokens"))


def test_a_token_is_256_random_bits_behind_its_prefix(tokens: TokenStore) -> None:
    made = tokens.create(name="app", address=ALICE, now_us=5)
    assert TOKEN_FORM.fullmatch(made.token)
    assert made.info.prefix == made.token[:12]
    assert made.info.address == ALICE


def test_only_the_hash_is_stored(tokens: TokenStore, tmp_path: Path) -> None:
    made = tokens.create(name="app", address=ALICE, now_us=5)
    files = [path.read_bytes() for path in (tmp_path / "journal").iterdir()]
    assert not any(made.token[12:].encode() in data for data in files)
    assert tokens.find(token_hash(made.token)) == made.info


def test_the_token_is_not_in_the_repr_of_what_is_made(tokens: TokenStore) -> None:
    made = tokens.create(name="app", address=ALICE, now_us=5)
    assert made.token not in repr(made)


def test_several_tokens_are_active_at_once_and_listed_oldest_first(tokens: TokenStore) -> None:
    first = tokens.create(name="one", address=ALICE, now_us=5)
    second = tokens.create(name="two", address=BOB, now_us=6)
    assert tokens.tokens() == [first.info, second.info]


def test_a_revoked_token_stays_known_as_revoked_since_the_first_time(tokens: TokenStore) -> None:
    made = tokens.create(name="app", address=ALICE, now_us=5)
    assert tokens.revoke(made.info.id, now_us=7).revoked_at == 7
    assert tokens.revoke(made.info.id, now_us=9).revoked_at == 7
    found = tokens.find(token_hash(made.token))
    assert found is not None
    assert found.revoked_at == 7


def test_revoking_a_token_that_does_not_exist_says_so(tokens: TokenStore) -> None:
    with pytest.raises(NoSuchToken):
        tokens.revoke("tok_0", now_us=7)


def test_an_unknown_hash_is_nobodys(tokens: TokenStore) -> None:
    assert tokens.find(token_hash("tsk_" + "A" * 43)) is None


@pytest.mark.parametrize("name", ["", "x" * 129])
def test_a_name_out_of_bounds_is_refused(tokens: TokenStore, name: str) -> None:
    with pytest.raises(ValueError, match="1 to 128"):
        tokens.create(name=name, address=ALICE, now_us=5)


def test_an_expiry_in_the_past_is_refused(tokens: TokenStore) -> None:
    with pytest.raises(ValueError, match="expired"):
        tokens.create(name="app", address=ALICE, now_us=5, expires_at=5)


def test_a_token_whose_address_was_changed_in_the_database_is_not_honoured(
    tokens: TokenStore, database: Database
) -> None:
    made = tokens.create(name="app", address=ALICE, now_us=5)
    with database.writing() as connection:
        connection.execute(TOKEN.update().values(address=bytes(BOB)))
    with pytest.raises(RowTampered):
        tokens.find(token_hash(made.token))
