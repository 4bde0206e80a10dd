from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tallystick.ids import Address
from tallystick_platform.anchor.errors import LocationUnreadable
from tallystick_platform.anchor.location import LedgerLocation, read_location, write_location
from tests.support.anchoring import TERMS

PLACE = LedgerLocation(chain_id=5, contract=Address(b"\xab" * 20), terms=TERMS)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "home" / "ledger.json"
    write_location(path, PLACE)
    assert read_location(path) == PLACE
    assert [entry.name for entry in path.parent.iterdir()] == ["ledger.json"]


def test_a_new_location_replaces_the_old_one(tmp_path):
    path = tmp_path / "ledger.json"
    write_location(path, PLACE)
    other = LedgerLocation(chain_id=6, contract=PLACE.contract, terms=replace(TERMS, promise=60))
    write_location(path, other)
    assert read_location(path) == other


def test_no_file_is_no_location(tmp_path):
    assert read_location(tmp_path / "ledger.json") is None


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"terms": None},
        {"terms": {}},
        {"log_id": "0x" + "cd" * 32},
        {"chain_id": "5"},
        {"contract": "0x12"},
        {"contract": None},
        {"log_id": "0x12"},
        {"log_id": 7},
    ],
)
def test_a_spoiled_file_is_refused_by_name(tmp_path, change):
    path = tmp_path / "ledger.json"
    write_location(path, PLACE)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(LocationUnreadable) as caught:
        read_location(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "{}"])
def test_a_file_that_holds_no_location_is_refused(tmp_path, text):
    path = tmp_path / "ledger.json"
    path.write_text(text)
    with pytest.raises(LocationUnreadable):
        read_location(path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LocationUnreadable):
        write_location(tmp_path / "file" / "ledger.json", PLACE)
