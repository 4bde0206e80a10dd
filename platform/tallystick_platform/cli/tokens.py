"""`tallystick-server token ...`."""

from __future__ import annotations

from datetime import UTC, datetime

from tallystick.errors import IdError
from tallystick.ids import checksum_address, parse_address
from tallystick_platform.cli.opening import opened
from tallystick_platform.cli.output import fail, show, table
from tallystick_platform.clock import SystemClock
from tallystick_platform.errors import SettingsError
from tallystick_platform.store.tokens import TokenInfo, TokenStore

US_PER_DAY = 86_400 * 1_000_000
MAX_EXPIRES_DAYS = 36_500


def create(*, name: str, address: str, expires_days: float | None, as_json: bool) -> None:
    """Make a token."""
    try:
        sender = parse_address(address)
    except IdError as error:
        raise SettingsError(setting="--address", reason=f"is no address of 0x and 40 hex digits: {error}") from error
    now_us = SystemClock().now_us()
    if expires_days is not None and not expires_days <= MAX_EXPIRES_DAYS:  # NaN compares false
        fail(f"a token expires within {MAX_EXPIRES_DAYS} days or never", as_json=as_json)
    expires_at = None if expires_days is None else now_us + max(1, int(expires_days * US_PER_DAY))
    with opened() as home:
        try:
            made = TokenStore(home.database, home.macs).create(
                name=name, address=sender, now_us=now_us, expires_at=expires_at
            )
        except ValueError as error:
            fail(str(error), as_json=as_json)
    text = f"{made.token}\n\nKeep it: it is not shown again. id {made.info.id}, sender {checksum_address(made.info.address)}"
    show(_shown(made.info) | {"token": made.token}, as_json=as_json, text=text)


def list_all(*, as_json: bool) -> None:
    """List the tokens."""
    with opened() as home:
        tokens = TokenStore(home.database, home.macs).tokens()
    now_us = SystemClock().now_us()
    rows = [
        (info.id, info.name, info.prefix + "...", checksum_address(info.address), _state(info, now_us))
        for info in tokens
    ]
    text = table(("id", "name", "token", "sender", "state"), rows) if rows else "no tokens"
    show([_shown(info) | {"state": _state(info, now_us)} for info in tokens], as_json=as_json, text=text)


def revoke(*, token_id: str, as_json: bool) -> None:
    """Withdraw a token."""
    with opened() as home:
        info = TokenStore(home.database, home.macs).revoke(token_id, now_us=SystemClock().now_us())
    show(_shown(info), as_json=as_json, text=f"revoked {info.id} ({info.name})")


def _state(info: TokenInfo, now_us: int) -> str:
    if info.revoked_at is not None:
        return "revoked"
    if info.expires_at is not None and info.expires_at <= now_us:
        return "expired"
    return "active"


def _shown(info: TokenInfo) -> dict[str, object]:
    return {
        "id": info.id,
        "name": info.name,
        "prefix": info.prefix,
        "address": checksum_address(info.address),
        "created_at": _time(info.created_at),
        "expires_at": _time(info.expires_at),
        "revoked_at": _time(info.revoked_at),
    }


def _time(at_us: int | None) -> str | None:
    return None if at_us is None else datetime.fromtimestamp(at_us // 1_000_000, UTC).isoformat()
