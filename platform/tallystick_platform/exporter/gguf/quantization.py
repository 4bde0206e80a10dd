"""The number formats that a GGUF file can be written in here, and how far each may lie from its source.

Q4_1 is the best of four bits that the gguf package writes: of Q4_K and its kin it only reads. The bound on it finds what is
broken; what four bits cost a model depends on the model, and stands measured in the report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tallystick_platform.exporter.errors import ExportRefused
from tallystick_platform.exporter.spec import GREEDY_AGREEMENT, PERPLEXITY_DIFFERENCE

DEFAULT = "F16"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """One choice, as GGML calls its types. That of the weights is what loaders show.

    Word embeddings keep more bits than the layers where the layers have few: they are read twice where they are shared
    with the output, and a token's whole meaning passes through one row.
    """

    weights: str
    embeddings: str
    bound: Mapping[str, float]


_FULL: Final = {PERPLEXITY_DIFFERENCE: 0.001, GREEDY_AGREEMENT: 1.0}
QUANTIZATIONS: Final[Mapping[str, Quantization]] = {
    "F16": Quantization(weights="F16", embeddings="F16", bound=_FULL),
    "BF16": Quantization(weights="BF16", embeddings="BF16", bound={PERPLEXITY_DIFFERENCE: 0.01}),
    "Q8_0": Quantization(weights="Q8_0", embeddings="Q8_0", bound={PERPLEXITY_DIFFERENCE: 0.02}),
    "Q4_1": Quantization(weights="Q4_1", embeddings="Q8_0", bound={PERPLEXITY_DIFFERENCE: 0.25}),
}


def chosen(name: str | None) -> Quantization:
    """The quantization of this name; F16 where none is named. Raises: ExportRefused."""
    found = QUANTIZATIONS.get((name or DEFAULT).upper())
    if found is None:
        raise ExportRefused(reason=f"GGUF is not written as {name!a} here; there are {', '.join(QUANTIZATIONS)}")
    return found
