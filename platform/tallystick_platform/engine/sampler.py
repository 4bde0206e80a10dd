"""Drawing the next token: one sampler per request, so neighbours never touch its random numbers.

The draw inverts the cumulative distribution in double precision on the CPU, whatever device computed the logits: the same
logits and seed give the same token everywhere.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

TOP_P_CANDIDATES = 1_024  # a nucleus mostly fits in here; sorting all of a vocabulary costs milliseconds
SEED_MASK = (1 << 64) - 1


class NotFinite(ArithmeticError):
    """The logits are not numbers: the model or its weights are broken."""


class Sampler:
    """Draws one answer's tokens. Temperature 0 is greedy; `top_k` 0, `top_p` 1 and `min_p` 0 leave every token in.

    They act in this order: temperature, `min_p`, `top_k`, `top_p`.
    """

    __slots__ = ("_generator", "_least", "_temperature", "_top_k", "_top_p")

    def __init__(self, *, temperature: float, top_p: float, top_k: int, seed: int, min_p: float = 0.0) -> None:
        self._least = math.log(min_p) if min_p else None  # below the most probable one's logarithm
        self._temperature = temperature
        self._top_p = top_p
        self._top_k = top_k
        self._generator = torch.Generator().manual_seed(seed & SEED_MASK)

    def draw(self, logits: Tensor) -> int:
        """The next token. Shapes: logits [vocabulary]. Raises: NotFinite."""
        logits = logits.cpu()
        highest = logits.max()
        if not torch.isfinite(highest):
            raise NotFinite("the model's logits are not finite")
        if self._temperature <= 0:
            return int(logits.argmax())
        # Subtracting the highest first keeps a tiny temperature from overflowing.
        scaled = (logits.double() - highest.double()) / self._temperature
        if self._least is not None:
            scaled = scaled.masked_fill(scaled < self._least, -torch.inf)
        return self._draw_from(scaled)

    def _draw_from(self, scaled: Tensor) -> int:
        size = scaled.shape[0]
        if 0 < self._top_k < size:
            values, ids = scaled.topk(self._top_k)
            return self._invert(self._nucleus(values.softmax(dim=0)), ids)
        weights = scaled.softmax(dim=0)
        if self._top_p >= 1:
            return self._invert(weights, None)
        values, ids = weights.topk(min(TOP_P_CANDIDATES, size))
        if float(values.sum()) < self._top_p:
            values, ids = weights.sort(descending=True, stable=True)
        return self._invert(self._nucleus(values), ids)

    def _nucleus(self, descending: Tensor) -> Tensor:
        """The shortest prefix that holds `top_p` of the mass, at least one token."""
        if self._top_p >= 1:
            return descending
        before = descending.cumsum(dim=0) - descending
        return descending[: max(1, int((before < self._top_p).sum()))]

    def _invert(self, weights: Tensor, ids: Tensor | None) -> int:
        cumulative = weights.cumsum(dim=0)
        point = torch.rand(1, generator=self._generator, dtype=torch.float64) * cumulative[-1]
        position = min(int(torch.searchsorted(cumulative, point, right=True)), weights.shape[0] - 1)
        return position if ids is None else int(ids[position])
