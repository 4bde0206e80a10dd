"""The exchange: where the stages of a request meet."""

from __future__ import annotations

from tallystick_platform.auth import Principal
from tallystick_platform.exchange.committing import recorded_at_once
from tallystick_platform.exchange.faults import ServerStopped
from tallystick_platform.exchange.inference import Deliver, Inference
from tallystick_platform.exchange.line import Announce, Line, Recorded, Work
from tallystick_platform.exchange.parts import Parts
from tallystick_platform.exchange.records import Delivered, Event, accepted, terminal, would_be
from tallystick_platform.exchange.request import Asked, HttpFacts
from tallystick_platform.protocol import ModelInfo


class Exchange:
    """Takes authenticated requests, each onto a line of its own.

    Work that may take longer than the log promises a record takes no line. It is recorded when it is taken on (`accept`), with the time by
    which it will be done, and again when it is over (`end`): each is admitted and recorded in one transaction, so nothing stays open
    meanwhile.
    """

    __slots__ = ("_parts", "_under_way")

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._under_way: set[Line] = set()

    def infer(
        self,
        *,
        principal: Principal,
        asked: Asked,
        http: HttpFacts,
        timeout_s: float,
        deliver: Deliver | None,
        announce: Announce | None = None,
    ) -> Line:
        """The line of a request for an answer of a model; nothing happens before its `run`."""
        work = Inference(self._parts, asked, principal.address, deliver)
        return self.line(principal=principal, http=http, work=work, timeout_s=timeout_s, announce=announce)

    def line(
        self,
        *,
        principal: Principal,
        http: HttpFacts,
        work: Work,
        timeout_s: float,
        announce: Announce | None = None,
    ) -> Line:
        """The line of any other work."""
        return Line(
            parts=self._parts,
            under_way=self._under_way,
            principal=principal,
            http=http,
            work=work,
            timeout_s=timeout_s,
            announce=announce,
        )

    async def accept(
        self,
        *,
        principal: Principal,
        http: HttpFacts,
        event: Event,
        due_by: int,
        announce: Announce,
    ) -> Recorded:
        """Record that work was taken on, to be ended by `due_by`. Units: microseconds UTC.

        `announce` is awaited with the record's id before the journal is asked: whatever crashes, no accepted record is unknown to who owes
        its end.

        Raises: Overloaded, Draining, AdmissionClosed, RequestUnrecordable and what `announce` raises: then nothing was recorded;
        AnswerWithheld: then it may be, which the journal tells by the record's id.
        """
        parts = self._parts
        with parts.gate.enter(principal.token_id):
            record = accepted(would_be(parts, principal, http, event), due_by)
            await announce(record.id)
            ticket, entry = await recorded_at_once(parts, record, principal.token_id)
        return Recorded(record=ticket.record, ticket=ticket, entry=entry, failure=None)

    async def end(
        self,
        *,
        principal: Principal,
        http: HttpFacts,
        event: Event,
        failure: BaseException | None,
        done: Delivered,
    ) -> Recorded:
        """Record how accepted work ended. It was promised, so no gate is asked.

        Requires: `event.follows` names the accepted record.
        Raises: AdmissionClosed; CannotFollow if its end is recorded already; AnswerWithheld: then it may be. After the last, ask again.
        """
        parts = self._parts
        record = terminal(would_be(parts, principal, http, event), failure, done, parts.clock.now_us())
        ticket, entry = await recorded_at_once(parts, record, principal.token_id)
        return Recorded(record=ticket.record, ticket=ticket, entry=entry, failure=failure)

    def stop_all(self) -> int:
        """End everything under way early; each still gets its record. Says how many there were."""
        for line in list(self._under_way):
            line.stop(ServerStopped())
        return len(self._under_way)

    @property
    def under_way(self) -> int:
        """How many lines are under way."""
        return len(self._under_way)

    def models(self) -> list[ModelInfo]:
        """The models that can be asked for now."""
        return self._parts.dispatcher.models()
