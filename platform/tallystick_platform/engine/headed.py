"""An encoder with a head: numbers for each row, or for each of its tokens."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from itertools import cycle, islice
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from tallystick_platform.engine.sampler import NotFinite
from tallystick_platform.engine.states import TOLERANCE, Row, States, filled_size, sample_rows


class Headed:
    """A loaded encoder with its head: numbers for each row, or for each of its tokens.

    The encoder's part is computed as any encoder's (`states`), and the head over what it gives. Where that does not give what the whole
    model does, since the head looks at more than the first token for example, the whole model is computed over rows of one length.
    """

    def __init__(self, model: Any, longest: int, device: torch.device, *, each_token: bool) -> None:
        self._model, self._each_token = model, each_token
        encoder, samples = model.base_model, sample_rows(model, (3, 12, 12, 21), longest)
        whole = States(_Whole(model, each_token=each_token), longest, device)
        expected = [whole.of([row])[0] for row in samples]
        self.states = States(encoder, longest, device)
        self._given: _Given | None = _Given(encoder)
        setattr(model, model.base_model_prefix, self._given)
        try:
            found = [one for row in samples for one in self.numbers([row])]
            right = all(
                one.shape == other.shape and torch.allclose(one, other, atol=TOLERANCE, rtol=TOLERANCE)
                for one, other in zip(found, expected, strict=True)
            )
        except (RuntimeError, TypeError, AttributeError, IndexError, ValueError):
            right = False  # what a head asks of its encoder is its family's own
        if not right:
            setattr(model, model.base_model_prefix, encoder)
            if self.states.packed:
                self.states.unpack()
            self.states, self._given = whole, None

    def probe(self) -> bool:
        """Find out whether rows may share a pass."""
        return self.states.probe(self._model)

    @torch.inference_mode()
    def numbers(self, rows: Sequence[Row]) -> list[Tensor]:
        """Shapes: [tokens, labels] each, or [1, labels] for whole rows. Requires: rows of one group. Raises: NotFinite."""
        found = self.states.of(rows)
        if self._given is not None:
            found = self._head(found, self._given)
        found = [one.float().cpu() for one in found]
        if not all(bool(torch.isfinite(one).all()) for one in found):
            raise NotFinite("the model's numbers are not finite")
        return found

    def _head(self, states: Sequence[Tensor], given: _Given) -> list[Tensor]:
        """The head's numbers, over as many states as a pass may have."""
        seen = torch.cat(list(states)) if self._each_token else torch.stack([one[0] for one in states])
        places = torch.tensor(list(islice(cycle(range(len(seen))), filled_size(len(seen)))), device=seen.device)
        filled = seen[places]
        logits = self._model(
            **given.of(filled[None] if self._each_token else filled[:, None]),
        ).logits
        flat = logits[0] if self._each_token else logits
        return list(flat[: len(seen)].split([len(one) for one in states] if self._each_token else 1))


class _Given(nn.Module):
    """Stands where a model has its encoder, and answers what was computed already."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.pooler = getattr(encoder, "pooler", None)
        self._states: Tensor | None = None

    def of(self, states: Tensor) -> dict[str, Tensor]:
        """What the model is called with so that its head sees these states. Shapes: [rows, tokens, width]."""
        self._states = states
        ids = torch.zeros(states.shape[:2], dtype=torch.long, device=states.device)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def forward(self, *_: Any, **__: Any) -> Any:
        """In the form in which the library's encoders answer."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        pooled = None if self.pooler is None else self.pooler(self._states)
        return BaseModelOutputWithPooling(last_hidden_state=self._states, pooler_output=pooled)


class _Whole(nn.Module):
    """A model with its head where an encoder is expected: its numbers stand for states."""

    def __init__(self, model: Any, *, each_token: bool) -> None:
        super().__init__()
        self.model, self.config, self._each_token = model, model.config, each_token

    def get_input_embeddings(self) -> Any:
        """The model's own."""
        return self.model.get_input_embeddings()

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Any:
        """Rows of one length."""
        given = {} if token_type_ids is None or not self._typed else {"token_type_ids": token_type_ids}
        logits = self.model(input_ids=input_ids, attention_mask=attention_mask, **given).logits
        return SimpleNamespace(last_hidden_state=logits if self._each_token else logits[:, None])

    @property
    def _typed(self) -> bool:
        return "token_type_ids" in inspect.signature(self.model.forward).parameters
