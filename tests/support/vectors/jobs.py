"""Vectors of requests that take several others on (SPEC 7)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.support.vectors.bindings import TYPE

REMOTE, JOB, BATCH = "job/remote/1", "job/tallystick/1", "batch/openai/1"
APP = "gridrepublic:text-inference"


def _remote(command: object, **members: Any) -> tuple[str, str, str, str, bytes]:
    body = {"app": APP, "commandLine": command, "tag": "m", **members}
    return REMOTE, "POST", "/remotejobs/v2/jobs", TYPE, json.dumps(body).encode()


def _job(**members: Any) -> tuple[str, str, str, str, bytes]:
    return JOB, "POST", "/v1/jobs", TYPE, json.dumps(members).encode()


def _batch(**members: Any) -> tuple[str, str, str, str, bytes]:
    return BATCH, "POST", "/v1/batches", TYPE, json.dumps(members).encode()


def requests() -> Iterator[tuple[Any, ...]]:
    """What each is called, and its parts."""
    yield "a usual job", *_remote("{'input': ['When does 1+1=10?'] }", hours=1)
    yield "a job in JSON", *_remote('{"inputs":["a","b"]}', later=None)
    yield "a job of one text", *_remote("{'input': 'a'}")
    yield (
        "a job in both quotes, with every escape",
        *_remote('\t{ "inputs" :\n[\'it\\\'s \\x41\\u00e9\\U0001f600\', "\\"\\\\\\/\\n\\r\\t\\b\\f\'",], }\r\n'),
    )
    yield "prompts for three models", *_job(models=["a", "b", "c"], inputs=["x", "y"], hours=2)
    yield "prompts with a member that is an object", *_job(inputs=["x"], later={"a": 1}, nothing=None)
    yield "prompts of nobody", *_job()
    yield "a usual batch", *_batch(input_file_id="file-1", endpoint="/v1/embeddings", completion_window="24h")
    yield "a batch with metadata", *_batch(input_file_id="file-1", metadata={"a": "b"}, model="m")
    yield "a batch of no file", *_batch(endpoint="/v1/completions")


def refused() -> Iterator[tuple[Any, ...]]:
    """What each is called, the part at fault, and its parts."""
    yield "a job without a model", "tag", *_remote("{'input': 'a'}", tag=None)
    yield "a command line that is an object", "commandLine", *_remote({"input": ["a"]})
    for told, command in (
        ("that is an expression", "{'input': 'a' + 'b'}"),
        ("that calls", "__import__('os')"),
        ("of two names", "{'input': 'a', 'inputs': 'b'}"),
        ("of another name", "{'prompt': 'a'}"),
        ("that is a list", "['a']"),
        ("of no prompts", "{'input': []}"),
        ("of an empty prompt", "{'input': ['a', ' ']}"),
        ("of a number", "{'input': [1]}"),
        ("of lists", '{"input": [["a"]]}'),
        ("with a line feed in a text", "{'input': 'a\nb'}"),
        ("with an escape that is none", "{'input': '\\q'}"),
        ("with an escape of half a letter", "{'input': '\\ud800'}"),
        ("that breaks off", "{'input': ['a'"),
        ("with something behind it", "{'input': 'a'} x"),
        ("of 65 prompts", json.dumps({"input": ["a"] * 65})),
    ):
        yield f"a command line {told}", "commandLine", *_remote(command)
    yield "prompts that are fetched", "method", JOB, "GET", "/v1/jobs", None, b'{"inputs":[]}'
    yield "prompts' member that records keep", "blob", *_job(inputs=[], blob={})
    yield "a batch whose model is a number", "model", *_batch(input_file_id="f", model=1)
