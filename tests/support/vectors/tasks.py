"""Vectors of completions, embeddings, files of models, `texts` and `media`: what readers give, and what answers say (SPEC 7)."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any

from tallystick.record import Output, RecordFault
from tallystick.tasks.completion import text_output
from tallystick.tasks.embedding import vector_output
from tests.support.vectors import addresses, chats, jobs, media, texts
from tests.support.vectors.bindings import (
    FAULT,
    RESPONSE_SALT,
    SALT,
    TYPE,
    answer_vector,
    refused_vector,
    request_vector,
    stream_text,
)

COMPLETION, EMBEDDING, FILES = "completion/openai/1", "embedding/openai/1", "files/tallystick/1"
COMPLETION_TARGET, EMBEDDING_TARGET = "/v1/completions", "/v1/embeddings"
ROUNDED = bytes.fromhex("cdcccc3d 0000803f 000020c0 0000803f 0200803f 00000080".replace(" ", ""))
"""0.1, 1, -2.5, then 1 + 2^-24 and 1 + 3 * 2^-24, of which each lies in the middle of two, and -0."""


def task_vectors() -> dict[str, Any]:
    """Requests with what their readers give, requests that no reader takes, and answers with their hashes."""
    return {
        "request_salt": SALT.hex(),
        "requests": [
            request_vector(*parts)
            for parts in (
                *_requests(),
                *texts.requests(),
                *media.requests(),
                *chats.requests(),
                *addresses.requests(),
                *jobs.requests(),
            )
        ],
        "refused": [
            refused_vector(*parts)
            for parts in (
                *_refused(),
                *texts.refused(),
                *media.refused(),
                *chats.refused(),
                *addresses.refused(),
                *jobs.refused(),
            )
        ],
        "response_salt": RESPONSE_SALT.hex(),
        "answers": [
            answer_vector(*parts)
            for parts in (*_answers(), *texts.answers(), *media.answers(), *chats.answers(), *addresses.answers())
        ],
    }


def _completion(**members: Any) -> tuple[str, str, str, str, bytes]:
    return COMPLETION, "POST", COMPLETION_TARGET, TYPE, json.dumps({"model": "m", **members}).encode()


def _embedding(**members: Any) -> tuple[str, str, str, str, bytes]:
    return EMBEDDING, "POST", EMBEDDING_TARGET, TYPE, json.dumps({"model": "m", **members}).encode()


def _requests() -> Iterator[tuple[Any, ...]]:
    yield "a usual completion", *_completion(prompt="Once upon", max_tokens=16, temperature=0.5)
    yield (
        "a completion with every kind of member",
        *_completion(
            prompt=["Once", "Twice"],
            stop="\n",
            suffix=None,
            best_of=1,
            echo=False,
            logprobs=0,
            max_completion_tokens=3,
            logit_bias={"5": -100},
            stream=True,
            stream_options={"include_usage": True},
            messages=[{"role": "system", "content": "No message."}],
        ),
    )
    yield "a completion of token ids", *_completion(prompt=[1, 2, 3], stop=["a", "b"])
    yield "a completion of two prompts of ids", *_completion(prompt=[[1, 2], [3]])
    yield "a completion of what no model takes", *_completion(prompt=[None, {"a": 1}])
    yield "a completion of nothing, by nobody", COMPLETION, "POST", "/elsewhere", None, b'\xef\xbb\xbf{"prompt":""}'
    yield "a usual embedding", *_embedding(input="A tally stick.")
    yield (
        "an embedding with every kind of member",
        *_embedding(
            input=["A", "B"],
            dimensions=64,
            encoding_format="base64",
            user="ann",
            later=None,
            stop="\n",
            stream=False,
            metadata={"a": 1},
        ),
    )
    yield "an embedding of token ids", *_embedding(input=[[1, 2], [3]])
    yield "an embedding of parts", *_embedding(input=[{"type": "text", "text": "A"}])
    yield "a file of a model", FILES, "GET", "/v1/models/m/files/a%20b/c.json?x=1", None, b""
    yield "a file of a version", FILES, "GET", "/v1/models/ann/m%400123/files/files/files", None, b""
    yield "a file of a model, in a folder of the same name", FILES, "GET", "/v1/models/m/files/files/a", None, b""


def _refused() -> Iterator[tuple[Any, ...]]:
    yield "a completion that is fetched", "method", COMPLETION, "GET", COMPLETION_TARGET, TYPE, b'{"prompt":""}'
    yield "a completion without a prompt", "prompt", *_completion()
    yield "a prompt that is null", "prompt", *_completion(prompt=None)
    yield "a prompt that is an object", "prompt", *_completion(prompt={"text": "A"})
    yield "a prompt that is a number", "prompt", *_completion(prompt=1)
    yield "a completion's model that is a number", "model", *_completion(prompt="A", model=1)
    yield "a completion's stop that is a number", "stop", *_completion(prompt="A", stop=1)
    yield "a completion's stop that holds a list", "stop", *_completion(prompt="A", stop=[["a"]])
    yield "a completion's member that records keep", "blob", *_completion(prompt="A", blob=[[]])
    yield (
        "a completion's member twice",
        "prompt",
        *(COMPLETION, "POST", COMPLETION_TARGET, TYPE, b'{"prompt":"","prompt":""}'),
    )
    yield "an embedding that is put", "method", EMBEDDING, "PUT", EMBEDDING_TARGET, TYPE, b'{"input":""}'
    yield "an embedding without an input", "input", *_embedding(prompt="A")
    yield "an input that is true", "input", *_embedding(input=True)
    yield "an input that is an object", "input", *_embedding(input={})
    yield "an embedding's model that is a list", "model", *_embedding(input="A", model=["m"])
    yield "an embedding's member that records keep", "blob", *_embedding(input="A", blob={})
    yield "an embedding's integer beyond 64 bits", "input", *_embedding(input=[2**63])
    yield "an embedding that is a list", "", EMBEDDING, "POST", EMBEDDING_TARGET, TYPE, b"[]"
    yield "a model's file that is posted", "method", FILES, "POST", "/v1/models/m/files/a", None, b""
    yield "a model's file with a body", "body", FILES, "GET", "/v1/models/m/files/a", None, b"{}"
    yield "no file of a model", "target", FILES, "GET", "/v1/models/m/files", None, b""
    yield "a file of no model", "target", FILES, "GET", "/v1/models/files/a", None, b""
    yield "a file of a model of three parts", "target", FILES, "GET", "/v1/models/a/b/c/files/a", None, b""
    yield "a file of an export", "target", FILES, "GET", "/v1/exports/e/files/a", None, b""


def _answers() -> Iterator[tuple[str, bool, str, RecordFault | None, Sequence[Output]]]:
    def completed(*choices: dict[str, Any]) -> dict[str, Any]:
        return {"object": "text_completion", "choices": list(choices)}

    def choice(text: str, index: int = 0, finish_reason: str | None = None, logprobs: Any = None) -> dict[str, Any]:
        return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": finish_reason}

    said, other = text_output(" a time.", "stop"), text_output("", "length")
    whole = completed(choice("", 1, "length"), choice(" a time.", 0, "stop"))
    yield "a completion", False, json.dumps(completed(choice(" a time.", 0, "stop"))), None, (said,)
    yield "two choices of a completion", False, json.dumps(whole, indent=1), None, (said, other)
    failed = {"error": {"message": FAULT.message, "type": "server_error", "param": None, "code": FAULT.code}}
    yield "a completion that failed", False, json.dumps(failed), FAULT, ()
    pieces = [completed(choice(text)) for text in (" a", " time", ".")]
    end = completed(choice("", 0, "stop"))
    yield "a stream of a completion", True, stream_text([*pieces, end, completed()]), None, (said,)
    yield (
        "a stream of a completion that failed",
        True,
        stream_text([*pieces, failed], done=False),
        FAULT,
        (text_output(" a time.", None),),
    )
    likely = [{"tokens": [text], "token_logprobs": [-0.5], "top_logprobs": None} for text in ("A", "B")]
    streamed = [completed(choice(one["tokens"][0], logprobs=one)) for one in likely]
    joined = {"tokens": ["A", "B"], "token_logprobs": [-0.5, -0.5], "top_logprobs": None}
    yield "a stream with probabilities", True, stream_text([*streamed, end]), None, (text_output("AB", "stop", joined),)

    def embedded(*vectors: Any) -> str:
        data = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)]
        return json.dumps({"object": "list", "data": data[::-1], "model": "m", "usage": {"prompt_tokens": 3}})

    numbers = [0.1, 1, -2.5, 1 + 2**-24, 1 + 3 * 2**-24, -0.0]
    yield "an embedding as numbers", False, embedded(numbers), None, (vector_output(ROUNDED),)
    yield (
        "two embeddings as base64",
        False,
        embedded(b64encode(ROUNDED).decode(), b64encode(ROUNDED[:4]).decode()),
        None,
        (vector_output(ROUNDED), vector_output(ROUNDED[:4])),
    )
