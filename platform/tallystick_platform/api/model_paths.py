"""Paths below a model. An id may hold one slash, so each path is served in two forms; in the description they are one."""

from __future__ import annotations

from litestar import Request

SAME_ROUTE = ("{owner}/{model_id}", "{model_id}")
"""What tells the two forms of a path apart, and what stands for both."""


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
