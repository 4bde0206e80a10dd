"""The task `prediction`: what a request to `POST /v1/predict` asks of a classical model, the table that it is given, and what it answers.

The reader `prediction/tallystick/1` takes requests as MLflow's clients send them: `inputs` or `instances`, rows or named columns;
`dataframe_split`, columns and rows; `dataframe_records`, rows that name their columns. A cell is a scalar, or a list where a column holds
vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tallystick.errors import RequestError
from tallystick.record import Output, Value
from tallystick.tasks import neutral
from tallystick.tasks.answers import list_at, value_of
from tallystick.tasks.reading import Reading, json_object, placed, subject_of

NAME: Final = "prediction"
READER: Final = "prediction/tallystick/1"
TARGET: Final = "/v1/predict"
OBJECT: Final = "prediction"
SUBJECTS: Final = ("inputs", "instances", "dataframe_split", "dataframe_records")
MAX_ROWS: Final = 10_000
MAX_CELLS: Final = 65_536
"""Numbers inside of cells count, too: a record holds them all."""
MAX_CELL_DEPTH: Final = 3
_ANSWERED: Final = ("predictions", "probabilities", "classes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of cells. `columns` are their names, None where they are told apart by their places alone."""

    columns: tuple[str, ...] | None
    rows: tuple[tuple[Value, ...], ...]


def read(method: str, _target: str, _content_type: str | None, body: bytes) -> Reading:
    """What a prediction request asks.

    Raises: RequestError.
    Source: SPEC 7.
    """
    return read_members(json_object(method, body))


def read_members(members: Mapping[str, Value]) -> Reading:
    """What a prediction request asks whose body is parsed already.

    Requires: a body that `json_object` or `checked_object` gave.
    Raises: RequestError.
    """
    subject = subject_of(members, SUBJECTS)
    if not isinstance(members[subject], dict | list):
        raise RequestError(subject, "is neither a list of rows nor an object of columns")
    return placed(members, subject)


def table_of(prompt: Mapping[str, Value]) -> Table:
    """The table that a model is given.

    Requires: the prompt of a reading or a record.
    Raises: RequestError for rows of unequal lengths or names, for more than the bounds, and for members that may change the answer.
    """
    neutral.require(prompt, neutral.PREDICTION, SUBJECTS)
    subject = subject_of(prompt, SUBJECTS)
    given = prompt[subject]
    if subject == "dataframe_split":
        table = _split(given, subject)
    elif isinstance(given, Mapping) and subject in ("inputs", "instances"):
        table = _columns(given, subject)
    elif isinstance(given, list | tuple) and given and all(isinstance(row, Mapping) for row in given):
        table = _records(given, subject)
    elif subject != "dataframe_records":
        table = Table(columns=None, rows=_rows(given, subject))
    else:
        raise RequestError(subject, "is no list of objects")
    _check(table, subject)
    return table


def predicted(answer: Mapping[str, Value]) -> Output:
    """What a model predicts, as its record holds it: `predictions`, one for each row, and with `classes` the `probabilities` of each.

    Source: SPEC 7.
    """
    return Output(kind="document", content={name: answer[name] for name in _ANSWERED if answer.get(name) is not None})


def outputs_received(answer: Mapping[str, object]) -> list[Output]:
    """The outputs of an answer.

    Raises: AnswerError.
    """
    return [predicted({name: value_of(list_at(answer.get(name), name) or None) for name in _ANSWERED})]


def _split(given: Value, where: str) -> Table:
    members = given if isinstance(given, Mapping) else {}
    names, unknown = members.get("columns"), members.keys() - {"columns", "data", "index"}
    if "data" not in members or unknown:
        raise RequestError(where, "is no object of 'columns', 'index' and 'data' alone")
    if names is None:
        return Table(columns=None, rows=_rows(members["data"], where))
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise RequestError(where, "has columns that are no list of names")
    return Table(columns=tuple(map(str, names)), rows=_rows(members["data"], where))


def _columns(given: Mapping[str, Value], where: str) -> Table:
    columns = [column for column in given.values() if isinstance(column, list | tuple)]
    if len(columns) != len(given) or len({len(column) for column in columns}) != 1:
        raise RequestError(where, "has columns that are no lists of one length")
    return Table(columns=tuple(given), rows=tuple(zip(*columns, strict=True)))


def _records(given: Sequence[Value], where: str) -> Table:
    records = [row for row in given if isinstance(row, Mapping)]
    names = tuple(records[0])
    if any(row.keys() != set(names) for row in records):
        raise RequestError(where, "has rows that do not name the same columns")
    return Table(columns=names, rows=tuple(tuple(row[name] for name in names) for row in records))


def _rows(given: Value, where: str) -> tuple[tuple[Value, ...], ...]:
    if not isinstance(given, list | tuple) or not given:
        raise RequestError(where, "is no list of rows")
    return tuple(tuple(row) if isinstance(row, list | tuple) else (row,) for row in given)


def _check(table: Table, where: str) -> None:
    columns = table.columns
    width = len(table.rows[0]) if columns is None and table.rows else len(columns or ())
    if not 1 <= len(table.rows) <= MAX_ROWS:
        raise RequestError(where, f"has {len(table.rows)} rows; 1 to {MAX_ROWS} are taken")
    if not width or any(len(row) != width for row in table.rows):
        raise RequestError(where, "has rows that are empty, or of unequal lengths")
    if columns is not None and len(set(columns)) != len(columns):
        raise RequestError(where, "names a column twice")
    cells = sum(_size(cell, where, MAX_CELL_DEPTH) for row in table.rows for cell in row)
    if cells > MAX_CELLS:
        raise RequestError(where, f"holds {cells} values; at most {MAX_CELLS} are taken")


def _size(cell: Value, where: str, depth: int) -> int:
    if isinstance(cell, Mapping) or (isinstance(cell, list | tuple) and not depth):
        raise RequestError(where, "has a cell that is neither a scalar nor a list of them")
    return sum(_size(one, where, depth - 1) for one in cell) if isinstance(cell, list | tuple) else 1
