"""One request inside the audit engine, from its tokens to its last event, with the answers to it that are computed side by side."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from tallystick_platform.engine.choice import Choice
from tallystick_platform.engine.text import TextStream
from tallystick_platform.protocol import Call, Finished, Piece, StepEvent, TokenEntry


@dataclass(slots=True)
class Sequence:
    """A waiting request has no tokens and choices yet, and until its prompt is computed the first choice alone has a cache.

    Units: device time nanoseconds, `capacity` tokens of one choice.
    """

    call: Call
    request_id: bytes
    prompt: list[int]
    prompt_size: int = 0
    prefilled: int = 0
    capacity: int = 0
    choices: list[Choice] = field(default_factory=list)
    before: Tensor | None = None
    echo: TextStream | None = None
    device_time_ns: int = 0

    @property
    def places(self) -> int:
        """How many answers are computed side by side."""
        return max(1, len(self.choices))

    @property
    def running(self) -> list[Choice]:
        """The answers that go on."""
        return [choice for choice in self.choices if choice.finish_reason is None]

    def echoed(self, start: int, tokens: list[int], logits: Tensor | None, events: list[StepEvent]) -> None:
        """Have a piece of the prompt stand in front of every answer. Shapes: logits [tokens, vocabulary], None where no token is shown."""
        if self.echo is None:
            return
        text = "".join(map(self.echo.push, tokens))
        if start + len(tokens) == self.prompt_size:
            text += self.echo.flush()
        entries = None if logits is None else self._entries(tokens, logits.cpu())
        usage, time_us = self.usage, self.device_time_us
        events.extend(Piece(self.request_id, text, usage, time_us, one.index, entries) for one in self.choices)

    def _entries(self, tokens: list[int], logits: Tensor) -> list[TokenEntry]:
        first = self.choices[0]
        before = [self.before, *logits[:-1]]
        self.before = logits[-1]
        return [first.names.entry(row, token, first.top or 0) for row, token in zip(before, tokens, strict=True)]

    def accept(self, choice: Choice, entry: TokenEntry | None, events: list[StepEvent]) -> bool:
        """Take the token that a choice has drawn and say what it changes; true once the request has ended."""
        text, entries = choice.accept(entry, self.capacity - self.prompt_size - choice.output_tokens + 1)
        if text or entries:
            events.append(Piece(self.request_id, text, self.usage, self.device_time_us, choice.index, entries))
        if choice.finish_reason is None:
            return False
        choice.cache = None
        return self.end(events)

    def end(self, events: list[StepEvent]) -> bool:
        """Whether no answer goes on; the last event says so."""
        if self.running:
            return False
        reasons = tuple(choice.finish_reason for choice in self.choices if choice.finish_reason is not None)
        several = reasons if len(reasons) > 1 else ()
        events.append(Finished(self.request_id, reasons[0], self.usage, self.device_time_us, several))
        return True

    @property
    def device_time_us(self) -> int:
        """Whole microseconds of engine time so far."""
        return self.device_time_ns // 1000

    @property
    def usage(self) -> dict[str, int]:
        """The tokens so far, as records count them: of all answers together."""
        drawn = sum(choice.output_tokens for choice in self.choices)
        return {"input_tokens": self.prompt_size, "output_tokens": drawn}

    def give_up(self) -> None:
        """No answer goes on."""
        for choice in self.choices:
            choice.finish_reason, choice.cache = choice.finish_reason or "cancelled", None

    def cancelled(self) -> Finished:
        """The last event of a request that is given up."""
        return Finished(self.request_id, "cancelled", self.usage, self.device_time_us)
