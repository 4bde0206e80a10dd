"""Starting the service, part by part, in the one order in which each stands on what is there already.

Keys, database, chain, log, journal, the comparison of journal and chain, recovery of what a crash left, anchoring, workers. Whatever fails
on the way takes down what was started before it, in reverse; stopping is the same, reversed. Workers may still be loading when everything
else is ready.

Recovery writes records, so it comes after the comparison. Where journal and chain differ, the service starts all the same: what was
recorded can be read, nothing is admitted, and every answer says why.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from tallystick.chain.reader import LedgerReader
from tallystick.chain.rpc import HttpTransport
from tallystick.receipts.messages import Domain
from tallystick.record import Provider
from tallystick_platform.admission import Gate
from tallystick_platform.anchor.anchorer import Anchorer
from tallystick_platform.anchor.bootstrap import bootstrap
from tallystick_platform.anchor.location import LedgerLocation
from tallystick_platform.anchor.policy import AnchorPolicy
from tallystick_platform.anchor.service import AnchorService
from tallystick_platform.app.chain_process import ChainProcess
from tallystick_platform.app.economy import RandomPool
from tallystick_platform.app.exports import start_exports
from tallystick_platform.app.jobs import Working, start_jobs
from tallystick_platform.app.models import start_models
from tallystick_platform.app.workers import Registrar, start_workers
from tallystick_platform.clock import MAX_HELD_S, Clock, SystemClock
from tallystick_platform.dispatch.dispatcher import Dispatcher
from tallystick_platform.dispatch.pool import Show, unseen
from tallystick_platform.errors import SettingsError
from tallystick_platform.exchange.exchange import Exchange
from tallystick_platform.exchange.parts import Parts
from tallystick_platform.jobs.downloads import Downloads
from tallystick_platform.jobs.exports import ExportJobs
from tallystick_platform.keyring import Keyring, ensure_client, open_keyring
from tallystick_platform.ledger_chain.client import LedgerClient
from tallystick_platform.ledger_chain.signers import KeySigner, RemoteSigner, Signer
from tallystick_platform.metrics import Metrics
from tallystick_platform.registry.desk import ModelDesk
from tallystick_platform.registry.registry import Registry, open_registry
from tallystick_platform.settings import Mode, Settings
from tallystick_platform.store.answers import KeptAnswers
from tallystick_platform.store.batches import Batches
from tallystick_platform.store.database import Database
from tallystick_platform.store.journal import Journal
from tallystick_platform.store.row_macs import RowMacs
from tallystick_platform.store.sealer import Sealer
from tallystick_platform.store.tokens import TokenStore

RECORD_LIMIT_S = 10.0  # for the records of requests that are ended because the service ends
SIGNER_TIMEOUT_S = 10.0  # a signer is asked for every batch, and again at the next pass

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Every part of a started service."""

    settings: Settings
    clock: Clock
    metrics: Metrics
    keys: Keyring
    rpc_url: str
    location: LedgerLocation
    journal: Journal
    batches: Batches
    tokens: TokenStore
    answers: KeptAnswers
    client_file: Path | None
    anchoring: AnchorService
    registry: Registry
    models: ModelDesk
    dispatcher: Dispatcher
    registrar: Registrar
    gate: Gate
    exchange: Exchange
    exports: ExportJobs
    downloads: Downloads
    working: Working


