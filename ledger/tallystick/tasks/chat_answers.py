"""The outcome of a chat request as its client received it, in the form in which the record must hold it.

From it the client computes the response hash of its receipt (`tallystick.binding`), with a salt that follows from the record's secret:
what was delivered and what was recorded are then the same. The envelope around the outputs (identifiers, counts, the proof itself) is
not part of the hash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tallystick.errors import AnswerError
from tallystick.record import MAX_OUTPUTS, Output, RecordFault, Value

ROLE: Final = "assistant"
KIND: Final = "message"
MAX_TOOL_CALLS: Final = 1_024
"""Of one output; a stream names each by its position, which must not decide how much is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What a client received. Where it is not `whole` the stream broke off, and it is a beginning of what the record says."""

    outputs: tuple[Output, ...]
    error: RecordFault | None
    whole: bool


def chat_output(
    text: str | None, finish_reason: str | None, tool_calls: Sequence[Value] = (), logprobs: Value = None
) -> Output:
    """One choice of a chat answer, as its record holds it.

    Requires: each tool call is `{"id", "name", "arguments"}`, the arguments as delivered.
    Source: SPEC 1.
    """
    content: Value = {"role": ROLE, "content": text, "tool_calls": list(tool_calls)}
    return Output(kind=KIND, content=content, finish_reason=finish_reason, logprobs=logprobs)


def received_answer(document: object) -> Received:
    """The outcome in an answer that was sent whole.

    Raises: AnswerError if it is no chat answer.
    """
    answer = _object(document, "body")
    if answer.get("error") is not None:
        return Received(outputs=(), error=_fault(answer["error"]), whole=True)
    outputs = []
    for at, choice in enumerate(_in_order(answer.get("choices"))):
        where = f"choices[{at}]"
        message = _object(choice.get("message"), f"{where}.message")
        calls = _list(message.get("tool_calls"), f"{where}.message.tool_calls")
        outputs.append(
            chat_output(
                _text_or_none(message.get("content"), f"{where}.message.content"),
                _text_or_none(choice.get("finish_reason"), f"{where}.finish_reason"),
                [_whole_call(call, f"{where}.message.tool_calls") for call in calls],
                _value(choice.get("logprobs")),
            )
        )
    return Received(outputs=tuple(outputs), error=None, whole=True)


def received_stream(events: Sequence[object]) -> Received:
    """The outcome in the events of a stream, without its closing `[DONE]`: the pieces joined.

    Raises: AnswerError if they are no events of a chat stream.
    """
    choices: dict[int, _Joined] = {}
    error = None
    for event in events:
        members = _object(event, "event")
        if members.get("error") is not None:
            error = _fault(members["error"])
        for piece in _list(members.get("choices"), "choices"):
            choice = _object(piece, "choices")
            index = _position(choice.get("index"), "choices.index", MAX_OUTPUTS)
            choices.setdefault(index, _Joined()).take(choice)
    if sorted(choices) != list(range(len(choices))):
        raise AnswerError("choices", "do not count from 0 without a gap")
    joined = [choices[index] for index in range(len(choices))]
    finished = bool(joined) and all(one.finish_reason is not None for one in joined)
    outputs = tuple(one.output() for one in joined)
    return Received(outputs=outputs, error=error, whole=finished or error is not None)


def is_beginning(received: Received, outputs: Sequence[Output]) -> bool:
    """Whether what arrived of a stream that broke off is a beginning of these recorded outputs. Source: SPEC 7."""
    if len(received.outputs) > len(outputs):
        return False
    return all(map(_is_beginning, received.outputs, outputs))


class _Joined:
    """One choice of a stream, put together from its pieces."""

    __slots__ = ("_calls", "_logprobs", "_texts", "finish_reason")

    def __init__(self) -> None:
        self._texts: list[str] | None = None
        self._calls: dict[int, dict[str, list[str]]] = {}
        self._logprobs: dict[str, Value] | None = None
        self.finish_reason: str | None = None

    def take(self, choice: Mapping[str, object]) -> None:
        """Add one piece."""
        delta = _object(choice.get("delta"), "choices.delta")
        text = _text_or_none(delta.get("content"), "choices.delta.content")
        if text is not None:
            if self._texts is None:
                self._texts = []
            self._texts.append(text)
        for call in _list(delta.get("tool_calls"), "choices.delta.tool_calls"):
            self._take_call(_object(call, "choices.delta.tool_calls"))
        if choice.get("logprobs") is not None:
            self._take_logprobs(_object(choice["logprobs"], "choices.logprobs"))
        reason = _text_or_none(choice.get("finish_reason"), "choices.finish_reason")
        self.finish_reason = reason if reason is not None else self.finish_reason

    def output(self) -> Output:
        """The choice as the record must hold it."""
        text = None if self._texts is None else "".join(self._texts)
        calls: list[Value] = [
            {name: "".join(pieces) for name, pieces in self._calls[index].items()} for index in sorted(self._calls)
        ]
        return chat_output(text, self.finish_reason, calls, self._logprobs)

    def _take_call(self, call: Mapping[str, object]) -> None:
        where = "choices.delta.tool_calls"
        index = _position(call.get("index"), f"{where}.index", MAX_TOOL_CALLS)
        joined = self._calls.setdefault(index, {"id": [], "name": [], "arguments": []})
        function = _object(call.get("function", {}), f"{where}.function")
        for name, piece in (
            ("id", call.get("id")),
            ("name", function.get("name")),
            ("arguments", function.get("arguments")),
        ):
            joined[name].append(_text_or_none(piece, f"{where}.{name}") or "")

    def _take_logprobs(self, piece: Mapping[str, object]) -> None:
        if self._logprobs is None:
            self._logprobs = {}
        for name, value in piece.items():
            before = self._logprobs.get(name)
            if isinstance(before, list) and isinstance(value, list):
                before.extend(value)
            else:
                self._logprobs[name] = list(value) if isinstance(value, list) else _value(value)


def _is_beginning(received: Output, recorded: Output) -> bool:
    mine, theirs = received.content, recorded.content
    if received.kind != recorded.kind or not isinstance(mine, Mapping) or not isinstance(theirs, Mapping):
        return False
    begun, whole = mine["content"], theirs.get("content")
    if begun is not None and not (isinstance(begun, str) and isinstance(whole, str) and whole.startswith(begun)):
        return False
    calls, all_calls = mine["tool_calls"], theirs.get("tool_calls")
    return isinstance(calls, list) and isinstance(all_calls, Sequence) and _calls_begin(calls, all_calls)


def _calls_begin(calls: Sequence[Value], recorded: Sequence[Value]) -> bool:
    if len(calls) > len(recorded):
        return False
    for mine, theirs in zip(calls, recorded, strict=False):
        if not isinstance(mine, Mapping) or not isinstance(theirs, Mapping):
            return False
        if not all(str(theirs.get(name, "")).startswith(str(piece)) for name, piece in mine.items()):
            return False
    return True


def _in_order(choices: object) -> list[Mapping[str, object]]:
    found = [_object(choice, "choices") for choice in _list(choices, "choices")]
    if not found or len(found) > MAX_OUTPUTS:
        raise AnswerError("choices", f"are not 1 to {MAX_OUTPUTS}")
    found.sort(key=lambda choice: _position(choice.get("index"), "choices.index", MAX_OUTPUTS))
    if [choice["index"] for choice in found] != list(range(len(found))):
        raise AnswerError("choices", "do not count from 0 without a gap")
    return found


def _whole_call(call: object, where: str) -> Value:
    members = _object(call, where)
    function = _object(members.get("function"), f"{where}.function")
    found = {"id": members.get("id"), "name": function.get("name"), "arguments": function.get("arguments")}
    return {name: _text(value, f"{where}.{name}") for name, value in found.items()}


def _fault(error: object) -> RecordFault:
    members = _object(error, "error")
    return RecordFault(
        code=_text(members.get("code"), "error.code"), message=_text(members.get("message"), "error.message")
    )


def _object(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise AnswerError(where, "is not an object")
    return value


def _list(value: object, where: str) -> list[object]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise AnswerError(where, "is not a list")
    return value


def _position(value: object, where: str, most: int) -> int:
    if type(value) is not int or not 0 <= value < most:
        raise AnswerError(where, f"is not an integer from 0 to {most - 1}")
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise AnswerError(where, "is not text")
    return value


def _text_or_none(value: object, where: str) -> str | None:
    return None if value is None else _text(value, where)


def _value(value: object) -> Value:
    return value  # type: ignore[return-value]  # what JSON gives is a Value
