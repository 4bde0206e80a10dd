"""MACs over rows: frozen, keyed, and different for different rows."""

from __future__ import annotations

import pytest

from tallystick_platform.store.row_macs import RowMacs, covered
from tallystick_platform.store.tables import METADATA

MACS = RowMacs(b"\x11" * 32)
# By hand: HKDF-SHA256 of 32 bytes 0x11, then HMAC-SHA256 over 95 a6"record" 01 a4"text" c405"bytes" c0.
KNOWN = "d1c258f473d3e427b3d3f1841e85373e1a961461bd2a653c6564ea65182928a4"


def test_the_mac_of_a_known_row_never_changes() -> None:
    assert MACS.of("record", (1, "text", b"bytes", None)).hex() == KNOWN


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
    assert MACS.of(table, values) != MACS.of("record", (1, "text", b"bytes", None))


def test_another_operator_has_other_macs() -> None:
    assert RowMacs(b"\x12" * 32).of("record", (1,)) != MACS.of("record", (1,))


@pytest.mark.parametrize("name", sorted(METADATA.tables.keys() - {"draft"}))
def test_every_column_of_a_table_is_covered(name: str) -> None:
    table = METADATA.tables[name]
    assert set(covered(table)) == {column.name for column in table.columns} - {"mac"}
    assert "mac" in table.columns
