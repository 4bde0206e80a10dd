"""The contract as it was compiled: what an auditor compares the chain's code with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from tallystick.chain.wire import MalformedAnswer, read_data, read_list, read_object
from tallystick.hashing import keccak256
from tallystick.ids import Hash32

MAX_CODE_BYTES: Final = 49_152
"""Deployed code is at most 24,576 bytes (EIP-170), initialisation code twice that (EIP-3860)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractArtifact:
    """A compiled contract. `code_hash` is the keccak256 of its deployed code, as a node's `eth_getCode` would show it."""

    abi: tuple[dict[str, object], ...]
    bytecode: bytes
    deployed_bytecode: bytes
    code_hash: Hash32
    compiler: str


@cache
def load_artifact() -> ContractArtifact:
    """Read the artifact that lies beside this module.

    Raises: MalformedAnswer when it is not an artifact.
    """
    document = read_object(
        json.loads(files("tallystick.chain").joinpath("InferenceLedger.json").read_bytes()), "artifact"
    )
    deployed = read_data(document.get("deployedBytecode"), "deployed bytecode", max_size=MAX_CODE_BYTES)
    compiler = document.get("compiler")
    if not isinstance(compiler, str | dict):
        raise MalformedAnswer("artifact", "names no compiler")
    return ContractArtifact(
        abi=tuple(read_object(entry, "ABI entry") for entry in read_list(document.get("abi"), "ABI", 256)),
        bytecode=read_data(document.get("bytecode"), "bytecode", max_size=MAX_CODE_BYTES),
        deployed_bytecode=deployed,
        code_hash=Hash32(keccak256(deployed)),
        compiler=compiler if isinstance(compiler, str) else json.dumps(compiler, sort_keys=True),
    )
