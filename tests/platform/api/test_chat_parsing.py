"""Reading a chat request: what is taken, and how what is not taken is named."""

from __future__ import annotations

import json

import pytest

from tallystick.strict_json import MAX_MEMBERS
from tallystick.tasks import read
from tallystick.tasks.chat import turns_of
from tallystick.tasks.neutral import CHAT as PARAMETERS
from tallystick.tasks.neutral import Neutral
from tallystick_platform.api.refusals import BadRequest
from tallystick_platform.api.wire.answering import Question
from tallystick_platform.api.wire.openai import CHAT, texts
from tallystick_platform.api.wire.openai.chat import MAX_MESSAGES, ChatBody

HI = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
NAMES = frozenset(ChatBody.__struct_fields__)


def question(body: bytes) -> Question:
    return CHAT.read(CHAT.routes[0], [], body)


def parse(**given: object) -> Question:
    return question(json.dumps(HI | given).encode())


def turns(read: Question) -> list[dict[str, str]]:
    return list(turns_of(read.asked.reading.prompt))


def refusal(body: bytes | dict) -> BadRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(BadRequest) as caught:
        question(raw)
    return caught.value


def test_the_smallest_request_leaves_everything_else_to_the_server() -> None:
    read = parse()
    assert (read.asked.model, read.asked.reading.asked) == ("m", {})
    assert read.events is None


def test_every_parameter_is_read() -> None:
    read = parse(
        temperature=0,
        top_p=0.5,
        top_k=7,
        max_completion_tokens=9,
        stop=["a", "b"],
        seed=-1,
        n=1,
        user="u",
        stream=True,
        stream_options={"include_usage": True},
    )
    drawn = {"temperature": 0, "top_p": 0.5, "top_k": 7, "max_tokens": 9, "stop": ["a", "b"], "seed": -1}
    assert read.asked.reading.asked == {**drawn, "n": 1, "user": "u"}
    assert read.events is not None


@pytest.mark.parametrize("name", sorted(NAMES - {"model", "messages"}))
def test_null_is_the_same_as_nothing(name: str) -> None:
    assert parse(**{name: None}).asked == parse().asked
    assert parse(**{name: None}).events is None


def test_one_stop_may_be_bare_text() -> None:
    assert parse(stop="x").asked.reading.asked == {"stop": ["x"]}


def test_parts_are_kept_as_sent_and_joined_for_the_model() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    read = parse(messages=[{"role": "user", "content": parts}])
    assert read.asked.reading.prompt == {"messages": [{"role": "user", "content": parts}]}
    assert turns(read) == [{"role": "user", "content": "ab"}]


def test_a_developer_message_is_a_system_message_to_the_model() -> None:
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    read = parse(messages=messages)
    assert read.asked.reading.prompt == {"messages": messages}
    assert read.asked.reading.system == "Be brief."
    assert turns(read)[0]["role"] == "system"


ELSEWHERE = sorted(PARAMETERS.keys() - NAMES)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_null_for_a_known_parameter_that_is_not_offered_is_nothing(name: str) -> None:
    assert parse(**{name: None}).asked == parse().asked


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_known_parameter_that_is_not_offered_is_refused_by_name(name: str) -> None:
    error = refusal(HI | {name: 0.5})
    assert error.param == name
    assert error.code == ("unsupported_value" if PARAMETERS[name] != Neutral() else "unsupported_parameter")


def test_a_refusal_says_what_would_be_taken() -> None:
    assert str(refusal(HI | {"service_tier": "flex"})).endswith('nothing: "auto", "default", "standard_only" or null.')
    assert str(refusal(HI | {"metadata": 1})).endswith("nothing: any object or null.")
    assert str(refusal(HI | {"thinking": {"type": "enabled"}})).endswith('nothing: {"type": "disabled"} or null.')


def test_members_of_messages_that_say_nothing_are_left_out_for_the_model_and_kept_for_the_record() -> None:
    part = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}, "image_url": None}
    messages = [
        {"role": "user", "content": [part], "name": "ann", "tool_calls": None},
        {"role": "assistant", "content": None, "refusal": None, "tool_calls": [], "annotations": [], "audio": None},
        {"role": "assistant", "function_call": None, "reasoning_content": None},
        {"role": "user", "content": "b"},
    ]
    read = parse(messages=messages)
    assert [turn["content"] for turn in turns(read)] == ["a", "", "", "b"]
    assert all(turn.keys() == {"role", "content"} for turn in turns(read))
    assert read.asked.reading.prompt == {"messages": messages}


def test_a_stream_option_that_asks_for_nothing_needs_no_stream() -> None:
    assert parse(stream_options={"include_usage": False, "include_obfuscation": False}).events is None


