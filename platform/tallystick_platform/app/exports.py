"""The exports of a started service: who makes them, on what, and with which key their manifests are signed."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tallystick.keys import write_secret_file
from tallystick.record import Provider
from tallystick_platform.app.economy import RandomPool
from tallystick_platform.clock import Clock
from tallystick_platform.engine.cpu import probe_cpu
from tallystick_platform.exchange.exchange import Exchange
from tallystick_platform.jobs.downloads import Downloads
from tallystick_platform.jobs.exports import ExportJobs
from tallystick_platform.jobs.facts import ExportFacts
from tallystick_platform.jobs.folders import ExportFolders
from tallystick_platform.jobs.process import Exporter
from tallystick_platform.keyring import Keyring
from tallystick_platform.registry.registry import Registry
from tallystick_platform.settings import Mode, Settings, longest_work_s
from tallystick_platform.store.database import Database
from tallystick_platform.store.jobs import JobStore
from tallystick_platform.store.journal import Journal
from tallystick_platform.store.row_macs import RowMacs


async def start_exports(
    settings: Settings,
    keys: Keyring,
    exchange: Exchange,
    journal: Journal,
    registry: Registry,
    database: Database,
    macs: RowMacs,
    clock: Clock,
    promise_s: int,
    stack: AsyncExitStack,
) -> tuple[ExportJobs, Downloads]:
    """Take up what an earlier process left, and be ready for more: what makes exports, and what hands them out. `promise_s` is the log's.

    Requires: the journal has recovered.
    """
    facts = _facts(settings, keys)
    folders = ExportFolders(settings.paths.exports_dir)
    jobs = ExportJobs(
        exchange=exchange,
        records=journal,
        models=registry,
        store=JobStore(database, macs),
        folders=folders,
        exporter=Exporter(),
        facts=facts,
        clock=clock,
        random=RandomPool(),
        limit_s=settings.export_limit_s,
        signing_key=await asyncio.to_thread(signing_key, settings),
    )
    downloads = Downloads(exchange=exchange, facts=facts, clock=clock, limit_s=longest_work_s(promise_s))
    stack.callback(downloads.close)
    stack.push_async_callback(jobs.stop)
    await jobs.start()
    return jobs, downloads


def signing_key(settings: Settings) -> Path | None:
    """The key that signs exports: the one that is set; in development a generated one; else none."""
    if settings.export_signing_key is not None or settings.mode is Mode.PRODUCTION:
        return settings.export_signing_key
    path = settings.paths.export_key
    if not path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        path.with_suffix(".pub").unlink(missing_ok=True)  # of a key that was never finished
        write_secret_file(path.with_suffix(".pub"), public.decode().strip())
        write_secret_file(path, private.decode().strip())
    return path


def _facts(settings: Settings, keys: Keyring) -> ExportFacts:
    return ExportFacts(
        provider=Provider(id=settings.provider_id, name=settings.provider_name, address=keys.operator.address),
        gpu=probe_cpu().stated(),
        per_hour_micros=settings.price_per_hour_micros,
        currency=settings.price_currency,
    )
