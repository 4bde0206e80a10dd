"""Requests for jobs: a command line is JSON or a literal, and nothing of it is ever evaluated."""

import json

import pytest

from tallystick.errors import RequestError
from tallystick.tasks.jobs import MAX_COMMAND_BYTES, MAX_PROMPTS, command_inputs, read_batch, read_job, read_remote


@pytest.mark.parametrize(
    ("text", "prompts"),
    [
        ("{'input': ['When does 1+1=10?'] }", ["When does 1+1=10?"]),
        ('{"inputs":["How can 1+1=10?"]}', ["How can 1+1=10?"]),
        ("{'inputs': 'one'}", ["one"]),
        ("{ 'input' : [ 'a' , \"it's\" , ] , }", ["a", "it's"]),
        (r"{'input': ['a\'b\n\x41\u00e9\U0001f600\\']}", ["a'b\nA\u00e9\U0001f600\\"]),
        (str({"input": ["two\nlines", 'it\'s "so"']}), ["two\nlines", 'it\'s "so"']),
    ],
)
def test_prompts_are_read_out_of_either_form(text, prompts):
    assert command_inputs(text) == prompts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "{'input': []}",
        "{'input': ['']}",
        "{'input': [1]}",
        "{'other': ['a']}",
        "{'input': ['a'], 'inputs': ['b']}",
        "{'input': ['a'",
        "{'input': ['a']} x",
        "{'input': ['a' 'b']}",
        "{'input': [open('x')]}",
        "{'input': [f'{x}']}",
        r"{'input': ['\ud800']}",
        r"{'input': ['\q']}",
        "{'input': " + "[" * 100_000,
        '{"input": ' + "[" * 100_000,
        json.dumps({"input": ["x"] * (MAX_PROMPTS + 1)}),
        str({"input": ["x"] * (MAX_PROMPTS + 1)}),
        "{'input': ['" + "x" * MAX_COMMAND_BYTES + "']}",
        '{"input": ["\ud800"]}',
    ],
)
def test_anything_else_is_refused_by_its_name(text):
    with pytest.raises(RequestError) as caught:
        command_inputs(text)
    assert caught.value.param == "commandLine"


def test_what_took_a_job_says_its_prompts_its_model_and_its_time():
    body = {"app": "x", "commandLine": "{'input': ['a']}", "tag": "m", "hours": 2}
    reading = read_remote("POST", "/remotejobs/v2/jobs", None, json.dumps(body).encode())
    assert (reading.prompt, reading.model) == ({"inputs": ["a"]}, "m")
    assert reading.asked == {"app": "x", "tag": "m", "hours": 2}
    reading = read_job("POST", "/v1/jobs", None, b'{"inputs":["a"],"models":["m","n"]}')
    assert (reading.prompt, reading.asked) == ({"inputs": ["a"]}, {"models": ["m", "n"]})
    reading = read_batch("POST", "/v1/batches", None, b'{"input_file_id":"f","endpoint":"/x","metadata":{"a":"b"}}')
    assert (reading.prompt, reading.asked) == ({"metadata": {"a": "b"}}, {"input_file_id": "f", "endpoint": "/x"})
