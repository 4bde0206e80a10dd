"""What a request for predictions asks, the table that a model is given, and what its answers say."""

from __future__ import annotations

import json

import pytest

from tallystick.errors import RequestError
from tallystick.record import Output
from tallystick.tasks import read, received_answer
from tallystick.tasks.prediction import MAX_CELLS, MAX_ROWS, READER, TARGET, Table, table_of


def asked(**members: object):
    return read(READER, "POST", TARGET, "application/json", json.dumps({"model": "m", **members}).encode())


NAMED = Table(columns=("a", "b"), rows=((1, "x"), (2, "y")))


@pytest.mark.parametrize(
    ("members", "table"),
    [
        ({"inputs": [[1, 2], [3, 4]]}, Table(columns=None, rows=((1, 2), (3, 4)))),
        ({"inputs": [1, 2]}, Table(columns=None, rows=((1,), (2,)))),
        ({"instances": [[1, None]]}, Table(columns=None, rows=((1, None),))),
        ({"inputs": {"a": [1, 2], "b": ["x", "y"]}}, NAMED),
        ({"instances": [{"a": 1, "b": "x"}, {"b": "y", "a": 2}]}, NAMED),
        ({"dataframe_records": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]}, NAMED),
        ({"dataframe_split": {"columns": ["a", "b"], "index": [0, 1], "data": [[1, "x"], [2, "y"]]}}, NAMED),
        ({"dataframe_split": {"data": [[1, 2]]}}, Table(columns=None, rows=((1, 2),))),
        ({"inputs": {"v": [[1, 2], [3, 4]]}}, Table(columns=("v",), rows=(([1, 2],), ([3, 4],)))),
    ],
)
def test_every_form_of_a_table_is_the_table_that_it_stands_for(members: dict[str, object], table: Table):
    assert table_of(asked(**members).prompt) == table


def test_what_was_asked_stands_in_its_place():
    reading = asked(inputs=[[1]], probabilities=True, user="u")
    assert (reading.prompt, reading.model) == ({"inputs": [[1]]}, "m")
    assert reading.asked == {"probabilities": True, "user": "u"}


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({}, "inputs"),
        ({"inputs": [[1]], "instances": [[1]]}, "instances"),
        ({"inputs": "text"}, "inputs"),
        ({"dataframe_records": "text"}, "dataframe_records"),
    ],
)
def test_a_request_without_one_table_is_refused(members: dict[str, object], param: str):
    with pytest.raises(RequestError) as refused:
        asked(**members)
    assert refused.value.param == param


@pytest.mark.parametrize(
    "members",
    [
        {"inputs": []},
        {"inputs": {}},
        {"inputs": [[]]},
        {"inputs": [[1], [1, 2]]},
        {"inputs": {"a": [1], "b": [1, 2]}},
        {"inputs": {"a": 1}},
        {"inputs": [{"a": 1}, {"b": 1}]},
        {"inputs": [{"a": 1}, [1]]},
        {"inputs": [[{"a": 1}]]},
        {"inputs": [[[[[[1]]]]]]},
        {"dataframe_records": [[1]]},
        {"dataframe_split": {"columns": ["a"]}},
        {"dataframe_split": {"columns": "a", "data": [[1]]}},
        {"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}},
        {"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}},
        {"dataframe_split": {"data": [[1]], "dtypes": []}},
        {"inputs": [[1]] * (MAX_ROWS + 1)},
        {"inputs": [[1] * (MAX_CELLS + 1)]},
        {"inputs": [[[1] * (MAX_CELLS + 1)]]},
        {"inputs": [[1]], "params": {"a": 1}},
    ],
    ids=lambda members: json.dumps(members)[:50],
)
def test_what_is_no_table_within_the_bounds_is_refused(members: dict[str, object]):
    with pytest.raises(RequestError):
        table_of(asked(**members).prompt)


def test_the_largest_tables_are_taken():
    assert len(table_of(asked(inputs=[[1]] * MAX_ROWS).prompt).rows) == MAX_ROWS
    assert len(table_of(asked(inputs=[[1] * MAX_CELLS]).prompt).rows[0]) == MAX_CELLS


def test_an_answer_is_one_document():
    given = {"object": "prediction", "model": "m", "predictions": ["a", "b"], "usage": {"rows": 2}}
    assert received_answer(given).outputs == (Output(kind="document", content={"predictions": ["a", "b"]}),)
    more = {"classes": ["a", "b"], "probabilities": [[0.5, 0.5], [0.0, 1.0]]}
    assert received_answer(given | more).outputs[0].content == {"predictions": ["a", "b"], **more}
