#!/usr/bin/env python3
"""Run slither over the ledger contract; each finding must stand, with a reason, in contracts/slither.json.

Needs Python's standard library, and what scripts/install_contract_tools.sh installs. Exits 0 when every finding is explained and
every explanation has its finding, 1 when not, 2 when the analysis did not run.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

CONTRACTS = Path(__file__).resolve().parent.parent / "contracts"
EXPLAINED = CONTRACTS / "slither.json"
SLITHER = CONTRACTS / ".slither-venv" / "bin" / "slither"
TIMEOUT_S = 300


class AnalysisError(Exception):
    """Slither did not run, or said nothing that can be believed."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """What slither found, and where: the name of its check, and the element's signature or name."""

    check: str
    where: str


def run_slither() -> tuple[str, str]:
    """Return slither's JSON, and the lines in which it says what it analysed.

    Raises: AnalysisError.
    """
    # Slither has forge build anew, and clean before it: in folders of its own, so that the tests' build stays.
    environment = os.environ | {
        "FOUNDRY_OUT": "out/slither",
        "FOUNDRY_CACHE_PATH": "cache/slither",
        "PATH": f"{CONTRACTS / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}",
    }
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [str(SLITHER), ".", "--filter-paths", "test", "--json", str(report)]
        try:
            done = subprocess.run(
                command, cwd=CONTRACTS, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AnalysisError(f"slither did not run (make contracts-tools installs it): {error}") from error
        return report.read_text("utf-8") if report.exists() else "", done.stderr


def read_findings(report: str, said: str) -> list[Finding]:
    """Read slither's report.

    Raises: AnalysisError where it failed, or analysed nothing.
    """
    try:
        document: dict[str, Any] = json.loads(report)
    except ValueError as error:
        raise AnalysisError(f"slither gave no report:\n{said[-2000:]}") from error
    if not document.get("success"):
        raise AnalysisError(f"slither failed: {document.get('error')}")
    analysed = re.search(r"analyzed \((\d+) contracts with (\d+) detectors\)", said)
    if analysed is None or "0" in analysed.groups():
        raise AnalysisError("slither analysed no contract")
    return sorted(_finding(entry) for entry in document["results"].get("detectors", []))


def _finding(entry: dict[str, Any]) -> Finding:
    element: dict[str, Any] = entry["elements"][0] if entry["elements"] else {"name": "the whole"}
    where = element.get("type_specific_fields", {}).get("signature") or element["name"]
    return Finding(check=entry["check"], where=where)


def read_explained(text: str) -> dict[Finding, str]:
    """Read the findings that have a reason.

    Raises: AnalysisError for one without.
    """
    explained = {}
    for entry in json.loads(text)["explained"]:
        if not entry["reason"].strip():
            raise AnalysisError(f"{entry['check']} in {entry['where']} stands in slither.json without a reason")
        explained[Finding(check=entry["check"], where=entry["where"])] = entry["reason"]
    return explained


def complaints(findings: list[Finding], explained: dict[Finding, str]) -> list[str]:
    """Say which findings nobody explained, and which explanations have lost their finding."""
    unexplained = [f"unexplained: {found.check} in {found.where}" for found in findings if found not in explained]
    stale = [f"no longer found: {known.check} in {known.where}" for known in explained if known not in findings]
    return unexplained + stale


def main() -> int:
    """Analyse and compare."""
    try:
        report, said = run_slither()
        findings = read_findings(report, said)
        faults = complaints(findings, read_explained(EXPLAINED.read_text("utf-8")))
    except AnalysisError as error:
        print(error, file=sys.stderr)
        return 2
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        print("fix the contract, or give the reason in contracts/slither.json", file=sys.stderr)
        return 1
    print(f"slither: {len(findings)} findings, each explained")
    return 0


if __name__ == "__main__":
    sys.exit(main())
