"""An answer of a model: the work of most requests, whatever their task."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from tallystick.ids import Address
from tallystick.record import Instructions
from tallystick_platform.dispatch.generation import Generation
from tallystick_platform.dispatch.link import Claim
from tallystick_platform.dispatch.placement import Placement
from tallystick_platform.errors import EngineFailed
from tallystick_platform.exchange.line import Admitted
from tallystick_platform.exchange.parts import Parts
from tallystick_platform.exchange.records import Delivered, Event
from tallystick_platform.exchange.request import Asked
from tallystick_platform.protocol import Call, Usage
from tallystick_platform.tasks import Gather

Deliver = Callable[[Admitted, Any, Usage], Awaitable[None]]
"""Hands a part of the answer, as its task reads it out of the pieces (`Gather`), to the transport, with what was counted until now.

It returns when the transport has taken it."""


@dataclass(eq=False)
class Inference:
    """Implements `Work`. `deliver` gets each piece of a stream; None keeps the answer until it is recorded."""

    parts: Parts
    asked: Asked
    sender: Address
    deliver: Deliver | None

    def __post_init__(self) -> None:
        self._gather: Gather | None = None
        self._handed_over = False
        self._claim: Claim | None = None
        self._generation: Generation | None = None
        self._body = b""

    async def prepare(self) -> Event:
        """Claim who computes it, loaded first if need be.

        Raises: UnknownModel, NoProvider, QueueFull, TaskNotServed, ParameterOutOfRange, and why a model is not loaded.
        """
        asked = self.asked
        self._claim = claim = await self.parts.dispatcher.claim(asked.model, self.sender, asked.task.name)
        placement, reading = claim.placement, asked.reading
        used = asked.task.effective(reading.asked, placement.model, self.parts.draw_seed)
        given = asked.task.fitted(asked.given, used, placement.model)
        self._body = asked.task.call(given, used)
        self._gather = asked.task.gather(given, used)
        stated = placement.stated
        return Event(
            task=asked.task.name,
            model=stated.model,
            parameters={**msgspec.to_builtins(used), **reading.asked},
            gpu=stated.gpu,
            provider=stated.provider,
            price=stated.price,
            prompt=reading.prompt,
            instructions=_instructions(asked, placement),
            proof_of_compute=stated.proof_of_compute,
        )

    async def carry_out(self, admitted: Admitted) -> None:
        """Have it computed, and hand it over as it comes. Raises: why it was not computed to its end."""
        asked, claim, gather = self.asked, self._claim, self._gather
        if claim is None or gather is None:
            raise RuntimeError("a request was admitted that was not prepared")
        gather.begin(admitted.ticket.record.id)
        self._generation = generation = claim.start(Call(admitted.ticket.record.id, asked.task.name, self._body))
        try:
            async for piece in generation:
                await self._hand_over(gather.parts(piece), admitted, generation)
            await self._hand_over(gather.rest(generation.finish_reasons), admitted, generation)
        finally:
            generation.cancel()  # which does nothing to one that has ended
        if "cancelled" in generation.finish_reasons:
            raise EngineFailed(reason="the worker gave the request up")  # a part of an answer is no answer

    async def _hand_over(self, parts: Iterable[Any], admitted: Admitted, generation: Generation) -> None:
        for part in parts:
            if self.deliver is not None:
                await self.deliver(admitted, part, generation.progress.usage)
                self._handed_over = True
            if self._gather is not None:
                self._gather.add(part)

    def delivered(self, failure: BaseException | None) -> Delivered:
        """What the transport took: of an answer that is sent whole nothing, unless all of it will be."""
        generation, gather = self._generation, self._gather
        if generation is None or gather is None:
            return Delivered()
        progress = generation.progress
        released = failure is None or self._handed_over
        return Delivered(
            outputs=gather.outputs(generation.finish_reasons if failure is None else ()) if released else (),
            usage=None if progress.started_at_us is None else progress.usage,
            device_time_us=progress.device_time_us,
            started_at=progress.started_at_us,
        )

    def close(self) -> None:
        """Give the worker's place back."""
        if self._claim is not None:
            self._claim.release()


def _instructions(asked: Asked, placement: Placement) -> Instructions | None:
    """What stood around the prompt: the system's text and the template, the request's or the model's; None for a task without them."""
    if not asked.task.templated:
        return None
    template, digest = asked.reading.chat_template, placement.model.chat_template_digest
    if template is not None:
        digest = hashlib.sha256(template.encode()).digest()
    return Instructions(system=asked.reading.system, chat_template=template, chat_template_digest=digest)
