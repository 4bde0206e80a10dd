"""`predict`, against a server on a loopback port."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tallystick import predict
from tallystick.errors import PredictError
from tallystick.tasks import received_answer
from tallystick_platform.errors import EngineFailed
from tests.support.api import TOKEN, Api
from tests.support.exchange import MODEL, Script


@contextmanager
def served(api: Api) -> Iterator[str]:
    """The API on a port, in a thread of its own: the client blocks."""
    ready, done, found = threading.Event(), threading.Event(), []

    async def serve() -> None:
        async with api.serving() as url:  # type: ignore[attr-defined]
            found.append(url)
            ready.set()
            while not done.is_set():
                await asyncio.sleep(0.005)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(30)
        yield f"{found[0]}/hosted/{MODEL.id}/v1"
    finally:
        done.set()
        thread.join()


def test_the_answer_is_whole_and_carries_its_proof() -> None:
    with served(api := Api()) as url:
        answer = predict(url, {"inputs": ["Once"], "parameters": {"temperature": 0}}, api_key=TOKEN)
    assert answer["outputs"] == ["Hello world"]
    assert received_answer(answer).outputs == api.journal.only.response.outputs


def test_a_stream_comes_in_pieces() -> None:
    with served(Api()) as url:
        assert list(predict(url, {"inputs": ["Once"]}, stream=True, api_key=TOKEN)) == ["Hello", " world"]


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYSTICK_API_KEY", TOKEN)
    with served(Api()) as url:
        assert predict(url + "/", {"inputs": ["Once"]})["outputs"] == ["Hello world"]


def test_a_refusal_is_told_in_the_server_s_words() -> None:
    with served(Api()) as url, pytest.raises(PredictError, match=r"parameters\.top_k") as refused:
        predict(url, {"inputs": ["Once"], "parameters": {"top_k": 0}}, api_key=TOKEN)
    assert refused.value.status == 400
    with served(Api()) as url, pytest.raises(PredictError) as refused:
        predict(url, {"inputs": ["Once"]}, api_key="tsk_unknown")
    assert refused.value.status == 401


def test_a_stream_that_fails_is_told() -> None:
    with served(Api(Script(error=EngineFailed(reason="no")))) as url:
        pieces = predict(url, {"inputs": ["Once"]}, stream=True, api_key=TOKEN)
        with pytest.raises(PredictError, match="the model failed: no"):
            list(pieces)


@pytest.mark.parametrize("url", ["ftp://x/v1", "x/v1", "http://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(PredictError, match="http://"):
        predict(url, {"inputs": ["Once"]}, api_key=TOKEN)


def test_without_a_key_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TALLYSTICK_API_KEY", raising=False)
    with pytest.raises(PredictError, match="TALLYSTICK_API_KEY"):
        predict("http://127.0.0.1:9/hosted/m/v1", {"inputs": ["Once"]})


def test_nobody_there_is_told() -> None:
    with pytest.raises(PredictError):
        predict("http://127.0.0.1:1/hosted/m/v1", {"inputs": ["Once"]}, api_key=TOKEN)
