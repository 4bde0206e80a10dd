"""An address of OpenAI's API, and how a request to it is read.

Nothing that was asked is dropped in silence: a member acts, or it has a value that changes nothing and is recorded, or it is refused by
its name. Members that act stand in the address's struct, with their ranges. Values that change nothing stand in the auditor's package; its
reader also says what the record will hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Any, Generic, TypeVar

from msgspec import Meta, Struct

from tallystick.errors import RequestError
from tallystick.record import Output, Response, Value
from tallystick.tasks import Reading
from tallystick.tasks.neutral import ACTS, Neutral
from tallystick.tasks.reading import checked_object
from tallystick_platform.api.credentials import Headers
from tallystick_platform.api.error_table import ErrorAnswer
from tallystick_platform.api.proofs import Proof
from tallystick_platform.api.refusals import BadRequest, quoted
from tallystick_platform.api.replies import JSON, encode_json, native_error
from tallystick_platform.api.strict_json import converted, read_object
from tallystick_platform.api.wire.answering import Events, Question
from tallystick_platform.api.wire.wire import Wire
from tallystick_platform.errors import PromptRejected, PromptTooLong
from tallystick_platform.exchange.line import Recorded
from tallystick_platform.exchange.request import Asked
from tallystick_platform.store.entries import Ticket
from tallystick_platform.tasks import Task
from tallystick_platform.tasks.each import AS_MUCH_AS_FITS

MAX_MODEL_CHARS = 256
MAX_USER_CHARS = 256
MAX_TRUNCATED = 1_048_576

OF_THE_PROMPT = {PromptTooLong.code, PromptRejected.code}
_MEMBER_WITHIN = re.compile(r"\w+\[\d+\]\.(content\[\d+\]\.)?(?P<name>.*)", re.DOTALL)
_TYPE_NAMES = {str: "any text", bool: "true, false", dict: "any object", int: "any integer", float: "any number"}


class Body(Struct, frozen=True, kw_only=True):
    """What every request says."""

    model: Annotated[str, Meta(min_length=1, max_length=MAX_MODEL_CHARS, description="Model id, as in /v1/models.")]
    user: Annotated[str, Meta(max_length=MAX_USER_CHARS, description="Kept in the record.")] | None = None

    @property
    def streams(self) -> bool:
        """Whether the answer is to come in pieces."""
        return False


Prompts = str | Annotated[list[str | int | list[int]], Meta(min_length=1)]
"""One or more texts, each by itself or as the ids of its tokens."""

Truncated = Annotated[
    int,
    Meta(
        ge=AS_MUCH_AS_FITS,
        le=MAX_TRUNCATED,
        description="So many tokens of a text are read, the first ones; -1: as many as the model reads. Without it nothing is cut.",
    ),
]

B = TypeVar("B", bound=Body)


@dataclass(frozen=True, kw_only=True)
class OpenAiAddress(Wire, Generic[B]):
    """One address. `subject` is the member that holds the prompt.

    `body` has the members that act; `neutral` is what others may say, and `within` what those inside of the subject may say that a model is
    not given. `read_members` is the auditor's reader; `check` refuses what else this wire does not take. `whole` and `events` write
    the answer; what `whole` gives as bytes is of the `content_type`.
    """

    task: Task[Any, Any]
    reader: str
    subject: str
    body: type[B]
    neutral: Mapping[str, Neutral]
    within: Mapping[str, Neutral] = field(default_factory=dict)
    read_members: Callable[[Mapping[str, Value]], Reading]
    check: Callable[[Asked], None] = lambda _: None
    whole: Callable[[B, Recorded, Proof], Struct | bytes]
    events: Callable[[B, Ticket], Events] | None = None
    content_type: Callable[[B], bytes] = lambda _: JSON

    def members(self, _headers: Headers, body: bytes) -> dict[str, Any]:
        """The members of a body. Raises: BadRequest, RequestError."""
        return read_object(body)

    def read(self, _path: str, headers: Headers, body: bytes) -> Question:
        try:
            return self.question(self.members(headers, body))
        except RequestError as error:
            raise self.refused_by(error) from error

    def question(self, members: dict[str, Any]) -> Question:
        """What a body asks whose members are these. Raises: BadRequest, RequestError."""
        for name, value in members.items():
            if name not in self.body.__struct_fields__:
                _check_neutral(quoted(name), value, self.neutral.get(name))
        asked = converted(members, self.body)
        question = Asked.of(self.task, asked.model, self.read_members(checked_object(members)))
        self.check(question)
        return Question(
            asked=question,
            reader=self.reader,
            whole=lambda recorded, proof: _written(self.whole(asked, recorded, proof)),
            events=partial(self.events, asked) if self.events is not None and asked.streams else None,
            content_type=self.content_type(asked),
        )

    def error(self, answer: ErrorAnswer, tallystick: bytes | None) -> tuple[int, bytes]:
        """The errors of a prompt name the member that holds it."""
        return native_error(replace(answer, param=self.subject) if answer.code in OF_THE_PROMPT else answer, tallystick)

    def refused_by(self, error: RequestError) -> BadRequest:
        """What a reader refuses, as an answer has it."""
        where, member = quoted(error.param), _MEMBER_WITHIN.match(error.param)
        if member and error.reason == ACTS:
            return refusal(where, self.within.get(member["name"]))
        return BadRequest(
            f"Invalid value for '{where or 'body'}': it {error.reason}.", param=where or None, code="invalid_value"
        )


def _written(answer: Struct | bytes) -> bytes:
    return answer if isinstance(answer, bytes) else encode_json(answer)


def refusal(param: str, neutral: Neutral | None) -> BadRequest:
    """Why a member is not taken whose value may change the answer; `neutral` is what it may say, None for a name that is not known."""
    if neutral is None:
        return BadRequest(f"Unknown parameter: '{param}'.", param=param, code="unknown_parameter")
    if not (neutral.values or neutral.any_of):
        return BadRequest(
            f"Unsupported parameter: '{param}' is not offered by this server.",
            param=param,
            code="unsupported_parameter",
        )
    taken = [json.dumps(one) for one in (*neutral.values, None)]
    taken[:0] = [_TYPE_NAMES[kind] for kind in neutral.any_of]
    return BadRequest(
        f"Unsupported value: '{param}' is taken only where it changes nothing: {', '.join(taken[:-1])} or {taken[-1]}.",
        param=param,
        code="unsupported_value",
    )


def _check_neutral(param: str, value: object, neutral: Neutral | None) -> None:
    if neutral is None or not neutral.holds(value):  # type: ignore[arg-type]  # JSON values are among a record's
        raise refusal(param, neutral)


def outputs_of(recorded: Recorded) -> tuple[Output, ...]:
    """What the record says was answered."""
    response = recorded.record.response
    return response.outputs if isinstance(response, Response) else ()
