"""A started service as its HTTP surface sees it: the services behind the handlers, readiness, and the orderly end."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from tallystick.chain.reader import LedgerReader
from tallystick.chain.rpc import HttpTransport
from tallystick.ids import checksum_address, to_hex
from tallystick_platform.api import Services
from tallystick_platform.api.ledger_desk import LedgerDesk
from tallystick_platform.api.services import ProviderView, Readiness
from tallystick_platform.app.banner import Ready
from tallystick_platform.app.economy import RandomPool
from tallystick_platform.app.models import LoadingDesk
from tallystick_platform.app.starting import RECORD_LIMIT_S, Running
from tallystick_platform.auth import Authenticator
from tallystick_platform.errors import NoProvider
from tallystick_platform.settings import longest_work_s, redacted
from tallystick_platform.store.epoch_keys import EpochKeyFiles

VIEW_TIMEOUT_S = 2.0  # a page about the chain does not wait long for it
ANCHOR_LIMIT_S = 10.0  # for the last records to reach the chain; what does not goes there after the next start
SETTLE_POLL_S = 0.05

_log = structlog.get_logger(__name__)


class Service:
    """A started service."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self._transport = HttpTransport(running.rpc_url, VIEW_TIMEOUT_S)
        self._desk = _desk(running, self._transport)
        self.services = Services(
            exchange=running.exchange,
            authenticator=Authenticator(running.tokens, running.clock),
            records=running.journal,
            answers=running.answers,
            ledger=self._desk,
            models=running.models,
            exports=running.exports,
            downloads=running.downloads,
            jobs=running.working.jobs,
            files=running.working.files,
            loading=LoadingDesk(running.dispatcher, running.registry, running.keys.operator.address),
            readiness=self.readiness,
            metrics=running.metrics,
            clock=running.clock,
            provider=self._provider,
            random=RandomPool(),
            max_body_bytes=running.settings.max_body_bytes,
            max_media_bytes=running.settings.max_media_bytes,
            request_timeout_s=running.settings.request_timeout_s,
            longest_work_s=longest_work_s(running.location.terms.promise),
        )

    def close(self) -> None:
        """Give back what this view of the service holds."""
        self._desk.close()
        self._transport.close()

    async def readiness(self) -> Readiness:
        """Whether a request would be answered now, and the model list holds what the standing workers serve for good."""
        gate, dispatcher = self.running.gate, self.running.dispatcher
        status = await asyncio.to_thread(self.running.anchoring.status)
        anchoring = "ok" if status.error is None else f"{'halted' if status.halted else 'waiting'}: {status.error}"
        fault, held = self.running.journal.fault, self.running.journal.held
        registering = self.running.registrar.at_work
        admission = "ok" if held is None else f"closed: {held}"
        parts = {
            "admission": "draining" if gate.draining else admission,
            "anchoring": anchoring,
            "journal": "ok" if fault is None or fault == held else f"not ready: {fault}",
            "registration": "not ready: the model is being registered" if registering else "ok",
            "workers": "ok" if dispatcher.ready else f"not ready: {dispatcher.last_fault or 'loading'}",
        }
        ready = dispatcher.ready and not registering and not gate.draining and not status.halted and fault is None
        return Readiness(status="ready" if ready else "not ready", parts=parts)

    async def drain(self) -> None:
        """Take nothing new, let what is under way finish within the bound, and end the rest; each gets its record."""
        gate = self.running.gate
        gate.drain()
        _log.info("service.draining", in_flight=gate.in_flight)
        self.running.working.jobs.drain()
        await self.running.exports.stop()  # they take longer than any drain, and go on at the next start
        if not await gate.idle(self.running.settings.drain_timeout_s):
            _log.warning("service.drain_bound_reached", ended=self.running.exchange.stop_all())
            await gate.idle(RECORD_LIMIT_S)
        await self._anchored()

    async def ready(self, base_url: str) -> Ready:
        """Where everything is, once a worker serves and what it serves is registered."""
        running = self.running
        await running.dispatcher.wait_ready()
        await running.registrar.ended()
        models = running.dispatcher.models()
        return Ready(
            base_url=base_url,
            schema_url=base_url + "/schema",
            rpc_url=_shown_rpc_url(running),
            contract=checksum_address(running.location.contract),
            log_id=to_hex(running.location.log_id),
            writer=checksum_address(running.keys.operator.address),
            mode=running.settings.mode.value,
            model=models[0].id if models else None,
            keys_dir=str(running.settings.paths.keys_dir),
            client_file=None if running.client_file is None else str(running.client_file),
        )

    async def _anchored(self) -> None:
        journal, batches = self.running.journal, self.running.batches
        try:
            async with asyncio.timeout(ANCHOR_LIMIT_S):
                while journal.counts().size > batches.anchored_size:  # noqa: ASYNC110  another thread moves it
                    await asyncio.sleep(SETTLE_POLL_S)
        except TimeoutError:
            _log.warning("service.left_unanchored", records=journal.counts().size - batches.anchored_size)

    def _provider(self, model_id: str) -> ProviderView:
        """Who offers a model; one that is not loaded would be by this server's own provider."""
        settings = self.running.settings
        price_per_hour_micros, currency = settings.price_per_hour_micros, settings.price_currency
        with suppress(NoProvider):
            provider = self.running.dispatcher.provider(model_id)
            price_per_hour_micros, currency = provider.price_per_hour_micros, provider.currency
        return ProviderView(
            id=settings.provider_id,
            name=settings.provider_name,
            address=checksum_address(self.running.keys.operator.address),
            price_per_hour_micros=price_per_hour_micros,
            currency=currency,
        )


def _shown_rpc_url(running: Running) -> str:
    """The chain's URL without what may be a key in it."""
    return redacted(running.settings)["chain_rpc"] or running.rpc_url


def _desk(running: Running, transport: HttpTransport) -> LedgerDesk:
    return LedgerDesk(
        settings=running.settings,
        rpc_url=_shown_rpc_url(running),
        reader=LedgerReader(transport, running.location.contract, running.location.log_id),
        location=running.location,
        wallet=running.keys.operator,
        stored=running.batches,
        anchoring=running.anchoring,
        epoch_keys=EpochKeyFiles(running.settings.paths.epoch_keys_dir, running.location.log_id),
        journal_size=lambda: running.journal.counts().size,
        clock=running.clock,
    )
