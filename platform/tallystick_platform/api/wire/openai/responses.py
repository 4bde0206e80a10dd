"""`POST /v1/responses`: chats as OpenAI's newer clients spell them. An answer may go on from an earlier one of the same sender."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tallystick.errors import RequestError
from tallystick.ids import RecordId, is_record_id
from tallystick.record import Output, Record, Value
from tallystick.record import Usage as Counts
from tallystick.tasks import chat, chat_responses, neutral
from tallystick_platform import tasks
from tallystick_platform.api.credentials import Headers
from tallystick_platform.api.proofs import Proof
from tallystick_platform.api.refusals import BadRequest, quoted
from tallystick_platform.api.replies import encode_json
from tallystick_platform.api.wire.answering import Earlier, Events, Question
from tallystick_platform.api.wire.openai.chat import MAX_MESSAGES, check_not_empty
from tallystick_platform.api.wire.openai.reading import Body, OpenAiAddress, outputs_of
from tallystick_platform.api.wire.openai.texts import EVENTS_TYPE, US_PER_S, Count
from tallystick_platform.exchange.line import Recorded
from tallystick_platform.exchange.request import Asked
from tallystick_platform.store.entries import Ticket
from tallystick_platform.tasks.chat import Message, said_in

MAX_EARLIER: Final = 64  # answers that a conversation goes back to
MAX_ID_CHARS: Final = 64
PREVIOUS: Final = chat_responses.PREVIOUS
_ID: Final = re.compile(r"resp_([0-9a-f]{32})")


class StreamingOptions(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Options of a stream. Nothing is padded to hide its length."""

    include_obfuscation: Literal[False] | None = None


class ResponsesBody(Body, frozen=True, kw_only=True):
    """A request for a response. What is not listed is refused by name."""

    input: str | Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=MAX_MESSAGES)]
    instructions: str | None = None
    previous_response_id: (
        Annotated[str, Meta(max_length=MAX_ID_CHARS, description="Of an answer of your own.")] | None
    ) = None
    max_output_tokens: Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=2, description="0 is greedy.")] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    tools: Annotated[list[dict[str, Any]], Meta(description="Functions that the model may call.")] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: Annotated[dict[str, Any], Meta(description="`format`: text, json_object or json_schema.")] | None = None
    stream: bool | None = None
    stream_options: StreamingOptions | None = None

    @property
    def streams(self) -> bool:
        return bool(self.stream)


class OutputText(Struct, frozen=True, kw_only=True, tag_field="type", tag="output_text"):
    """Text of an answer."""

    text: str
    annotations: list[Any] = []
    logprobs: list[Any] = []


class MessageItem(Struct, frozen=True, kw_only=True, tag_field="type", tag="message"):
    """What the model said."""

    id: str
    role: Literal["assistant"] = "assistant"
    status: str
    content: list[OutputText]


class CallItem(Struct, frozen=True, kw_only=True, tag_field="type", tag="function_call"):
    """A call of a tool."""

    id: str
    call_id: str
    name: str
    arguments: str
    status: str


class InputDetails(Struct, frozen=True, kw_only=True):
    """Of the tokens of a question."""

    cached_tokens: int = 0


class OutputDetails(Struct, frozen=True, kw_only=True):
    """Of the tokens of an answer."""

    reasoning_tokens: int = 0


class ResponseUsage(Struct, frozen=True, kw_only=True):
    """The tokens of a question and its answer."""

    input_tokens: int
    input_tokens_details: InputDetails = InputDetails()
    output_tokens: int
    output_tokens_details: OutputDetails = OutputDetails()
    total_tokens: int


class Incomplete(Struct, frozen=True, kw_only=True):
    """Why an answer is a part of one."""

    reason: str


class ResponseObject(Struct, frozen=True, kw_only=True, tag_field="object", tag="response"):
    """An answer. `created_at` is when the request was admitted, in Unix seconds."""

    id: str
    created_at: int
    status: str
    error: None = None
    incomplete_details: Incomplete | None = None
    instructions: str | None
    max_output_tokens: int | None
    model: str
    output: list[MessageItem | CallItem]
    parallel_tool_calls: bool
    previous_response_id: str | None
    temperature: float | None
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    top_p: float | None
    truncation: str = "disabled"
    usage: ResponseUsage | None
    tallystick: Proof | UnsetType = UNSET


