"""`GET /v1/models` and `/v1/models/{id}`."""

from __future__ import annotations

from litestar import Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from tallystick.ids import to_hex
from tallystick_platform.api.credentials import principal_of
from tallystick_platform.api.model_paths import model_id_of, model_paths
from tallystick_platform.api.replies import json_reply
from tallystick_platform.api.services import Services
from tallystick_platform.errors import UnknownModel
from tallystick_platform.protocol import ModelInfo


def model_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handlers of the model paths."""

    def shown(model: ModelInfo) -> dict[str, object]:
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
            "reproducibility": model.reproducibility,
            "provider": provider,
        }

    @get("/v1/models")
    async def list_models(request: Request) -> ASGIApp:  # type: ignore[type-arg]
        principal_of(request.scope["headers"], services.authenticator)
        return json_reply({"object": "list", "data": [shown(model) for model in services.exchange.models()]})

    @get(model_paths())
    async def get_model(request: Request) -> ASGIApp:  # type: ignore[type-arg]
        principal_of(request.scope["headers"], services.authenticator)
        wanted = model_id_of(request)
        for model in services.exchange.models():
            if model.id == wanted:
                return json_reply(shown(model))
        raise UnknownModel(model=wanted)

    return [list_models, get_model]
