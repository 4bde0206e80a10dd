"""Logging: one JSON object a line on standard error, without anything that a request or its answer said.

Events are named `area.what_happened`; what varies goes into fields.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog
from structlog.tracebacks import ExceptionDictTransformer

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


def configure_logs(level: str, stream: TextIO | None = None) -> None:
    """Set up logging for the process. The stream defaults to standard error; what it does not take is lost."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # A traceback without its local variables: they would hold prompts, answers and keys.
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            redact,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, LossyStream(stream or sys.stderr))),
        cache_logger_on_first_use=True,
    )


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blank out fields that could hold what a request or answer said, or a secret."""
    for name in PRIVATE_FIELDS & event.keys():
        event[name] = REDACTED
    return event
