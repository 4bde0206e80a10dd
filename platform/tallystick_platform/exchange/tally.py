"""What was computed and delivered of one answer, as it comes."""

from __future__ import annotations

from tallystick.tasks import chat_output
from tallystick_platform.dispatch import Delta, GenerationResult, Progress
from tallystick_platform.exchange.records import Outcome


class Tally:
    """Counts one answer. Of a stream each delta is added once the transport took it; else once it was computed."""

    __slots__ = ("_pieces", "_result", "_streamed")

    def __init__(self, *, streamed: bool) -> None:
        self._streamed = streamed
        self._pieces: list[str] = []
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

    def finish(self, result: GenerationResult) -> None:
        """The answer is whole."""
        self._result = result

    def outcome(self, failure: BaseException | None, progress: Progress | None, now_us: int) -> Outcome:
        """What the record says of it; `progress` is what was used of the device, None when nothing was started.

        Of an answer that is sent whole, nothing was delivered unless all of it will be.
        """
        released = failure is None or (self._streamed and bool(self._pieces))
        computed = progress is not None and progress.started_at_us is not None
        reason = None if self._result is None or failure is not None else self._result.finish_reason
        return Outcome(
            failure=failure,
            outputs=(chat_output(self.text, reason),) if released else None,
            usage={"input_tokens": progress.input_tokens, "output_tokens": progress.output_tokens}
            if progress is not None and computed
            else None,
            device_time_us=0 if progress is None else progress.device_time_us,
            started_at=None if progress is None else progress.started_at_us,
            finished_at=now_us,
        )
