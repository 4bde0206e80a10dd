"""A task: what a request means, whichever wire it came by and whichever engine computes it.

    Reading --given, effective, fitted--> what a model is given, parameters in full --call--> message for the engine
    pieces of the engine --Gather--> parts that a wire delivers --> outputs of the record

The reading comes from the auditor's package (`tallystick.tasks`), so that record, engine and an auditor's replay start from the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from tallystick.errors import RequestError
from tallystick.record import Output, Value
from tallystick.tasks.neutral import Neutral, acting
from tallystick_platform.protocol import ModelInfo, Piece

P = TypeVar("P", bound=msgspec.Struct)
G = TypeVar("G")
FinishReasons = tuple[str | None, ...]


class Gather(ABC):
    """Puts one answer together. An engine's piece is read into the parts of the answer that it decides, and a part is added once the
    transport has it, so that a record never holds more than was delivered.

    A part is the task's own; where nothing is read out of pieces, the piece itself.
    """

    def begin(self, record_id: bytes) -> None:  # noqa: B027  (most answers hold no identifiers)
        """The request was admitted, and this is its record. Identifiers within an answer follow from it, so that a replay has the same."""

    def parts(self, piece: Piece) -> Iterable[Any]:
        """What this piece decides; what may still become something else is held back."""
        return (piece,)

    def rest(self, finish_reasons: FinishReasons) -> Iterable[Any]:  # noqa: ARG002
        """What was held back, once no more pieces come."""
        return ()

    @abstractmethod
    def add(self, part: Any) -> None:
        """One more part that was delivered."""

    @abstractmethod
    def outputs(self, finish_reasons: FinishReasons) -> tuple[Output, ...]:
        """What the record holds of the parts so far. No reasons are given where the answer was cut short."""


class Task(ABC, Generic[G, P]):
    """One task. `G` is what a model is given of a prompt. `P` are the parameters as an answer came about with them: a struct whose
    members are the names of the record's `parameters`.

    A parameter with a default in the struct changes nothing at that value, and a record need not state it then.
    """

    name: str
    parameters: type[P]
    neutral: Mapping[str, Neutral]
    """What else a request may say that changes nothing."""
    given_by: tuple[str, ...] = ()
    """Parameters that say what a model is given, and are no members of the struct."""
    templated = False
    """Whether the model's chat template plays a part."""

    @abstractmethod
    def defaults(self, model: ModelInfo, draw_seed: Callable[[], int]) -> dict[str, Any]:
        """The parameters of a request that says nothing of them."""

    @abstractmethod
    def given(self, prompt: Mapping[str, Value], asked: Mapping[str, Value]) -> G:
        """What a model is given of a prompt, and of the parameters in `given_by`.

        Raises: RequestError for what this release cannot give to one.
        """

    def fitted(self, given: G, used: P, model: ModelInfo) -> G:  # noqa: ARG002
        """What this model is given. Raises: ParameterOutOfRange for what it cannot be given."""
        return given

    @abstractmethod
    def call(self, given: G, used: P) -> bytes:
        """The engine's message."""

    @abstractmethod
    def gather(self, given: G, used: P) -> Gather:
        """For one answer."""

    def check(self, used: P, model: ModelInfo) -> None:
        """Raises: ParameterOutOfRange for what this model cannot do."""

    def effective(self, asked: Mapping[str, Value], model: ModelInfo, draw_seed: Callable[[], int]) -> P:
        """The parameters in full: what the sender gave, else the defaults. Nothing is left to a default behind the record's back.

        Requires: what was asked is within the ranges of its wire.
        Raises: ParameterOutOfRange.
        """
        given = {name: asked[name] for name in self.parameters.__struct_fields__ if asked.get(name) is not None}
        used = msgspec.convert({**self.defaults(model, draw_seed), **given}, self.parameters)
        self.check(used, model)
        return used

    def again(self, prompt: object, parameters: Mapping[str, Value]) -> tuple[G, P]:
        """What a model was given and the parameters, out of the prompt and parameters of a record, which must say everything.

        Raises: RequestError, naming what the record lacks, or what this release cannot do again.
        """
        names = self.parameters.__struct_fields__
        unknown = acting(parameters, self.neutral, (*names, *self.given_by))
        if unknown is not None:
            raise RequestError(unknown, "or this value of it is unknown to this release")
        if not isinstance(prompt, Mapping):
            raise RequestError("prompt", "is not in the record")
        stated = {name: _whole(parameters[name]) for name in names if parameters.get(name) is not None}
        try:
            used = msgspec.convert(stated, self.parameters)
        except msgspec.ValidationError as error:
            raise RequestError("parameters", f"are not what the task takes: {error}") from error
        return self.given(prompt, parameters), used


def _whole(value: Value) -> Value:
    """A whole number as an integer: a record holds a parameter as it was asked for, and 5 and 5.0 ask for the same."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
