"""What every test starts from."""

from __future__ import annotations

import sys

import pytest

RECURSION_LIMIT = 12 * 1_024
"""What py-evm asks for. A library of curves raises the whole process's limit to 100,000 as it is imported, which no program under test but
the embedded chain runs with: JSON of nothing but brackets would then overflow the stack where it is refused in earnest."""


@pytest.fixture(autouse=True)
def recursion_limit() -> None:
    """The interpreter's limit, whatever was imported before."""
    sys.setrecursionlimit(RECURSION_LIMIT)
