"""What commands need, without starting the service: the settings, shown, and the home folder, opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tallystick_platform.cli.output import show
from tallystick_platform.keyring import Keyring, open_keyring
from tallystick_platform.settings import ENV_PREFIX, Settings, load_settings, redacted
from tallystick_platform.store.database import Database
from tallystick_platform.store.row_macs import RowMacs


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The settings, keys and database of a home folder."""

    settings: Settings
    keys: Keyring
    database: Database
    macs: RowMacs


@contextmanager
def opened() -> Iterator[Opened]:
    """Open the journal's database beside whoever else uses it.

    Raises: SettingsError, KeyFileError, StoreError
    """
    settings = load_settings()
    keys = open_keyring(settings)
    database = Database.open(settings.paths.journal_path)
    try:
        yield Opened(settings=settings, keys=keys, database=database, macs=RowMacs(keys.operator.secret))
    finally:
        database.close()


def show_settings(*, as_json: bool) -> None:
    """Every setting, redacted."""
    settings = {ENV_PREFIX + name.upper(): value for name, value in redacted(load_settings()).items()}
    width = max(len(name) for name in settings)
    text = "\n".join(f"{name.ljust(width)}  {value or '(unset)'}" for name, value in settings.items())
    show(settings, as_json=as_json, text=text)
