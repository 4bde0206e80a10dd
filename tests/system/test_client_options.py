"""Options that real clients send by default, through the `openai` package, to a whole service: answered, recorded, and proven as asked."""

from __future__ import annotations

import json
from collections.abc import Iterator

import openai
import pytest

from tests.support.service import Service

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("system")]

HI = [{"role": "user", "content": "Name one colour.", "name": "ann"}]
NEUTRAL: dict[str, object] = {
    "presence_penalty": 0,
    "frequency_penalty": 0.0,
    "logprobs": False,
    "top_logprobs": None,
    "logit_bias": {},
    "n": 1,
    "response_format": {"type": "text"},
    "tools": [],
    "tool_choice": "none",
    "parallel_tool_calls": True,
    "store": False,
    "metadata": {"run": "1"},
    "service_tier": "auto",
    "user": "ann",
    "top_p": 0,
    "extra_body": {"top_k": -1, "repetition_penalty": 1.0, "min_p": 0},
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = Service(home=tmp_path_factory.mktemp("home")).start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def client(service: Service) -> openai.OpenAI:
    return openai.OpenAI(base_url=service.base_url + "/v1", api_key=service.client_file["token"], max_retries=0)


def test_a_whole_answer_comes_with_every_option_that_changes_nothing(service: Service, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=service.model, messages=HI, **NEUTRAL)
    assert answer.choices[0].message.content


def test_a_stream_comes_with_every_option_that_changes_nothing(service: Service, client: openai.OpenAI) -> None:
    options = {"include_usage": True, "include_obfuscation": False}
    stream = client.chat.completions.create(
        model=service.model, messages=HI, stream=True, stream_options=options, **NEUTRAL
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert chunks[-1].usage.completion_tokens > 0


def test_an_answer_goes_back_as_history_with_all_its_members(service: Service, client: openai.OpenAI) -> None:
    first = client.chat.completions.create(model=service.model, messages=HI)
    said = first.choices[0].message.model_dump() | {"tool_calls": [], "annotations": []}
    assert {"refusal", "audio", "function_call"} <= said.keys()
    silent = {"role": "assistant", "content": None}
    again = client.chat.completions.create(model=service.model, messages=[*HI, said, silent, *HI])
    assert again.choices[0].message.content


def test_several_answers_come_with_their_tokens(service: Service, client: openai.OpenAI) -> None:
    options = {"n": 3, "logprobs": True, "frequency_penalty": 0.5, "max_tokens": 4}
    answer = client.chat.completions.create(model=service.model, messages=HI, **options)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    for choice in answer.choices:
        assert "".join(entry.token for entry in choice.logprobs.content) == choice.message.content


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"reasoning_effort": "high"}, "reasoning_effort"),
        ({"prediction": {"type": "content", "content": "Red."}}, "prediction"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"extra_body": {"temprature": 1}}, "temprature"),
    ],
)
def test_what_would_change_the_answer_is_refused_by_name(
    service: Service, client: openai.OpenAI, given: dict, param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=service.model, messages=HI, **given)
    assert caught.value.param == param


def test_a_text_goes_on_whole_and_as_a_stream(service: Service, client: openai.OpenAI) -> None:
    whole = client.completions.create(model=service.model, prompt="Once", max_tokens=3, temperature=0)
    assert (whole.choices[0].finish_reason, whole.usage.completion_tokens) == ("length", 3)
    stream = client.completions.create(model=service.model, prompt="Once", max_tokens=3, temperature=0, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == whole.choices[0].text


def test_vectors_are_the_same_in_either_form(service: Service, client: openai.OpenAI) -> None:
    texts = ["one", "two", "one"]
    packed = client.embeddings.create(model=service.model, input=texts)
    numbers = client.embeddings.create(model=service.model, input=texts, encoding_format="float")
    found = [one.embedding for one in packed.data]
    assert found == [one.embedding for one in numbers.data]
    assert found[0] == found[2] != found[1]
    short = client.embeddings.create(model=service.model, input="one", dimensions=3)
    assert len(short.data[0].embedding) == 3
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model=service.model, input="one", dimensions=len(found[0]) + 1)
    assert caught.value.param == "dimensions"


def test_the_log_says_what_was_asked(service: Service, client: openai.OpenAI) -> None:
    client.chat.completions.create(model=service.model, messages=HI, **NEUTRAL)
    client.completions.create(model=service.model, prompt="Once", max_tokens=3)
    client.embeddings.create(model=service.model, input=["one", "two"], dimensions=3)
    service.wait_anchored()
    verified = service.verify()
    assert verified.returncode == 0, verified.stdout + verified.stderr
    by_name = {check["name"]: check["status"] for check in json.loads(verified.stdout)["checks"]}
    assert by_name["request-binding"] == "pass"