@pytest.mark.parametrize("name", ["temprature", "", "Model", "a" * 500])
def test_an_unknown_parameter_is_refused_by_name(name: str) -> None:
    error = refusal(HI | {name: 1})
    assert error.code == "unknown_parameter"
    assert error.param[:64] == name[:64]


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"messages": [{"role": "user", "content": "x", "nick": "b"}]}, "messages[0].nick", "unknown_parameter"),
        ({"messages": [{"role": "user", "content": "x", "a.name": 1}]}, "messages[0].a.name", "unknown_parameter"),
        ({"messages": [{"role": "user", "content": "x", "name": 1}]}, "messages[0].name", "unsupported_value"),
        (
            {"messages": [{"role": "assistant", "content": "x", "refusal": "no"}]},
            "messages[0].refusal",
            "unsupported_parameter",
        ),
        (
            {"messages": [{"role": "assistant", "content": "x", "tool_calls": [{"id": "1"}]}]},
            "messages[0].tool_calls[0].type",
            "missing_required_parameter",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "file": {}}]}]},
            "messages[0].content[0].file",
            "unsupported_parameter",
        ),
        ({"messages": [{"role": "assistant", "content": None}]}, "messages", "empty_prompt"),
        ({"messages": [1]}, "messages[0]", "invalid_type"),
        ({"messages": [{"role": "user", "content": [1]}]}, "messages[0].content[0]", "invalid_type"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id", "missing_required_parameter"),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "invalid_type"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content", "invalid_value"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0].type",
            "invalid_value",
        ),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": "Hi"}, "messages", "invalid_type"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages", "empty_prompt"),
        ({"messages": [{"role": "user", "content": " \n\t"}]}, "messages", "empty_prompt"),
        ({"model": 1}, "model", "invalid_type"),
        ({"model": ""}, "model", "invalid_value"),
        ({"model": "m" * 257}, "model", "invalid_value"),
        ({"temperature": -0.1}, "temperature", "invalid_value"),
        ({"temperature": 2.1}, "temperature", "invalid_value"),
        ({"temperature": "1"}, "temperature", "invalid_type"),
        ({"temperature": True}, "temperature", "invalid_type"),
        ({"top_p": -0.1}, "top_p", "invalid_value"),
        ({"top_p": 1.1}, "top_p", "invalid_value"),
        ({"top_k": -2}, "top_k", "invalid_value"),
        ({"top_k": 1.5}, "top_k", "invalid_type"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"max_completion_tokens": 0}, "max_completion_tokens", "invalid_value"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens", "invalid_value"),
        ({"stop": ["a"] * 5}, "stop", "invalid_value"),
        ({"stop": ""}, "stop", "invalid_value"),
        ({"stop": [""]}, "stop[0]", "invalid_value"),
        ({"stop": "x" * 257}, "stop", "invalid_value"),
        ({"seed": 2**63}, "seed", "invalid_value"),
        ({"seed": 1.5}, "seed", "invalid_type"),
        ({"n": 17}, "n", "invalid_value"),
        ({"n": 0}, "n", "invalid_value"),
        ({"user": "u" * 257}, "user", "invalid_value"),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"stream_options": {"continuous_usage_stats": True}}, "stream_options", "invalid_value"),
        (
            {"stream": True, "stream_options": {"include_obfuscation": True}},
            "stream_options.include_obfuscation",
            "unsupported_value",
        ),
        ({"stream": True, "stream_options": {"x": 1}}, "stream_options.x", "unknown_parameter"),
    ],
)
def test_what_does_not_fit_is_named(given: dict, param: str, code: str) -> None:
    error = refusal(HI | given)
    assert (error.param, error.code) == (param, code)


@pytest.mark.parametrize(
    "given",
    [
        {"temperature": 0},
        {"temperature": 2},
        {"top_p": 1},
        {"top_p": 0},
        {"top_k": 0},
        {"top_k": -1},
        {"max_tokens": 1},
    ],
)
def test_the_bounds_themselves_are_taken(given: dict) -> None:
    parse(**given)


def test_as_many_stops_as_the_bound_are_taken() -> None:
    most = ["a"] * texts.MAX_STOPS
    assert parse(stop=most).asked.reading.asked == {"stop": most}


def test_more_messages_than_the_bound_are_refused() -> None:
    message = {"role": "user", "content": "x"}
    parse(messages=[message] * MAX_MESSAGES)
    assert refusal(HI | {"messages": [message] * (MAX_MESSAGES + 1)}).param == "messages"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"{} {}", "invalid_json"),
        (b"[]", "invalid_type"),
        (b"null", "invalid_type"),
        (b"\xff\xfe{\x00}\x00", "invalid_utf8"),
        (b'{"model": "\xc3"}', "invalid_utf8"),
        (b"\xef\xbb\xbf\xef\xbb\xbf{}", "invalid_json"),
        (b'{"temperature": NaN}', "invalid_json"),
        (b'{"temperature": -Infinity}', "invalid_json"),
        (b'{"seed": ' + b"9" * 5_000 + b"}", "invalid_json"),
        (b"[" * 100_000, "invalid_json"),
        (b'{"model": "m", "model": "m"}', "duplicate_key"),
        (b'{"model": "m", "messages": [{"role": "user", "role": "user"}]}', "duplicate_key"),
        (b'{"model": "m", "messages": [{"role": "user", "content": "\\ud800"}]}', "invalid_json"),
        (b'{"\\ud800": 1, "\\ud800": 1}', "duplicate_key"),
    ],
)
def test_what_cannot_be_read_in_one_way_only_is_refused(body: bytes, code: str) -> None:
    error = refusal(body)
    assert error.code == code
    str(error).encode()


def test_an_object_of_too_many_keys_is_refused() -> None:
    members = b",".join(b'"%d":1' % number for number in range(MAX_MEMBERS + 1))
    assert refusal(b"{" + members + b"}").code == "invalid_json"


def test_what_the_record_will_hold_is_what_the_auditors_reader_gives() -> None:
    body = json.dumps(
        HI
        | {"temperature": 1, "max_completion_tokens": 9, "stop": "x", "seed": -1, "user": "u", "stream": True, "n": 1}
    ).encode()
    reading = question(body).asked.reading
    assert reading == read("chat/openai/1", "POST", "/v1/chat/completions", "application/json", body)
    assert reading.asked == {"temperature": 1, "max_tokens": 9, "stop": ["x"], "seed": -1, "user": "u", "n": 1}
    assert reading.model == "m"


def test_what_no_record_can_hold_is_refused_by_name() -> None:
    error = refusal(b'{"model":"m","messages":[{"role":"user","content":"x"}],"seed":' + b"9" * 30 + b"}")
    assert (error.param, error.code) == ("seed", "invalid_value")
