"""What the audit engine asks of a model: a cache for each request, and two ways to run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor


class Cache(Protocol):
    """What a model keeps of one request. `length` counts the tokens that it holds, `capacity` those that may ever come."""

    length: int

    @property
    def capacity(self) -> int: ...


class Forward(Protocol):
    """A loaded model. The caches that it takes are those that it made."""

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def vocabulary(self) -> int:
        """How many token ids it knows: a prompt with others cannot be computed."""
        ...

    @property
    def context_length(self) -> int:
        """Tokens of prompt and answer together."""
        ...

    @property
    def cache_bytes_per_token(self) -> int:
        """What one token of a request leaves in its cache, 0 where that is not known."""
        ...

    def new_cache(self, capacity: int) -> Any:
        """Room for one request of at most `capacity` tokens. Raises: RuntimeError where there is no memory."""
        ...

    def prefill(self, cache: Any, tokens: Sequence[int]) -> Tensor:
        """Append a piece of a prompt. Shapes: answers the last token's logits, [vocabulary] float32."""
        ...

    def score(self, cache: Any, tokens: Sequence[int]) -> Tensor:
        """Append a piece of a prompt. Shapes: answers the logits of each of its tokens, [tokens, vocabulary] float32."""
        ...

    def fork(self, cache: Any) -> Any:
        """Another cache that holds the same, with the same capacity. Raises: RuntimeError where there is no memory."""
        ...

    def decode(self, caches: Sequence[Any], tokens: Sequence[int]) -> Tensor:
        """One further token for each request. Shapes: answers logits [requests, vocabulary] float32."""
        ...
