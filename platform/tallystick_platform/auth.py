"""Whose request it is: a bearer token gives a `Principal`, the sender whose records these are, remembered for less than a second.

How tokens are kept is `store/tokens.py`; how they reach the server in headers is the API's business.
"""

from __future__ import annotations

from dataclasses import dataclass

from tallystick.ids import Address
from tallystick_platform.clock import Clock
from tallystick_platform.errors import CredentialMalformed, TokenExpired, TokenRevoked, TokenUnknown
from tallystick_platform.store.remembered import Remembered
from tallystick_platform.store.tokens import TOKEN_FORM, TokenInfo, TokenStore, token_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks: the token, and the address that stands as sender in the record."""

    token_id: str
    name: str
    address: Address


class Authenticator:
    """Checks tokens, which are looked up in threads. A token that is revoked anywhere is refused within a second."""

    def __init__(self, tokens: TokenStore, clock: Clock) -> None:
        self._tokens = tokens
        self._clock = clock
        self._known: Remembered[bytes, tuple[TokenInfo, Principal]] = Remembered(self._look_up, clock)

    async def authenticate(self, token: str) -> Principal:
        """Whose token it is.

        Raises: CredentialMalformed, TokenUnknown, TokenExpired, TokenRevoked, RowTampered
        """
        if TOKEN_FORM.fullmatch(token) is None:
            raise CredentialMalformed(reason="a token is `tsk_` and 43 characters")
        info, principal = await self._known.get(token_hash(token))
        if info.revoked_at is not None:
            raise TokenRevoked
        if info.expires_at is not None and info.expires_at <= self._clock.now_us():
            raise TokenExpired
        return principal

    def _look_up(self, hashed: bytes) -> tuple[TokenInfo, Principal]:
        info = self._tokens.find(hashed)
        if info is None:
            raise TokenUnknown
        return info, Principal(token_id=info.id, name=info.name, address=info.address)
