"""`GET /v1/models` and `/v1/models/{id}`: what can be asked for now, served already or loaded when somebody asks.

`/models/{id}/proxy/v1/models` lists the one model of its address, and `.../generate-speech/schema` says what a voice takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from tallystick.ids import to_hex
from tallystick_platform.api.credentials import Caller
from tallystick_platform.api.endpoint import Endpoint, hosted_paths, model_id_of, model_paths, proxy_paths
from tallystick_platform.api.refusals import NotLoaded
from tallystick_platform.api.replies import json_reply
from tallystick_platform.api.services import ProviderView, Services
from tallystick_platform.auth import Principal
from tallystick_platform.errors import TaskNotServed, UnknownModel
from tallystick_platform.exporter.spec import FORMATS
from tallystick_platform.jobs.exports import ExportJobs
from tallystick_platform.protocol import ModelInfo
from tallystick_platform.registry.entries import ModelVersion
from tallystick_platform.registry.errors import BadReference
from tallystick_platform.registry.shown import VersionView, shown_version
from tallystick_platform.shapes import Count, Hash, Whole
from tallystick_platform.tasks import SPEECH, TASKS
from tallystick_platform.tasks.drawing import TextTask, defaults

US_PER_S = 1_000_000
MODEL_LISTS = ["/v1/models", "/v1/service/llm/v1/models", "/triteia/v1/models"]


class DefaultsView(Struct, frozen=True, kw_only=True):
    """What a request runs with that says nothing of it."""

    temperature: float
    top_p: float
    top_k: int
    max_tokens: int
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    recommended_but_not_offered: Annotated[list[str], Meta(description="By the model's own files.")]


class ExportsView(Struct, frozen=True, kw_only=True):
    """What a model can be exported to, and why not to the rest."""

    formats: Annotated[
        dict[str, list[str]],
        Meta(description="Each format with its quantizations; none: the weights stay as they are."),
    ]
    refused: Annotated[dict[str, str], Meta(description="Why each other format is not offered.")]


NOT_REGISTERED = ExportsView(
    formats={}, refused=dict.fromkeys(FORMATS, "it is served without being registered: no files of it are kept")
)


class ModelView(Struct, frozen=True, kw_only=True, tag_field="object", tag="model"):
    """A model that can be asked for. What only a worker knows of it is null while none has it loaded."""

    id: str
    created: Annotated[Count, Meta(description="Unix seconds.")]
    owned_by: str
    task: str
    tasks: Annotated[list[str], Meta(description="What it can be asked with.")]
    version: str
    weights_digest: Hash
    engine: str | None
    dtype: str | None
    quantisation: str | None
    device: str | None
    context_length: Count | None
    defaults: DefaultsView | None
    tool_format: Annotated[
        str | None,
        Meta(description="How it writes calls of tools: hermes, llama3 or mistral; null for one that calls none."),
    ]
    schema: Annotated[
        dict[str, Any] | None, Meta(description="The inputs and outputs of a model of tables, or what a voice takes.")
    ] = None
    reproducibility: str | None
    provider: ProviderView
    loaded: Annotated[bool, Meta(description="Whether a worker has it; else the first request loads it.")]
    exports: ExportsView
    registry: Annotated[VersionView | None, Meta(description="Null for what is served without being registered.")]


class Ping(Struct, frozen=True, kw_only=True):
    """A model that can be asked."""

    status: Literal["ok"]
    model: str
    loaded: Annotated[bool, Meta(description="Whether a worker has it; else the first request loads it.")]


class SpeechField(Struct, frozen=True, kw_only=True):
    """One thing that a voice takes."""

    desc: str
    label: str
    name: str
    required: bool
    type: str


SPOKEN = "input"
SPEECH_FIELDS = {
    "input": "What is said.",
    "voice": "One of the model's voices.",
    "speed": "How many times as fast.",
    "seed": "The same one gives the same sound.",
}


def model_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handlers that say what there is."""

    @Endpoint("GET", MODEL_LISTS, "The models that you may ask now", {200: Whole[ModelView]})
    async def list_models(principal: Caller) -> ASGIApp:
        offered = {(one.model.id, one.digest): one for one in await services.models.offered(principal.address)}
        exports = await exports_of(services.exports, list(offered.values()))
        shown = []
        for model in services.exchange.models():
            version = offered.pop((model.id, model.weights_digest), None)
            shown.append(
                _served(services, model, version, NOT_REGISTERED if version is None else exports[version.reference])
            )
        return json_reply(
            Whole(data=[*shown, *(_registered(services, one, exports[one.reference]) for one in offered.values())])
        )

    @Endpoint("GET", model_paths(), "One model", {200: ModelView}, errors=(UnknownModel, BadReference))
    async def get_model(request: Request, principal: Caller) -> ASGIApp:  # type: ignore[type-arg]
        return json_reply(await _view_of(services, model_id_of(request), principal))

    @Endpoint(
        "GET", proxy_paths("models"), "The model of the address, in a list", {200: Whole[ModelView]},
        errors=(UnknownModel, BadReference),
    )  # fmt: skip
    async def list_model(request: Request, principal: Caller) -> ASGIApp:  # type: ignore[type-arg]
        return json_reply(Whole(data=[await _view_of(services, model_id_of(request), principal)]))

    @Endpoint(
        "GET", proxy_paths("generate-speech/schema"), "What a voice takes", {200: list[SpeechField]},
        errors=(UnknownModel, BadReference, TaskNotServed, NotLoaded),
    )  # fmt: skip
    async def speech_schema(request: Request, principal: Caller) -> ASGIApp:  # type: ignore[type-arg]
        return json_reply(_fields_of(await _view_of(services, model_id_of(request), principal)))

    @Endpoint(
        "GET", hosted_paths("ping"), "Whether a model can be asked", {200: Ping}, errors=(UnknownModel, BadReference)
    )
    async def ping(request: Request, principal: Caller) -> ASGIApp:  # type: ignore[type-arg]
        model = await _view_of(services, model_id_of(request), principal)
        return json_reply(Ping(status="ok", model=model.id, loaded=model.loaded))

    return [list_models, get_model, list_model, speech_schema, ping]


