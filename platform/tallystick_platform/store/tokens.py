"""API tokens at rest: a SHA-256 hash, a sender address, and a life span.

A token is 256 random bits, so its hash needs no salt and no stretching, and finding a row by the hash tells an attacker who measures
time nothing that helps: the hash of a guess is not under their control.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from sqlalchemy import Connection, select

from tallystick.ids import Address
from tallystick_platform.errors import NoSuchToken
from tallystick_platform.store.database import Database
from tallystick_platform.store.row_macs import RowMacs, Value
from tallystick_platform.store.row_writes import insert_row, replace_row
from tallystick_platform.store.tables import TOKEN

TOKEN_PREFIX = "tsk_"  # noqa: S105  not a token: what every token begins with
TOKEN_BYTES = 32
TOKEN_FORM = re.compile(r"tsk_[A-Za-z0-9_-]{43}")
SHOWN_PREFIX_LENGTH = 12  # of the 43 random characters, 8: enough to tell tokens apart, nothing to guess the rest by
MAX_NAME_LENGTH = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenInfo:
    """A token as it may be shown. Units: microseconds UTC."""

    id: str
    name: str
    prefix: str
    address: Address
    created_at: int
    expires_at: int | None
    revoked_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token at the only moment when it is known."""

    info: TokenInfo
    token: str = field(repr=False)


class TokenStore:
    """The tokens of a journal's database. `random(n)` gives n unpredictable bytes."""

    def __init__(
        self, database: Database, macs: RowMacs, *, random: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._database = database
        self._macs = macs
        self._random = random

    def create(self, *, name: str, address: Address, now_us: int, expires_at: int | None = None) -> NewToken:
        """Make a token for a sender.

        Requires: a name of 1 to MAX_NAME_LENGTH characters; `expires_at` after `now_us`.
        Raises: ValueError
        """
        if not 0 < len(name) <= MAX_NAME_LENGTH:
            raise ValueError(f"a token's name has 1 to {MAX_NAME_LENGTH} characters")
        if expires_at is not None and expires_at <= now_us:
            raise ValueError("the token would have expired already")
        token = TOKEN_PREFIX + _base64url(self._random(TOKEN_BYTES))
        values: dict[str, Value] = {
            "id": "tok_" + self._random(8).hex(),
            "name": name,
            "token_hash": token_hash(token),
            "prefix": token[:SHOWN_PREFIX_LENGTH],
            "address": address,
            "created_at": now_us,
            "expires_at": expires_at,
            "revoked_at": None,
        }
        with self._database.writing() as connection:
            insert_row(connection, self._macs, TOKEN, values)
        return NewToken(info=_info(values), token=token)

    def tokens(self) -> Sequence[TokenInfo]:
        """Every token ever made, oldest first.

        Raises: RowTampered
        """
        with self._database.reading() as connection:
            rows = connection.execute(select(TOKEN).order_by(TOKEN.c.created_at, TOKEN.c.id))
            return [_info(self._macs.check(TOKEN, row)) for row in rows]

    def revoke(self, token_id: str, *, now_us: int) -> TokenInfo:
        """Withdraw a token for good. Revoking it again keeps the first time.

        Raises: NoSuchToken, RowTampered
        """
        with self._database.writing() as connection:
            values = self._by_id(connection, token_id)
            if values["revoked_at"] is None:
                values = replace_row(connection, self._macs, TOKEN, values, {"revoked_at": now_us})
        return _info(values)

    def find(self, hashed: bytes) -> TokenInfo | None:
        """The token with this hash, whether it is still good or not.

        Raises: RowTampered
        """
        with self._database.reading() as connection:
            row = connection.execute(select(TOKEN).where(TOKEN.c.token_hash == hashed)).first()
        if row is None:
            return None
        values = self._macs.check(TOKEN, row)
        found = values["token_hash"]
        return _info(values) if isinstance(found, bytes) and hmac.compare_digest(found, hashed) else None

    def _by_id(self, connection: Connection, token_id: str) -> dict[str, Value]:
        row = connection.execute(select(TOKEN).where(TOKEN.c.id == token_id)).first()
        if row is None:
            raise NoSuchToken(token_id=token_id)
        return dict(self._macs.check(TOKEN, row))


def token_hash(token: str) -> bytes:
    """How a token is known at rest."""
    return hashlib.sha256(token.encode()).digest()


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _info(row: Mapping[str, Any]) -> TokenInfo:
    return TokenInfo(**{each.name: row[each.name] for each in fields(TokenInfo)})
