"""`GET /v1/models` and `/v1/models/{id}`: what can be asked for now, served already or loaded when somebody asks."""

from __future__ import annotations

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from tallystick.ids import to_hex
from tallystick_platform.api.credentials import principal_of
from tallystick_platform.api.model_paths import model_id_of, model_paths
from tallystick_platform.api.replies import json_reply, reads
from tallystick_platform.api.services import Services
from tallystick_platform.errors import UnknownModel
from tallystick_platform.protocol import ModelInfo
from tallystick_platform.registry.entries import ModelVersion
from tallystick_platform.registry.shown import shown_version
from tallystick_platform.tasks.drawing import defaults

US_PER_S = 1_000_000


def model_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handlers that say what there is."""

    def served(model: ModelInfo, version: ModelVersion | None) -> dict[str, object]:
        provider = services.provider(model.id)
        return {
            "id": model.id,
            "object": "model",
            "created": model.created_at,
            "owned_by": provider["id"],
            "task": model.task,
            "version": model.version,
            "weights_digest": to_hex(model.weights_digest),
            "engine": f"{model.engine} {model.engine_version}",
            "dtype": model.dtype,
            "quantisation": model.quantisation,
            "device": model.device,
            "context_length": model.context_length,
            "defaults": {
                **defaults(model),
                "recommended_but_not_offered": list(model.sampling.left_out),
            },
            "reproducibility": model.reproducibility,
            "provider": provider,
            "loaded": True,
            "registry": None if version is None else shown_version(version),
        }

    def registered(version: ModelVersion) -> dict[str, object]:
        provider = services.provider(version.model.id)
        return {
            "id": version.model.id,
            "object": "model",
            "created": version.created_at // US_PER_S,
            "owned_by": provider["id"],
            "task": version.task,
            "version": version.version,
            "weights_digest": to_hex(version.digest),
            "engine": None,
            "dtype": version.dtype,
            "quantisation": None,
            "device": None,
            "context_length": version.context_length,
            "defaults": None,
            "reproducibility": None,
            "provider": provider,
            "loaded": services.models.is_served(version),
            "registry": shown_version(version),
        }

    @reads("/v1/models")
    async def list_models(request: Request) -> ASGIApp:  # type: ignore[type-arg]
        principal = await principal_of(request.scope["headers"], services.authenticator)
        offered = {(one.model.id, one.digest): one for one in await services.models.offered(principal.address)}
        running = services.exchange.models()
        shown = [served(model, offered.pop((model.id, model.weights_digest), None)) for model in running]
        return json_reply({"object": "list", "data": [*shown, *(registered(one) for one in offered.values())]})

    @reads(model_paths())
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
