"""Answers that keep to a form: which tokens may come next, by llguidance over the model's own tokenizer.

A form never makes an answer whole: one that ran out of tokens is a beginning of something that keeps to it, and its finish reason says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import version
from typing import TypeVar

import numpy as np
import structlog
import torch
from llguidance import LLMatcher, LLTokenizer
from tokenizers import Tokenizer
from torch import Tensor

from tallystick.errors import RequestError
from tallystick.tasks.structure import Structure
from tallystick_platform.errors import ParameterOutOfRange
from tallystick_platform.tasks.structure import LIMITS, from_library, grammar_of, reason_of

T = TypeVar("T")

LIBRARY = f"llguidance {version('llguidance')}"

_log = structlog.get_logger(__name__)


class Form:
    """What one answer is held to, from its beginning to where it stands now."""

    __slots__ = ("_matcher", "_param")

    def __init__(self, matcher: LLMatcher, param: str) -> None:
        self._matcher = matcher
        self._param = param
        self._asked(matcher.is_error)

    @property
    def ended(self) -> bool:
        """Whether nothing may follow."""
        return self._matcher.is_stopped()

    def allowed(self, size: int) -> Tensor:
        """Which of so many tokens may come next. Shapes: [size] bool. Raises: ParameterOutOfRange."""
        mask = self._asked(self._matcher.compute_bitmask)
        bits = np.unpackbits(np.frombuffer(mask, dtype=np.uint8), bitorder="little")
        allowed = torch.zeros(size, dtype=torch.bool)
        known = min(size, len(bits))
        allowed[:known] = torch.from_numpy(bits[:known].astype(bool))
        return allowed

    def take(self, token: int) -> None:
        """Go on by a token that is allowed. Raises: ParameterOutOfRange where the form takes too much computing."""
        self._asked(partial(self._matcher.consume_token, token))

    def fork(self) -> Form:
        """The same for another answer. Requires: it stands at its beginning."""
        return Form(self._asked(self._matcher.deep_copy), self._param)

    def _asked(self, ask: Callable[[], T]) -> T:
        try:
            found = from_library(self._param, ask)
        except RequestError as error:
            raise ParameterOutOfRange(param=self._param, reason=error.reason) from error
        if self._matcher.is_error():
            reason = f"cannot be kept to: {reason_of(self._matcher.get_error())}"
            raise ParameterOutOfRange(param=self._param, reason=reason)
        return found


class Forms:
    """Makes forms for one model. Where its tokenizer cannot be used, every form is refused, which says why."""

    def __init__(self, tokenizer: Tokenizer, ends: Iterable[int]) -> None:
        self._tokenizer: LLTokenizer | None = None
        self._reason = ""
        try:
            self._tokenizer = LLTokenizer(tokenizer.to_str(), eos_token=sorted(ends) or None)
        except Exception as error:  # noqa: BLE001  (the library raises nothing narrower)
            self._reason = reason_of(str(error))
            _log.warning("engine.no_structured_output", reason=self._reason)

    def of(self, structure: Structure) -> Form:
        """The form at its beginning. Raises: ParameterOutOfRange."""
        if self._tokenizer is None:
            reason = f"cannot be kept to by this model, whose tokenizer is not understood: {self._reason}"
            raise ParameterOutOfRange(param=structure.param, reason=reason)
        make = partial(LLMatcher, self._tokenizer, log_level=0, limits=LIMITS)
        try:
            grammar = grammar_of(structure)
            return Form(from_library(structure.param, partial(make, grammar)), structure.param)
        except RequestError as error:
            raise ParameterOutOfRange(param=structure.param, reason=error.reason) from error
