"""What a request asks changes of a model's logits before a token is drawn from them, one answer for itself.

The order is fixed: penalties for what was said, what the sender adds, what may not come yet, and what the answer's form does not allow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from tallystick_platform.engine.forms import Form
from tallystick_platform.tasks.drawing import TextCall

BANNED = -torch.inf


class Shaping:
    """Keeps count of what one answer has said. Nothing is computed of what was not asked for.

    `ends` are the tokens that end the answer, which may not come before `min_tokens` others.
    """

    __slots__ = ("_added", "_call", "_counts", "_ends", "_form", "_said", "_seen")

    def __init__(
        self, call: TextCall, prompt: Sequence[int], vocabulary: int, ends: Iterable[int], form: Form | None
    ) -> None:
        draw = call.draw
        self._call = call
        self._form = form
        self._said = 0
        self._ends = torch.tensor(sorted(ends), dtype=torch.long) if draw.min_tokens else None
        self._counts = torch.zeros(vocabulary) if draw.presence_penalty or draw.frequency_penalty else None
        self._seen: Tensor | None = None
        if draw.repetition_penalty != 1:
            self._seen = torch.zeros(vocabulary, dtype=torch.bool)
            self._seen[torch.tensor(prompt, dtype=torch.long)] = True
        self._added: Tensor | None = None
        if call.logit_bias:
            self._added = torch.zeros(vocabulary)
            self._added[torch.tensor(list(call.logit_bias))] = torch.tensor(list(call.logit_bias.values()))

    def apply(self, logits: Tensor) -> Tensor:
        """The logits that a token is drawn from. Shapes: [vocabulary] float32. Raises: ParameterOutOfRange for a form that costs too much.

        Source: CTRL, arXiv 1909.05858 (repetition); OpenAI's API reference (presence and frequency).
        """
        draw = self._call.draw
        if self._seen is not None:
            repeated = torch.where(logits < 0, logits * draw.repetition_penalty, logits / draw.repetition_penalty)
            logits = torch.where(self._seen, repeated, logits)
        if self._counts is not None:
            logits = logits - draw.frequency_penalty * self._counts - draw.presence_penalty * (self._counts > 0)
        if self._added is not None:
            logits = logits + self._added
        if self._ends is not None and self._said < draw.min_tokens:
            logits = logits.index_fill(0, self._ends, BANNED)
        if self._form is not None:
            logits = logits.masked_fill(~self._form.allowed(logits.shape[0]), BANNED)
        return logits

    def note(self, token: int) -> bool:
        """Count a token that was drawn; true where the answer's form lets nothing follow. Raises: ParameterOutOfRange."""
        self._said += 1
        if self._counts is not None:
            self._counts[token] += 1
        if self._seen is not None:
            self._seen[token] = True
        if self._form is None:
            return False
        self._form.take(token)
        return self._form.ended
