"""Marks of rows: frozen, keyed, and different for different rows."""

from __future__ import annotations

import pytest

from tallystick_platform.store.row_macs import MAC_BYTES, RowMacs, covered, weight_of
from tallystick_platform.store.tables import METADATA

MACS = RowMacs(b"\x11" * 32)
# By hand: HKDF-SHA256 of 32 bytes 0x11, then keyed BLAKE2b over 95 a6"record" 01 a4"text" c405"bytes" c0.
KNOWN = (
    "4c6704bf500ad309d617f26be712371279f6327a6bb25c9259d096808deb3b67"
    "00ce96233f016132ebbe38f6eebf75cf5da6f02e9e33a41e00d393209819dfc7"
)


def test_the_mac_of_a_known_row_never_changes() -> None:
    assert MACS.mark("record", (1, "text", b"bytes", None)).hex() == KNOWN


@pytest.mark.parametrize(
    ("table", "values"),
    [
        ("admission", (1, "text", b"bytes", None)),
        ("record", (2, "text", b"bytes", None)),
        ("record", ("1", "text", b"bytes", None)),
        ("record", (1, b"text", b"bytes", None)),
        ("record", (1, "textbytes", b"", None)),
        ("record", (1, "text", b"bytes")),
        ("record", (1, "text", b"bytes", None, None)),
        ("record", (1, "text", None, b"bytes")),
    ],
)
def test_a_row_that_differs_in_anything_has_another_mac(table: str, values: tuple[object, ...]) -> None:
    found, other = MACS.mark(table, values), MACS.mark("record", (1, "text", b"bytes", None))
    assert found[:MAC_BYTES] != other[:MAC_BYTES]
    assert weight_of(found) != weight_of(other)


def test_another_operator_has_other_macs() -> None:
    assert RowMacs(b"\x12" * 32).mark("record", (1,)) != MACS.mark("record", (1,))


@pytest.mark.parametrize("name", sorted(METADATA.tables.keys() - {"draft", "inventory", "kept_answer"}))
def test_every_column_of_a_table_is_covered(name: str) -> None:
    table = METADATA.tables[name]
    assert set(covered(table)) == {column.name for column in table.columns} - {"mac"}
    assert "mac" in table.columns
