"""The body of `POST /v1/chat/completions`, as it stands on the wire."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

MAX_MODEL_CHARS = 256
MAX_MESSAGES = 4_096
MAX_PARTS = 1_024
MAX_STOPS = 4
MAX_STOP_CHARS = 256
MAX_USER_CHARS = 256
MAX_TOKENS = 1_048_576
MAX_TOP_K = 1_048_576

Role = Literal["system", "developer", "user", "assistant"]
Stop = Annotated[str, Meta(min_length=1, max_length=MAX_STOP_CHARS)]
Count = Annotated[int, Meta(ge=1, le=MAX_TOKENS)]


class TextPart(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One part of a message's content. Only text is taken."""

    type: Literal["text"]
    text: str


class Message(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One message of the conversation."""

    role: Role
    content: str | Annotated[list[TextPart], Meta(min_length=1, max_length=MAX_PARTS)]


class StreamOptions(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Options of a stream. `include_obfuscation` pads pieces to hide their lengths, which is not offered: only false."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatBody(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A chat completion request.

    Of other parameters of the same API, what changes nothing is taken (`tallystick.tasks.chat_neutral`); the rest is refused by name.
    """

    model: Annotated[str, Meta(min_length=1, max_length=MAX_MODEL_CHARS, description="Model id, as in /v1/models.")]
    messages: Annotated[list[Message], Meta(min_length=1, max_length=MAX_MESSAGES)]
    temperature: Annotated[float, Meta(ge=0, le=2, description="0 is greedy.")] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1, description="0 is greedy.")] | None = None
    top_k: Annotated[int, Meta(ge=-1, le=MAX_TOP_K, description="An extension; 0 and -1 keep every token.")] | None = (
        None
    )
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    stop: str | Annotated[list[Stop], Meta(max_length=MAX_STOPS)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1, description="Drawn and recorded if absent.")] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: Annotated[str, Meta(max_length=MAX_USER_CHARS, description="Kept in the record.")] | None = None


NAMES = frozenset(ChatBody.__struct_fields__)
