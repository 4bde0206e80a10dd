"""`predict`: ask a hosted model from Python, with nothing but the standard library.

    from tallystick import predict
    predict("https://api.example/hosted/mpt-7b-instruct/v1", {"inputs": ["Once upon"], "parameters": {"temperature": 0}})

The answer has `outputs`, and under `tallystick` the proof of its record: saved as JSON, `tallystick verify` checks it.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, Final, Literal, overload
from urllib.parse import urlsplit

from tallystick.errors import PredictError

KEY_VARIABLE: Final = "TALLYSTICK_API_KEY"
MAX_ANSWER_BYTES: Final = 64 * 1_048_576
"""Of an answer that comes whole."""
MAX_EVENT_BYTES: Final = 1_048_576
MAX_ERROR_BYTES: Final = 65_536
DEFAULT_TIMEOUT_S: Final = 120.0
_DATA: Final = b"data: "


@overload
def predict(
    url: str,
    request: Mapping[str, Any],
    *,
    stream: Literal[False] = ...,
    api_key: str | None = ...,
    timeout_s: float = ...,
) -> dict[str, Any]: ...
@overload
def predict(
    url: str, request: Mapping[str, Any], *, stream: Literal[True], api_key: str | None = ..., timeout_s: float = ...
) -> Iterator[str]: ...
def predict(
    url: str,
    request: Mapping[str, Any],
    *,
    stream: bool = False,
    api_key: str | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> dict[str, Any] | Iterator[str]:
    """The answer of the model at `url`, whole, or piece by piece for `stream`. Redirects are not followed.

    `request` has `inputs`, and may have `parameters`. The key comes from TALLYSTICK_API_KEY where none is given. Units: `timeout_s` is
    the longest silence, in seconds.
    Raises: PredictError.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise PredictError(url, 0, "the address must start with http:// or https://")
    token = api_key or os.environ.get(KEY_VARIABLE)
    if not token:
        raise PredictError(url, 0, f"no key: say api_key=, or set {KEY_VARIABLE}")
    connection: http.client.HTTPConnection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout_s, context=context)
    target = parts.path.rstrip("/") + ("/predict_stream" if stream else "/predict")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    response = _asked(connection, url, target, json.dumps(request).encode(), headers)
    if stream:
        return _pieces(connection, url, response)
    with closing(connection):
        body = response.read(MAX_ANSWER_BYTES + 1)
    if len(body) > MAX_ANSWER_BYTES:
        raise PredictError(url, response.status, f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
    return _object(url, response.status, body)


def _asked(
    connection: http.client.HTTPConnection, url: str, target: str, body: bytes, headers: Mapping[str, str]
) -> http.client.HTTPResponse:
    try:
        connection.request("POST", target, body, headers)
        response = connection.getresponse()
        if response.status == 200:
            return response
        said = response.read(MAX_ERROR_BYTES)
    except (OSError, http.client.HTTPException, ValueError) as error:
        connection.close()
        raise PredictError(url, 0, str(error) or type(error).__name__) from error
    connection.close()
    raise PredictError(url, response.status, _message(said))


def _pieces(connection: http.client.HTTPConnection, url: str, response: http.client.HTTPResponse) -> Iterator[str]:
    """The pieces of the first input's text."""
    whole = False
    with closing(connection):
        while not whole:
            try:
                line = response.readline(MAX_EVENT_BYTES)
            except (OSError, http.client.HTTPException) as error:
                raise PredictError(url, 0, str(error) or type(error).__name__) from error
            if not line:
                raise PredictError(url, 0, "the stream broke off before its end")
            if not line.startswith(_DATA):
                continue
            event = _object(url, response.status, line.removeprefix(_DATA))
            if "error" in event:
                raise PredictError(url, response.status, _message(line.removeprefix(_DATA)))
            yield from event.get("outputs", [])[:1]
            whole = "finish_reasons" in event


def _object(url: str, status: int, body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PredictError(url, status, "the answer is no JSON") from error
    if not isinstance(found, dict):
        raise PredictError(url, status, "the answer is no JSON object")
    return found


def _message(body: bytes) -> str:
    """The sentence in an error's body, or the body itself."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, RecursionError, KeyError, TypeError):
        return body.decode("utf-8", "replace")
