"""The task `completion`: what a request to `POST /v1/completions` asks, the prompt that a model is given, and what an answer says.

The reader `completion/openai/1` takes requests as OpenAI's clients send them: the prompt is text, or the ids of its tokens, or several
of them in a list. A completion has no system instructions: whatever a model is told stands in its prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from tallystick.errors import RequestError
from tallystick.record import Output, Value
from tallystick.tasks import neutral, structure
from tallystick.tasks.answers import Joined, in_order_at, text_at, text_or_none_at, value_of
from tallystick.tasks.reading import DELIVERY, Reading, json_object, placed, stops_in, texts_or_ids

NAME: Final = "completion"
READER: Final = "completion/openai/1"
TARGET: Final = "/v1/completions"


def read(method: str, _target: str, _content_type: str | None, body: bytes) -> Reading:
    """What a completion request asks.

    Raises: RequestError.
    Source: SPEC 7.
    """
    return read_members(json_object(method, body))


def read_members(members: Mapping[str, Value]) -> Reading:
    """What a completion request asks whose body is parsed already.

    Requires: a body that `json_object` or `checked_object` gave.
    Raises: RequestError.
    """
    if not isinstance(members.get("prompt"), str | list):
        raise RequestError("prompt", "is neither text nor a list")
    reading = placed(members, "prompt", (*DELIVERY, "stop"))
    return replace(reading, asked={**reading.asked, **stops_in(members)})


def prompt_of(prompt: Mapping[str, Value]) -> str | tuple[int, ...]:
    """The one prompt that a model is given, as text or as ids of tokens.

    Requires: the prompt of a reading or a record.
    Raises: RequestError for several prompts or none, and for members that may change the answer.
    """
    neutral.require(prompt, neutral.COMPLETION, ("prompt", "logit_bias", *structure.OBJECTS))
    found = texts_or_ids(prompt.get("prompt"), "prompt")
    if len(found) != 1:
        raise RequestError("prompt", f"holds {len(found)} prompts, and one is taken at a time")
    return found[0]


def text_output(text: str, finish_reason: str | None, logprobs: Value = None) -> Output:
    """One choice of a completion, as its record holds it. Source: SPEC 1."""
    return Output(kind="text", content=text, finish_reason=finish_reason, logprobs=logprobs)


def outputs_received(answer: Mapping[str, object]) -> list[Output]:
    """The outputs of an answer that was sent whole.

    Raises: AnswerError.
    """
    return [
        text_output(
            text_at(choice.get("text"), f"choices[{at}].text"),
            text_or_none_at(choice.get("finish_reason"), f"choices[{at}].finish_reason"),
            value_of(choice.get("logprobs")),
        )
        for at, choice in enumerate(in_order_at(answer.get("choices"), "choices"))
    ]


class JoinedCompletion(Joined):
    """One choice of a streamed completion."""

    def take(self, choice: Mapping[str, object]) -> None:
        """Add one piece."""
        super().take(choice)
        self.take_text(text_or_none_at(choice.get("text"), "choices.text"))

    def output(self) -> Output:
        """The choice as the record must hold it."""
        return text_output(self.text() or "", self.finish_reason, self.logprobs)
