"""Answers that are text, for chat and completions alike: parameters of drawing, counts of tokens, streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from msgspec import Meta, Struct

from tallystick.record import Output, Value
from tallystick.record import Usage as Counts
from tallystick.tasks.neutral import Neutral
from tallystick_platform.api.proofs import Proof
from tallystick_platform.api.refusals import BadRequest
from tallystick_platform.api.replies import encode_json
from tallystick_platform.api.wire.answering import Events
from tallystick_platform.api.wire.openai.reading import Body, outputs_of, refusal
from tallystick_platform.exchange.line import Recorded
from tallystick_platform.protocol import Piece, TokenEntry
from tallystick_platform.store.entries import Ticket
from tallystick_platform.tasks.drawing import MAX_CHOICES, MAX_TOP_LOGPROBS

MAX_STOPS = 4
MAX_STOP_CHARS = 256
MAX_TOKENS = 1_048_576
MAX_TOP_K = 1_048_576
MAX_STOP_TOKENS = 64
MAX_PENALTY = 2  # of presence and frequency
MAX_REPETITION_PENALTY = 10
EVENTS_TYPE = "text/event-stream"
DONE = b"data: [DONE]\n\n"
US_PER_S = 1_000_000

Stop = Annotated[str, Meta(min_length=1, max_length=MAX_STOP_CHARS)]
Count = Annotated[int, Meta(ge=1, le=MAX_TOKENS)]
Penalty = Annotated[float, Meta(ge=-MAX_PENALTY, le=MAX_PENALTY)]
TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Alternatives = Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)]

C = TypeVar("C", bound=Struct)


class StreamOptions(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Options of a stream. `include_obfuscation` pads pieces to hide their lengths, which is not offered: only false.

    `include_usage` puts the counts on the last event, `continuous_usage_stats`, an extension, what was counted until then on each.
    """

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None
    include_obfuscation: bool | None = None

    def __post_init__(self) -> None:
        if self.include_obfuscation:
            raise refusal("stream_options.include_obfuscation", Neutral((False,)))


class TextBody(Body, frozen=True, kw_only=True):
    """What every request for a text may say."""

    temperature: Annotated[float, Meta(ge=0, le=2, description="0 is greedy.")] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1, description="0 is greedy.")] | None = None
    top_k: Annotated[int, Meta(ge=-1, le=MAX_TOP_K, description="An extension; 0 and -1 keep every token.")] | None = (
        None
    )
    min_p: (
        Annotated[float, Meta(ge=0, le=1, description="Drops what is less probable than so much of the most.")] | None
    ) = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=MAX_REPETITION_PENALTY)] | None = None
    logit_bias: Annotated[dict[str, float], Meta(description="Token id to a number from -100 to 100.")] | None = None
    n: Annotated[int, Meta(ge=1, le=MAX_CHOICES)] | None = None
    best_of: Annotated[int, Meta(ge=1, le=MAX_CHOICES, description="The same as 'n'.")] | None = None
    max_tokens: Count | None = None
    min_tokens: Annotated[int, Meta(ge=0, le=MAX_TOKENS)] | None = None
    ignore_eos: bool | None = None
    stop_token_ids: Annotated[list[TokenId], Meta(max_length=MAX_STOP_TOKENS)] | None = None
    response_format: Annotated[dict[str, Any], Meta(description="text, json_object or json_schema.")] | None = None
    guided_json: dict[str, Any] | str | None = None
    guided_regex: str | None = None
    guided_choice: list[str] | None = None
    guided_grammar: Annotated[str, Meta(description="Lark, as llguidance takes it.")] | None = None
    structured_outputs: dict[str, Any] | None = None
    stop: Stop | Annotated[list[Stop], Meta(max_length=MAX_STOPS)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1, description="Drawn and recorded if absent.")] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def streams(self) -> bool:
        return bool(self.stream)

    def __post_init__(self) -> None:
        options = self.stream_options
        if options is not None and (options.include_usage or options.continuous_usage_stats) and not self.stream:
            raise BadRequest("'stream_options' needs 'stream': true.", param="stream_options", code="invalid_value")


