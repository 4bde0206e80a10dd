"""`contracts/limits.json` is the one place of the limits: the contract's constants, the package and the specification follow it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tallystick import heads, keys, merkle
from tallystick.chain import events, packing
from tests.support import evm

ROOT = Path(__file__).resolve().parents[2]
LIMITS: dict[str, int] = {
    name: limit["value"] for name, limit in json.loads((ROOT / "contracts/limits.json").read_bytes()).items()
}
IN_PACKAGE = {
    "MAX_BATCH_RECORDS": merkle.MAX_BATCH_RECORDS,
    "MIN_CIPHERTEXT_BYTES": merkle.MIN_CIPHERTEXT_BYTES,
    "MAX_CIPHERTEXT_BYTES": merkle.MAX_CIPHERTEXT_BYTES,
    "MAX_WRAPS": events.MAX_WRAPS,
    "WRAP_BYTES": keys.WRAP_BYTES,
    "MIN_PROMISE_S": heads.MIN_PROMISE_S,
    "MAX_PROMISE_S": heads.MAX_PROMISE_S,
    "MAX_SKEW_S": heads.MAX_SKEW_S,
    "MAX_NUMBER": heads.MAX_NUMBER,
}
IN_SPECIFICATION = {
    "records in a batch": (1, "MAX_BATCH_RECORDS"),
    "bytes of a ciphertext": ("MIN_CIPHERTEXT_BYTES", "MAX_CIPHERTEXT_BYTES"),
    "flags of a header": packing.FLAGS,
    "admission number in a header, and void ones": (1, "MAX_NUMBER"),
    "wraps of an epoch": (1, "MAX_WRAPS"),
    "bytes of a wrap": ("WRAP_BYTES",),
    "promise, seconds": ("MIN_PROMISE_S", "MAX_PROMISE_S"),
    "skew, seconds": (0, "MAX_SKEW_S"),
}


def test_the_package_has_the_same_limits() -> None:
    assert IN_PACKAGE == LIMITS


def test_the_contract_has_the_same_limits() -> None:
    source = (ROOT / "contracts/src/Limits.sol").read_text()
    constants = re.findall(r"^uint\d+ constant (\w+) = ([\d_]+);$", source, re.MULTILINE)
    assert {name: int(value) for name, value in constants} == LIMITS
    assert len(constants) == source.count(" constant ")


def rows_of_section_11() -> dict[str, str]:
    text = (ROOT / "ledger/SPEC.md").read_text()
    section = re.search(r"^## 11\. .*?(?=^## 12\. )", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", section[0], re.MULTILINE)
    return {name: value for name, value in rows if name != "limit"}


def test_the_specification_names_every_limit_and_no_other() -> None:
    assert set(rows_of_section_11()) == set(IN_SPECIFICATION)
    assert {name for names in IN_SPECIFICATION.values() for name in names if isinstance(name, str)} == set(LIMITS)


@pytest.mark.parametrize("row", IN_SPECIFICATION)
def test_the_specification_has_the_same_limits(row: str) -> None:
    numbers = re.findall(r"0x[0-9a-f]+|[\d,]+", rows_of_section_11()[row])
    written = tuple(int(number.replace(",", ""), 0) for number in numbers)
    assert written == tuple(LIMITS[bound] if isinstance(bound, str) else bound for bound in IN_SPECIFICATION[row])


def test_the_bytes_of_a_header_are_those_of_the_tests() -> None:
    assert evm.HEADER_BYTES == merkle.HEADER_BYTES
    assert evm.WRAP_BYTES == keys.WRAP_BYTES
