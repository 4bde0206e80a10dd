"""Models that are brought from a hub at a client's word: one after another, watched while they come, forgotten at a restart.

A restart in the middle leaves nothing behind (folders.py); the client asks again, and the library resumes its downloads.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import structlog

from tallystick.ids import Address
from tallystick_platform.errors import Overloaded, PlatformError
from tallystick_platform.registry.conversion import Progress
from tallystick_platform.registry.entries import ModelVersion

MAX_WAITING = 16
MAX_KEPT = 256
RETRY_AFTER_S = 30
ID_BYTES = 12

_log = structlog.get_logger(__name__)


class Interrupted(PlatformError, says="the service stopped before the model was registered; ask again"):
    """The service stops."""


@dataclass(slots=True, kw_only=True)
class Registration:
    """One model on its way. `error` says why it did not arrive."""

    id: str
    owner: Address
    model: str
    stage: str = "queued"
    progress: float = 0.0
    version: ModelVersion | None = None
    error: Exception | None = None

    @property
    def state(self) -> Literal["queued", "running", "finished", "failed"]:
        """queued, running, finished or failed."""
        if self.version is not None:
            return "finished"
        if self.error is not None:
            return "failed"
        return "queued" if self.stage == "queued" else "running"


class Registrations:
    """Runs them in one thread at a time."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Registration] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._stopping = threading.Event()

    def start(self, owner: Address, model: str, bring: Callable[[Progress], ModelVersion]) -> Registration:
        """Queue one. Raises: Overloaded"""
        if len(self._tasks) >= MAX_WAITING:
            raise Overloaded(bound="models on their way", limit=MAX_WAITING, retry_after_s=RETRY_AFTER_S)
        registration = Registration(id=f"reg_{secrets.token_hex(ID_BYTES)}", owner=owner, model=model)
        self._known[registration.id] = registration
        while len(self._known) > MAX_KEPT:
            self._known.popitem(last=False)
        task = asyncio.get_running_loop().create_task(self._run(registration, bring), name=registration.id)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return registration

    def find(self, registration_id: str, owner: Address) -> Registration | None:
        """One of the owner's."""
        found = self._known.get(registration_id)
        return found if found is not None and found.owner == owner else None

    async def stop(self) -> None:
        """Break off what is under way; nothing of it is left."""
        self._stopping.set()
        await self.settled()

    async def settled(self) -> None:
        """Wait until nothing is on its way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, registration: Registration, bring: Callable[[Progress], ModelVersion]) -> None:
        def progress(stage: str, fraction: float) -> None:
            if self._stopping.is_set():
                raise Interrupted
            registration.stage, registration.progress = stage, fraction

        async with self._turn:
            try:
                progress("starting", 0.0)
                registration.version = await asyncio.to_thread(bring, progress)
            except Exception as error:  # noqa: BLE001  (who asked is owed an end; what is no error of ours is shown as the server's)
                registration.error = error
                known = isinstance(error, PlatformError | OSError)
                _log.warning(
                    "model.not_registered",
                    model=registration.model,
                    reason=str(error),
                    exc_info=None if known else error,
                )
            else:
                _log.info("model.registered", model=registration.version.reference)
