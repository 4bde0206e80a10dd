"""What a wire format is, and the handler that all of them share: it reads, authenticates, and puts the question on its line.

A wire spells requests, answers and errors. The handler does the rest, the same for every wire: who asks, how long it may take, what is
recorded, and when an answer may leave.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import Meta, Struct, field

from tallystick.ids import RecordId
from tallystick.record import Record
from tallystick_platform import errors
from tallystick_platform.api.body import read_body
from tallystick_platform.api.credentials import Headers, principal_of
from tallystick_platform.api.endpoint import RECORDED, Endpoint
from tallystick_platform.api.error_table import ErrorAnswer
from tallystick_platform.api.proofs import RecordedHeaders
from tallystick_platform.api.received import received
from tallystick_platform.api.refusals import BadRequest
from tallystick_platform.api.replies import Header
from tallystick_platform.api.services import Services
from tallystick_platform.api.wire.answering import Question, WireReply
from tallystick_platform.auth import Principal
from tallystick_platform.exchange.faults import ServerStopped
from tallystick_platform.exchange.inference import Deliver
from tallystick_platform.exchange.line import Line
from tallystick_platform.registry.errors import SignatureRefused

TIMEOUT_HEADERS = (b"x-request-timeout", b"oicm-request-timeout")
MIN_TIMEOUT_S = 0.001
MAX_TIMEOUT_CHARS = 16
ERRORS = (
    *RECORDED,
    errors.UnknownModel,
    errors.NotServable,
    errors.TaskNotServed,
    errors.ParameterOutOfRange,
    errors.QueueFull,
    errors.NoProvider,
    errors.ModelTooLarge,
    errors.NoRoomForModel,
    errors.ModelLoadFailed,
    errors.PromptTooLong,
    errors.PromptRejected,
    errors.EngineFailed,
    errors.WorkerDied,
    errors.RequestTimedOut,
    ServerStopped,
    SignatureRefused,
)


class AskingHeaders(Struct, frozen=True, kw_only=True):
    """What a request may say beside its body."""

    timeout: (
        Annotated[
            float,
            Meta(
                ge=MIN_TIMEOUT_S,
                description="Seconds that it may take, up to the server's bound. `OICM-Request-Timeout` is the same.",
            ),
        ]
        | None
    ) = field(name="X-Request-Timeout", default=None)
    sender: Annotated[str | None, Meta(description="Must be the token's address.")] = field(
        name="X-Sender-Address", default=None
    )
    request_id: Annotated[str | None, Meta(description="Kept if it is 1 to 64 of A-Z a-z 0-9 . _ : -")] = field(
        name="X-Request-Id", default=None
    )


class AnswerHeaders(RecordedHeaders, frozen=True, kw_only=True):
    """What an answer says beside its body. A stream has neither receipt nor times here: it ends with the proof."""

    server_timing: Annotated[str, Meta(description="queue, infer, seal, journal in milliseconds.")] = field(
        name="Server-Timing"
    )


@dataclass(frozen=True, kw_only=True)
class Wire(ABC):
    """One way of asking models over HTTP.

    `routes` are the addresses that it is served at, in Litestar's spelling. `name`, `summary`, `body` and `answers` are what the
    description says of it, as `Endpoint` takes them. `form`: its bodies are forms with files. `refused` is the
    shape of its errors where it has one of its own. `usual_s` is the time that a request gets which asks for none, `longest_s` what it may
    ask for, both within the log's promise; None is the server's own setting. Units: seconds.
    """

    name: str
    routes: tuple[str, ...]
    summary: str
    body: type[Struct] | str
    answers: type[Struct] | str | tuple[type[Struct] | str, ...]
    form: bool = False
    refused: type[Struct] | None = None
    usual_s: float | None = None
    longest_s: float | None = None
    sends: type[Struct] = AnswerHeaders

    @abstractmethod
    def read(self, path: str, headers: Headers, body: bytes) -> Question:
        """What a request asks, and how its answer is to be written; `body` is without its content coding.

        Raises: BadRequest, naming the parameter.
        """

    @abstractmethod
    def error(self, answer: ErrorAnswer, tallystick: bytes | None) -> tuple[int, bytes]:
        """The status and the JSON of an error, with the proof of its record where there is one."""

    def headers(self, _record: Record) -> list[Header]:
        """What an answer says beside its body that only this wire says; `sends` describes it."""
        return []


def wire_handler(wire: Wire, services: Services) -> HTTPRouteHandler:
    """The handler of a wire's addresses."""

    async def ask(request: Request) -> ASGIApp:  # type: ignore[type-arg]  # the framework's three parameters are unused
        scope = request.scope
        headers = scope["headers"]
        principal = await principal_of(headers, services.authenticator)
        usual_s = min(wire.usual_s or services.request_timeout_s, services.longest_work_s)
        timeout_s = timeout_of(headers, usual_s, min(wire.longest_s or usual_s, services.longest_work_s))
        limit_bytes = services.max_media_bytes if wire.form else services.max_body_bytes
        body = await read_body(
            scope, request.receive, limit_bytes=limit_bytes, limit_s=min(timeout_s, services.request_timeout_s)
        )
        question = wire.read(scope["path"], headers, body)
        asked = question.asked
        if question.continued is not None:
            asked = await question.continued(partial(own_record, services, principal))
        http = received(scope, body, reader=question.reader, streamed=question.events is not None)

        def infer(deliver: Deliver | None) -> Line:
            return services.exchange.infer(
                principal=principal, asked=asked, http=http, timeout_s=timeout_s, deliver=deliver
            )

        return WireReply(question, infer, wire.error, wire.headers)

    ask.__name__ = wire.name
    declared = Endpoint(
        "POST",
        list(wire.routes),
        wire.summary,
        {200: wire.answers},
        headers=AskingHeaders,
        body=wire.body,
        form=wire.form,
        sends=wire.sends,
        errors=ERRORS,
        error=wire.error,
        refused=wire.refused,
    )
    return declared(ask)


async def own_record(services: Services, principal: Principal, record_id: RecordId) -> Record | None:
    """A record of the one who asks, opened; None where there is none of theirs, or none that can be opened any more."""
    stored = await services.records.entry(record_id)
    if stored is None or stored.sender != principal.address:
        return None
    return await services.records.opened(stored)


def timeout_of(headers: Headers, usual_s: float, limit_s: float | None = None) -> float:
    """The time that a request may take: what its header asks for, up to the bound, which is the usual time if None. Units: seconds.

    Raises: BadRequest.
    """
    for name, value in headers:
        if name in TIMEOUT_HEADERS:
            shown = name.decode()
            try:
                asked_s = float(value) if len(value) <= MAX_TIMEOUT_CHARS and b"_" not in value else math.nan
            except ValueError:
                asked_s = math.nan
            if not asked_s >= MIN_TIMEOUT_S:  # NaN compares false
                raise BadRequest(
                    f"'{shown}' must be a number of seconds, {MIN_TIMEOUT_S} or more.",
                    param=shown,
                    code="invalid_value",
                )
            return min(asked_s, usual_s if limit_s is None else limit_s)
    return usual_s
