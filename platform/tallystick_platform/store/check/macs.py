"""Each row against its own MAC; and all of them counted, for the inventory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from sqlalchemy import Connection, Select, select

from tallystick_platform.store.check.finding import Finding, Subject
from tallystick_platform.store.row_macs import MAC_BYTES, row_name
from tallystick_platform.store.tables import MARKED

ROWS_AT_ONCE = 256


def check_macs(subject: Subject) -> Iterator[Finding]:
    """Any change of any column by anyone who does not hold the operator's key."""
    for table in MARKED:
        for row in rows_of(subject.connection, select(table)):
            subject.checked.rows[table.name] += 1
            mark = subject.macs.mark_of_row(table, row)
            subject.counted.add(table.name, [mark])
            if row["mac"] != mark[:MAC_BYTES]:
                yield Finding(
                    check="row-mac",
                    table=table.name,
                    row=row_name(table, row),
                    columns=tuple(column.name for column in table.columns),
                    expected="the MAC of these columns",
                    found="another",
                )


def rows_of(connection: Connection, query: Select[Any]) -> Iterator[Mapping[str, Any]]:
    """The rows of a query by column name, a few at a time."""
    result = connection.execution_options(yield_per=ROWS_AT_ONCE).execute(query)
    yield from cast(Iterator[Mapping[str, Any]], iter(result.mappings()))