@asynccontextmanager
async def started(
    settings: Settings, *, base_url: str, clock: Clock | None = None, show: Show = unseen
) -> AsyncIterator[Running]:
    """Start everything but the HTTP surface; on leaving, stop it. `show` is told what it waits for.

    Raises: SettingsError, KeyFileError, StoreError, ChainNotStarted, AnchorError, ChainError, JournalUnavailable
    """
    clock = clock or SystemClock()
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        keys = open_keyring(settings)
        database = Database.open(settings.paths.journal_path)
        stack.callback(database.close)
        database.lock()
        macs = RowMacs(keys.operator.secret)
        show("log", "reaching the chain", 0.0)
        rpc_url = settings.chain_rpc or await _chain(settings, keys, stack)
        transport = HttpTransport(rpc_url)
        stack.callback(transport.close)
        signer = _signer(settings, keys, stack)
        show("log", "looking for it, or making it", 0.3)
        location = await asyncio.to_thread(bootstrap, settings, transport, signer, keys.keeper)
        show("log", "comparing the journal with it", 0.7)
        _check_promise(settings, location)
        domain = Domain(chain_id=location.chain_id, contract=location.contract)
        sealer = Sealer(
            wallet=keys.operator,
            domain=domain,
            log_id=location.log_id,
            auditors=keys.auditors,
            keys_dir=settings.paths.epoch_keys_dir,
            epoch_seconds=settings.epoch_seconds,
        )
        journal = Journal(
            database,
            sealer,
            macs,
            clock=clock,
            promise_s=location.terms.promise,
            metrics=metrics,
            max_held_s=min(MAX_HELD_S, location.terms.skew),
        )
        batches, tokens = Batches(database, macs, location.log_id), TokenStore(database, macs)
        anchorer = Anchorer(
            store=batches,
            reader=LedgerReader(transport, location.contract, location.log_id),
            sender=LedgerClient(
                transport, signer, location.chain_id, fee_cap_wei=settings.max_fee_per_gas_gwei * 10**9
            ),
            policy=AnchorPolicy.from_settings(settings),
            clock=clock,
        )
        anchoring = AnchorService(anchorer, batches, clock, metrics.registry, admission=journal)
        await _recovered(journal, anchoring, stack)
        show("log", "found", 1.0)
        client_file = None
        if settings.mode is Mode.DEVELOPMENT:
            client_file = ensure_client(settings.paths, base_url=base_url, tokens=tokens, clock=clock)
        await anchoring.start()
        stack.push_async_callback(anchoring.stop)
        journal.subscribe(anchoring.wake)
        registry = open_registry(settings, database, macs, clock)
        dispatcher, registrar = await start_workers(settings, keys, registry, clock, metrics, stack, show)
        models = start_models(settings, keys, registry, dispatcher, database, macs, clock, stack)
        gate = _gate(settings, journal, batches, clock, metrics)
        parts = Parts(
            journal=journal, dispatcher=dispatcher, gate=gate, clock=clock, random=RandomPool(), metrics=metrics
        )
        exchange = Exchange(parts)
        stack.push_async_callback(_recorded, exchange, gate)
        exports, downloads = await start_exports(
            settings, keys, exchange, journal, registry, database, macs, clock, location.terms.promise, stack
        )
        working = await start_jobs(
            provider=Provider(id=settings.provider_id, name=settings.provider_name, address=keys.operator.address),
            exchange=exchange,
            journal=journal,
            database=database,
            macs=macs,
            clock=clock,
            timeout_s=settings.request_timeout_s,
            stack=stack,
        )
        yield Running(
            settings=settings,
            clock=clock,
            metrics=metrics,
            keys=keys,
            rpc_url=rpc_url,
            location=location,
            journal=journal,
            batches=batches,
            tokens=tokens,
            answers=KeptAnswers(database, macs, clock, secrets.token_bytes),
            client_file=client_file,
            anchoring=anchoring,
            registry=registry,
            models=models,
            dispatcher=dispatcher,
            registrar=registrar,
            gate=gate,
            exchange=exchange,
            exports=exports,
            downloads=downloads,
            working=working,
        )


def _check_promise(settings: Settings, location: LedgerLocation) -> None:
    """Hold the settings to what the log promised when it was created. Raises: SettingsError"""
    try:
        settings.check_promise(location.terms.promise)
    except ValueError as error:
        raise SettingsError(setting="TALLYSTICK_REQUEST_TIMEOUT_S", reason=str(error)) from error


async def _recovered(journal: Journal, anchoring: AnchorService, stack: AsyncExitStack) -> None:
    """Start the journal, and once the chain agrees with it, record first of all what a process that died had admitted."""
    await journal.start()
    stack.push_async_callback(journal.close)
    if await anchoring.compare():
        _log.info("journal.recovered", interrupted=await journal.recover())


async def _recorded(exchange: Exchange, gate: Gate) -> None:
    """End what is under way, while there is a journal for its records. Nothing is, unless nobody drained."""
    if exchange.stop_all():
        await gate.idle(RECORD_LIMIT_S)


def _gate(settings: Settings, journal: Journal, batches: Batches, clock: Clock, metrics: Metrics) -> Gate:
    gate = Gate(
        max_concurrent=settings.max_concurrent_requests,
        max_per_token=settings.max_concurrent_per_token,
        max_unanchored=settings.max_unanchored_records,
        depth=lambda: journal.counts().size - batches.anchored_size,
        clock=clock,
    )
    metrics.in_flight.set_function(lambda: gate.in_flight)
    return gate


async def _chain(settings: Settings, keys: Keyring, stack: AsyncExitStack) -> str:
    prefund = [keys.operator.address]
    if keys.keeper is not None and not settings.paths.chain_path.exists():
        prefund.append(keys.keeper)  # only a new chain can give anyone a balance
    chain = ChainProcess(
        path=settings.paths.chain_path,
        port=settings.chain_port,
        chain_id=settings.chain_id,
        prefund=prefund,
    )
    rpc_url = await chain.start()
    stack.push_async_callback(chain.stop)
    return rpc_url


def _signer(settings: Settings, keys: Keyring, stack: AsyncExitStack) -> Signer:
    """Who signs the writer's transactions."""
    if settings.signer_url is None:
        return KeySigner(keys.operator)
    transport = HttpTransport(settings.signer_url, SIGNER_TIMEOUT_S)
    stack.callback(transport.close)
    return RemoteSigner(transport, keys.operator.address, transport.name)
