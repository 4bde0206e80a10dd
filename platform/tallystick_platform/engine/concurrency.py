"""How many requests a worker computes side by side: what the machine has, and what the reproducible class allows on it."""

from __future__ import annotations

from dataclasses import dataclass

import structlog
import torch

from tallystick_platform.engine.causal import CausalModel
from tallystick_platform.engine.cpu import available_bytes, available_cores
from tallystick_platform.engine.independence import independent_rows
from tallystick_platform.engine.llama import LlamaModel
from tallystick_platform.engine.scheduler import SchedulerConfig
from tallystick_platform.protocol import Reproducibility

MAX_ACTIVE = 32
ACTIVE_PER_CORE = (
    16  # on two cores a step with 32 rows gives half as many tokens again as one with 8; beyond, none are gained
)
ACTIVE_ALONE = (
    16  # where each row is a step of its own, more requests gain nothing but a shorter wait for the first token
)
USUAL_TOKENS = 1_024  # of a request; longer ones are bounded by the tokens of all caches together
CACHE_SHARE = 2  # caches may take one part in two of the memory that is free once the weights are there

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """`rows` requests share one forward pass. Units: `cache_tokens` tokens of all caches together, None without a bound."""

    active: int
    rows: int
    cache_tokens: int | None
    reproducibility: Reproducibility

    def scheduler(self, max_requests: int) -> SchedulerConfig:
        """The scheduler's bounds for a worker that holds `max_requests`."""
        active = min(self.active, max_requests)
        return SchedulerConfig(max_active=active, max_waiting=max_requests - active, cache_tokens=self.cache_tokens)


def find_concurrency(forward: LlamaModel | CausalModel, wanted: int | None = None) -> Concurrency:
    """`wanted` requests, or as many as this machine takes.

    In float32 on a CPU the promise is kept whatever it costs: rows share a pass only where this machine showed that they
    stay the same to the last bit. Elsewhere speed comes first and the record says so.
    """
    exact = forward.dtype is torch.float32 and forward.device.type == "cpu"
    free = memory_bytes(forward.device)
    tokens = cache_tokens(forward, free)
    most = wanted or active_requests(cores=available_cores(), cpu=forward.device.type == "cpu", tokens=tokens)
    if isinstance(forward, CausalModel):  # computes row by row by itself
        rows = 1
    else:
        rows = independent_rows(forward, most) if exact else most
        if rows < most:
            _log.warning("engine.rows_disturb_each_other", decoded_together=rows, instead_of=most)
    active = most if wanted or rows > 1 else min(most, ACTIVE_ALONE)
    found = Concurrency(
        active=active, rows=rows, cache_tokens=tokens, reproducibility="reproducible" if exact else "statistical"
    )
    _log.info(
        "engine.concurrency",
        active=active,
        decoded_together=rows,
        cache_tokens=tokens,
        free_mib=free >> 20,
        cores=available_cores(),
        threads=torch.get_num_threads(),
    )
    return found


def active_requests(*, cores: int, cpu: bool, tokens: int | None) -> int:
    """As many as cores and memory carry, one at least."""
    by_cores = ACTIVE_PER_CORE * cores if cpu else MAX_ACTIVE
    by_memory = MAX_ACTIVE if tokens is None else tokens // USUAL_TOKENS
    return max(1, min(MAX_ACTIVE, by_cores, by_memory))


def cache_tokens(forward: LlamaModel | CausalModel, free_bytes: int) -> int | None:
    """Tokens that all caches together may hold: always one whole context, so that no request waits for ever."""
    each = forward.cache_bytes_per_token
    return max(forward.context_length, free_bytes // CACHE_SHARE // each) if each else None


def memory_bytes(device: torch.device) -> int:
    """What is free where the caches will be."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return available_bytes()
