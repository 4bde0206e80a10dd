"""What stops a job of several requests, or a file of them."""

from __future__ import annotations

from tallystick_platform.errors import Overloaded, PlatformError
from tallystick_platform.exchange.faults import WorkFailed


class UnknownJob(PlatformError, status=404, code="job_not_found"):
    """There is no such job that the caller may see."""

    def __init__(self) -> None:
        super().__init__("there is no such job of yours")


class JobBusy(PlatformError, status=409, code="job_busy"):
    """The job cannot be changed at this moment: it is just being recorded."""

    retry_after_s = 1

    def __init__(self) -> None:
        super().__init__("the job is being recorded at this moment; try again in a second")


class JobQueueFull(Overloaded):
    """As many jobs wait as may."""


class NoLineAnswered(WorkFailed):
    """A job came to its end, and none of its requests was answered."""

    def __init__(self, *, lines: int) -> None:
        super().__init__(code="no_line_answered", message=f"none of the {lines} requests of the job was answered")


class LineGivenUp(WorkFailed):
    """A request of a job that was begun again and again, each time by a server or a worker that ended before it did."""

    def __init__(self, *, attempts: int) -> None:
        super().__init__(
            code="interrupted", message=f"{attempts} attempts at this request were cut off; it is given up"
        )


class LineNotOpened(WorkFailed):
    """A request of a job was answered and recorded, and the answer was lost with the process; the key of its record is forgotten."""

    def __init__(self) -> None:
        super().__init__(
            code="answer_lost", message="the server ended after it had recorded the answer; its record has it"
        )


class UnknownKeptFile(PlatformError, status=404, code="file_not_found"):
    """There is no such file that the caller may see."""

    def __init__(self) -> None:
        super().__init__("there is no such file of yours")


class TooManyFiles(PlatformError, status=409, code="too_many_files"):
    """A sender keeps as much as may be kept."""

    def __init__(self, *, bound: str, limit: int) -> None:
        super().__init__(f"at most {limit} {bound} of one sender are kept; delete some first")


class BadBatch(PlatformError, status=400, code="invalid_batch"):
    """A file that is no batch of requests. `line` counts from 1; 0 is the file as a whole."""

    def __init__(self, *, line: int, reason: str) -> None:
        super().__init__(f"line {line} of the file {reason}" if line else f"the file {reason}")
        self.param = "input_file_id"
