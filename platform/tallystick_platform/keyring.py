"""Which keys the service runs with, and where they come from.

Development creates what is missing, mode 0600 under `keys/`: the operator's wallet, the keeper's, an auditor's key pair, a client with a
token.
Production takes only keys that were made elsewhere, and says which setting names them.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from tallystick.chain.events import MAX_WRAPS
from tallystick.errors import KeyFileError
from tallystick.ids import Address, checksum_address, parse_address, to_hex
from tallystick.keys import AuditorKey, AuditorPublicKey, Wallet, read_public_file, read_secret_file, write_secret_file
from tallystick_platform.clock import Clock
from tallystick_platform.errors import SettingsError
from tallystick_platform.ledger_chain.keys import read_key_file, read_key_text
from tallystick_platform.settings import Mode, Paths, Settings
from tallystick_platform.store.tokens import TokenStore, token_hash

CLIENT_NAME = "development"
_OPERATOR_SETTING = "TALLYSTICK_OPERATOR_KEY_FILE"
_AUDITORS_SETTING = "TALLYSTICK_AUDITOR_PUBLIC_KEYS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """The keys that the service runs with. `keeper` may name another writer of a log that is made here; None where nobody was named."""

    operator: Wallet
    auditors: tuple[AuditorPublicKey, ...]
    keeper: Address | None = None


def open_keyring(settings: Settings) -> Keyring:
    """Read the keys; in development mode, create those that are missing.

    Raises: SettingsError naming the setting to change; KeyFileError
    """
    paths = settings.paths
    if settings.mode is Mode.PRODUCTION:
        _refuse_generated(settings)
    else:
        _refuse_strange_home(settings)
    auditor_paths = settings.auditor_public_keys
    if not auditor_paths:
        auditor_paths = (paths.auditor_public,)
        if not paths.auditor_public.exists():
            _generate_auditor(paths)
    if len(auditor_paths) > MAX_WRAPS:
        raise SettingsError(
            setting=_AUDITORS_SETTING, reason=f"names {len(auditor_paths)} keys, a log takes {MAX_WRAPS}"
        )
    auditors = tuple(_read_auditor(path) for path in auditor_paths)
    if len({auditor.key_id for auditor in auditors}) != len(auditors):
        raise SettingsError(setting=_AUDITORS_SETTING, reason="names one key twice")
    return Keyring(operator=_operator(settings), auditors=auditors, keeper=_keeper(settings))


def ensure_client(paths: Paths, *, base_url: str, tokens: TokenStore, clock: Clock) -> Path:
    """Have a development client in `client.json`: the one that is there, if its token still works at this URL; else a new one.

    Raises: KeyFileError
    """
    path = paths.client_file
    known = _read_client(path) if path.exists() else None
    if known is not None:
        info = tokens.find(token_hash(known["token"]))
        good = info is not None and info.revoked_at is None and to_hex(info.address) == known["address"].lower()
        if good and known["base_url"] == base_url:
            return path
        if good:
            _replace_secret_file(path, json.dumps(known | {"base_url": base_url}))
            return path
    wallet = Wallet.generate()
    made = tokens.create(name=CLIENT_NAME, address=wallet.address, now_us=clock.now_us())
    client = {
        "base_url": base_url,
        "token": made.token,
        "private_key": to_hex(wallet.secret),
        "address": checksum_address(wallet.address),
    }
    _replace_secret_file(path, json.dumps(client))
    return path


def _operator(settings: Settings) -> Wallet:
    """The writer's key, as the settings name it; generated in development where they do not."""
    if settings.operator_key is not None:
        return read_key_text(settings.operator_key)
    if settings.operator_key_file is not None:
        return read_key_file(settings.operator_key_file, settings.operator_password_file)
    return _generated(settings.paths.operator_key)


def _keeper(settings: Settings) -> Address | None:
    if settings.log_keeper is not None:
        return parse_address(settings.log_keeper)
    return _generated(settings.paths.keeper_key).address if settings.mode is Mode.DEVELOPMENT else None


def _generated(path: Path) -> Wallet:
    """The key in this file, made there if there is none."""
    if not path.exists():
        write_secret_file(path, Wallet.generate().to_text())
    return read_key_file(path)


def _refuse_generated(settings: Settings) -> None:
    """Production: no key that this service made, and nothing that a development server left open."""
    paths = settings.paths
    if settings.operator_key_file is None and settings.operator_key is None:
        raise SettingsError(setting=_OPERATOR_SETTING, reason="must name the operator's wallet file in production")
    if not settings.auditor_public_keys:
        raise SettingsError(setting=_AUDITORS_SETTING, reason="must name the auditors' public keys in production")
    if paths.client_file.exists():
        reason = f"{paths.client_file} is a development client, whose token works: use another folder, or remove it"
        raise SettingsError(setting="TALLYSTICK_HOME", reason=reason)
    if paths.operator_key.exists():
        generated = read_key_file(paths.operator_key)
        if _operator(settings).address == generated.address:
            reason = "is the wallet that development mode generated: make one with `tallystick keys new wallet`"
            raise SettingsError(setting=_OPERATOR_SETTING, reason=reason)
    if paths.auditor_key.exists():
        generated_id = AuditorKey.from_text(read_secret_file(paths.auditor_key)).key_id
        if any(_read_auditor(path).key_id == generated_id for path in settings.auditor_public_keys):
            reason = "names the key that development mode generated: ask each auditor for their own public key"
            raise SettingsError(setting=_AUDITORS_SETTING, reason=reason)


def _refuse_strange_home(settings: Settings) -> None:
    """Development: no key is made in a home that has been at work with keys which are not there."""
    paths = settings.paths
    if not paths.journal_path.exists():
        return
    named = settings.operator_key_file is not None or settings.operator_key is not None
    for setting, given, path in (
        (_OPERATOR_SETTING, named, paths.operator_key),
        (_AUDITORS_SETTING, bool(settings.auditor_public_keys), paths.auditor_public),
    ):
        if not given and not path.exists():
            reason = f"{paths.home} has a journal and {path.name} is not in it: set what its server runs with, or restore its keys folder"
            raise SettingsError(setting=setting, reason=reason)


def _generate_auditor(paths: Paths) -> None:
    if paths.auditor_key.exists():  # a crash came between the two files
        key = AuditorKey.from_text(read_secret_file(paths.auditor_key))
    else:
        key = AuditorKey.generate()
        write_secret_file(paths.auditor_key, key.to_text())
    write_secret_file(paths.auditor_public, key.public.to_text())


def _read_auditor(path: Path) -> AuditorPublicKey:
    try:
        return AuditorPublicKey.from_text(read_public_file(path))
    except ValueError as error:
        raise KeyFileError(str(path), str(error)) from error


def _read_client(path: Path) -> dict[str, str] | None:
    """The client in the file, or None if it is not one: then another is made in its place."""
    try:
        data = json.loads(read_secret_file(path))
    except (ValueError, KeyFileError):
        return None
    names = ("base_url", "token", "private_key", "address")
    if not isinstance(data, dict) or not all(isinstance(data.get(name), str) for name in names):
        return None
    return {name: data[name] for name in names}


def _replace_secret_file(path: Path, text: str) -> None:
    """Put a file of mode 0600 in the place of another, whole or not at all."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    write_secret_file(fresh, text)
    fresh.replace(path)
