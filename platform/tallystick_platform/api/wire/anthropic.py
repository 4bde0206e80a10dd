"""`POST /v1/messages`: chats as Anthropic's clients spell them: the same task in other words, with streams and errors of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tallystick.record import Output
from tallystick.record import Usage as Counts
from tallystick.tasks import chat_anthropic, neutral
from tallystick_platform import tasks
from tallystick_platform.api.error_table import ErrorAnswer
from tallystick_platform.api.proofs import Proof
from tallystick_platform.api.replies import encode_json
from tallystick_platform.api.wire.answering import Events
from tallystick_platform.api.wire.openai.chat import MAX_MESSAGES, MAX_PARTS, check_not_empty
from tallystick_platform.api.wire.openai.reading import OF_THE_PROMPT, Body, OpenAiAddress, outputs_of
from tallystick_platform.api.wire.openai.texts import EVENTS_TYPE, MAX_TOP_K, Count, Stop
from tallystick_platform.exchange.line import Recorded
from tallystick_platform.store.entries import Ticket
from tallystick_platform.tasks.chat import Message, said_in

MAX_STOP_SEQUENCES = 16
_STOP_REASONS = {ours: theirs for theirs, ours in chat_anthropic.STOP_REASONS.items()}
_ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class TextBlock(Struct, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """Text."""

    text: str


class ToolUseBlock(Struct, frozen=True, kw_only=True, tag_field="type", tag="tool_use"):
    """A call of a tool."""

    id: str
    name: str
    input: dict[str, Any]


class ToolResultBlock(Struct, frozen=True, kw_only=True, tag_field="type", tag="tool_result"):
    """What a call came to. Whether it failed, its text must say: models are not told of it otherwise."""

    tool_use_id: str
    content: str | list[TextBlock] | None = None
    is_error: Literal[False] | None = None


Blocks = Annotated[list[TextBlock | ToolUseBlock | ToolResultBlock], Meta(min_length=1, max_length=MAX_PARTS)]


class Turn(Struct, frozen=True, kw_only=True):
    """What the user or the assistant said."""

    role: Literal["user", "assistant"]
    content: str | Blocks


class CustomTool(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A function that the model may call."""

    name: str
    input_schema: dict[str, Any]
    description: str | None = None
    type: Literal["custom"] | None = None
    strict: bool | None = None
    cache_control: dict[str, Any] | None = None


class ToolChoice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether tools are called: "any" must call one, "tool" the one that is named."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class MessagesBody(Body, frozen=True, kw_only=True):
    """A request for a message. What is not listed is refused by name."""

    messages: Annotated[list[Turn], Meta(min_length=1, max_length=MAX_MESSAGES)]
    max_tokens: Count
    system: str | list[TextBlock] | None = None
    stop_sequences: Annotated[list[Stop], Meta(max_length=MAX_STOP_SEQUENCES)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=1, description="0 is greedy.")] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=MAX_TOP_K)] | None = None
    tools: list[CustomTool] | None = None
    tool_choice: ToolChoice | None = None
    stream: bool | None = None

    @property
    def streams(self) -> bool:
        return bool(self.stream)


class TokensUsed(Struct, frozen=True, kw_only=True):
    """The tokens of a question and its answer."""

    input_tokens: int
    output_tokens: int


class MessageAnswer(Struct, frozen=True, kw_only=True, tag_field="type", tag="message"):
    """An answer. `tool_arguments` has the arguments of each call as the model wrote them, which is what the record holds."""

    id: str
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[TextBlock | ToolUseBlock]
    stop_reason: str | None
    stop_sequence: None = None
    usage: TokensUsed
    tool_arguments: list[str] | UnsetType = UNSET
    tallystick: Proof


class MessageError(Struct, frozen=True, kw_only=True):
    """What went wrong, as Anthropic's clients read it, with the code of the record and the part of the request that is at fault."""

    type: str
    message: str
    code: str
    param: str | None


class MessageRefused(Struct, frozen=True, kw_only=True, tag_field="type", tag="error"):
    """A refusal; with the proof of its record, where the request was recorded."""

    error: MessageError
    tallystick: Proof | UnsetType = UNSET


@dataclass(frozen=True, kw_only=True)
class AnthropicAddress(OpenAiAddress[MessagesBody]):
    """The address, with errors of its own shape."""

    def error(self, answer: ErrorAnswer, tallystick: bytes | None) -> tuple[int, bytes]:
        if answer.code in OF_THE_PROMPT:
            answer = replace(answer, param=self.subject)
        kind = _ERROR_TYPES.get(answer.status, "api_error" if answer.status >= 500 else "invalid_request_error")
        told = MessageError(type=kind, message=answer.message, code=answer.code, param=answer.param)
        content: dict[str, Any] = {"type": "error", "error": told}
        if tallystick is not None:
            content["tallystick"] = msgspec.Raw(tallystick)
        return answer.status, encode_json(content)


