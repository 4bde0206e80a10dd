"""docs/trust-model.md and the tests of its rows name each other."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/trust-model.md").read_text()
ROWS = {
    (kind.strip() or "row", int(number)): line
    for line, kind, number in re.findall(r"^(\| ((?:node|client|thief|stranger) |)(\d+) \|.*)$", PAGE, re.MULTILINE)
}
NAMED = re.findall(r"`(tests/\S+?\.py)::(test_\w+)`", PAGE)


def functions(path):
    """The names of a module's tests."""
    tree = ast.parse(path.read_text())
    return [one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]


def named_by_row():
    """The tests of this folder by the row that is in their name."""
    found = defaultdict(list)
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        for name in functions(path):
            if match := re.match(r"test_(row|node|client|thief|stranger)_(\d+)_", name):
                found[match[1], int(match[2])].append(name)
    return found


def test_the_rows_of_each_table_are_numbered_without_a_gap():
    for kind in ("row", "node", "client", "thief", "stranger"):
        numbers = [number for name, number in ROWS if name == kind]
        assert numbers == list(range(1, len(numbers) + 1)), kind
        assert numbers, kind


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_every_row_has_its_test_here_or_names_the_one_that_stands_elsewhere(row):
    assert named_by_row()[row] or "::test_" in ROWS[row]


def test_every_row_stands_under_one_of_the_promises():
    section = PAGE.partition("## The promises")[2].partition("\n## ")[0]
    cells = [line.split(" | ")[2] for line in section.splitlines() if line.startswith("| ")][1:]
    named = [re.fullmatch(r"(?:(\w+) )?(\d+)", one) for cell in cells for one in cell.split(", ")]
    assert len(cells) == 7
    assert sorted((one[1] or "row", int(one[2])) for one in named) == sorted(ROWS)


def test_every_test_has_its_row():
    assert set(named_by_row()) <= set(ROWS)


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_test_that_the_page_names_is_there(path, name):
    assert name in functions(ROOT / path)


def test_the_page_names_tests_in_other_folders():
    assert len(NAMED) >= 3
