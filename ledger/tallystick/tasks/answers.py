"""The outcome of a request as its client received it, in the form in which the record must hold it.

It shows a client that the record holds the very answer that was delivered: the client computes the response hash of its receipt from it
(`tallystick.binding`), with a salt that follows from the record's secret. The envelope around the outputs (identifiers, counts, the proof
itself) is not part of the hash. This module has what all tasks share; each task says what one of its outputs is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tallystick.errors import AnswerError
from tallystick.record import MAX_OUTPUTS, Output, RecordFault, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What a client received. Where it is not `whole` the stream broke off, and it is a beginning of what the record says."""

    outputs: tuple[Output, ...]
    error: RecordFault | None
    whole: bool


class Joined(ABC):
    """One choice of a stream, put together from its pieces. A task adds the text of a piece, and makes the output."""

    def __init__(self) -> None:
        self.texts: list[str] | None = None
        self.logprobs: dict[str, Value] | None = None
        self.finish_reason: str | None = None

    def take(self, choice: Mapping[str, object]) -> None:
        """Add one piece."""
        if choice.get("logprobs") is not None:
            self._take_logprobs(object_at(choice["logprobs"], "choices.logprobs"))
        reason = text_or_none_at(choice.get("finish_reason"), "choices.finish_reason")
        self.finish_reason = reason if reason is not None else self.finish_reason

    def take_text(self, text: str | None) -> None:
        """Add the text of one piece; none is no empty text."""
        if text is not None:
            self.texts = self.texts or []
            self.texts.append(text)

    def text(self) -> str | None:
        """The texts of all pieces; None where none came."""
        return None if self.texts is None else "".join(self.texts)

    @abstractmethod
    def output(self) -> Output:
        """The choice as the record must hold it."""

    def _take_logprobs(self, piece: Mapping[str, object]) -> None:
        if self.logprobs is None:
            self.logprobs = {}
        for name, value in piece.items():
            before = self.logprobs.get(name)
            if isinstance(before, list) and isinstance(value, list):
                before.extend(value)
            else:
                self.logprobs[name] = list(value) if isinstance(value, list) else value_of(value)


def joined(events: Sequence[object], new: Callable[[], Joined]) -> Received:
    """The outcome in the events of a stream, without its closing `[DONE]`: the pieces of each choice joined.

    Raises: AnswerError.
    """
    choices: dict[int, Joined] = {}
    error = None
    for event in events:
        members = object_at(event, "event")
        error = fault_in(members) or error
        for piece in list_at(members.get("choices"), "choices"):
            choice = object_at(piece, "choices")
            index = position_at(choice.get("index"), "choices.index", MAX_OUTPUTS)
            if index not in choices:
                choices[index] = new()
            choices[index].take(choice)
    if sorted(choices) != list(range(len(choices))):
        raise AnswerError("choices", "do not count from 0 without a gap")
    in_order = [choices[index] for index in range(len(choices))]
    finished = bool(in_order) and all(one.finish_reason is not None for one in in_order)
    outputs = tuple(one.output() for one in in_order)
    return Received(outputs=outputs, error=error, whole=finished or error is not None)


def in_order_at(listed: object, where: str) -> list[Mapping[str, object]]:
    """The objects of a list in the order of their `index`, which counts from 0.

    Raises: AnswerError.
    """
    found = [object_at(one, where) for one in list_at(listed, where)]
    if not found or len(found) > MAX_OUTPUTS:
        raise AnswerError(where, f"are not 1 to {MAX_OUTPUTS}")
    found.sort(key=lambda one: position_at(one.get("index"), f"{where}.index", MAX_OUTPUTS))
    if [one["index"] for one in found] != list(range(len(found))):
        raise AnswerError(where, "do not count from 0 without a gap")
    return found


def fault_in(answer: Mapping[str, object]) -> RecordFault | None:
    """The error that an answer or an event tells; None where it tells none.

    Raises: AnswerError.
    """
    if answer.get("error") is None:
        return None
    members = object_at(answer["error"], "error")
    return RecordFault(
        code=text_at(members.get("code"), "error.code"), message=text_at(members.get("message"), "error.message")
    )


def object_at(value: object, where: str) -> Mapping[str, object]:
    """Raises: AnswerError if it is no object."""
    if not isinstance(value, dict):
        raise AnswerError(where, "is not an object")
    return value


def list_at(value: object, where: str) -> list[object]:
    """The list; empty where there is none. Raises: AnswerError if it is something else."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise AnswerError(where, "is not a list")
    return value


def position_at(value: object, where: str, most: int) -> int:
    """Raises: AnswerError if it is no position below `most`."""
    if type(value) is not int or not 0 <= value < most:
        raise AnswerError(where, f"is not an integer from 0 to {most - 1}")
    return value


def number_at(value: object, where: str) -> float:
    """The number as a float, which it is even where it is whole. Raises: AnswerError if it is no number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise AnswerError(where, "is not a number")
    return float(value)


def text_at(value: object, where: str) -> str:
    """Raises: AnswerError if it is no text."""
    if not isinstance(value, str):
        raise AnswerError(where, "is not text")
    return value


def text_or_none_at(value: object, where: str) -> str | None:
    """Raises: AnswerError if it is neither text nor null."""
    return None if value is None else text_at(value, where)


def value_of(value: object) -> Value:
    """What JSON gives, as a record holds it."""
    return value  # type: ignore[return-value]  # what JSON gives is a Value
