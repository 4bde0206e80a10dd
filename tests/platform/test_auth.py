"""Tokens at the door."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick_platform.auth import Authenticator
from tallystick_platform.errors import CredentialMalformed, TokenExpired, TokenRevoked, TokenUnknown
from tallystick_platform.store.database import Database
from tallystick_platform.store.tokens import TokenInfo, TokenStore
from tests.support.clocks import FixedClock
from tests.support.journals import ALICE, Setting


class CountingStore(TokenStore):
    """Counts the reads of the database."""

    reads = 0

    def find(self, hashed: bytes) -> TokenInfo | None:
        self.reads += 1
        return super().find(hashed)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Setting(tmp_path).database()
    yield database
    database.close()


@pytest.fixture
def tokens(database: Database, tmp_path: Path) -> CountingStore:
    return CountingStore(database, Setting(tmp_path).macs)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def authenticator(tokens: CountingStore, clock: FixedClock) -> Authenticator:
    return Authenticator(tokens, clock)


async def test_a_good_token_gives_the_sender_that_it_is_bound_to(
    authenticator: Authenticator, tokens: CountingStore, clock: FixedClock
) -> None:
    made = tokens.create(name="app", address=ALICE, now_us=clock.now_us())
    principal = await authenticator.authenticate(made.token)
    assert (principal.token_id, principal.name, principal.address) == (made.info.id, "app", ALICE)


async def test_a_token_is_read_once_while_it_is_remembered(
    authenticator: Authenticator, tokens: CountingStore, clock: FixedClock
) -> None:
    made = tokens.create(name="app", address=ALICE, now_us=clock.now_us())
    for _ in range(4):
        await authenticator.authenticate(made.token)
        clock.advance(0.1)
    assert tokens.reads == 1


async def test_a_revocation_by_another_process_is_noticed_within_a_second(
    authenticator: Authenticator, tokens: CountingStore, clock: FixedClock
) -> None:
    made = tokens.create(name="app", address=ALICE, now_us=clock.now_us())
    await authenticator.authenticate(made.token)
    tokens.revoke(made.info.id, now_us=clock.now_us())
    clock.advance(1)
    with pytest.raises(TokenRevoked):
        await authenticator.authenticate(made.token)


async def test_a_token_made_by_another_process_works_at_once(
    authenticator: Authenticator, tokens: CountingStore, clock: FixedClock
) -> None:
    with pytest.raises(TokenUnknown):
        await authenticator.authenticate("tsk_" + "A" * 43)
    made = tokens.create(name="app", address=ALICE, now_us=clock.now_us())
    assert (await authenticator.authenticate(made.token)).token_id == made.info.id


async def test_a_token_works_until_it_expires_even_while_it_is_remembered(
    authenticator: Authenticator, tokens: CountingStore, clock: FixedClock
) -> None:
    expires_at = clock.now_us() + 500_000
    made = tokens.create(name="app", address=ALICE, now_us=clock.now_us(), expires_at=expires_at)
    clock.advance(0.499_999)
    await authenticator.authenticate(made.token)
    clock.advance(0.000_001)
    with pytest.raises(TokenExpired):
        await authenticator.authenticate(made.token)


@pytest.mark.parametrize(
    "text", ["", "tsk_", "tsk_" + "A" * 42, "tsk_" + "A" * 44, "sk-" + "A" * 44, "tsk_" + "é" * 43]
)
async def test_what_cannot_be_a_token_is_refused_without_a_read(
    authenticator: Authenticator, tokens: CountingStore, text: str
) -> None:
    with pytest.raises(CredentialMalformed):
        await authenticator.authenticate(text)
    assert tokens.reads == 0
