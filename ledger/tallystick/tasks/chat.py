"""The task `chat`: what a request to `POST /v1/chat/completions` asks, the turns that a model is given, and what an answer says.

The reader `chat/openai/1` takes requests as OpenAI's clients send them: the prompt is `messages`, each message with all its members.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from tallystick.errors import RequestError
from tallystick.record import Output, Value
from tallystick.tasks import neutral, structure, tools
from tallystick.tasks.answers import (
    Joined,
    in_order_at,
    list_at,
    object_at,
    position_at,
    text_at,
    text_or_none_at,
    value_of,
)
from tallystick.tasks.reading import DELIVERY, Reading, json_object, placed, stops_in

NAME: Final = "chat"
READER: Final = "chat/openai/1"
TARGET: Final = "/v1/chat/completions"
SYSTEM_ROLES: Final = ("system", "developer")
"""Chat templates know one of the two."""
ANSWERING: Final = "assistant"
RESULT: Final = "tool"
TEMPLATE: Final = "chat_template"
"""Under which what a model is given holds a template that came with the request."""
ROLES: Final = (*SYSTEM_ROLES, "user", ANSWERING, RESULT)
"""Those whose messages a model can be given."""
SYSTEM_SEPARATOR: Final = "\n\n"
TEXT_PART: Final = "text"
MAX_TOOL_CALLS: Final = 1_024
"""Of one output; a stream names each by its position, which must not decide how much is held."""

_CALLS: Final = "choices.delta.tool_calls"


def read(method: str, _target: str, _content_type: str | None, body: bytes) -> Reading:
    """What a chat request asks.

    Raises: RequestError.
    Source: SPEC 7.
    """
    return read_members(json_object(method, body))


def read_members(members: Mapping[str, Value]) -> Reading:
    """What a chat request asks whose body is parsed already.

    Requires: a body that `json_object` or `checked_object` gave.
    Raises: RequestError.
    """
    messages = members.get("messages")
    if not isinstance(messages, list):
        raise RequestError("messages", "is not a list")
    reading = placed(members, "messages", (*DELIVERY, "max_completion_tokens", "stop"))
    asked = {**reading.asked, **_most_tokens(members), **stops_in(members)}
    return replace(reading, system=system_in(messages), asked=asked)


def turns_of(prompt: Mapping[str, Value]) -> tuple[dict[str, Value], ...]:
    """The messages of a prompt as a model is given them: role and content, system for developer, the parts of a content joined.

    An assistant's turn may have calls of tools, with their arguments as objects, and a tool's turn says which call it answers.

    Requires: the prompt of a reading or a record.
    Raises: RequestError for what cannot be given to a model: other roles, other parts than text, and members that may change the answer.
    """
    neutral.require(prompt, neutral.CHAT, ("messages", "logit_bias", TEMPLATE, *tools.MEMBERS, *structure.OBJECTS))
    messages = prompt.get("messages")
    if not isinstance(messages, list | tuple):
        raise RequestError("messages", "is not a list")
    turns = tuple(_turn(message, f"messages[{at}]") for at, message in enumerate(messages))
    return with_names(turns)


def template_of(prompt: Mapping[str, Value]) -> str | None:
    """The template that writes the messages in place of the model's own. Raises: RequestError for what is no text."""
    template = prompt.get(TEMPLATE)
    if template is not None and not isinstance(template, str):
        raise RequestError(TEMPLATE, "is no text")
    return template


def chat_output(
    text: str | None, finish_reason: str | None, tool_calls: Sequence[Value] = (), logprobs: Value = None
) -> Output:
    """One choice of a chat answer, as its record holds it.

    Requires: each tool call is `{"id", "name", "arguments"}`, the arguments as delivered.
    Source: SPEC 1.
    """
    content: Value = {"role": ANSWERING, "content": text, "tool_calls": list(tool_calls)}
    return Output(kind="message", content=content, finish_reason=finish_reason, logprobs=logprobs)


def outputs_received(answer: Mapping[str, object]) -> list[Output]:
    """The outputs of an answer that was sent whole.

    Raises: AnswerError.
    """
    outputs = []
    for at, choice in enumerate(in_order_at(answer.get("choices"), "choices")):
        where = f"choices[{at}]"
        message = object_at(choice.get("message"), f"{where}.message")
        calls = list_at(message.get("tool_calls"), f"{where}.message.tool_calls")
        outputs.append(
            chat_output(
                text_or_none_at(message.get("content"), f"{where}.message.content"),
                text_or_none_at(choice.get("finish_reason"), f"{where}.finish_reason"),
                [_whole_call(call, f"{where}.message.tool_calls") for call in calls],
                value_of(choice.get("logprobs")),
            )
        )
    return outputs