class Usage(Struct, frozen=True, kw_only=True):
    """The tokens of a question and its answer."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


def usage_of(counts: Counts | None) -> Usage:
    """What an answer says of the counts of its record."""
    given = counts or {}
    asked, answered = given.get("input_tokens", 0), given.get("output_tokens", 0)
    return Usage(prompt_tokens=asked, completion_tokens=answered, total_tokens=asked + answered)


class TextAnswer(Struct, Generic[C], frozen=True, kw_only=True):
    """An answer that is sent whole. `created` is when the request was admitted, in Unix seconds."""

    id: str
    object: str
    created: int
    model: str
    choices: list[C]
    usage: Usage
    tallystick: Proof


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelling(Generic[C]):
    """How the answers of one address are written: their names, a choice of one that is sent whole, and the text of a streamed choice.

    `before` and `after` stand around the text of a piece, `silence` is the member without any, `opening` what comes before the first text,
    if anything does. `logprobs` lists tokens whose text begins after so many characters.
    """

    id_prefix: str
    answer: type[TextAnswer[C]]
    whole_name: str
    chunk_name: str
    choice: Callable[[int, Output], C]
    logprobs: Callable[[Sequence[TokenEntry], int], Value]
    before: bytes
    after: bytes = b""
    silence: bytes
    opening: bytes | None = None

    def whole(self, body: TextBody, recorded: Recorded, tallystick: Proof) -> TextAnswer[C]:
        """The answer to a request, out of its record."""
        record = recorded.record
        return self.answer(
            id=self.id_prefix + record.id.hex(),
            object=self.whole_name,
            created=record.time.admitted_at // US_PER_S,
            model=body.model,
            choices=[self.choice(index, output) for index, output in enumerate(outputs_of(recorded))],
            usage=usage_of(record.usage),
            tallystick=tallystick,
        )

    def events(self, body: TextBody, ticket: Ticket) -> TextEvents:
        """The events of the answer to a request."""
        return TextEvents(self, body, ticket)


class TextEvents(Events):
    """Encodes the events of one stream. What does not change from piece to piece is encoded once."""

    __slots__ = ("_continuous", "_counts", "_head", "_offsets", "_spelling", "_usage_wanted")

    def __init__(self, spelling: Spelling[Any], body: TextBody, ticket: Ticket) -> None:
        record, options = ticket.record, body.stream_options
        head = {
            "id": spelling.id_prefix + record.id.hex(),
            "object": spelling.chunk_name,
            "created": record.time.admitted_at // US_PER_S,
            "model": body.model,
        }
        self._spelling = spelling
        self._offsets = [0] * (body.n or 1)
        self._head = b"data: " + encode_json(head)[:-1] + b',"choices":['
        self._usage_wanted = options is not None and bool(options.include_usage)
        self._continuous = options is not None and bool(options.continuous_usage_stats)
        self._counts = b',"usage":null' if self._usage_wanted or self._continuous else b""

    def opening(self) -> bytes:
        """Several answers are all opened at once, so that whatever has arrived of a stream counts them from 0."""
        opening = self._spelling.opening
        if opening is None and len(self._offsets) == 1:
            return b""
        return b"".join(self._choice(at, opening or self._spelling.silence) for at in range(len(self._offsets)))

    def piece(self, part: Piece, counts: Counts) -> bytes:
        self._count(counts)
        said = self._spelling.before + encode_json(part.data) + self._spelling.after
        return self._choice(part.output, said, self._logprobs(part))

    def last(self, recorded: Recorded, tallystick: bytes) -> bytes:
        """The proof rides on the last event before [DONE]: the usage event where one is wanted, else the finishing one.

        An extra event without choices would break clients that read `choices[0]` of every event.
        """
        self._count(recorded.record.usage)
        proof, silence = b',"tallystick":' + tallystick, self._spelling.silence
        reasons = [encode_json(output.finish_reason) for output in outputs_of(recorded)]
        ends = [self._choice(at, silence, reason=reason) for at, reason in enumerate(reasons[:-1])]
        ends.append(self._choice(len(ends), silence, reason=reasons[-1], extra=b"" if self._usage_wanted else proof))
        if not self._usage_wanted:
            return b"".join(ends) + DONE
        return (
            b"".join(ends) + self._head + b'],"usage":' + encode_json(usage_of(recorded.record.usage)) + proof + b"}\n\n" + DONE
        )  # fmt: skip

    def error(self, body: bytes) -> bytes:
        """Nothing follows it, not even [DONE]."""
        return b"data: " + body + b"\n\n"

    def _choice(
        self, index: int, said: bytes, logprobs: bytes = b"null", *, reason: bytes = b"null", extra: bytes = b""
    ) -> bytes:
        return (
            self._head + b'{"index":%d,' % index + said + b',"logprobs":' + logprobs + b',"finish_reason":' + reason + b"}]"
            + extra + self._counts + b"}\n\n"
        )  # fmt: skip

    def _logprobs(self, piece: Any) -> bytes:
        """The tokens of a piece, as the whole answer's would be cut there."""
        if piece.logprobs is None:
            return b"null"
        written = encode_json(self._spelling.logprobs(piece.logprobs, self._offsets[piece.output]))
        self._offsets[piece.output] += sum(len(entry.text) for entry in piece.logprobs)
        return written

    def _count(self, counts: Counts | None) -> None:
        """What the next event says of the counts until now, where each is to say it."""
        if self._continuous:
            self._counts = b',"usage":' + encode_json(usage_of(counts))
