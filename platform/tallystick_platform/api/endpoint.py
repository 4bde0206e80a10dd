"""How a handler is declared: where it is served, and what the API's description says of it (openapi.py makes it from these).

    @Endpoint("GET", "/v1/ledger/batches/{number:str}", "One batch", {200: BatchView}, errors=(NoSuchBatch,), public=True)
    async def get_batch(number: FromPath[str]) -> ASGIApp: ...

The structs that are named here are the ones that handlers read and send, so that nothing is said twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from litestar import Request, route
from litestar.handlers import HTTPRouteHandler
from litestar.types import AnyCallable
from msgspec import Meta, Struct, field

from tallystick_platform.api.refusals import (
    AnswerTooLarge,
    BadRequest,
    BodyTooLarge,
    CodingNotTaken,
    HeadTooLarge,
    KeyOfAnother,
    StillUnderWay,
    TargetTooLong,
    TooSlow,
)
from tallystick_platform.api.replies import ErrorShape, native_error
from tallystick_platform.errors import (
    AdmissionClosed,
    AuthenticationError,
    Draining,
    JournalUnavailable,
    Overloaded,
    PlatformError,
    RequestUnrecordable,
)
from tallystick_platform.exchange.faults import AnswerWithheld
from tallystick_platform.shapes import MAX_NUMBER, Hash

ENDPOINT_KEY = "endpoint"
"""In a handler's `opt`."""
MAX_KEY_CHARS = 255

FILE = "application/octet-stream"
BatchNumber = Annotated[int, Meta(ge=0, le=MAX_NUMBER, description="From 0.")]


class PathParameters(Struct, frozen=True, kw_only=True):
    """What the parts of addresses are."""

    model_id: Annotated[str, Meta(description="May hold one slash, and `@version`.")]
    export_id: Annotated[str, Meta(description="From the answer that took the job.")]
    name: Annotated[str, Meta(description="A file's; may hold slashes.")]
    upload_id: Annotated[str, Meta(description="From the answer that opened it.")]
    registration_id: Annotated[str, Meta(description="From `Location`.")]
    record_id: Annotated[str, Meta(description="From X-Tallystick-Record.")]
    digest: Annotated[Hash, Meta(description="`sealed_digest` of the blob reference.")]
    file_id: Annotated[str, Meta(description="From the answer that took the file, or from its batch.")]
    job_id: Annotated[str, Meta(description="From the answer that took the job.")]
    batch_id: Annotated[str, Meta(description="From the answer that took the batch.")]
    ids: Annotated[str, Meta(description="Of jobs, separated by commas.")]
    number: BatchNumber


class IdempotencyHeaders(Struct, frozen=True, kw_only=True):
    """What every POST may say."""

    key: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=MAX_KEY_CHARS,
                description="Repeated under the same key within a day, a request gets the same answer and the same receipt.",
            ),
        ]
        | None
    ) = field(name="Idempotency-Key", default=None)


SAME_ROUTE = ("{owner}/{model_id}", "{model_id}")
"""A model's id may hold one slash, so each path below a model is served in two forms. This tells them apart, and what stands for both."""


def model_paths(below: str = "") -> list[str]:
    """The paths of `/v1/models/{model_id}` and what lies below it, such as `/versions`."""
    return [f"/v1/models/{{model_id:str}}{below}", f"/v1/models/{{owner:str}}/{{model_id:str}}{below}"]


def hosted_paths(end: str) -> list[str]:
    """The paths of `/hosted/{model_id}/v1/...`."""
    return [f"/hosted/{model}/v1/{end}" for model in ("{model_id:str}", "{owner:str}/{model_id:str}")]


def proxy_paths(end: str) -> list[str]:
    """The paths of `/models/{model_id}/proxy/v1/...` and the same without `/v1`."""
    return [
        f"/models/{model}/proxy{version}/{end}"
        for version in ("/v1", "")
        for model in ("{model_id:str}", "{owner:str}/{model_id:str}")
    ]


def model_id_of(request: Request) -> str:  # type: ignore[type-arg]
    """The id, or `model@version`, that the path names."""
    owner, model_id = request.path_params.get("owner"), request.path_params["model_id"]
    return str(model_id) if owner is None else f"{owner}/{model_id}"


EVERYWHERE = (BadRequest, TooSlow, HeadTooLarge)
WITH_TOKEN = (AuthenticationError, JournalUnavailable)
WITH_BODY = (BodyTooLarge, CodingNotTaken)
POSTED = (KeyOfAnother, StillUnderWay, AnswerTooLarge)
RECORDED = (RequestUnrecordable, TargetTooLong, Overloaded, Draining, AdmissionClosed, AnswerWithheld)
"""What may become of a request before it is admitted, or when its record cannot be stored."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one address; decorates its handler.

    `path` in Litestar's spelling; several are forms of one. `answers` by status: a struct is sent as JSON, text names the media type of
    other content, None is no content, and a tuple holds what may be sent instead of each other. `query`, `headers` and `sends` have the
    parameters of the request and the headers of the answer as fields.
    `form`: the body is one with files. `errors` are what it may answer beside what every endpoint may.
    `public`: no token is asked for. `error` writes what it refuses, and `refused` is its shape where it is not OpenAI's.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str | Sequence[str]
    summary: str
    answers: Mapping[int, Any]
    query: type[Struct] | None = None
    headers: type[Struct] | None = None
    body: type[Struct] | str | None = None
    form: bool = False
    sends: type[Struct] | None = None
    errors: tuple[type[PlatformError], ...] = ()
    public: bool = False
    error: ErrorShape = native_error
    refused: type[Struct] | None = None

    def __call__(self, handler: AnyCallable) -> HTTPRouteHandler:
        """The handler, to be served. What only reads answers HEAD, too: the edge keeps the body back."""
        decorate = route(
            self.path,
            http_method=["GET", "HEAD"] if self.method == "GET" else [self.method],
            status_code=min(self.answers),
            opt={ENDPOINT_KEY: self},
        )
        return decorate(handler)

    @property
    def all_errors(self) -> list[type[PlatformError]]:
        """Every class of error that it may answer."""
        kinds = [*self.errors, *EVERYWHERE]
        if not self.public:
            kinds += WITH_TOKEN
        if self.body is not None or self.method == "POST":  # one that nobody asked for is read all the same
            kinds += WITH_BODY
        if self.method == "POST":
            kinds += POSTED
        return kinds
