"""From the bytes of a JSON-RPC answer to its result, within bounds that hold before the parser runs.

A megabyte of `{},` takes thirty megabytes once parsed. So an answer may have only so many bytes, so many values and so much nesting, each
counted on the bytes; what is beyond is refused unread, and a log query is then asked again over fewer blocks.
"""

from __future__ import annotations

import json
from typing import Final

from tallystick.chain.wire import AnswerTooLarge, MalformedAnswer
from tallystick.errors import ChainRejected
from tallystick.strict_json import is_shallow

MAX_ANSWER_BYTES: Final = 8 << 20
"""Room for four MiB of sealed records, in hex: thirty of the largest transactions that nodes pass on."""
MAX_ANSWER_VALUES: Final = 1 << 18
"""Commas, colons and opening brackets: an event has about thirty, so this is eight thousand events, and thirty MB once parsed."""
MAX_ERROR_TEXT: Final = 500
MAX_REVERT_BYTES: Final = 1 << 14

LIMIT_EXCEEDED: Final = -32005
"""EIP-1474's code, which some nodes give for too many questions and others for too many results."""
TOO_MANY_REQUESTS: Final = 429
EXECUTION_REVERTED: Final = 3
_RATE_WORDS: Final = (
    "rate limit",
    "rate-limit",
    "ratelimit",
    "request rate",
    "request limit",
    "request count",
    "too many requests",
    "requests per",
    "per second",
    "/second",
    "/sec",
    "throttl",
    "compute unit",
    "throughput",
)
_SIZE_WORDS: Final = ("result", "range", "block", "size", "large", "bytes", "logs", "response", "query")


def read_answer(body: bytes, request_id: int, method: str, node: str = "answer") -> object:
    """Take the result out of a JSON-RPC answer.

    Raises: ChainRejected for the node's error object, AnswerTooLarge for more values than are read, MalformedAnswer for anything else
    that is not an answer.
    """
    _require_bounded(body, node)
    if not is_shallow(body):
        raise MalformedAnswer(method, "got an answer that nests too deep")
    try:
        text = body.decode("utf-8")
        del body  # the text is as large, and its values are again
        answer = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedAnswer(method, "got an answer that is not JSON") from error
    if not isinstance(answer, dict):
        raise MalformedAnswer(method, "got an answer that is not an object")
    if answer.get("error") is not None:
        raise read_error(answer["error"])
    if "result" not in answer:
        raise MalformedAnswer(method, "got an answer with neither result nor error")
    if answer.get("id") != request_id:
        raise MalformedAnswer(method, "got the answer to another question")
    result: object = answer["result"]
    return result


def read_error(value: object) -> ChainRejected:
    """Make the typed error of a JSON-RPC error object; what is malformed in it reads as absent."""
    error = value if isinstance(value, dict) else {"message": value}
    code, message, data = error.get("code"), error.get("message"), error.get("data")
    if isinstance(data, dict):  # some nodes wrap the revert bytes once more
        data = data.get("data")
    return ChainRejected(
        code if isinstance(code, int) and abs(code) < 1 << 31 else 0,
        message[:MAX_ERROR_TEXT] if isinstance(message, str) else "no reason given",
        _revert_bytes(data),
    )


def is_rate_limit(error: ChainRejected) -> bool:
    """Tell whether a node refused because it was asked too often, so that the same question may be put again later.

    A limit that names neither questions nor results counts as one: if it is not, asking again has cost a few seconds.
    """
    if error.code == EXECUTION_REVERTED:
        return False
    reason = error.message.lower()
    if error.code == TOO_MANY_REQUESTS or any(word in reason for word in _RATE_WORDS):
        return True
    return error.code == LIMIT_EXCEEDED and not any(word in reason for word in _SIZE_WORDS)


def _require_bounded(body: bytes, node: str) -> None:
    values = sum(map(body.count, (b",", b":", b"[", b"{")))
    # In valid JSON the quotation marks follow from the values; what is not valid may hold nothing else.
    if values > MAX_ANSWER_VALUES or body.count(b'"') > 2 * MAX_ANSWER_VALUES:
        raise AnswerTooLarge(node, f"the answer holds more than {MAX_ANSWER_VALUES} values")


def _revert_bytes(data: object) -> bytes:
    if not isinstance(data, str) or not data.startswith("0x") or len(data) > 2 + 2 * MAX_REVERT_BYTES:
        return b""
    try:
        return bytes.fromhex(data[2:])
    except ValueError:
        return b""
