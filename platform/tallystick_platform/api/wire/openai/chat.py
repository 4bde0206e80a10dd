"""`POST /v1/chat/completions`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tallystick.record import Output
from tallystick.record import Usage as Counts
from tallystick.tasks import chat, neutral
from tallystick_platform import tasks
from tallystick_platform.api.refusals import BadRequest
from tallystick_platform.api.replies import encode_json
from tallystick_platform.api.wire.openai.reading import OpenAiAddress
from tallystick_platform.api.wire.openai.texts import (
    EVENTS_TYPE,
    Alternatives,
    Count,
    Spelling,
    TextAnswer,
    TextBody,
    TextEvents,
)
from tallystick_platform.exchange.request import Asked
from tallystick_platform.store.entries import Ticket
from tallystick_platform.tasks.chat import Message, logprobs_of
from tallystick_platform.tasks.tool_calls import CallPiece

MAX_MESSAGES = 4_096
MAX_PARTS = 1_024
CALLING_OPENING = b'"delta":{"role":"assistant","content":null}'


class TextPart(Struct, frozen=True, kw_only=True):
    """One part of a message's content. Only text is taken."""

    type: Literal["text"]
    text: str


Parts = Annotated[list[TextPart], Meta(min_length=1, max_length=MAX_PARTS)]


class SystemMessage(Struct, frozen=True, kw_only=True, tag_field="role", tag="system"):
    """What the model is told before the conversation."""

    content: str | Parts


class DeveloperMessage(SystemMessage, frozen=True, kw_only=True, tag="developer"):
    """Another name for the same."""


class UserMessage(Struct, frozen=True, kw_only=True, tag_field="role", tag="user"):
    """What the user said."""

    content: str | Parts


class CalledFunction(Struct, frozen=True, kw_only=True):
    """Which function is called, and its arguments as the model wrote them: JSON, if the model made no mistake."""

    name: str
    arguments: str


class ToolCall(Struct, frozen=True, kw_only=True):
    """A call of a tool."""

    id: str
    type: Literal["function"]
    function: CalledFunction


class AssistantMessage(Struct, frozen=True, kw_only=True, tag_field="role", tag="assistant"):
    """What the model said before, and the tools that it called; it may have said nothing."""

    content: str | Parts | None = None
    tool_calls: list[ToolCall] | None = None


class ToolMessage(Struct, frozen=True, kw_only=True, tag_field="role", tag="tool"):
    """What a call came to."""

    content: str | Parts
    tool_call_id: str


MESSAGES = (SystemMessage, DeveloperMessage, UserMessage, AssistantMessage, ToolMessage)
MessageIn = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage


class ChatBody(TextBody, frozen=True, kw_only=True):
    """A chat completion request.

    Of other parameters of the same API, what changes nothing is taken (`tallystick.tasks.neutral`); the rest is refused by name.
    """

    messages: Annotated[list[MessageIn], Meta(min_length=1, max_length=MAX_MESSAGES)]
    tools: Annotated[list[dict[str, Any]], Meta(description="Functions that the model may call.")] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    max_completion_tokens: Count | None = None
    logprobs: bool | None = None
    top_logprobs: Alternatives | None = None

    @property
    def calls(self) -> bool:
        """Whether the answer may call tools."""
        return bool(self.tools) and self.tool_choice != "none"


class ChatMessage(Struct, frozen=True, kw_only=True):
    """What the model said."""

    role: Literal["assistant"]
    content: str | None
    tool_calls: list[ToolCall] | UnsetType = UNSET


class ChatChoice(Struct, frozen=True, kw_only=True):
    """One answer, and why it ended."""

    index: int
    message: ChatMessage
    logprobs: dict[str, Any] | None
    finish_reason: str | None


class ChatCompletion(TextAnswer[ChatChoice], frozen=True, kw_only=True):
    """An answer to a chat request."""


def check_not_empty(asked: Asked) -> None:
    """Raises: BadRequest for a conversation in which nobody says anything."""
    if not any(turn["content"].strip() or turn.get("tool_calls") for turn in asked.given.turns):
        raise BadRequest("The prompt is empty: no message holds any text.", param="messages", code="empty_prompt")


def _choice(index: int, output: Output) -> ChatChoice:
    message = msgspec.convert(output.content, Message)
    calls = [call_of(call.id, call.name, call.arguments) for call in message.tool_calls]
    return ChatChoice(
        index=index,
        message=ChatMessage(role="assistant", content=message.content, tool_calls=calls or UNSET),
        logprobs=output.logprobs,  # type: ignore[arg-type]  # as its task listed them
        finish_reason=output.finish_reason,
    )


def call_of(call_id: str, name: str, arguments: str) -> ToolCall:
    """A call as clients know it."""
    return ToolCall(id=call_id, type="function", function=CalledFunction(name=name, arguments=arguments))


class ChatEvents(TextEvents):
    """The same of a chat that may call tools. A message without any text has null, so the opening says nothing of it."""

    __slots__ = ()

    def opening(self) -> bytes:
        return b"".join(self._choice(at, CALLING_OPENING) for at in range(len(self._offsets)))

    def piece(self, part: Any, counts: Counts) -> bytes:
        self._count(counts)
        said: str | CallPiece = part.said
        if isinstance(said, str):
            delta: dict[str, Any] = {"content": said} if said else {}
        elif said.id is None:
            delta = {"tool_calls": [{"index": said.index, "function": {"arguments": said.arguments}}]}
        else:
            call = call_of(said.id, said.name or "", said.arguments)
            delta = {"tool_calls": [{"index": said.index, **msgspec.to_builtins(call)}]}
        return self._choice(part.output, b'"delta":' + encode_json(delta), self._logprobs(part))


def _events(body: ChatBody, ticket: Ticket) -> TextEvents:
    return (ChatEvents if body.calls else TextEvents)(SPELLING, body, ticket)


SPELLING = Spelling(
    id_prefix="chatcmpl-",
    answer=ChatCompletion,
    whole_name="chat.completion",
    chunk_name="chat.completion.chunk",
    choice=_choice,
    logprobs=lambda entries, _: logprobs_of(entries),
    opening=b'"delta":{"role":"assistant","content":""}',
    before=b'"delta":{"content":',
    after=b"}",
    silence=b'"delta":{}',
)
CHAT = OpenAiAddress(
    name="chat_completions",
    routes=("/v1/chat/completions",),
    summary="Ask a chat model",
    task=tasks.CHAT,
    reader=chat.READER,
    subject="messages",
    body=ChatBody,
    neutral=neutral.CHAT,
    within={**neutral.MESSAGE, **neutral.PART},
    read_members=chat.read_members,
    check=check_not_empty,
    answers=(ChatCompletion, EVENTS_TYPE),
    whole=SPELLING.whole,
    events=_events,
)