class MessageEvents(Events):
    """Encodes the events of one stream: blocks of text and of calls, one after another."""

    __slots__ = ("_block", "_blocks", "_body", "_call", "_said", "_started", "_ticket")

    def __init__(self, body: MessagesBody, ticket: Ticket) -> None:
        self._body = body
        self._ticket = ticket
        self._started = self._said = False
        self._blocks = 0
        self._block: str | None = None  # what kind is open
        self._call = -1

    def piece(self, part: Any, counts: Counts) -> bytes:
        said, events = said_in(part), self._start(counts)
        if isinstance(said, str):
            if not said:
                return events
            if self._block != "text":
                events += self._open("text", {"type": "text", "text": ""})
            self._said = True
            return events + self._delta({"type": "text_delta", "text": said})
        if said.id is not None:
            events += self._open("tool_use", {"type": "tool_use", "id": said.id, "name": said.name, "input": {}})
        return events + self._delta({"type": "input_json_delta", "partial_json": said.arguments})

    def last(self, recorded: Recorded, tallystick: bytes) -> bytes:
        (output,) = outputs_of(recorded)
        counts = recorded.record.usage or {}
        events = self._start(counts)
        if not self._said and _message(output).content is not None:  # a text, though an empty one
            events += self._open("text", {"type": "text", "text": ""})
        events += self._close()
        delta = {"stop_reason": _STOP_REASONS.get(output.finish_reason or ""), "stop_sequence": None}
        events += _event("message_delta", {"delta": delta, "usage": _used(counts)})
        return events + _event("message_stop", {"tallystick": msgspec.Raw(tallystick)})

    def error(self, body: bytes) -> bytes:
        return b"event: error\ndata: " + body + b"\n\n"

    def _start(self, counts: Counts) -> bytes:
        if self._started:
            return b""
        self._started = True
        message: dict[str, Any] = {
            "id": _id(self._ticket.record.id),
            "type": "message",
            "role": "assistant",
            "model": self._body.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": TokensUsed(input_tokens=counts.get("input_tokens", 0), output_tokens=0),
        }
        return _event("message_start", {"message": message})

    def _open(self, kind: str, block: Mapping[str, Any]) -> bytes:
        closed, self._block = self._close(), kind
        return closed + _event("content_block_start", {"index": self._blocks, "content_block": block})

    def _delta(self, delta: Mapping[str, Any]) -> bytes:
        return _event("content_block_delta", {"index": self._blocks, "delta": delta})

    def _close(self) -> bytes:
        if self._block is None:
            return b""
        self._block, index = None, self._blocks
        self._blocks += 1
        return _event("content_block_stop", {"index": index})


def _event(kind: str, members: Mapping[str, Any]) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + encode_json({"type": kind, **members}) + b"\n\n"


def _whole(body: MessagesBody, recorded: Recorded, tallystick: Proof) -> MessageAnswer:
    (output,) = outputs_of(recorded)
    message = _message(output)
    content: list[TextBlock | ToolUseBlock] = [] if message.content is None else [TextBlock(text=message.content)]
    content += [ToolUseBlock(id=call.id, name=call.name, input=_input(call.arguments)) for call in message.tool_calls]
    return MessageAnswer(
        id=_id(recorded.record.id),
        model=body.model,
        content=content,
        stop_reason=_STOP_REASONS.get(output.finish_reason or ""),
        usage=_used(recorded.record.usage or {}),
        tool_arguments=[call.arguments for call in message.tool_calls] or UNSET,
        tallystick=tallystick,
    )


def _message(output: Output) -> Message:
    return msgspec.convert(output.content, Message)


def _input(arguments: str) -> dict[str, Any]:
    """The arguments as an object; an empty one for what is none: `tool_arguments` has it word for word."""
    try:
        found = msgspec.json.decode(arguments, type=dict[str, Any])
        encode_json(found)
    except (ValueError, OverflowError, RecursionError):
        return {}
    return found


def _id(record_id: bytes) -> str:
    return "msg_" + record_id.hex()


def _used(counts: Counts) -> TokensUsed:
    return TokensUsed(input_tokens=counts.get("input_tokens", 0), output_tokens=counts.get("output_tokens", 0))


MESSAGES = AnthropicAddress(
    name="messages",
    routes=(chat_anthropic.TARGET,),
    summary="Ask a chat model, as Anthropic's clients do",
    task=tasks.CHAT,
    reader=chat_anthropic.READER,
    subject="messages",
    body=MessagesBody,
    neutral=neutral.CHAT,
    within={**neutral.MESSAGE, **neutral.PART},
    read_members=chat_anthropic.read_members,
    check=check_not_empty,
    answers=(MessageAnswer, EVENTS_TYPE),
    refused=MessageRefused,
    whole=_whole,
    events=MessageEvents,
)
WIRES = (MESSAGES,)
