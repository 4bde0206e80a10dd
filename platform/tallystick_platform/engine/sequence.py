"""One request inside the audit engine, from its tokens to its last event."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tallystick_platform.engine.forward import Cache
from tallystick_platform.engine.sampler import Sampler
from tallystick_platform.engine.stops import StopScanner
from tallystick_platform.engine.text import TextStream
from tallystick_platform.protocol import Call, Finished, FinishReason, Piece, StepEvent


@dataclass(slots=True)
class Sequence:
    """A waiting request has no tokens, cache or sampler yet.

    Units: device time nanoseconds, `capacity` tokens.
    """

    call: Call
    request_id: bytes
    prompt: list[int]
    prompt_size: int = 0
    prefilled: int = 0
    capacity: int = 0
    max_tokens: int = 0
    cache: Cache | None = None
    sampler: Sampler | None = None
    stream: TextStream | None = None
    stops: StopScanner | None = None
    last_token: int = -1
    output_tokens: int = 0
    device_time_ns: int = 0

    def accept(self, token: int, end_tokens: frozenset[int], events: list[StepEvent]) -> bool:
        """Take the next token and say what it changes; true once the request has ended.

        Requires: the sequence is prepared.
        """
        if self.stream is None or self.stops is None or self.cache is None:
            raise RuntimeError("a token for a sequence that was never prepared")
        self.last_token = token
        self.output_tokens += 1
        reason: FinishReason | None = None
        if token in end_tokens:
            reason, text = "stop", self.stops.push(self.stream.flush())
        else:
            text = self.stops.push(self.stream.push(token))
            full = self.prompt_size + self.output_tokens > self.cache.capacity
            if self.stops.stopped:
                reason = "stop"
            elif self.output_tokens >= self.max_tokens or full:
                reason = "length"
                text += self.stops.push(self.stream.flush())
        if reason is not None:
            text += self.stops.flush()
        if text:
            events.append(Piece(self.request_id, text, self.usage, self.device_time_us))
        if reason is not None:
            events.append(self.finished(reason))
        return reason is not None

    @property
    def device_time_us(self) -> int:
        """Whole microseconds of engine time so far."""
        return self.device_time_ns // 1000

    @property
    def usage(self) -> dict[str, int]:
        """The tokens so far, as records count them."""
        return {"input_tokens": self.prompt_size, "output_tokens": self.output_tokens}

    def finished(self, reason: FinishReason) -> Finished:
        """The last event."""
        return Finished(self.request_id, reason, self.usage, self.device_time_us)

    def draw(self, logits: Tensor) -> int:
        """The next token. Requires: the sequence is prepared."""
        if self.sampler is None:
            raise RuntimeError("a draw for a sequence that was never prepared")
        return self.sampler.draw(logits)
