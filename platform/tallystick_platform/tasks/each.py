"""Shared by the tasks that answer each input by itself: one output for each, and texts that are cut only where that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tallystick.record import Output
from tallystick_platform.errors import ParameterOutOfRange
from tallystick_platform.protocol import ModelInfo, Piece
from tallystick_platform.tasks.task import FinishReasons, Gather

AS_MUCH_AS_FITS = -1
"""A `truncate_prompt_tokens` that stands for as many tokens as the model reads."""


class Each(Gather):
    """One output for each piece, in their order; `output` gives it the form of the record."""

    __slots__ = ("_output", "_outputs")

    def __init__(self, output: Callable[[Any], Output]) -> None:
        self._output = output
        self._outputs: list[Output] = []

    def add(self, part: Piece) -> None:
        """One more piece."""
        self._outputs.append(self._output(part.data))

    def outputs(self, _finish_reasons: FinishReasons) -> tuple[Output, ...]:
        """Those so far."""
        return tuple(self._outputs)


def check_truncation(tokens: int | None, model: ModelInfo) -> None:
    """Raises: ParameterOutOfRange for a number of tokens that the model does not read."""
    if tokens is not None and tokens != AS_MUCH_AS_FITS and not 1 <= tokens <= model.max_prompt_tokens:
        reason = f"is {tokens}, the model reads 1 to {model.max_prompt_tokens} tokens, or {AS_MUCH_AS_FITS} for as many as it reads"
        raise ParameterOutOfRange(param="truncate_prompt_tokens", reason=reason)
