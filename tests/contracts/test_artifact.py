"""The committed artifact is what the sources compile to, and the sources hold what the decision page promises."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tallystick.chain.artifact import load_artifact
from tests.support.evm import ARTIFACT_PATH, EvmLedger, artifact

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = ROOT / "contracts"
COMPILE_SCRIPT = ROOT / "scripts" / "compile_contracts.py"
MAX_DEPLOYED_BYTES = 24_576
"""EIP-170."""


@pytest.fixture
def compiler() -> Path:
    """The folder of the npm packages; a run without them fails unless it was asked for by name."""
    if os.environ.get("TALLYSTICK_NO_NODE"):
        pytest.skip("TALLYSTICK_NO_NODE is set: the contract is not recompiled")
    if shutil.which("node") is None or not (CONTRACTS / "node_modules" / "solc").is_dir():
        pytest.fail(
            "the compiler is missing: run `make contracts-tools` (needs Node.js 20), or set TALLYSTICK_NO_NODE=1"
        )
    return CONTRACTS / "node_modules"


def run_script(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=150)


def copy_contracts(target: Path) -> Path:
    """Lay out what the script reads under another root, sharing the compiler; return the script there."""
    for part in ("src", "tools", "abi"):
        shutil.copytree(CONTRACTS / part, target / "contracts" / part)
    for file in ("foundry.toml", "limits.json"):
        shutil.copy(CONTRACTS / file, target / "contracts")
    (target / "contracts" / "node_modules").symlink_to(CONTRACTS / "node_modules")
    (target / "scripts").mkdir()
    return Path(shutil.copy(COMPILE_SCRIPT, target / "scripts"))


@pytest.mark.node
def test_recompiling_gives_the_committed_bytes(compiler: Path) -> None:
    done = run_script(COMPILE_SCRIPT, "--check")
    assert done.returncode == 0, done.stderr


@pytest.mark.node
def test_a_changed_source_is_reported(compiler: Path, tmp_path: Path) -> None:
    script = copy_contracts(tmp_path)
    source = tmp_path / "contracts" / "src" / "InferenceLedger.sol"
    source.write_text(source.read_text().replace("KIND_VOID = 5", "KIND_VOID = 6"))
    changed = run_script(script, "--check")
    assert (changed.returncode, "artifact differs" in changed.stderr) == (1, True)


def test_a_changed_limit_is_reported(tmp_path: Path) -> None:
    script = copy_contracts(tmp_path)
    limits = tmp_path / "contracts" / "limits.json"
    limits.write_text(limits.read_text().replace("1024", "1023"))
    changed = run_script(script, "--check")
    assert (changed.returncode, "Limits.sol differs" in changed.stderr) == (1, True)


@pytest.mark.node
def test_a_changed_limit_is_written_into_the_contract(compiler: Path, tmp_path: Path) -> None:
    script = copy_contracts(tmp_path)
    limits = tmp_path / "contracts" / "limits.json"
    limits.write_text(limits.read_text().replace("1024", "1023"))
    assert run_script(script).returncode == 0
    assert "MAX_BATCH_RECORDS = 1_023" in (tmp_path / "contracts" / "src" / "Limits.sol").read_text()
    assert (tmp_path / "contracts" / "abi" / "InferenceLedger.json").read_bytes() != ARTIFACT_PATH.read_bytes()


@pytest.mark.node
def test_a_changed_comment_changes_no_byte_that_is_written(compiler: Path, tmp_path: Path) -> None:
    script = copy_contracts(tmp_path)
    source = tmp_path / "contracts" / "src" / "InferenceLedger.sol"
    source.write_text(source.read_text() + "\n// a comment more\n")
    written = tmp_path / "contracts" / "abi" / "InferenceLedger.json"
    written.unlink()
    done = run_script(script)
    assert done.returncode == 0, done.stderr
    assert written.read_bytes() == ARTIFACT_PATH.read_bytes()


@pytest.mark.node
def test_a_source_that_does_not_compile_exits_2_and_says_why(compiler: Path, tmp_path: Path) -> None:
    script = copy_contracts(tmp_path)
    (tmp_path / "contracts" / "src" / "InferenceLedger.sol").write_text("contract {")
    done = run_script(script, "--check")
    assert done.returncode == 2
    assert "ParserError" in done.stderr


def test_a_missing_compiler_exits_2_and_says_what_to_run(tmp_path: Path) -> None:
    script = copy_contracts(tmp_path)
    (tmp_path / "contracts" / "node_modules").unlink()
    done = run_script(script, "--check")
    assert done.returncode == 2
    assert "npm ci" in done.stderr or "node did not run" in done.stderr


def test_the_artifact_is_canonical_json() -> None:
    text = ARTIFACT_PATH.read_text()
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"
    assert sorted(artifact()) == ["abi", "bytecode", "compiler", "contractName", "deployedBytecode"]


def test_the_packages_artifact_is_the_committed_one() -> None:
    link = ROOT / "ledger" / "tallystick" / "chain" / "InferenceLedger.json"
    assert link.is_symlink()
    assert link.resolve() == ARTIFACT_PATH
    assert not link.readlink().is_absolute()


def test_the_code_on_a_chain_is_the_artifacts_deployed_code() -> None:
    code = EvmLedger.deploy().code()
    assert code == load_artifact().deployed_bytecode
    assert len(code) <= MAX_DEPLOYED_BYTES


def test_the_artifact_names_the_pinned_compiler() -> None:
    pinned = json.loads((CONTRACTS / "package.json").read_bytes())["devDependencies"]["solc"]
    assert artifact()["compiler"].split("+")[0] == pinned


def test_every_package_is_locked_by_its_hash_and_by_no_host() -> None:
    lock = json.loads((CONTRACTS / "package-lock.json").read_bytes())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert "://" not in re.sub(r'"url": "[^"]*"', "", json.dumps(packages)), "a lock that names a host binds to it"


@pytest.mark.parametrize(
    "word", ["assembly", "payable", "delegatecall", "selfdestruct", "owner", "tx.origin", "unchecked"]
)
def test_the_sources_are_free_of(word: str) -> None:
    code = "\n".join(re.sub(r"//.*", "", path.read_text()) for path in (CONTRACTS / "src").glob("*.sol"))
    assert re.search(rf"\b{re.escape(word)}\b", code) is None


def test_nothing_in_the_abi_takes_money() -> None:
    assert all(entry["type"] not in ("fallback", "receive") for entry in artifact()["abi"])
    functions = [entry for entry in artifact()["abi"] if entry["type"] == "function"]
    assert {entry["stateMutability"] for entry in functions} == {"nonpayable", "view"}
