"""The jobs of a started service: who answers them, and where they are kept."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass

from tallystick.record import Provider
from tallystick_platform.api.spelling import WireSpelling
from tallystick_platform.clock import Clock
from tallystick_platform.exchange.exchange import Exchange
from tallystick_platform.jobs.asking import MAX_LINES_AT_ONCE, Desk
from tallystick_platform.jobs.kept import KeptFiles
from tallystick_platform.jobs.work import WorkFacts, WorkJobs
from tallystick_platform.store.database import Database
from tallystick_platform.store.journal import Journal
from tallystick_platform.store.kept_files import FileStore
from tallystick_platform.store.row_macs import RowMacs
from tallystick_platform.store.work import WorkStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """Jobs of requests, and files of them."""

    jobs: WorkJobs
    files: KeptFiles


async def start_jobs(
    *,
    provider: Provider,
    exchange: Exchange,
    journal: Journal,
    database: Database,
    macs: RowMacs,
    clock: Clock,
    timeout_s: float,
    stack: AsyncExitStack,
) -> Working:
    """Take up what an earlier process left, and be ready for more.

    Requires: the journal has recovered.
    """
    files = FileStore(database, macs)
    desk = Desk(
        exchange=exchange,
        records=journal,
        store=WorkStore(database, macs),
        spelling=WireSpelling(),
        clock=clock,
        timeout_s=timeout_s,
        turns=asyncio.Semaphore(MAX_LINES_AT_ONCE),
    )
    jobs = WorkJobs(desk=desk, files=files, facts=WorkFacts(provider=provider))
    stack.push_async_callback(jobs.stop)
    await jobs.start()
    return Working(jobs=jobs, files=KeptFiles(store=files, clock=clock, random=secrets.token_bytes))
