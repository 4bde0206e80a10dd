"""Which token a request presents, and whether the sender that it states is the token's.

Three forms are taken: `Authorization: Bearer <token>`, a bare `Authorization: <token>`, and `x-api-key: <token>`.
"""

from __future__ import annotations

from collections.abc import Iterable

from litestar.di import NamedDependency

from tallystick.errors import IdError
from tallystick.ids import parse_address
from tallystick_platform.api.refusals import CredentialsConflict, SenderMismatch
from tallystick_platform.auth import Authenticator, Principal
from tallystick_platform.errors import CredentialMalformed, CredentialMissing

MAX_CREDENTIAL_BYTES = 512

Headers = Iterable[tuple[bytes, bytes]]
Caller = NamedDependency[Principal]
"""A handler's parameter `principal`: whose request it is, found before the handler is called (api/application.py)."""


async def principal_of(headers: Headers, authenticator: Authenticator) -> Principal:
    """Whose request it is.

    Raises: AuthenticationError.
    """
    authorizations: list[bytes] = []
    api_keys: list[bytes] = []
    stated: list[bytes] = []
    misplaced = False
    for name, value in headers:
        if name == b"authorization":
            authorizations.append(value)
        elif name == b"x-api-key":
            api_keys.append(value)
        elif name == b"x-sender-address":
            stated.append(value)
        elif name == b"bearer":
            misplaced = True
    tokens = {*map(_of_authorization, authorizations), *map(_text, api_keys)}
    if not tokens:
        if misplaced:
            raise CredentialMalformed(
                reason="there is a header called Bearer; the form is `Authorization: Bearer <token>`"
            )
        raise CredentialMissing
    if len(tokens) > 1:  # a header twice, too: a proxy before this service may have judged by the other one
        raise CredentialsConflict
    principal = await authenticator.authenticate(tokens.pop())
    for address in stated:
        _check_sender(address, principal)
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


def _text(value: bytes) -> str:
    if not value.strip():
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
