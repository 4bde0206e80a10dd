"""The API's side of the workers. No torch here, nor anything that imports it.

- `dispatcher`: who computes a request.
- `pool`: worker processes, supervised and restarted.
- `link`: one worker incarnation and what it holds.
- `generation`: one answer on its way.
"""

from tallystick_platform.dispatch.dispatcher import Dispatcher
from tallystick_platform.dispatch.generation import Generation, Progress
from tallystick_platform.dispatch.link import Placement
from tallystick_platform.dispatch.pool import PoolConfig, WorkerPool
from tallystick_platform.protocol import Delta, GenerationRequest, GenerationResult, GpuInfo, ModelInfo, ProviderInfo

__all__ = [
    "Dispatcher",
    "Placement",
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
