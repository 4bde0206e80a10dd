"""How a model's makers recommend to draw from it, as its files say: what a request runs with that says nothing of it.

`generation_config.json` says it. A model that was converted from a GGUF file has none that says anything. For the packaged one, known by
its digest, the values of its makers' model card stand here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tallystick_platform.formats.errors import FormatError
from tallystick_platform.formats.json_text import read_json_object
from tallystick_platform.protocol import Sampling

GENERATION_CONFIG: Final = "generation_config.json"
PROVENANCE: Final = "tallystick.json"
MAX_TEMPERATURE: Final = 2.0
MAX_TOP_K: Final = 1_048_576
MAX_REPETITION_PENALTY: Final = 10.0

_NOT_OFFERED: Final[Mapping[str, float]] = {
    "typical_p": 1.0,
    "no_repeat_ngram_size": 0,
}
"""What would act and no engine here can do, each with the value at which it does nothing."""

_BY_SOURCE: Final[Mapping[str, Sampling]] = {
    # SmolLM2-135M-Instruct in Q4_1. Source: the example of its model card.
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53": Sampling(temperature=0.2, top_p=0.9),
}


def recommended_sampling(*folders: Path) -> Sampling:
    """The recommendation of the first folder that has one: an adapter's own, else its base's.

    A value that no request could ask for recommends nothing, nor does a file that cannot be read.
    """
    for folder in folders:
        found = _of_config(_read(folder / GENERATION_CONFIG))
        if found == Sampling():
            found = _BY_SOURCE.get(str(_read(folder / PROVENANCE).get("source_sha256")), found)
        if found != Sampling():
            return found
    return Sampling()


def _read(path: Path) -> Mapping[str, Any]:
    try:
        return read_json_object(path)
    except FormatError:
        return {}


def _of_config(config: Mapping[str, Any]) -> Sampling:
    temperature = _number(config.get("temperature"), lambda value: 0 <= value <= MAX_TEMPERATURE)
    top_k = config.get("top_k")
    return Sampling(
        temperature=0.0 if config.get("do_sample") is False else temperature,
        top_p=_number(config.get("top_p"), lambda value: 0 <= value <= 1),
        top_k=top_k if type(top_k) is int and -1 <= top_k <= MAX_TOP_K else None,
        # Stated only where they act: the others have values of the server's in their place.
        min_p=_number(config.get("min_p"), lambda value: 0 < value <= 1),
        repetition_penalty=_number(
            config.get("repetition_penalty"), lambda value: 0 < value <= MAX_REPETITION_PENALTY and value != 1
        ),
        left_out=tuple(
            name for name, neutral in _NOT_OFFERED.items() if config.get(name, neutral) not in (neutral, None)
        ),
    )


def _number(value: object, fits: Callable[[float], bool]) -> float | None:
    """A number that a request could ask for. NaN and the infinities fit nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not fits(value):
        return None
    return float(value)
