import json

import pytest

from tallystick.chain.depth import MAX_JSON_DEPTH, is_shallow


def test_a_document_at_the_bound_is_shallow_and_one_beyond_is_not():
    assert is_shallow(b"[" * MAX_JSON_DEPTH + b"]" * MAX_JSON_DEPTH)
    assert not is_shallow(b"[" * (MAX_JSON_DEPTH + 1))


def test_objects_and_arrays_count_alike():
    assert not is_shallow(b'[{"a":' * 3, max_depth=5)
    assert is_shallow(b'[{"a":' * 3, max_depth=6)


@pytest.mark.parametrize("text", ["[" * 200, '"' + "[" * 200, "\\" + "{" * 200 + '"'])
def test_brackets_inside_strings_do_not_count(text):
    assert is_shallow(json.dumps([text, text]).encode())


def test_many_brackets_side_by_side_are_shallow():
    assert is_shallow(b"[" + b"[],{}," * 1000 + b"[]]")


def test_a_string_that_pretends_to_end_hides_nothing():
    assert not is_shallow(b'["\\"",' + b"[" * 100)
