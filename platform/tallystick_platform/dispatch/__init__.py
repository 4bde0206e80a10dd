"""The API's side of the workers. No torch here, nor anything that imports it.

- `dispatcher`: who computes a request.
- `catalog`: what the registry offers. `fleet`: its versions, loaded when they are asked for. `versions`: the fleet's books.
- `memory`: what a version takes, and what there is.
- `pool`: worker processes, supervised and restarted. `place`: what each of them runs. `endpoint`: where they reach us.
- `link`: one worker incarnation and what it holds.
- `generation`: one answer on its way.
"""

from tallystick_platform.dispatch.catalog import Catalog, Servable
from tallystick_platform.dispatch.dispatcher import Dispatcher
from tallystick_platform.dispatch.fleet import Fleet
from tallystick_platform.dispatch.generation import Generation, Progress
from tallystick_platform.dispatch.link import Link, Placement
from tallystick_platform.dispatch.place import PoolConfig
from tallystick_platform.dispatch.pool import WorkerPool
from tallystick_platform.dispatch.versions import LoadedVersion
from tallystick_platform.protocol import Delta, GenerationRequest, GenerationResult, GpuInfo, ModelInfo, ProviderInfo

__all__ = [
    "Catalog",
    "Dispatcher",
    "Fleet",
    "Link",
    "LoadedVersion",
    "Placement",
    "Servable",
    "Generation",
    "Progress",
    "Delta",
    "GenerationRequest",
    "GenerationResult",
    "ModelInfo",
    "ProviderInfo",
    "GpuInfo",
    "WorkerPool",
    "PoolConfig",
]
