"""From the bytes of a JSON-RPC request to the bytes of its answer.

Source: JSON-RPC 2.0. A request that cannot be read gets -32700, one that is no request -32600, and each fault of a batch its
own error object.
"""

from __future__ import annotations

from typing import Final

import msgspec
import structlog

from tallystick.ids import to_hex
from tallystick.strict_json import is_shallow
from tallystick_platform.embedded_chain.errors import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    LIMIT_EXCEEDED,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    ChainStorageFailed,
    Refused,
)
from tallystick_platform.embedded_chain.methods import Method, Methods
from tallystick_platform.embedded_chain.params import Params

MAX_BATCH_REQUESTS: Final = 100
MAX_BATCH_ANSWER_BYTES: Final = 32 << 20
"""The rest of a batch that has answered so much is refused; asked again on its own, each part is answered."""

_log = structlog.get_logger()
_encode = msgspec.json.encode


def result_of(value: object, methods: Methods) -> object:
    """Run the method that a JSON-RPC request names.

    Raises: Refused when it is no request, names no method of this node, or its method refuses.
    """
    if not isinstance(value, dict):
        raise Refused(INVALID_REQUEST, "a request must be an object")
    method = value.get("method")
    if value.get("jsonrpc") != "2.0" or not isinstance(method, str) or not _is_id(value.get("id")):
        raise Refused(INVALID_REQUEST, "a request needs jsonrpc 2.0, a method, and an id that is text or a number")
    found: tuple[int, Method] | None = methods.reading.get(method) or methods.executing.get(method)
    if found is None:
        raise Refused(METHOD_NOT_FOUND, f"the method {method[:64]} does not exist/is not available")
    most, run = found
    return run(Params(value.get("params"), most))


def parse(body: bytes) -> object:
    """Read the JSON of a request or a batch.

    Raises: Refused.
    """
    if not is_shallow(body):
        raise Refused(PARSE_ERROR, "parse error: nested too deep")
    try:
        value: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Refused(PARSE_ERROR, "parse error") from error
    if isinstance(value, list):
        if not value:
            raise Refused(INVALID_REQUEST, "an empty batch")
        if len(value) > MAX_BATCH_REQUESTS:
            raise Refused(INVALID_REQUEST, f"a batch of more than {MAX_BATCH_REQUESTS} requests")
    return value


def executes(value: object, methods: Methods) -> bool:
    """Tell whether answering takes the EVM."""
    requests = value if isinstance(value, list) else [value]
    return any(isinstance(item, dict) and item.get("method") in methods.executing for item in requests)


def answer(value: object, methods: Methods) -> bytes:
    """Answer a parsed request or batch; nothing for notifications."""
    if not isinstance(value, list):
        return answer_one(value, methods)
    parts: list[bytes] = []
    size = 0
    for item in value:
        if size > MAX_BATCH_ANSWER_BYTES:
            refusal = Refused(LIMIT_EXCEEDED, f"the batch's answer is longer than {MAX_BATCH_ANSWER_BYTES} bytes")
            part = write_error(item.get("id") if isinstance(item, dict) else None, refusal)
        else:
            part = answer_one(item, methods)
        if part:
            parts.append(part)
            size += len(part)
    return b"[" + b",".join(parts) + b"]" if parts else b""


def answer_one(value: object, methods: Methods) -> bytes:
    """Answer one parsed request."""
    request_id = value.get("id") if isinstance(value, dict) else None
    if not _is_id(request_id):
        request_id = None
    try:
        result = result_of(value, methods)
    except Refused as refusal:
        is_notification = isinstance(value, dict) and "id" not in value and refusal.rpc_code != INVALID_REQUEST
        return b"" if is_notification else write_error(request_id, refusal)
    except ChainStorageFailed as error:
        return write_error(request_id, Refused(INTERNAL_ERROR, f"the chain's storage failed: {error.reason}"))
    except Exception:  # noqa: BLE001  (a defect of ours: the asker learns that there is one, the log learns what)
        _log.exception("chain.internal_error", method=value.get("method") if isinstance(value, dict) else None)
        return write_error(request_id, Refused(INTERNAL_ERROR, "internal error"))
    if isinstance(value, dict) and "id" not in value:  # a notification
        return b""
    return b'{"jsonrpc":"2.0","id":' + _encode(request_id) + b',"result":' + _encode(result) + b"}"


def write_error(request_id: object, refusal: Refused) -> bytes:
    """Write an error answer."""
    error: dict[str, object] = {"code": refusal.rpc_code, "message": refusal.message}
    if refusal.data is not None:
        error["data"] = to_hex(refusal.data)
    return _encode({"jsonrpc": "2.0", "id": request_id, "error": error})


def _is_id(value: object) -> bool:
    return value is None or (isinstance(value, str | int | float) and not isinstance(value, bool))
