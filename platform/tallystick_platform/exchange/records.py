"""Records as the exchange makes them: the one that would stand if the process ended now, and the one that will stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tallystick.ids import Address, RecordId
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
    Request,
    Response,
    Sender,
    State,
    Usage,
    Value,
    charged,
)
from tallystick_platform.dispatch import Placement
from tallystick_platform.exchange.faults import fault_of, state_of
from tallystick_platform.exchange.request import ChatRequest, Effective, HttpFacts

TASK = "chat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an admitted request.

    `outputs` are what the transport took, None when nothing was released: of an answer that is sent whole, all or nothing.
    Units: microseconds; `started_at` is None when nothing was computed.
    """

    failure: BaseException | None
    outputs: tuple[Output, ...] | None
    usage: Usage | None
    device_time_us: int
    started_at: int | None
    finished_at: int


class FixedParts:
    """The parts of a record that are the same for every request placed alike, made once."""

    __slots__ = ("gpu", "model", "price", "proof", "provider", "template_digest")

    def __init__(self, placement: Placement) -> None:
        model, gpu, provider = placement.model, placement.gpu, placement.provider
        self.model = Model(
            id=model.id,
            version=model.version,
            weights_digest=model.weights_digest,
            engine=model.engine,
            engine_version=model.engine_version,
            dtype=model.dtype,
            quantisation=model.quantisation,
            device=model.device,
        )
        self.gpu = Gpu(
            kind=gpu.kind,
            name=gpu.name,
            uuid=gpu.uuid,
            count=gpu.count,
            memory_bytes=gpu.memory_bytes,
            driver=gpu.driver,
        )
        self.provider = Provider(id=provider.id, name=provider.name, address=Address(provider.address))
        self.price = Price(
            per_hour_micros=provider.price_per_hour_micros,
            currency=provider.currency,
            device_time_us=0,
            charge_micros=0,
        )
        self.proof = ProofOfCompute(class_=model.reproducibility, toploc=None)
        self.template_digest = model.chat_template_digest


def would_be(
    *,
    record_id: RecordId,
    admitted_at: int,
    asked: ChatRequest,
    parameters: Effective,
    http: HttpFacts,
    request: Request | None,
    fixed: FixedParts,
    sender: Sender,
) -> Record:
    """The record that stands if nothing is ever known of the request's outcome. The journal assigns both sequence numbers."""
    reading = asked.reading
    return Record(
        id=record_id,
        admission_seq=0,
        sender_seq=0,
        task=TASK,
        state=State.INTERRUPTED,
        error=None,
        time=RecordTime(admitted_at=admitted_at, started_at=None, finished_at=admitted_at),
        http=http.exchange(),
        gpu=fixed.gpu,
        provider=fixed.provider,
        price=fixed.price,
        model=fixed.model,
        parameters=_parameters(parameters, reading.asked),
        request=request,
        prompt=reading.prompt,
        instructions=Instructions(
            system=reading.system, chat_template=None, chat_template_digest=fixed.template_digest
        ),
        response=None,
        usage=None,
        sender=sender,
        proof_of_compute=fixed.proof,
    )


def terminal(draft: Record, outcome: Outcome) -> Record:
    """The record that stands: the admitted one, and what became of it.

    The engine's times come from another process. `started_at` is held between the admission and the end, unless the record follows another:
    its work began before its own admission. The engine time is held to the span (SPEC 1): it exceeds it only where the machine's clock was
    set back meanwhile, for durations are measured by a clock that never is.

    Requires: `draft` is the ticket's, with its sequence numbers.
    """
    time, price, finished_at = draft.time, draft.price, outcome.finished_at
    started_at, device_time_us = outcome.started_at, 0
    if started_at is not None:
        earliest = time.admitted_at if draft.follows is None else 0
        started_at = min(max(started_at, earliest), finished_at)
        device_time_us = min(outcome.device_time_us, finished_at - started_at)
    return Record(  # written out: dataclasses.replace takes twice as long, for every answer
        id=draft.id,
        admission_seq=draft.admission_seq,
        sender_seq=draft.sender_seq,
        task=draft.task,
        state=state_of(outcome.failure),
        error=fault_of(outcome.failure),
        time=RecordTime(admitted_at=time.admitted_at, started_at=started_at, finished_at=finished_at),
        http=draft.http,
        gpu=draft.gpu,
        provider=draft.provider,
        price=None if price is None else charged(replace(price, device_time_us=device_time_us), outcome.usage),
        model=draft.model,
        parameters=draft.parameters,
        request=draft.request,
        prompt=draft.prompt,
        instructions=draft.instructions,
        response=None if outcome.outputs is None else Response(outputs=outcome.outputs),
        usage=outcome.usage,
        sender=draft.sender,
        follows=draft.follows,
        proof_of_compute=draft.proof_of_compute,
    )


def _parameters(effective: Effective, asked: Mapping[str, Value]) -> Mapping[str, Value]:
    """What the model ran with, and unchanged whatever else was asked for."""
    used: dict[str, Value] = {
        "temperature": effective.temperature,
        "top_p": effective.top_p,
        "top_k": effective.top_k,
        "max_tokens": effective.max_tokens,
        "stop": effective.stop,
        "seed": effective.seed,
    }
    used.update(asked)
    return used
