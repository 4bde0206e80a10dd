"""Anchoring as a task of the API process: passes in one thread of its own, pauses between them, and what an error means for the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import structlog
from prometheus_client.registry import CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError

from tallystick.errors import TallystickError
from tallystick_platform.anchor.anchorer import Anchorer, Pause
from tallystick_platform.anchor.errors import AnchorError, AnchorHalted
from tallystick_platform.anchor.policy import HALTED_MS, MIN_PAUSE_MS, SLOW_RETRY_MS, backoff_ms
from tallystick_platform.anchor.status import AnchorCollector, AnchorStatus, register
from tallystick_platform.clock import Clock
from tallystick_platform.errors import PlatformError, RowTampered
from tallystick_platform.store.batches import Batches
from tallystick_platform.store.journal import Journal

_log = structlog.get_logger(__name__)

Wait = Callable[[asyncio.Event, float], Awaitable[None]]
"""Waits until the event is set or the seconds are over; tests put their own here."""


async def wait_for_event(event: asyncio.Event, seconds: float) -> None:
    """The real wait."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


class AnchorService:
    """Runs an Anchorer until it is stopped, and tells how it fares.

    `admission` is released once journal and chain were compared and agree, and held for good when anchoring halts: whoever admitted
    on would sign receipts for indices that the chain may hold otherwise.
    """

    def __init__(
        self,
        anchorer: Anchorer,
        store: Batches,
        clock: Clock,
        registry: CollectorRegistry,
        *,
        admission: Journal | None = None,
        wait: Wait = wait_for_event,
    ) -> None:
        self._anchorer = anchorer
        self._store = store
        self._clock = clock
        self._registry = registry
        self._admission = admission
        self._wait = wait
        self._collector: AnchorCollector | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wakened = asyncio.Event()
        self._stopping = asyncio.Event()
        self._failures = 0
        self._error: Exception | None = None
        self._halted = False

    async def compare(self) -> bool:
        """Compare journal and chain, before anything is recovered, admitted or sent. False: they differ, and anchoring is halted.

        Raises: ChainUnavailable, ChainRejected, StoreError
        """
        try:
            await asyncio.to_thread(self._anchorer.compare)
        except (AnchorHalted, RowTampered) as error:
            self._halt(error)
            self._hold(error)
            return False
        if self._admission is not None:
            self._admission.release()
        return True

    async def start(self) -> None:
        """Begin passes, and show the figures in the registry."""
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="anchor")
        self._collector = register(self._registry, self.status)
        self._task = asyncio.create_task(self._run(), name="anchor")

    async def stop(self) -> None:
        """Finish the pass under way and end. What is un-anchored goes on at the next start."""
        self._stopping.set()
        self._wakened.set()
        if self._task is not None:
            await self._task
        if self._thread is not None:
            self._thread.shutdown()
        if self._collector is not None:
            self._registry.unregister(self._collector)
        self._task = self._thread = self._collector = None

    def wake(self) -> None:
        """A record was journaled. Safe to call from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wakened.set)

    def status(self) -> AnchorStatus:
        """One look at anchoring, as of now. Safe to call from any thread.

        Raises: SQLAlchemyError if the journal's database cannot be read.
        """
        depth, totals = self._store.depth(), self._store.totals()
        oldest = depth.oldest_created_at_us
        counts, error = self._anchorer.courier.counts, self._error
        return AnchorStatus(
            halted=self._halted,
            error=None if error is None else reason_of(error),
            error_type=None if error is None else type(error).__name__,
            unanchored_records=depth.records,
            unanchored_bytes=depth.sealed_bytes,
            lag_ms=0 if oldest is None else max(0, (self._clock.now_us() - oldest) // 1_000),
            looked_at_us=self._anchorer.looked_at_us,
            gas_used=totals.gas_used,
            gas_per_record=totals.gas_used / totals.records_mined if totals.records_mined else None,
            batches=totals.batches,
            last_confirmed_index=totals.last_final_index,
            sends=counts.sends,
            signatures=counts.signatures,
            fee_bumps=counts.fee_bumps,
            reverts=counts.reverts,
            reorgs=self._anchorer.reorgs,
        )

    def turn(self) -> Pause:
        """One pass, and what its outcome means for the next."""
        if self._halted:
            return Pause(ms=HALTED_MS, wakeable=False)
        try:
            pause = self._anchorer.step()
        except (AnchorHalted, RowTampered) as error:
            return self._halt(error)
        except AnchorError as error:
            return self._blocked(error, SLOW_RETRY_MS)
        except (TallystickError, PlatformError, SQLAlchemyError, OSError) as error:
            return self._blocked(error, backoff_ms(self._failures + 1))
        except Exception as error:  # noqa: BLE001  (a fault of our own: never go on over it, and never end unseen)
            _log.exception("anchoring met a fault of its own")
            return self._halt(error)
        if self._error is not None:
            _log.info("anchoring goes on", after=type(self._error).__name__, failures=self._failures)
        self._error, self._failures = None, 0
        return pause

    def _hold(self, error: Exception | None) -> None:
        if self._admission is not None:
            self._admission.hold(_told(error))

    def _halt(self, error: Exception) -> Pause:
        self._halted, self._error = True, error
        _log.error("anchoring halted", error=type(error).__name__, reason=reason_of(error))
        return Pause(ms=HALTED_MS, wakeable=False)

    def _blocked(self, error: Exception, pause_ms: int) -> Pause:
        self._failures += 1
        if type(error) is not type(self._error):
            _log.warning("anchoring waits", error=type(error).__name__, reason=reason_of(error))
        self._error = error
        return Pause(ms=pause_ms, wakeable=False)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            self._wakened.clear()
            was_halted = self._halted
            pause = await loop.run_in_executor(self._thread, self.turn)
            if self._halted and not was_halted:
                self._hold(self._error)
            await self._wait(self._stopping, min(pause.ms, MIN_PAUSE_MS) / 1_000)
            if pause.ms > MIN_PAUSE_MS and not self._stopping.is_set():
                await self._wait(self._wakened if pause.wakeable else self._stopping, (pause.ms - MIN_PAUSE_MS) / 1_000)


def _told(error: Exception | None) -> str:
    """What a client is told while nothing is admitted."""
    what = "a fault of its own" if error is None else reason_of(error)
    return f"anchoring is halted until the operator has looked, and nothing is admitted meanwhile: {what}"


def reason_of(error: Exception) -> str:
    """What may be shown to anyone. An error of the database quotes statements and rows, one of our own may quote anything."""
    if isinstance(error, SQLAlchemyError):
        return f"the journal's database: {getattr(error, 'orig', None) or type(error).__name__}"
    if isinstance(error, (TallystickError, PlatformError, OSError)):
        return str(error)
    return f"a fault of its own: {type(error).__name__}"
