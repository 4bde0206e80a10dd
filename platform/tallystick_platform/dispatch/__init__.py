"""The API's side of the workers. Nothing here imports torch.

- `dispatcher`: who computes a request. Start reading there.
- `link`: a backend: one worker, the places in it, and what it computes. `placement`: what a record says of it.
- `generation`: one answer on its way.
- `versions`: what the registry offers. `fleet`: versions that are loaded when they are asked for.
- `pool`: worker processes, supervised and restarted. `place`: what each of them runs. `process`: how one is started and reached.
"""

from tallystick_platform.dispatch.dispatcher import Dispatcher
from tallystick_platform.dispatch.fleet import Fleet, LoadedVersion
from tallystick_platform.dispatch.generation import Generation, Progress
from tallystick_platform.dispatch.link import Claim, Link
from tallystick_platform.dispatch.place import PoolConfig
from tallystick_platform.dispatch.placement import Placement
from tallystick_platform.dispatch.pool import WorkerPool
from tallystick_platform.dispatch.versions import Catalog, Servable, needed_bytes
from tallystick_platform.protocol import ProviderInfo

__all__ = [
    "Dispatcher",
    "Claim",
    "Generation",
    "Progress",
    "Placement",
    "Link",
    "Fleet",
    "LoadedVersion",
    "Servable",
    "Catalog",
    "WorkerPool",
    "PoolConfig",
    "ProviderInfo",
    "needed_bytes",
]
