"""What was computed and delivered of one answer, as it comes."""

from __future__ import annotations

from tallystick.record import Usage
from tallystick_platform.dispatch import Delta, GenerationResult
from tallystick_platform.exchange.records import Outcome


class Tally:
    """Counts one answer. Of a stream each delta is added once the transport took it; else once it was computed."""

    __slots__ = ("_pieces", "_result", "_streamed", "_tokens")

    def __init__(self, *, streamed: bool) -> None:
        self._streamed = streamed
        self._pieces: list[str] = []
        self._tokens = 0
        self._result: GenerationResult | None = None

    @property
    def text(self) -> str:
        """Everything added so far."""
        return "".join(self._pieces)

    @property
    def whole(self) -> bool:
        """Whether the answer came to its own end."""
        return self._result is not None

    def add(self, delta: Delta) -> None:
        """One more delta."""
        self._pieces.append(delta.text)
        self._tokens += delta.tokens

    def finish(self, result: GenerationResult) -> None:
        """The answer is whole."""
        self._result = result

    def outcome(self, failure: BaseException | None, now_us: int) -> Outcome:
        """What the record says of it. Of an answer that is sent whole, nothing was delivered unless all of it will be."""
        result = self._result
        released = failure is None or (self._streamed and bool(self._pieces))
        return Outcome(
            failure=failure,
            delivered=self.text if released else None,
            finish_reason=None if result is None or failure is not None else result.finish_reason,
            usage=None
            if result is None
            else Usage(input_tokens=result.input_tokens, output_tokens=result.output_tokens),
            device_time_us=0 if result is None else result.device_time_us,
            started_at=None if result is None else result.started_at_us,
            finished_at=now_us,
        )
