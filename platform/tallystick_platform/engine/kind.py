"""What is specific to a kind of model that answers in one go: how a request is taken apart, what may share a pass, and the arithmetic.

    call --Kind.inputs--> Inputs --read--> Input --Kind.compute--> result --Inputs.answer--> Answer: a piece

The engine (`oneshot`) has the rest, for every kind alike: turns, bounds, order, counts, times, failures. A kind is one class; it is driven
by one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from tallystick_platform.protocol import Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One input, ready to be computed: a text as tokens, a piece of sound, the latents of a picture.

    Inputs of one `group` may share a pass. `size` is what it takes of the bound of a step, in tokens or what costs as much. `counts` are
    added to the request's usage, and `looked_at` is how many characters or bytes were read for it.
    """

    data: Any
    group: Hashable
    size: int
    counts: Mapping[str, int] = field(default_factory=dict)
    looked_at: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A piece of the answer. `counts` are added to the request's usage."""

    piece: str | bytes
    counts: Mapping[str, int] = field(default_factory=dict)


class Inputs(Protocol):
    """One request as its kind reads it."""

    def __len__(self) -> int:
        """How many inputs it has."""
        ...

    def read(self, at: int) -> Input:
        """One of them; each is read once, in order, before any is computed. Raises: PromptRejected, PromptTooLong."""
        ...

    def answer(self, result: Any) -> Answer | None:
        """What leaves for the next result. Results come in the order of their inputs; one that is needed for others alone gives None."""
        ...


class Kind(Protocol):
    """A loaded model."""

    def inputs(self, call: Call) -> Inputs:
        """A request, taken apart. Raises: msgspec.DecodeError for one that no task of this model sends, PromptRejected."""
        ...

    def room(self, group: Hashable) -> int:
        """The size that inputs of a group may have together in one pass; 0 where each is computed alone. One input always has room."""
        ...

    def compute(self, inputs: Sequence[Input]) -> Iterator[Sequence[Any] | None]:
        """Results for inputs of one group, in their order.

        None after each bounded piece of the work, then the results, once. A pass that nobody waits for any more is closed in between.

        Raises: PromptRejected where what was given turns out to be nothing that the model takes; what `oneshot.COMPUTING` names. Either
        costs the requests in the pass, and not the worker.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A kind with what records and clients are told of it. `exact`: the same machine gives the same bits again.

    `tasks` are what it can be asked with, none for its `task` alone. `longest` is the most tokens of one input, `context_length` unless it
    is told. `rows` is how many short inputs share a pass, `step_size` bounds the inputs of a step. `dimensions`, `defaults` and
    `schema` are `ModelInfo`'s.
    """

    kind: Kind
    engine: str
    engine_version: str
    task: str
    exact: bool
    context_length: int
    tasks: tuple[str, ...] = ()
    longest: int | None = None
    rows: int = 1
    step_size: int | None = None
    dimensions: int | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None


Loader = Callable[[Path, torch.dtype, torch.device], Loaded]
"""Loads a folder. Raises: ModelUnusable."""
