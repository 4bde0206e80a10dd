"""The registry of a home folder, as the settings have it."""

from __future__ import annotations

from tallystick_platform.clock import Clock
from tallystick_platform.registry.folders import ModelFolders
from tallystick_platform.registry.registry import Registry
from tallystick_platform.registry.signatures import SignaturePolicy, Signatures
from tallystick_platform.settings import Settings
from tallystick_platform.store.database import Database
from tallystick_platform.store.row_macs import RowMacs


def open_registry(settings: Settings, database: Database, macs: RowMacs, clock: Clock) -> Registry:
    """Nothing is swept or changed by opening. Raises: SettingsError where a signer's key is none."""
    return Registry(
        database,
        macs,
        ModelFolders(settings.paths.models_dir),
        clock,
        signatures=Signatures(SignaturePolicy(settings.model_signatures), settings.model_signers),
        quota_bytes=settings.model_quota_bytes,
    )
