"""Server-sent events of a chat stream, as bytes.

Everything in an event that does not change from delta to delta is encoded once per stream.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

DONE = b"data: [DONE]\n\n"
_encode = msgspec.json.Encoder().encode


class ChatEvents:
    """Encodes the events of one stream."""

    __slots__ = ("_head", "_tail", "_usage_wanted")

    def __init__(self, *, completion_id: str, created: int, model: str, include_usage: bool) -> None:
        self._head = (
            b'data: {"id":' + _encode(completion_id) + b',"object":"chat.completion.chunk","created":' + _encode(created)
            + b',"model":' + _encode(model) + b',"choices":['
        )  # fmt: skip
        self._usage_wanted = include_usage
        self._tail = (b',"usage":null' if include_usage else b"") + b"}\n\n"

    def role(self) -> bytes:
        """The first event: who speaks."""
        return self._choice(b'{"role":"assistant","content":""}', b"null", b"")

    def text(self, text: str) -> bytes:
        """One delta."""
        return self._choice(b'{"content":' + _encode(text) + b"}", b"null", b"")

    def last(self, *, finish_reason: str, usage: Mapping[str, object], tallystick: bytes) -> bytes:
        """The events after the record was committed: why the answer ended, its proof, and the end of the stream.

        The proof rides on the last event before [DONE]: the usage event where one is wanted, else the finishing one.
        An extra event without choices would break clients that read `choices[0]` of every event.
        """
        proof = b',"tallystick":' + tallystick
        if not self._usage_wanted:
            return self._choice(b"{}", _encode(finish_reason), proof) + DONE
        return (
            self._choice(b"{}", _encode(finish_reason), b"")
            + self._head + b'],"usage":' + _encode(usage) + proof + b"}\n\n" + DONE
        )  # fmt: skip

    def _choice(self, delta: bytes, finish_reason: bytes, extra: bytes) -> bytes:
        return (
            self._head + b'{"index":0,"delta":' + delta + b',"logprobs":null,"finish_reason":' + finish_reason + b"}]"
            + extra + self._tail
        )  # fmt: skip


def error_event(error: Mapping[str, object], tallystick: bytes | None) -> bytes:
    """The event that ends a stream which failed; nothing follows it, not even [DONE]."""
    proof = b"" if tallystick is None else b',"tallystick":' + tallystick
    return b'data: {"error":' + _encode(error) + proof + b"}\n\n"
