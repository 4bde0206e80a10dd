"""Text from a record, made safe for a terminal."""

from __future__ import annotations

import re
from typing import Final

# C0 and C1 controls but tab and newline, the marks that reorder text, line separators, the byte order mark, and lone surrogates.
_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Write what could steer a terminal, or show text in another order than it has, as escapes such as \\x1b.

    A record holds what a stranger wrote: shown as it is, an escape sequence in a prompt could paint a verdict of its own.
    """
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
