"""Chat: the next turn of a conversation, written by the model's own chat template. The turn may call tools that the request offers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from tallystick.errors import RequestError
from tallystick.record import Output, Value
from tallystick.tasks import chat, structure, tools
from tallystick.tasks.neutral import CHAT
from tallystick.tasks.reading import biases_in
from tallystick.tasks.structure import Structure
from tallystick.tasks.tools import Offered
from tallystick_platform.errors import ParameterOutOfRange
from tallystick_platform.protocol import ModelInfo, Piece, TokenEntry
from tallystick_platform.tasks.calling import check_tools, held_to
from tallystick_platform.tasks.drawing import Draw, TextTask, Turn, encode_call
from tallystick_platform.tasks.given_template import checked_template
from tallystick_platform.tasks.structure import structure_checked
from tallystick_platform.tasks.task import FinishReasons, Gather
from tallystick_platform.tasks.tool_calls import CallPiece, CallReader, ToolFormat

CALL_ID_LETTERS: Final = 9  # as many as Mistral's templates demand
CALLED: Final = "tool_calls"
"""Why an answer ended that calls tools."""
_LETTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class ChatDraw(Draw, frozen=True, kw_only=True, omit_defaults=True):
    """The same of a chat. `top_logprobs` is how many alternatives each token comes with, where `logprobs` are wanted."""

    logprobs: bool = False
    top_logprobs: int | None = None


class GivenTurns(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation, and what its answer is held to. `tool_format` is that of the model, once it is known.

    `template` writes the conversation in place of the model's own.
    """

    turns: tuple[Turn, ...]
    template: str | None = None
    offered: Offered | None = None
    structure: Structure | None = None
    logit_bias: Mapping[int, float] = {}
    tool_format: ToolFormat | None = None


class ChatPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an answer that may call tools: text, or a piece of a call; with the tokens that were read until then."""

    output: int
    said: str | CallPiece
    logprobs: list[TokenEntry] | None = None


def said_in(part: Piece | ChatPart) -> str | CallPiece:
    """What a part of an answer says, whether it may call tools or not."""
    return part.said if isinstance(part, ChatPart) else str(part.data)


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a tool, as records hold it."""

    id: str
    name: str
    arguments: str


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, as records hold it."""

    role: str
    content: str | None
    tool_calls: list[Call]


class Chat(TextTask[GivenTurns]):
    """Messages to a message."""

    name = chat.NAME
    parameters = ChatDraw
    neutral = CHAT
    given_by = (*structure.SCALARS, *tools.SCALARS)
    templated = True

    def given(self, prompt: Mapping[str, Value], asked: Mapping[str, Value]) -> GivenTurns:
        offered = tools.offered_in(prompt, asked)
        if offered is not None:
            check_tools(offered)
        template = chat.template_of(prompt)
        if template is not None and offered is not None:
            raise RequestError(chat.TEMPLATE, "cannot be asked for beside 'tools': it knows nothing of them")
        return GivenTurns(
            turns=chat.turns_of(prompt),
            template=None if template is None else checked_template(template),
            offered=offered,
            structure=structure_checked(structure.structure_in(prompt, asked)),
            logit_bias=biases_in(prompt),
        )

    def fitted(self, given: GivenTurns, used: Draw, model: ModelInfo) -> GivenTurns:  # noqa: ARG002
        form: ToolFormat | None = model.tool_format  # type: ignore[assignment]  # as its loading found it
        if form is None:
            _refuse_tools(given, model)
            return given
        if given.offered is None:
            return msgspec.structs.replace(given, tool_format=form)
        try:
            held = held_to(given.offered, given.structure, form)
        except RequestError as error:
            raise ParameterOutOfRange(param=error.param, reason=error.reason) from error
        return msgspec.structs.replace(given, tool_format=form, structure=held)

    def call(self, given: GivenTurns, used: Draw) -> bytes:
        wanted = isinstance(used, ChatDraw) and used.logprobs
        return encode_call(
            used,
            turns=given.turns,
            template=given.template,
            tools=() if given.offered is None else tuple(tool.told() for tool in given.offered.tools),
            structure=given.structure,
            logit_bias=given.logit_bias,
            logprobs=(getattr(used, "top_logprobs", None) or 0) if wanted else None,
        )

    def gather(self, given: GivenTurns, used: Draw) -> Gather:
        if given.offered is None or given.tool_format is None:
            return super().gather(given, used)
        return GatheredTurns(given.tool_format, [tool.name for tool in given.offered.tools], used.n)

    def output(self, text: str, finish_reason: str | None, entries: Sequence[TokenEntry] | None) -> Output:
        return chat.chat_output(text, finish_reason, logprobs=logprobs_of(entries))


class GatheredTurns(Gather):
    """So many answers that may call tools. What a client is sent and what is recorded come from the same parts."""

    def __init__(self, form: ToolFormat, names: Sequence[str], count: int) -> None:
        self._record_id = b""
        self._readers = [CallReader(form, names, self._ids_of(at)) for at in range(count)]
        self._waiting: list[list[TokenEntry] | None] = [None] * count
        self._texts: list[list[str]] = [[] for _ in range(count)]
        self._calls: list[list[dict[str, Any]]] = [[] for _ in range(count)]
        self._entries: list[list[TokenEntry] | None] = [None] * count

    def begin(self, record_id: bytes) -> None:
        self._record_id = record_id

    def parts(self, piece: Piece) -> Iterable[ChatPart]:
        at = piece.output
        if piece.logprobs is not None:
            self._waiting[at] = [*(self._waiting[at] or ()), *piece.logprobs]
        return self._told(at, self._readers[at].push(piece.data))

    def rest(self, finish_reasons: FinishReasons) -> Iterable[ChatPart]:  # noqa: ARG002
        for at, reader in enumerate(self._readers):
            yield from self._told(at, reader.flush())
            if self._waiting[at]:
                yield from self._told(at, [""])

    def add(self, part: ChatPart) -> None:
        """One more part."""
        if part.logprobs is not None:
            self._entries[part.output] = [*(self._entries[part.output] or ()), *part.logprobs]
        if isinstance(part.said, str):
            if part.said:
                self._texts[part.output].append(part.said)
            return
        calls = self._calls[part.output]
        if part.said.id is not None:
            calls.append({"id": part.said.id, "name": part.said.name, "arguments": []})
        calls[part.said.index]["arguments"].append(part.said.arguments)

    def outputs(self, finish_reasons: FinishReasons) -> tuple[Output, ...]:
        """The answers so far. No text is null, since the calls may be all of an answer."""
        reasons = (*finish_reasons, *(None,) * len(self._texts))
        return tuple(
            chat.chat_output(
                "".join(texts) or None,
                CALLED if calls and reason == "stop" else reason,
                [{**call, "arguments": "".join(call["arguments"])} for call in calls],
                logprobs_of(entries),
            )
            for texts, calls, reason, entries in zip(self._texts, self._calls, reasons, self._entries, strict=False)
        )

    def _told(self, at: int, found: Iterable[str | CallPiece]) -> Iterable[ChatPart]:
        for said in found:
            entries, self._waiting[at] = self._waiting[at], None
            yield ChatPart(output=at, said=said, logprobs=entries)

    def _ids_of(self, choice: int) -> Callable[[int], str]:
        return lambda index: call_id(self._record_id, choice, index)


def call_id(record_id: bytes, choice: int, index: int) -> str:
    """The id of a call: unlike any other's, and the same in a replay.

    Nine letters and digits: SHA-256("tallystick call" || record id || choice || index), both as 4 bytes, big-endian, as a number in base 62
    of which the lowest nine digits are written, the lowest first.
    """
    told = b"tallystick call" + record_id + choice.to_bytes(4) + index.to_bytes(4)
    number, letters = int.from_bytes(hashlib.sha256(told).digest()), ""
    for _ in range(CALL_ID_LETTERS):
        number, digit = divmod(number, len(_LETTERS))
        letters += _LETTERS[digit]
    return letters


def logprobs_of(entries: Sequence[TokenEntry] | None) -> Value:
    """Tokens as OpenAI's chats list them."""
    if entries is None:
        return None
    content: list[Value] = [
        {
            **_token(entry.text, entry.data, entry.logprob),
            "top_logprobs": [_token(one.text, one.data, one.logprob) for one in entry.top],
        }
        for entry in entries
    ]
    return {"content": content}


def _token(text: str, data: bytes, logprob: float | None) -> dict[str, Value]:
    return {"token": text, "bytes": list(data), "logprob": logprob}


def _refuse_tools(given: GivenTurns, model: ModelInfo) -> None:
    """Raises: ParameterOutOfRange, naming what a model without a way to call tools would never see."""
    reason = f"cannot be given to {model.id}: its chat template has no way of calling tools that is known here"
    if given.offered is not None:
        raise ParameterOutOfRange(param="tools", reason=reason)
    for at, turn in enumerate(given.turns):
        if "tool_calls" in turn:
            raise ParameterOutOfRange(param=f"messages[{at}].tool_calls", reason=reason)
        if turn["role"] == chat.RESULT:
            raise ParameterOutOfRange(param=f"messages[{at}].role", reason=reason)
