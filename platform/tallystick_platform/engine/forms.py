"""Answers that keep to a form: which tokens may come next, by llguidance over the model's own tokenizer.

A form never makes an answer whole: one that ran out of tokens is a beginning of something that keeps to it, and its finish reason says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version

import numpy as np
import structlog
import torch
from llguidance import LLMatcher, LLTokenizer
from tokenizers import Tokenizer
from torch import Tensor

from tallystick.errors import RequestError
from tallystick.tasks.structure import Structure
from tallystick_platform.errors import ParameterOutOfRange
from tallystick_platform.tasks.structure import LIMITS, grammar_of, reason_of

LIBRARY = f"llguidance {version('llguidance')}"

_log = structlog.get_logger(__name__)


class Form:
    """What one answer is held to, from its beginning to where it stands now."""

    __slots__ = ("_matcher", "_param")

    def __init__(self, matcher: LLMatcher, param: str) -> None:
        self._matcher = matcher
        self._param = param
        self._refuse_error()

    @property
    def ended(self) -> bool:
        """Whether nothing may follow."""
        return self._matcher.is_stopped()

    def allowed(self, size: int) -> Tensor:
        """Which of so many tokens may come next. Shapes: [size] bool. Raises: ParameterOutOfRange."""
        bits = np.unpackbits(np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8), bitorder="little")
        self._refuse_error()
        allowed = torch.zeros(size, dtype=torch.bool)
        known = min(size, len(bits))
        allowed[:known] = torch.from_numpy(bits[:known].astype(bool))
        return allowed

    def take(self, token: int) -> None:
        """Go on by a token that is allowed. Raises: ParameterOutOfRange where the form takes too much computing."""
        self._matcher.consume_token(token)
        self._refuse_error()

    def fork(self) -> Form:
        """The same for another answer. Requires: it stands at its beginning."""
        return Form(self._matcher.deep_copy(), self._param)

    def _refuse_error(self) -> None:
        if self._matcher.is_error():
            raise ParameterOutOfRange(
                param=self._param, reason=f"cannot be kept to: {reason_of(self._matcher.get_error())}"
            )


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
        try:
            grammar = grammar_of(structure)
        except RequestError as error:
            raise ParameterOutOfRange(param=structure.param, reason=error.reason) from error
        return Form(LLMatcher(self._tokenizer, grammar, log_level=0, limits=LIMITS), structure.param)
