import json

import pytest

from tallystick.chain import answers
from tallystick.chain.answers import (
    MAX_ANSWER_BYTES,
    MAX_ANSWER_VALUES,
    is_rate_limit,
    read_answer,
    read_error,
)
from tallystick.chain.wire import AnswerTooLarge, MalformedAnswer
from tallystick.errors import ChainRejected
from tests.support.memory_peak import MIB, peak_below


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"[]",
        b"null",
        b'{"id":1}',
        b'{"id":2,"result":1}',
        b"[" * 100_000,
        b'{"id":1,"result":' + b"9" * 5000 + b"}",
        b"\xff",
    ],
)
def test_what_is_no_answer_is_malformed(body):
    with pytest.raises(MalformedAnswer):
        read_answer(body, 1, "m")


@pytest.mark.parametrize(
    ("value", "message", "data"),
    [
        ("text", "text", b""),
        ({"code": "x", "message": 5, "data": 5}, "no reason given", b""),
        ({"message": "m" * 1000}, "m" * answers.MAX_ERROR_TEXT, b""),
        ({"message": "m", "data": {"data": "0xaa"}}, "m", b"\xaa"),
        ({"message": "m", "data": "0xzz"}, "m", b""),
        ({"message": "m", "data": "0x" + "00" * (answers.MAX_REVERT_BYTES + 1)}, "m", b""),
    ],
)
def test_what_is_malformed_in_a_refusal_reads_as_absent(value, message, data):
    error = read_error(value)
    assert (error.message, error.data) == (message, data)


def test_an_error_that_is_no_object_and_no_text_has_no_message():
    assert read_error([[1]]).message == "no reason given"


@pytest.mark.parametrize(
    "part",
    [b"{},", b"[],", b'"",', b'""', b"0,", b'{"":0},', b'"a":{},', b'"\\",', b'"\xc3\xa9\xf0\x9f\x98\x80",', b"1.5,"],
)
def test_a_flood_of_values_is_refused_before_it_is_parsed(part):
    body = b'{"id":1,"result":[' + part * (MAX_ANSWER_BYTES // len(part)) + b"0]}"
    with peak_below(64 * MIB), pytest.raises(AnswerTooLarge, match="values"):
        read_answer(body, 1, "m", "a node")


@pytest.mark.parametrize("part", [b"{},", b'"ab",', b'{"a":0},', b"[[]],", b"1.25,", b'"\xf0\x9f\x98\x80",'])
def test_as_many_values_as_are_read_stay_within_memory(part):
    per_part = sum(map(part.count, (b",", b":", b"[", b"{")))
    count = (MAX_ANSWER_VALUES - 5) // per_part
    body = b'{"id":1,"result":[' + part * count + b"0]}"
    with peak_below(64 * MIB):
        assert len(read_answer(body, 1, "m")) == count + 1


def test_the_longest_answer_stays_within_memory():
    body = b'{"id":1,"result":"' + "\N{GRINNING FACE}".encode() * (MAX_ANSWER_BYTES // 4) + b'"}'
    with peak_below(64 * MIB):
        assert len(read_answer(body, 1, "m")) == MAX_ANSWER_BYTES // 4


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_an_answer_in_another_encoding_is_not_read(encoding):
    with pytest.raises(MalformedAnswer):
        read_answer(json.dumps({"id": 1, "result": 1}).encode(encoding), 1, "m")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-32005, "rate limited"),
        (-32005, "Limit exceeded"),
        (-32005, "daily request count exceeded, request rate limited"),
        (-32007, "50/second request limit reached - reduce calls per second"),
        (429, "Your app has exceeded its compute units per second capacity"),
        (-32029, "Too Many Requests"),
    ],
)
def test_being_asked_too_often_is_recognised(code, message):
    assert is_rate_limit(ChainRejected(code, message))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-32005, "query returned more than 10000 results"),
        (-32005, "block range is too wide"),
        (-32005, "query returned more than 8388608 bytes of log data"),
        (-32602, "Log response size exceeded"),
        (-32000, "missing trie node"),
        (3, "execution reverted: too many requests"),
    ],
)
def test_another_refusal_is_not_taken_for_a_rate_limit(code, message):
    assert not is_rate_limit(ChainRejected(code, message))
