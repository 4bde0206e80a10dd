#!/usr/bin/env python3
"""Compile the ledger contract with the npm compiler and write its committed artifact; `--check` only compares.

The contract's constants in src/Limits.sol are written first, from contracts/limits.json, which the Python package is held to as well.

Needs Python's standard library, node, and contracts/node_modules (`make contracts-tools`).
"""

import argparse
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

CONTRACTS = Path(__file__).resolve().parent.parent / "contracts"
ARTIFACT = CONTRACTS / "abi" / "InferenceLedger.json"
LIMITS = CONTRACTS / "limits.json"
LIMITS_SOURCE = CONTRACTS / "src" / "Limits.sol"
CONTRACT_NAME = "InferenceLedger"
COMPILE_TIMEOUT_S = 120


class CompileError(Exception):
    """The contract could not be compiled."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"cannot compile the contract: {reason}")


def limits_source() -> str:
    """Write the limits as Solidity constants, each of the smallest type that the contract compares it in."""
    constants = [
        f"/// @dev {limit['what'][0].upper()}{limit['what'][1:]}.\n"
        f"{'uint64' if name == 'MAX_NUMBER' else 'uint256'} constant {name} = {limit['value']:_};\n"
        for name, limit in json.loads(LIMITS.read_text("utf-8")).items()
    ]
    head = "// SPDX-License-Identifier: Apache-2.0\npragma solidity 0.8.37;\n\n"
    made_by = "// Written by scripts/compile_contracts.py from limits.json.\n\n"
    return head + made_by + "\n".join(constants)


def standard_input() -> dict[str, object]:
    """Build the compiler's input from the sources and the settings of foundry.toml, so that forge and this script agree."""
    profile = tomllib.loads((CONTRACTS / "foundry.toml").read_text("utf-8"))["profile"]["default"]
    sources = sorted((CONTRACTS / "src").glob("*.sol"))
    return {
        "language": "Solidity",
        "sources": {f"src/{path.name}": {"content": path.read_text("utf-8")} for path in sources},
        "settings": {
            "evmVersion": profile["evm_version"],
            "optimizer": {"enabled": profile["optimizer"], "runs": profile["optimizer_runs"]},
            "viaIR": profile["via_ir"],
            "metadata": {"bytecodeHash": profile["bytecode_hash"], "appendCBOR": profile["cbor_metadata"]},
            "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "metadata"]}},
        },
    }


def compile_contract() -> bytes:
    """Return the artifact's bytes: canonical JSON with the ABI, the creation code and the deployed code.

    Raises: CompileError when the compiler is missing, fails, or warns.
    """
    output = _run_compiler(standard_input())
    complaints = [entry["formattedMessage"] for entry in output.get("errors", [])]
    if complaints:
        raise CompileError("\n".join(complaints))
    contract = output["contracts"][f"src/{CONTRACT_NAME}.sol"][CONTRACT_NAME]
    artifact = {
        "contractName": CONTRACT_NAME,
        "compiler": json.loads(contract["metadata"])["compiler"]["version"],
        "abi": contract["abi"],
        "bytecode": "0x" + contract["evm"]["bytecode"]["object"],
        "deployedBytecode": "0x" + contract["evm"]["deployedBytecode"]["object"],
    }
    return (json.dumps(artifact, indent=2, sort_keys=True) + "\n").encode()


def _run_compiler(compiler_input: dict[str, object]) -> dict[str, Any]:
    try:
        done = subprocess.run(
            ["node", str(CONTRACTS / "tools" / "solc"), "--standard-json"],
            input=json.dumps(compiler_input).encode(),
            capture_output=True,
            timeout=COMPILE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CompileError(f"node did not run: {error}") from error
    if done.returncode != 0:
        raise CompileError(done.stderr.decode(errors="replace").strip())
    output: dict[str, Any] = json.loads(done.stdout)
    return output


def main(arguments: list[str]) -> int:
    """Write the artifact, or compare it with `--check`; 0 when they agree, 1 when not, 2 when it could not compile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the committed artifact, write nothing")
    check = parser.parse_args(arguments).check
    if not check:
        LIMITS_SOURCE.write_text(limits_source(), "utf-8")
    elif LIMITS_SOURCE.read_text("utf-8") != limits_source():
        print("src/Limits.sol differs from limits.json: run scripts/compile_contracts.py", file=sys.stderr)
        return 1
    try:
        compiled = compile_contract()
    except CompileError as error:
        print(error, file=sys.stderr)
        return 2
    if not check:
        ARTIFACT.parent.mkdir(exist_ok=True)
        ARTIFACT.write_bytes(compiled)
        print(f"wrote {ARTIFACT.relative_to(CONTRACTS.parent)}")
        return 0
    if ARTIFACT.exists() and ARTIFACT.read_bytes() == compiled:
        print("the committed artifact is what the sources compile to")
        return 0
    print(
        "the committed artifact differs from what the sources compile to: run scripts/compile_contracts.py",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
