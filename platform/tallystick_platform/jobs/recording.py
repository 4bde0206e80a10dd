"""The two records of a job: that it was taken, and what became of it.

Both are promised, so neither is given up while the service runs: what the journal does not take now is offered again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import structlog

from tallystick.errors import TallystickError
from tallystick.ids import Address, RecordId
from tallystick_platform.auth import Principal
from tallystick_platform.errors import AdmissionClosed, CannotFollow
from tallystick_platform.exchange.exchange import Exchange
from tallystick_platform.exchange.faults import AnswerWithheld
from tallystick_platform.exchange.line import Recorded
from tallystick_platform.exchange.records import Delivered, Event
from tallystick_platform.exchange.request import HttpFacts
from tallystick_platform.jobs.errors import Unrecordable
from tallystick_platform.registry.desk import in_thread
from tallystick_platform.store.journal import Journal
from tallystick_platform.store.records import StoredRecord

RETRY_RECORD_S = 5.0

_log = structlog.get_logger(__name__)


class Promised(Protocol):
    """A job as its records know it. `number` is 0 until its row is written. Units: microseconds UTC."""

    @property
    def id(self) -> str: ...

    @property
    def number(self) -> int: ...

    @property
    def owner(self) -> Address: ...

    @property
    def token_id(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def record_id(self) -> RecordId: ...

    @property
    def due_by(self) -> int: ...


J = TypeVar("J", bound=Promised)
J_contra = TypeVar("J_contra", bound=Promised, contravariant=True)


class Stated(Protocol[J_contra]):
    """What the two records state."""

    def accepted(self, job: J_contra) -> Event: ...

    def ended(self, job: J_contra) -> Event: ...


@dataclass(eq=False, kw_only=True)
class JobRecords(Generic[J]):
    """Writes and finds them. Once `closing()` says that the service stops, what is not written is left to the next start."""

    exchange: Exchange
    journal: Journal
    facts: Stated[J]
    closing: Callable[[], bool]

    async def accept(
        self, job: J, principal: Principal, http: HttpFacts, announce: Callable[[RecordId], Awaitable[None]]
    ) -> Recorded:
        """Write the first record; `announce` is awaited with its id before.

        Raises: AnswerWithheld: then it may stand, and `stands` tells; what the gate and the journal refuse with: then it does not.
        """
        return await self.exchange.accept(
            principal=principal, http=http, event=self.facts.accepted(job), due_by=job.due_by, announce=announce
        )

    async def stands(self, job: J, forget: Callable[[], object]) -> bool:
        """Whether a job was accepted although nobody confirmed it: then it is done. Else it is forgotten."""
        while job.number and not self.closing():
            try:
                if await self.was_accepted(job):
                    return True
                await in_thread(forget)
            except Exception as error:  # noqa: BLE001  (the database's errors are many, and all of them mean: not now)
                _log.warning("job.not_known", job=job.id, error=type(error).__name__)
                await asyncio.sleep(RETRY_RECORD_S)
            else:
                break
        return False

    async def was_accepted(self, job: J) -> bool:
        """Whether the first record stands."""
        return await self.journal.entry(job.record_id) is not None

    async def end_of(self, job: J) -> StoredRecord | None:
        """The second record, if it stands."""
        return await self.journal.follower(job.record_id)

    async def end(
        self, job: J, failure: BaseException | None, done: Delivered
    ) -> tuple[RecordId, BaseException | None] | None:
        """Write the second record, as soon as the journal takes it. Gives its id and how the job ended; None once the service stops."""
        while not self.closing():
            try:
                return await self._end(job, failure, done), failure
            except (AnswerWithheld, AdmissionClosed) as error:
                _log.warning("job.not_recorded", job=job.id, reason=str(error))
                await asyncio.sleep(RETRY_RECORD_S)
            except TallystickError as error:  # what it made does not fit a record: then that is how it ended
                _log.error("job.unrecordable", job=job.id, error=type(error).__name__, exc_info=error)
                failure, done = Unrecordable(), replace(done, outputs=())
        return None

    async def _end(self, job: J, failure: BaseException | None, done: Delivered) -> RecordId:
        """The id of the second record, also where an earlier try came about without being confirmed."""
        principal = Principal(token_id=job.token_id, name="", address=job.owner)
        try:
            recorded = await self.exchange.end(
                principal=principal,
                http=no_request(job),
                event=self.facts.ended(job),
                failure=failure,
                done=done,
            )
        except CannotFollow:
            stands = await self.end_of(job)
            if stands is None:
                raise
            return stands.record_id
        return recorded.record.id


def no_request(job: Promised) -> HttpFacts:
    """The record that ends a job has no request of its own: it follows the one that has."""
    return HttpFacts(
        method="POST", path=job.path, target=job.path, content_type=None, body=b"", reader=None, streamed=False
    )
