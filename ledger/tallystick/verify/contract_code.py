"""Check 1, and what is said when a node cannot be the judge."""

from __future__ import annotations

from tallystick.chain import ContractMissing, LedgerReader, load_artifact
from tallystick.errors import ChainError, ContractCodeError
from tallystick.ids import checksum_address, to_hex
from tallystick.verify.verdict import Step, Tally


class ChainMoved(ChainError):
    """The chain changed, or the node contradicted itself, while it was read: nothing was learned."""

    def __init__(self, block_number: int, expected: bytes, found: bytes) -> None:
        super().__init__(
            f"block {block_number} was {to_hex(expected)} and is {to_hex(found)}: the chain moved meanwhile; run it again"
        )
        self.block_number = block_number
        self.expected = expected
        self.found = found


class OtherChain(ChainError):
    """The node serves another chain than the evidence is about."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"the node serves chain {found}; the evidence is about chain {expected}")
        self.expected = expected
        self.found = found


class NodeBehind(ChainError):
    """The node has not come to the block that it is asked about."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"the node is at block {found}; the evidence is about block {expected}")
        self.expected = expected
        self.found = found


def check_code(tally: Tally, reader: LedgerReader, block: int) -> bytes | None:
    """Check 1: the code at the address is the contract that this release knows; gives its hash, None if there is none."""
    expected = load_artifact().code_hash
    where = checksum_address(reader.contract)
    try:
        found = reader.code_hash(block)
    except ContractMissing:
        tally.fail(ContractCodeError(where, f"code with the hash {to_hex(expected)}", "no code"))
        return None
    if found == expected:
        tally.held[Step.CONTRACT_CODE] += 1
    else:
        tally.fail(ContractCodeError(where, f"code with the hash {to_hex(expected)}", to_hex(found)))
    return found
