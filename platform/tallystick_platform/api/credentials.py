"""Which token a request presents, and whether the sender that it states is the token's.

Three forms are taken: `Authorization: Bearer <token>`, a bare `Authorization: <token>`, and `x-api-key: <token>`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from tallystick.errors import IdError
from tallystick.ids import parse_address
from tallystick_platform.api.refusals import CredentialsConflict, SenderMismatch
from tallystick_platform.auth import Principal
from tallystick_platform.errors import CredentialMalformed, CredentialMissing

MAX_CREDENTIAL_BYTES = 512

Headers = Iterable[tuple[bytes, bytes]]


class Authenticator(Protocol):
    """Who a token belongs to."""

    def authenticate(self, token: str) -> Principal:
        """Raises: AuthenticationError."""
        ...


def principal_of(headers: Headers, authenticator: Authenticator) -> Principal:
    """Whose request it is.

    Raises: AuthenticationError.
    """
    authorization = api_key = stated = None
    misplaced = False
    for name, value in headers:
        if name == b"authorization":
            authorization = value
        elif name == b"x-api-key":
            api_key = value
        elif name == b"x-sender-address":
            stated = value
        elif name == b"bearer":
            misplaced = True
    if authorization is None and api_key is None:
        if misplaced:
            raise CredentialMalformed(
                reason="there is a header called Bearer; the form is `Authorization: Bearer <token>`"
            )
        raise CredentialMissing
    token = _text(api_key) if authorization is None else _of_authorization(authorization)
    if authorization is not None and api_key is not None and _text(api_key) != token:
        raise CredentialsConflict
    principal = authenticator.authenticate(token)
    if stated is not None:
        _check_sender(stated, principal)
    return principal


def _of_authorization(value: bytes) -> str:
    text = _text(value)
    scheme, space, rest = text.partition(" ")
    if not space:
        if scheme.lower() == "bearer":
            raise CredentialMissing
        return scheme
    if scheme.lower() != "bearer":
        raise CredentialMalformed(reason="only the Bearer scheme is taken")
    token = rest.strip()
    if not token:
        raise CredentialMissing
    return token


def _text(value: bytes | None) -> str:
    if value is None or not value.strip():
        raise CredentialMissing
    if len(value) > MAX_CREDENTIAL_BYTES:
        raise CredentialMalformed(reason=f"it is longer than {MAX_CREDENTIAL_BYTES} bytes")
    try:
        return value.strip().decode("ascii")
    except UnicodeDecodeError as error:
        raise CredentialMalformed(reason="it holds bytes that are not ASCII") from error


def _check_sender(stated: bytes, principal: Principal) -> None:
    text = stated.decode("latin-1").strip()
    try:
        address = parse_address(text)
    except IdError as error:
        raise SenderMismatch(stated=text[:64]) from error
    if address != principal.address:
        raise SenderMismatch(stated=text[:64])
