"""`POST /v1/chat/completions`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from tallystick.record import Output
from tallystick.tasks import chat, neutral
from tallystick_platform import tasks
from tallystick_platform.api.refusals import BadRequest
from tallystick_platform.api.wire.openai.reading import OpenAiAddress
from tallystick_platform.api.wire.openai.texts import EVENTS_TYPE, Count, Spelling, TextAnswer, TextBody
from tallystick_platform.exchange.request import Asked

MAX_MESSAGES = 4_096
MAX_PARTS = 1_024


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


class AssistantMessage(Struct, frozen=True, kw_only=True, tag_field="role", tag="assistant"):
    """What the model said before; it may have said nothing."""

    content: str | Parts | None = None


MESSAGES = (SystemMessage, DeveloperMessage, UserMessage, AssistantMessage)


class ChatBody(TextBody, frozen=True, kw_only=True):
    """A chat completion request.

    Of other parameters of the same API, what changes nothing is taken (`tallystick.tasks.neutral`); the rest is refused by name.
    """

    messages: Annotated[
        list[SystemMessage | DeveloperMessage | UserMessage | AssistantMessage],
        Meta(min_length=1, max_length=MAX_MESSAGES),
    ]
    max_completion_tokens: Count | None = None


class ChatMessage(Struct, frozen=True, kw_only=True):
    """What the model said."""

    role: Literal["assistant"]
    content: str | None


class ChatChoice(Struct, frozen=True, kw_only=True):
    """One answer, and why it ended."""

    index: int
    message: ChatMessage
    logprobs: None
    finish_reason: str | None


class ChatCompletion(TextAnswer[ChatChoice], frozen=True, kw_only=True):
    """An answer to a chat request."""


def _check(asked: Asked) -> None:
    if not any(turn["content"].strip() for turn in asked.given):
        raise BadRequest("The prompt is empty: no message holds any text.", param="messages", code="empty_prompt")


def _choice(index: int, output: Output) -> ChatChoice:
    message = msgspec.convert(output.content, ChatMessage)
    return ChatChoice(index=index, message=message, logprobs=None, finish_reason=output.finish_reason)


SPELLING = Spelling(
    id_prefix="chatcmpl-",
    answer=ChatCompletion,
    whole_name="chat.completion",
    chunk_name="chat.completion.chunk",
    choice=_choice,
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
    check=_check,
    answers=(ChatCompletion, EVENTS_TYPE),
    whole=SPELLING.whole,
    events=SPELLING.events,
)