@dataclass(frozen=True, kw_only=True)
class ResponsesAddress(OpenAiAddress[ResponsesBody]):
    """The address, whose requests may go on from earlier answers."""

    def read(self, path: str, headers: Headers, body: bytes) -> Question:
        question = super().read(path, headers, body)
        previous = question.asked.reading.asked.get(PREVIOUS)
        if not isinstance(previous, str):
            return question
        instructed = int(msgspec.json.decode(body, type=_Instructed).instructions is not None)

        async def continued(earlier: Earlier) -> Asked:
            return await _continued(question.asked, previous, instructed, earlier)

        return replace(question, continued=continued)


class _Instructed(Struct):
    instructions: str | None = None


async def _continued(asked: Asked, previous: str, instructed: int, earlier: Earlier) -> Asked:
    """The same question where it goes on: behind its own instructions stand the turns before, and what is new. Raises: BadRequest."""
    found: list[Value] = []
    before: str | None = previous
    for _ in range(MAX_EARLIER):
        if before is None:
            break
        turns, before = await _turns_of(before, earlier)
        found[:0] = turns
    if before is not None:
        raise BadRequest(
            f"The conversation goes back more than {MAX_EARLIER} answers; send its turns as 'input'.",
            param=PREVIOUS,
            code="conversation_too_long",
        )
    own = asked.given.turns
    whole = chat.with_names((*own[:instructed], *chat.turns_of({"messages": found}), *own[instructed:]))
    return replace(asked, given=msgspec.structs.replace(asked.given, turns=whole))


async def _turns_of(response_id: str, earlier: Earlier) -> tuple[list[Value], str | None]:
    match = _ID.fullmatch(response_id)
    record: Record | None = None
    if match is not None and is_record_id(value := bytes.fromhex(match[1])):
        record = await earlier(RecordId(value))
    if record is None:
        raise BadRequest(
            f"Previous response with id '{quoted(response_id)}' not found among your own records that can still be opened.",
            param=PREVIOUS,
            code="previous_response_not_found",
        )
    try:
        return chat_responses.earlier_turns(record)
    except RequestError as error:
        raise BadRequest(f"'{PREVIOUS}' {error.reason}.", param=PREVIOUS, code="invalid_value") from error


def _response(
    body: ResponsesBody, record: Record, status: str, output: list[MessageItem | CallItem], counts: Counts | None
) -> ResponseObject:
    asked, answered = (counts or {}).get("input_tokens", 0), (counts or {}).get("output_tokens", 0)
    used = ResponseUsage(input_tokens=asked, output_tokens=answered, total_tokens=asked + answered)
    return ResponseObject(
        id=_id(record),
        created_at=record.time.admitted_at // US_PER_S,
        status=status,
        incomplete_details=Incomplete(reason="max_output_tokens") if status == "incomplete" else None,
        instructions=body.instructions,
        max_output_tokens=body.max_output_tokens,
        model=body.model,
        output=output,
        parallel_tool_calls=body.parallel_tool_calls is not False,
        previous_response_id=body.previous_response_id,
        temperature=record.parameters.get("temperature"),  # type: ignore[arg-type]  # numbers, as drawn with
        text=body.text or {"format": {"type": "text"}},
        tool_choice=body.tool_choice or "auto",
        tools=body.tools or [],
        top_p=record.parameters.get("top_p"),  # type: ignore[arg-type]
        usage=None if counts is None else used,
    )


def _whole(body: ResponsesBody, recorded: Recorded, tallystick: Proof) -> ResponseObject:
    (output,) = outputs_of(recorded)
    message, record, status = msgspec.convert(output.content, Message), recorded.record, _status(output)
    items: list[MessageItem | CallItem] = []
    if message.content is not None:
        items.append(_message_item(record, 0, message.content, status))
    items += [_call_item(call.id, call.name, call.arguments, status) for call in message.tool_calls]
    answer = _response(body, record, status, items, record.usage or {})
    return msgspec.structs.replace(answer, tallystick=tallystick)


def _id(record: Record) -> str:
    return "resp_" + record.id.hex()


def _status(output: Output) -> str:
    return "incomplete" if output.finish_reason == "length" else "completed"


def _message_item(record: Record, at: int, text: str, status: str) -> MessageItem:
    return MessageItem(id=f"msg_{record.id.hex()}_{at}", status=status, content=[OutputText(text=text)])


def _call_item(call_id: str, name: str, arguments: str, status: str) -> CallItem:
    return CallItem(id=f"fc_{call_id}", call_id=call_id, name=name, arguments=arguments, status=status)


