"""The two records of a request: the draft, which stands if the process dies before the end, and the record of what happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tallystick.ids import RecordId, new_record_id
from tallystick.record import (
    Gpu,
    Instructions,
    Model,
    Output,
    Price,
    ProofOfCompute,
    Provider,
    Record,
    RecordTime,
    Response,
    Sender,
    State,
    Usage,
    Value,
    charged,
)
from tallystick_platform.auth import Principal
from tallystick_platform.exchange.faults import fault_of, state_of
from tallystick_platform.exchange.parts import Parts
from tallystick_platform.exchange.request import HttpFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What is asked for, as the record will state it. `price` holds the rate; the device time comes with the outcome.

    `follows` is the accepted record whose work this ends, None for anything else.
    """

    task: str
    model: Model | None
    parameters: Mapping[str, Value]
    gpu: Gpu | None
    provider: Provider
    price: Price | None
    prompt: Mapping[str, Value] | None = None
    instructions: Instructions | None = None
    proof_of_compute: ProofOfCompute | None = None
    follows: RecordId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What work has to show for itself, asked for once, after its end. Units: microseconds.

    `outputs` stand as the record's response: what was handed over, also where the work broke off half way; empty for nothing.
    `started_at` is None when nothing was computed.
    """

    outputs: tuple[Output, ...] = ()
    usage: Usage | None = None
    device_time_us: int = 0
    started_at: int | None = None


def would_be(parts: Parts, principal: Principal, http: HttpFacts, event: Event) -> Record:
    """The record that stands if nothing is ever known of the outcome. The journal assigns both sequence numbers."""
    now_us = parts.clock.now_us()
    return Record(
        id=new_record_id(now_us, parts.random),
        admission_seq=0,
        sender_seq=0,
        task=event.task,
        state=State.INTERRUPTED,
        error=None,
        time=RecordTime(admitted_at=now_us, started_at=None, finished_at=now_us),
        http=http.exchange(),
        gpu=event.gpu,
        provider=event.provider,
        price=event.price,
        model=event.model,
        parameters=event.parameters,
        request=http.request(parts.random),
        prompt=event.prompt,
        instructions=event.instructions,
        response=None,
        usage=None,
        sender=Sender(address=principal.address, proof="token", token_id=principal.token_id, signature=None),
        follows=event.follows,
        proof_of_compute=event.proof_of_compute,
    )


def accepted(draft: Record, due_by: int) -> Record:
    """The record that says that work was taken on, to be ended by `due_by`. Units: microseconds UTC."""
    return replace(draft, state=State.ACCEPTED, price=None, time=replace(draft.time, due_by=due_by))


def terminal(draft: Record, failure: BaseException | None, done: Delivered, finished_at: int) -> Record:
    """The record that stands: the admitted one, and what became of it.

    The engine's times come from another process. `started_at` is held between the admission and the end, unless the record follows another:
    its work began before its own admission. The engine time is held to the span (SPEC 1): it exceeds it only where the machine's clock was
    set back meanwhile, for durations are measured by a clock that never is.

    Requires: `draft` is the ticket's, with its sequence numbers, unless it and its end become durable in one.
    """
    time, price = draft.time, draft.price
    started_at, device_time_us = done.started_at, 0
    if started_at is not None:
        earliest = time.admitted_at if draft.follows is None else 0
        started_at = min(max(started_at, earliest), finished_at)
        device_time_us = min(done.device_time_us, finished_at - started_at)
    return Record(  # written out: dataclasses.replace takes twice as long, for every answer
        id=draft.id,
        admission_seq=draft.admission_seq,
        sender_seq=draft.sender_seq,
        task=draft.task,
        state=state_of(failure),
        error=fault_of(failure),
        time=RecordTime(admitted_at=time.admitted_at, started_at=started_at, finished_at=finished_at),
        http=draft.http,
        gpu=draft.gpu,
        provider=draft.provider,
        price=None if price is None else charged(replace(price, device_time_us=device_time_us), done.usage),
        model=draft.model,
        parameters=draft.parameters,
        request=draft.request,
        prompt=draft.prompt,
        instructions=draft.instructions,
        response=Response(outputs=done.outputs) if done.outputs else None,
        usage=done.usage,
        sender=draft.sender,
        follows=draft.follows,
        proof_of_compute=draft.proof_of_compute,
    )
