"""Logging on standard error, without anything that a request or its answer said: a JSON object a line, or lines for a person at a terminal.

Events are named `area.what_happened`; what varies goes into fields.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import Processor

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
PRIVATE_FIELDS = frozenset(
    {
        "prompt",
        "messages",
        "message_content",
        "instructions",
        "system",
        "response",
        "text",
        "delta",
        "content",
        "body",
        "token",
        "authorization",
        "secret",
        "record_secret",
        "private_key",
    }
)
REDACTED = "[redacted]"
FORM_VARIABLE = "TALLYSTICK_LOG_FORMAT"


class LossyStream:
    """A stream that loses what cannot be written: a full disk or a reader that left must not end what was to be logged."""

    __slots__ = ("__weakref__", "_stream")

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write as much as there is room for; says how much was given."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand on what was written, if that can be."""
        with suppress(OSError):
            self._stream.flush()


def configure_logs(level: str, stream: TextIO | None = None, *, form: str | None = None) -> None:
    """Set up logging for the process. The stream defaults to standard error; what it does not take is lost.

    `form` is json, text, or auto: text where the stream is a terminal. None asks the environment, for processes without settings.
    """
    stream = sys.stderr if stream is None else stream
    form = os.environ.get(FORM_VARIABLE, "auto") if form is None else form
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            redact,
            *(_for_people(stream) if form == "text" or (form == "auto" and stream.isatty()) else _FOR_PROGRAMS),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, LossyStream(stream))),
        cache_logger_on_first_use=True,
    )


# Tracebacks go without their local variables: they would hold prompts, answers and keys.
_FOR_PROGRAMS: tuple[Processor, ...] = (
    structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
    structlog.processors.JSONRenderer(),
)


def _for_people(stream: TextIO) -> tuple[Processor, ...]:
    coloured = takes_more_than_lines(stream)
    return (structlog.dev.ConsoleRenderer(colors=coloured, exception_formatter=structlog.dev.plain_traceback),)


def takes_more_than_lines(stream: TextIO) -> bool:
    """Whether a person reads it at a terminal that takes colours and movements, and wants them."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blank out fields that could hold what a request or answer said, or a secret."""
    for name in PRIVATE_FIELDS & event.keys():
        event[name] = REDACTED
    return event
