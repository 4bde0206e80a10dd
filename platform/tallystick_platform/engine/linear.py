"""Matrix products whose rows do not depend on each other, as fast as this machine has them.

Measured on two cores of an AVX2 machine for the whole of a 135M-parameter model in float32, milliseconds at 1 / 8 / 256
rows: plain `F.linear` 37 / 65 / 373, oneDNN with packed weights 22 / 34 / 355. oneDNN also adds up each row in the same order
whatever the number of rows, which is what lets requests share a batch and stay reproducible; `AuditEngine` checks it at load.

On AVX-512 one product is different: with more than 1,024 columns, exactly one row is added up in another order than two or more. Each
product is tried when its weight is packed, and where that is so a lone row is computed beside a copy of itself, which costs
nothing measurable: a product of one or two rows waits for its weights.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

PACKED_FOR_ROWS = 8  # the number of rows that the packed layout is tuned for: a full decode batch


# torch offers these two under private names only; its version is pinned, and `can_pack` asks before they are used.
_PACK, _MULTIPLY = "_reorder_linear_weight", "_linear_pointwise"


class Linear:
    """y = x W^T. Shapes: weight [out, in], x [rows, in]."""

    __slots__ = ("_multiply", "_weight", "pads_lone_rows", "shape")

    def __init__(self, weight: Tensor) -> None:
        self.shape: tuple[int, int] = (weight.shape[0], weight.shape[1])
        packs = can_pack(weight)
        self._multiply = getattr(torch.ops.mkldnn, _MULTIPLY) if packs else None
        self._weight = getattr(torch.ops.mkldnn, _PACK)(weight, PACKED_FOR_ROWS) if packs else weight
        self.pads_lone_rows = packs and self._lone_rows_differ(weight.shape[1])

    def __call__(self, rows: Tensor) -> Tensor:
        if self.pads_lone_rows and rows.shape[0] == 1:
            return self._product(rows.expand(2, -1).contiguous())[:1]
        return self._product(rows)

    def _product(self, rows: Tensor) -> Tensor:
        if self._multiply is not None:
            product: Tensor = self._multiply(rows, self._weight, None, "none", [], "")
            return product
        return functional.linear(rows, self._weight)

    def _lone_rows_differ(self, columns: int) -> bool:
        """Whether one row alone gives other bits than beside another, here and now."""
        rows = torch.randn(2, columns, generator=torch.Generator().manual_seed(columns))
        return not torch.equal(self._product(rows[:1])[0], self._product(rows)[0])


def can_pack(weight: Tensor) -> bool:
    """Whether this build of torch has oneDNN's packed product for such a weight."""
    return (
        weight.device.type == "cpu"
        and weight.dtype is torch.float32
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, _PACK)
        and hasattr(torch.ops.mkldnn, _MULTIPLY)
    )
