"""What a request asks and what an answer says: pure functions, one for each wire format, shared by the service and its auditors.

The service fills a record's prompt, system instructions and parameters with what `read` gives for the request that it received. An
auditor calls the same function on the request in the record and compares. So a record cannot say that something else was asked.

- `reading`: what a reader gives, and how it takes JSON apart.
- `chat_requests`, `exports`, `downloads`: the readers, each pure and named `task/wire/version`.
- `chat_neutral`: what chat clients send that changes nothing, so that services take it and a replay runs without it.
- `comparison`: where a record and a reading of its request disagree.
- `chat_answers`: the outputs that a client received over the chat wire, as the record must hold them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from tallystick.errors import RequestError
from tallystick.tasks import chat_requests, downloads, exports
from tallystick.tasks.chat_answers import Received, chat_output, is_beginning, received_answer, received_stream
from tallystick.tasks.comparison import Disagreement, disagreements
from tallystick.tasks.reading import Reading

Reader: TypeAlias = Callable[[str, str, "str | None", bytes], Reading]

READERS: Final[Mapping[str, Reader]] = {
    chat_requests.NAME: chat_requests.read,
    exports.NAME: exports.read,
    downloads.NAME: downloads.read,
}


def read(reader: str, method: str, target: str, content_type: str | None, body: bytes) -> Reading:
    """What a request asks, as the named reader reads it.

    Requires: `target` is path and query as received; `body` has its content coding removed.
    Raises: RequestError if there is no such reader, or it cannot read this request.
    Source: SPEC 7.
    """
    function = READERS.get(reader)
    if function is None:
        raise RequestError("reader", f"{reader!a:.80} is unknown to this release, which has {', '.join(READERS)}")
    return function(method, target, content_type, body)


__all__ = [
    "READERS",
    "read",
    "Reader",
    "Reading",
    "Disagreement",
    "disagreements",
    "Received",
    "chat_output",
    "received_answer",
    "received_stream",
    "is_beginning",
]