class JoinedChat(Joined):
    """One choice of a streamed chat."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[int, dict[str, list[str]]] = {}

    def take(self, choice: Mapping[str, object]) -> None:
        """Add one piece."""
        super().take(choice)
        delta = object_at(choice.get("delta"), "choices.delta")
        self.take_text(text_or_none_at(delta.get("content"), "choices.delta.content"))
        for call in list_at(delta.get("tool_calls"), _CALLS):
            self._take_call(object_at(call, _CALLS))

    def output(self) -> Output:
        """The choice as the record must hold it."""
        calls: list[Value] = [
            {name: "".join(pieces) for name, pieces in self._calls[index].items()} for index in sorted(self._calls)
        ]
        return chat_output(self.text(), self.finish_reason, calls, self.logprobs)

    def _take_call(self, call: Mapping[str, object]) -> None:
        index = position_at(call.get("index"), f"{_CALLS}.index", MAX_TOOL_CALLS)
        pieces = self._calls.setdefault(index, {"id": [], "name": [], "arguments": []})
        function = object_at(call.get("function", {}), f"{_CALLS}.function")
        found = {"id": call.get("id"), "name": function.get("name"), "arguments": function.get("arguments")}
        for name, piece in found.items():
            pieces[name].append(text_or_none_at(piece, f"{_CALLS}.{name}") or "")


def _whole_call(call: object, where: str) -> Value:
    members = object_at(call, where)
    function = object_at(members.get("function"), f"{where}.function")
    found = {"id": members.get("id"), "name": function.get("name"), "arguments": function.get("arguments")}
    return {name: text_at(value, f"{where}.{name}") for name, value in found.items()}


def system_in(messages: Sequence[Value]) -> str | None:
    """The texts of the messages that instruct the model; None without any. Raises: RequestError for what is no message."""
    texts = []
    for at, message in enumerate(messages):
        where = f"messages[{at}]"
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise RequestError(where, "is not an object with a role")
        if message["role"] in SYSTEM_ROLES:
            texts.append("".join(text for _, text in _texts(message.get("content"), f"{where}.content")))
    return SYSTEM_SEPARATOR.join(texts) if texts else None


def _turn(message: Value, where: str) -> dict[str, Value]:
    if not isinstance(message, Mapping):
        raise RequestError(where, "is not an object with a role")
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or role not in ROLES:
        raise RequestError(f"{where}.role", f"is none of {', '.join(ROLES)}")
    acts = {ANSWERING: ("tool_calls",), RESULT: ("tool_call_id",)}.get(role, ())
    neutral.require(message, neutral.MESSAGE, ("role", "content", *acts), where)
    if content is None and role != ANSWERING:
        raise RequestError(f"{where}.content", "is not there")
    texts = []
    for at, (part, text) in enumerate(_texts(content, f"{where}.content")):
        if part["type"] != TEXT_PART:
            raise RequestError(f"{where}.content[{at}]", "is something else than text")
        neutral.require(part, neutral.PART, ("type", "text"), f"{where}.content[{at}]")
        texts.append(text)
    turn: dict[str, Value] = {"role": SYSTEM_ROLES[0] if role in SYSTEM_ROLES else role, "content": "".join(texts)}
    if role == ANSWERING and (calls := tools.calls_in(message, where)):
        turn["tool_calls"] = calls
    if role == RESULT:
        call = message.get("tool_call_id")
        if not isinstance(call, str):
            raise RequestError(f"{where}.tool_call_id", "is not text")
        turn["tool_call_id"] = call
    return turn


def with_names(turns: tuple[dict[str, Value], ...]) -> tuple[dict[str, Value], ...]:
    """The same turns, where a tool's has got the name of the function that was called: some templates write it."""
    names: dict[Value, Value] = {}
    for turn in turns:
        for call in turn.get("tool_calls", ()):  # type: ignore[union-attr]  # a list of calls, as `_turn` made it
            names[call["id"]] = call["function"]["name"]  # type: ignore[index,call-overload]
        if turn.get("tool_call_id") in names:
            turn["name"] = names[turn["tool_call_id"]]
    return turns


def _texts(content: Value, where: str) -> list[tuple[Mapping[str, Value], str]]:
    """The parts of a content, each with its text: none has an empty one, and so has a part that is no text."""
    if content is None:
        return []
    if isinstance(content, str):
        return [({"type": TEXT_PART}, content)]
    if not isinstance(content, list | tuple):
        raise RequestError(where, "is neither text nor a list of parts")
    found: list[tuple[Mapping[str, Value], str]] = []
    for at, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise RequestError(f"{where}[{at}]", "is not an object with a type")
        text = part.get("text") if part["type"] == TEXT_PART else ""
        if not isinstance(text, str):
            raise RequestError(f"{where}[{at}].text", "is not text")
        found.append((part, text))
    return found


def _most_tokens(members: Mapping[str, Value]) -> dict[str, Value]:
    """`max_completion_tokens`, asked for under its older name. Both may be sent if they are the same number."""
    other, most = members.get("max_completion_tokens"), members.get("max_tokens")
    if other is None:
        return {}
    if not _is_number(other):
        raise RequestError("max_completion_tokens", "is not a number")
    if most is None:
        return {"max_tokens": other}
    if not _is_number(most) or most != other:
        raise RequestError("max_tokens", "differs from max_completion_tokens")
    return {}


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