class ResponseEvents(Events):
    """Encodes the events of one stream: items of text and of calls, one after another."""

    __slots__ = ("_body", "_done", "_item", "_number", "_record", "_said")

    def __init__(self, body: ResponsesBody, ticket: Ticket) -> None:
        self._body = body
        self._record = ticket.record
        self._number = 0
        self._done: list[MessageItem | CallItem] = []
        self._item: MessageItem | CallItem | None = None  # that is under way
        self._said: list[str] = []

    def opening(self) -> bytes:
        begun = _response(self._body, self._record, "in_progress", [], None)
        return self._event("response.created", response=begun) + self._event("response.in_progress", response=begun)

    def piece(self, part: Any, counts: Counts) -> bytes:  # noqa: ARG002
        said = said_in(part)
        if isinstance(said, str):
            events = b"" if isinstance(self._item, MessageItem) or not said else self._open_text()
            return events + self._delta(said) if said else events
        if said.id is None:
            return self._delta(said.arguments)
        events = self._close("completed")
        self._item = _call_item(said.id, said.name or "", "", "in_progress")
        events += self._event("response.output_item.added", output_index=len(self._done), item=self._item)
        return events + (self._delta(said.arguments) if said.arguments else b"")

    def last(self, recorded: Recorded, tallystick: bytes) -> bytes:
        (output,) = outputs_of(recorded)
        said, status, events = msgspec.convert(output.content, Message), _status(output), b""
        texts = [item for item in (*self._done, self._item) if isinstance(item, MessageItem)]
        if said.content is not None and not texts:  # a text, though an empty one
            events += self._open_text()
        events += self._close(status)
        answer = _response(self._body, recorded.record, status, self._done, recorded.record.usage or {})
        return events + self._event(f"response.{status}", response=answer, tallystick=msgspec.Raw(tallystick))

    def error(self, body: bytes) -> bytes:
        told = msgspec.json.decode(body)
        members = {name: told["error"][name] for name in ("code", "message", "param")}
        return self._event("error", **members, **told)

    def _open_text(self) -> bytes:
        events, at = self._close("completed"), len(self._done)
        item = self._item = msgspec.structs.replace(_message_item(self._record, at, "", "in_progress"), content=[])
        events += self._event("response.output_item.added", output_index=at, item=item)
        return events + self._of_item("response.content_part.added", content_index=0, part=OutputText(text=""))

    def _delta(self, text: str) -> bytes:
        self._said.append(text)
        if isinstance(self._item, MessageItem):
            return self._of_item("response.output_text.delta", content_index=0, delta=text, logprobs=[])
        return self._of_item("response.function_call_arguments.delta", delta=text)

    def _close(self, status: str) -> bytes:
        item, text = self._item, "".join(self._said)
        if item is None:
            return b""
        if isinstance(item, MessageItem):
            part = OutputText(text=text)
            events = self._of_item("response.output_text.done", content_index=0, text=text, logprobs=[])
            events += self._of_item("response.content_part.done", content_index=0, part=part)
            item = msgspec.structs.replace(item, content=[part], status=status)
        else:
            events = self._of_item("response.function_call_arguments.done", name=item.name, arguments=text)
            item = msgspec.structs.replace(item, arguments=text, status=status)
        events += self._event("response.output_item.done", output_index=len(self._done), item=item)
        self._done.append(item)
        self._item, self._said = None, []
        return events

    def _of_item(self, kind: str, **members: Any) -> bytes:
        item_id = "" if self._item is None else self._item.id
        return self._event(kind, item_id=item_id, output_index=len(self._done), **members)

    def _event(self, kind: str, **members: Any) -> bytes:
        told: Mapping[str, Any] = {"type": kind, "sequence_number": self._number, **members}
        self._number += 1
        return b"event: " + kind.encode() + b"\ndata: " + encode_json(told) + b"\n\n"


RESPONSES = ResponsesAddress(
    name="responses",
    routes=(chat_responses.TARGET,),
    summary="Ask a chat model, and go on from an earlier answer",
    task=tasks.CHAT,
    reader=chat_responses.READER,
    subject="input",
    body=ResponsesBody,
    neutral=neutral.RESPONSES,
    within={**neutral.MESSAGE, **neutral.PART},
    read_members=chat_responses.read_members,
    check=check_not_empty,
    answers=(ResponseObject, EVENTS_TYPE),
    whole=_whole,
    events=ResponseEvents,
)
