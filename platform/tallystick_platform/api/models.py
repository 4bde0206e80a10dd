"""`GET /v1/models` and `/v1/models/{id}`: what can be asked for now, served already or loaded when somebody asks."""

from __future__ import annotations

from typing import Annotated

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from tallystick.ids import to_hex
from tallystick_platform.api.credentials import principal_of
from tallystick_platform.api.endpoint import Endpoint
from tallystick_platform.api.model_paths import model_id_of, model_paths
from tallystick_platform.api.replies import json_reply
from tallystick_platform.api.services import ProviderView, Services
from tallystick_platform.errors import UnknownModel
from tallystick_platform.protocol import ModelInfo
from tallystick_platform.registry.entries import ModelVersion
from tallystick_platform.registry.errors import BadReference
from tallystick_platform.registry.shown import VersionView, version_view
from tallystick_platform.shapes import Count, Hash, Whole
from tallystick_platform.tasks.drawing import defaults

US_PER_S = 1_000_000


class Defaults(Struct, frozen=True, kw_only=True):
    """What a request runs with that says nothing of it."""

    temperature: float
    top_p: float
    top_k: int
    max_tokens: Count
    recommended_but_not_offered: list[str]


class ModelView(Struct, frozen=True, kw_only=True, tag_field="object", tag="model"):
    """A model that may be asked. What only a worker knows is null while none has it loaded."""

    id: str
    created: Annotated[int, Meta(ge=0, description="Unix seconds.")]
    owned_by: str
    task: str
    version: str
    weights_digest: Hash
    engine: str | None
    dtype: str | None
    quantisation: str | None
    device: str | None
    context_length: Count | None
    defaults: Defaults | None
    reproducibility: str | None
    provider: ProviderView
    loaded: Annotated[bool, Meta(description="Whether a worker has it; else the first request loads it.")]
    registry: Annotated[VersionView | None, Meta(description="Null for what is served without being registered.")]


def model_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handlers that say what there is."""

    def served(model: ModelInfo, version: ModelVersion | None) -> ModelView:
        provider = services.provider(model.id)
        return ModelView(
            id=model.id,
            created=model.created_at,
            owned_by=provider.id,
            task=model.task,
            version=model.version,
            weights_digest=to_hex(model.weights_digest),
            engine=f"{model.engine} {model.engine_version}",
            dtype=model.dtype,
            quantisation=model.quantisation,
            device=model.device,
            context_length=model.context_length,
            defaults=Defaults(**defaults(model), recommended_but_not_offered=list(model.sampling.left_out)),
            reproducibility=model.reproducibility,
            provider=provider,
            loaded=True,
            registry=None if version is None else version_view(version),
        )

    def registered(version: ModelVersion) -> ModelView:
        provider = services.provider(version.model.id)
        return ModelView(
            id=version.model.id,
            created=version.created_at // US_PER_S,
            owned_by=provider.id,
            task=version.task,
            version=version.version,
            weights_digest=to_hex(version.digest),
            engine=None,
            dtype=version.dtype,
            quantisation=None,
            device=None,
            context_length=version.context_length,
            defaults=None,
            reproducibility=None,
            provider=provider,
            loaded=services.models.is_served(version),
            registry=version_view(version),
        )

    @Endpoint("GET", "/v1/models", "The models that you may ask now", {200: Whole[ModelView]})
    async def list_models(request: Request) -> ASGIApp:  # type: ignore[type-arg]
        principal = await principal_of(request.scope["headers"], services.authenticator)
        offered = {(one.model.id, one.digest): one for one in await services.models.offered(principal.address)}
        running = services.exchange.models()
        shown = [served(model, offered.pop((model.id, model.weights_digest), None)) for model in running]
        return json_reply(Whole(data=[*shown, *(registered(one) for one in offered.values())]))

    @Endpoint("GET", model_paths(), "One model", {200: ModelView}, errors=(UnknownModel, BadReference))
    async def get_model(request: Request) -> ASGIApp:  # type: ignore[type-arg]
        principal = await principal_of(request.scope["headers"], services.authenticator)
        wanted = model_id_of(request)
        try:
            version = await services.models.find(wanted, principal.address)
        except UnknownModel:
            version = None  # the operator's own choice is served even if nobody registered it
        for model in services.exchange.models():
            if version is None and wanted in {model.id, f"{model.id}@{model.version}"}:
                return json_reply(served(model, None))
            if version is not None and (model.id, model.weights_digest) == (version.model.id, version.digest):
                return json_reply(served(model, version))
        if version is None:
            raise UnknownModel(model=wanted)
        return json_reply(registered(version))

    return [list_models, get_model]
