"""The record of a chat: the one that would stand if the process ended now, and the one that will stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tallystick.ids import Address, RecordId
from tallystick.receipts import response_hash
from tallystick.record import (
    Choice,
    Gpu,
    HttpExchange,
    Instructions,
    Model,
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
    charge_micros,
)
from tallystick_platform.dispatch import Placement
from tallystick_platform.exchange.faults import fault_of, state_of
from tallystick_platform.exchange.request import ChatRequest, Effective, HttpFacts, Turn

TASK = "chat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an admitted request.

    `delivered` is the text that the transport took, None when nothing was released: of an answer that is sent whole, all or nothing.
    Units: microseconds; `started_at` is None when nothing was computed.
    """

    failure: BaseException | None
    delivered: str | None
    finish_reason: str | None
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
    request: ChatRequest,
    parameters: Effective,
    http: HttpFacts,
    fixed: FixedParts,
    sender: Sender,
) -> Record:
    """The record that stands if nothing is ever known of the request's outcome. The journal assigns both sequence numbers."""
    return Record(
        id=record_id,
        admission_seq=0,
        sender_seq=0,
        task=TASK,
        state=State.INTERRUPTED,
        error=None,
        time=RecordTime(admitted_at=admitted_at, started_at=None, finished_at=admitted_at),
        http=HttpExchange(
            method=http.method,
            path=http.path,
            request_hash=http.request_hash,
            response_hash=None,
            streamed=http.streamed,
        ),
        gpu=fixed.gpu,
        provider=fixed.provider,
        price=fixed.price,
        model=fixed.model,
        parameters=_parameters(parameters, request.user),
        prompt={"messages": request.messages},
        instructions=Instructions(
            system=_system(request.turns), chat_template=None, chat_template_digest=fixed.template_digest
        ),
        response=None,
        usage=None,
        sender=sender,
        proof_of_compute=fixed.proof,
    )


def terminal(draft: Record, outcome: Outcome) -> Record:
    """The record that stands: the admitted one, and what became of it.

    Requires: `draft` is the ticket's, with its sequence numbers.
    """
    text, time, price = outcome.delivered, draft.time, draft.price
    started_at = outcome.started_at
    if started_at is not None:  # another process's clock: held between this one's readings
        started_at = min(max(started_at, time.admitted_at), outcome.finished_at)
    if price is not None:
        price = Price(
            per_hour_micros=price.per_hour_micros,
            currency=price.currency,
            device_time_us=outcome.device_time_us,
            charge_micros=charge_micros(price.per_hour_micros, outcome.device_time_us),
        )
    return Record(  # written out: dataclasses.replace takes twice as long, for every answer
        id=draft.id,
        admission_seq=draft.admission_seq,
        sender_seq=draft.sender_seq,
        task=draft.task,
        state=state_of(outcome.failure),
        error=fault_of(outcome.failure),
        time=RecordTime(admitted_at=time.admitted_at, started_at=started_at, finished_at=outcome.finished_at),
        http=draft.http if text is None else _with_response(draft.http, text),
        gpu=draft.gpu,
        provider=draft.provider,
        price=price,
        model=draft.model,
        parameters=draft.parameters,
        prompt=draft.prompt,
        instructions=draft.instructions,
        response=None
        if text is None
        else Response(choices=(Choice(index=0, text=text, finish_reason=outcome.finish_reason),)),
        usage=outcome.usage,
        sender=draft.sender,
        proof_of_compute=draft.proof_of_compute,
    )


def _with_response(http: HttpExchange, text: str) -> HttpExchange:
    return HttpExchange(
        method=http.method,
        path=http.path,
        request_hash=http.request_hash,
        response_hash=response_hash((text.encode(),)),
        streamed=http.streamed,
    )


def _parameters(effective: Effective, user: str | None) -> Mapping[str, Value]:
    found: dict[str, Value] = {
        "temperature": effective.temperature,
        "top_p": effective.top_p,
        "top_k": effective.top_k,
        "max_tokens": effective.max_tokens,
        "stop": effective.stop,
        "seed": effective.seed,
    }
    if user is not None:
        found["user"] = user
    return found


def _system(turns: Sequence[Turn]) -> str | None:
    texts = [turn["content"] for turn in turns if turn["role"] == "system"]
    return "\n\n".join(texts) if texts else None
