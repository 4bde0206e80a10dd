"""What slither finds fails the build, unless it stands in contracts/slither.json with a reason."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAID = "INFO:Slither:. analyzed (4 contracts with 102 detectors), 1 result(s) found\n"


@pytest.fixture(scope="module")
def analysis() -> ModuleType:
    spec = importlib.util.spec_from_file_location("analyse_contracts", ROOT / "scripts" / "analyse_contracts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


def report(*entries: tuple[str, str]) -> str:
    """A report in slither's layout, one finding for each check and signature."""
    detectors = [
        {"check": check, "elements": [{"name": "a", "type_specific_fields": {"signature": signature}}]}
        for check, signature in entries
    ]
    return json.dumps({"success": True, "error": None, "results": {"detectors": detectors}})


def explained(*entries: tuple[str, str, str]) -> str:
    return json.dumps({"explained": [{"check": c, "where": w, "reason": r} for c, w, r in entries]})


def faults(analysis: ModuleType, found: str, known: str) -> list[str]:
    said: list[str] = analysis.complaints(analysis.read_findings(found, SAID), analysis.read_explained(known))
    return said


def test_no_finding_needs_no_explanation(analysis: ModuleType) -> None:
    assert faults(analysis, json.dumps({"success": True, "results": {}}), explained()) == []


def test_a_finding_with_a_reason_passes(analysis: ModuleType) -> None:
    assert faults(analysis, report(("timestamp", "a()")), explained(("timestamp", "a()", "only kept"))) == []


def test_a_finding_without_a_reason_fails(analysis: ModuleType) -> None:
    found = faults(analysis, report(("timestamp", "a()")), explained())
    assert found == ["unexplained: timestamp in a()"]


def test_a_reason_holds_for_its_place_alone(analysis: ModuleType) -> None:
    found = faults(analysis, report(("timestamp", "b()")), explained(("timestamp", "a()", "only kept")))
    assert found == ["unexplained: timestamp in b()", "no longer found: timestamp in a()"]


def test_an_empty_reason_is_none(analysis: ModuleType) -> None:
    with pytest.raises(analysis.AnalysisError, match="without a reason"):
        faults(analysis, report(), explained(("timestamp", "a()", " ")))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ("", SAID),
        ("not json", SAID),
        ('{"success": false, "error": "no compiler", "results": {}}', SAID),
        ('{"success": true, "results": {}}', ""),
        ('{"success": true, "results": {}}', SAID.replace("4 contracts", "0 contracts")),
    ],
)
def test_an_analysis_that_did_not_happen_does_not_pass(analysis: ModuleType, found: str, said: str) -> None:
    with pytest.raises(analysis.AnalysisError):
        analysis.read_findings(found, said)


def test_what_stands_explained_has_its_layout(analysis: ModuleType) -> None:
    text = (ROOT / "contracts" / "slither.json").read_text()
    document: dict[str, Any] = json.loads(text)
    assert set(document) == {"explained"}
    assert len(analysis.read_explained(text)) == len(document["explained"])