def _fields_of(model: ModelView) -> list[SpeechField]:
    """Raises: TaskNotServed, NotLoaded."""
    if SPEECH.name not in model.tasks:
        raise TaskNotServed(model=model.id, task=SPEECH.name, tasks=tuple(model.tasks))
    if model.schema is None:
        raise NotLoaded(model=model.id)
    return [
        SpeechField(
            desc=one.get("description") or SPEECH_FIELDS.get(one["name"], one["name"]),
            label=_spoken_name(one["name"]).capitalize(),
            name=_spoken_name(one["name"]),
            required=one["name"] == SPOKEN,
            type=one["type"],
        )
        for one in model.schema["inputs"]
    ]


def _spoken_name(name: str) -> str:
    """A field's name on this address, where what is said is the prompt."""
    return "prompt" if name == SPOKEN else name


async def _view_of(services: Services, wanted: str, principal: Principal) -> ModelView:
    """A model by its reference. Raises: UnknownModel, BadReference."""
    try:
        version = await services.models.find(wanted, principal.address)
    except UnknownModel:
        version = None  # the operator's own choice is served even if nobody registered it
    exports = NOT_REGISTERED if version is None else (await exports_of(services.exports, [version]))[version.reference]
    for model in services.exchange.models():
        if version is None and wanted in {model.id, f"{model.id}@{model.version}"}:
            return _served(services, model, None, exports)
        if version is not None and (model.id, model.weights_digest) == (version.model.id, version.digest):
            return _served(services, model, version, exports)
    if version is None:
        raise UnknownModel(model=wanted)
    return _registered(services, version, exports)


def _served(services: Services, model: ModelInfo, version: ModelVersion | None, exports: ExportsView) -> ModelView:
    provider = services.provider(model.id)
    return ModelView(
        id=model.id,
        created=model.created_at,
        owned_by=provider.id,
        task=model.task,
        tasks=list(model.tasks),
        version=model.version,
        weights_digest=to_hex(model.weights_digest),
        engine=f"{model.engine} {model.engine_version}",
        dtype=model.dtype,
        quantisation=model.quantisation,
        device=model.device,
        context_length=model.context_length,
        defaults=_defaults(model),
        tool_format=model.tool_format,
        schema=None if model.schema is None else dict(model.schema),
        reproducibility=model.reproducibility,
        provider=provider,
        loaded=True,
        exports=exports,
        registry=None if version is None else shown_version(version),
    )


def _registered(services: Services, version: ModelVersion, exports: ExportsView) -> ModelView:
    provider, shown = services.provider(version.model.id), shown_version(version)
    return ModelView(
        id=version.model.id,
        created=version.created_at // US_PER_S,
        owned_by=provider.id,
        task=version.task,
        tasks=shown.tasks,
        version=version.version,
        weights_digest=to_hex(version.digest),
        engine=None,
        dtype=version.dtype,
        quantisation=None,
        device=None,
        context_length=version.context_length,
        defaults=None,
        tool_format=None,
        reproducibility=None,
        provider=provider,
        loaded=services.models.served(version),
        exports=exports,
        registry=shown,
    )


async def exports_of(jobs: ExportJobs, versions: Sequence[ModelVersion]) -> dict[str, ExportsView]:
    """What each version can be exported to, by its reference. It may read from the disk."""

    def offered(version: ModelVersion) -> ExportsView:
        try:
            found = jobs.offers(version)
        except UnknownModel as error:  # it was removed meanwhile, with its base
            return ExportsView(formats={}, refused=dict.fromkeys(FORMATS, str(error)))
        return ExportsView(
            formats={name: list(kinds) for name, kinds in found.formats.items()}, refused=dict(found.refused)
        )

    return await asyncio.to_thread(lambda: {version.reference: offered(version) for version in versions})


def _defaults(model: ModelInfo) -> DefaultsView | None:
    """How text is drawn unless a request says it; None for a model that writes none."""
    if not any(isinstance(TASKS[name], TextTask) for name in model.tasks):
        return None
    return DefaultsView(**defaults(model), recommended_but_not_offered=list(model.sampling.left_out))
