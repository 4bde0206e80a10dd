"""Vectors of the addresses that name their model, and of labels in a nesting of their own (SPEC 7)."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any

from tallystick.record import Output, RecordFault
from tallystick.tasks.completion import text_output
from tallystick.tasks.embedding import vector_output
from tallystick.tasks.media import media_outputs
from tests.support.vectors.bindings import TYPE

HOSTED, PROXY, INFERENCIA = "/hosted/ann/m/v1/predict", "/models/m/proxy/v1", "/inferencia/v1/predict"
FORM = "multipart/form-data; boundary=b"
SOUND = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nsound\r\n--b\r\n'
    b'Content-Disposition: form-data; name="response_format"\r\n\r\n%s\r\n--b--\r\n'
)


def _asked(reader: str, target: str, body: Any) -> tuple[str, str, str, str, bytes]:
    return reader, "POST", target, TYPE, json.dumps(body).encode()


def _proxied(task: str, end: str, body: Any) -> tuple[str, str, str, str, bytes]:
    return _asked(f"{task}/gateway/1", f"{PROXY}/{end}", body)


def _labels(**members: Any) -> tuple[str, str, str, str, bytes]:
    return _asked("classification/inferencia/1", INFERENCIA, {"model_name": "ann:m", **members})


def requests() -> Iterator[tuple[Any, ...]]:
    """Requests that their readers take."""
    yield "a hosted completion", *_asked("completion/hosted/1", HOSTED, {"inputs": ["Once"]})
    parameters = {"temperature": 0, "max_new_tokens": 5, "top_k": None}
    yield (
        "a hosted completion with parameters",
        *_asked("completion/hosted/1", f"{HOSTED}_stream?a=1", {"inputs": ["A", 1], "parameters": parameters}),
    )
    yield "hosted vectors of pairs", *_asked("embedding/hosted/1", HOSTED, {"inputs": [["Find:", "A tally stick."]]})
    yield (
        "labels of texts",
        *_labels(data=[{"text": ["A", "B"], "top_k": 2}, {"text": ["C"], "top_k": 2.0}], later=None),
    )
    yield (
        "a message to the model of an address",
        *_proxied("chat", "chat/completions", {"inputs": "Hi", "do_sample": False}),
    )
    chat = {
        "messages": [{"role": "system", "content": "Be brief."}],
        "model": "M@0123",
        "max_new_tokens": 5,
        "top_p": 1,
    }
    yield "a chat with the model of an address", *_proxied("chat", "chat/completions", chat | {"temperature": None})
    yield (
        "a chat at an address without v1",
        *_asked("chat/gateway/1", "/models/ann/m%400123/proxy/chat/completions", chat | {"model": None}),
    )
    yield "a chat with a template", *_proxied("chat", "chat/completions", chat | {"chat_template": "{{ messages }}"})
    yield (
        "texts classified by the model of an address",
        *_proxied("classification", "predict", {"inputs": ["A"], "top_k": 1}),
    )
    yield "rows for the model of an address", *_proxied("prediction", "predict", [[1, 2.5], [None, 4]])
    yield "speech by the model of an address", *_proxied("speech", "generate-speech", {"prompt": "Hi", "voice": "ann"})
    drawn = {"prompt": "A moon", "num_inference_steps": 20, "high_noise_frac": 8}
    yield "a picture by the model of an address", *_proxied("image", "generate-image", drawn)
    yield "a translation by the model of an address", *_proxied("translation", "translate", {"text": "A"})
    yield "vectors by the model of an address", *_proxied("embedding", "embed", {"inputs": "A"})
    yield "a ranking by the model of an address", *_proxied("rerank", "rerank", {"query": "A", "texts": ["B"]})
    yield (
        "a transcript by the model of an address",
        "transcription/gateway/1",
        "POST",
        f"{PROXY}/transcript",
        FORM,
        SOUND % b"json",
    )


def refused() -> Iterator[tuple[Any, ...]]:
    """Requests that no reader takes, with the place of the fault."""
    yield (
        "a hosted completion at another address",
        "target",
        *_asked("completion/hosted/1", "/v1/predict", {"inputs": []}),
    )
    yield "a hosted completion of a text", "inputs", *_asked("completion/hosted/1", HOSTED, {"inputs": "A"})
    more = {"inputs": ["A"], "parameters": {"do_sample": True}}
    yield (
        "a hosted completion's unknown parameter",
        "parameters.do_sample",
        *_asked("completion/hosted/1", HOSTED, more),
    )
    yield (
        "hosted vectors with parameters",
        "parameters",
        *_asked("embedding/hosted/1", HOSTED, {"inputs": [], "parameters": {}}),
    )
    yield "labels of nothing", "data", *_labels(data=[])
    yield "labels of a text by itself", "data[0].text", *_labels(data=[{"text": "A"}])
    yield "labels with two counts", "data[1].top_k", *_labels(data=[{"text": ["A"], "top_k": 1}, {"text": ["B"]}])
    yield "a chat at the address of translations", "target", *_proxied("chat", "translate", {"inputs": "A"})
    yield "a message beside messages", "inputs", *_proxied("chat", "chat/completions", {"inputs": "A", "messages": []})
    yield (
        "a number of tokens twice",
        "max_new_tokens",
        *_proxied("chat", "chat/completions", {"max_new_tokens": 1, "max_tokens": 1}),
    )
    hot = {"inputs": "A", "do_sample": False, "temperature": 1}
    yield "a drawing that is none", "do_sample", *_proxied("chat", "chat/completions", hot)
    yield (
        "a template that is a list",
        "chat_template",
        *_proxied("chat", "chat/completions", {"inputs": "A", "chat_template": []}),
    )
    yield "a model that is another", "model", *_proxied("classification", "classify", {"inputs": "A", "model": "n"})
    yield "rows in an object", "", *_proxied("prediction", "predict", {"inputs": [[1]]})
    yield (
        "a transcript as captions", "response_format", "transcription/gateway/1", "POST", f"{PROXY}/transcript", FORM,
        SOUND % b"srt",
    )  # fmt: skip


def answers() -> Iterator[tuple[str, bool, str, RecordFault | None, Sequence[Output]]]:
    """Answers that came whole, with their outputs."""
    hosted = {"outputs": ["A", "B"], "finish_reasons": ["stop", None]}
    yield (
        "a hosted completion's answer",
        False,
        json.dumps(hosted),
        None,
        (text_output("A", "stop"), text_output("B", None)),
    )
    vector = vector_output(bytes.fromhex("0000803f000020c0"))
    yield "a hosted vector", False, json.dumps({"outputs": [[1, -2.5]]}), None, (vector,)
    good = Output(kind="labels", content=[{"label": "good", "score": 1.0}])
    labels = [{"label": "good", "score": 1}]
    nested = {"model_name": "m", "model_version": "default", "data": [[labels, labels], [labels]]}
    yield "labels in parts", False, json.dumps(nested), None, (good, good, good)
    yield "labels of one text", False, json.dumps({"classification": labels}), None, (good,)
    yield "labels of a list of texts", False, json.dumps({"classification": [labels, labels]}), None, (good, good)
    one = {"translation": "A", "finish_reason": "length"}
    yield "a translation by itself", False, json.dumps(one), None, (text_output("A", "length"),)
    two = {"translation": ["A", ""], "finish_reason": ["stop", None]}
    yield "a list of translations", False, json.dumps(two), None, (text_output("A", "stop"), text_output("", None))
    item = b64encode(b"any bytes").decode()
    sound = {"audio": item, "sampling_rate": 16_000}
    yield "a sound in base64", False, json.dumps(sound), None, media_outputs("audio/wav", [b"any bytes"])
    yield "a picture in base64", False, json.dumps({"image": item}), None, media_outputs("image/png", [b"any bytes"])
    rows = {"data": [1, "a", [2.5]], "meta": {"input_schema": None, "output_schema": None}}
    yield (
        "predictions with what they are",
        False,
        json.dumps(rows),
        None,
        (Output(kind="document", content={"predictions": [1, "a", [2.5]]}),),
    )
    yield "a transcript by itself", False, json.dumps({"text": "Hi"}), None, (Output(kind="text", content="Hi"),)
