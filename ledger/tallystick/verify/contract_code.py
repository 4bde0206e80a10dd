"""Check 1: the code at the address is the contract that this release knows."""

from __future__ import annotations

from tallystick.chain import LedgerReader
from tallystick.verify.verdict import Step, Tally


def check_code(tally: Tally, reader: LedgerReader, block: int) -> bytes:
    """Compare the contract's code with the published one; gives its hash.

    Raises: ContractMissing, OtherCode: the address may be mistyped, and accuses nobody.
    """
    found = reader.require_contract(block=block)
    tally.held[Step.CONTRACT_CODE] += 1
    return found
