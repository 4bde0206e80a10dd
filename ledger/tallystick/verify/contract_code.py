"""Check 1: the code at the address is the contract that this release knows."""

from __future__ import annotations

from tallystick.chain import LedgerReader
from tallystick.chain.faults import OtherCode
from tallystick.ids import Hash32
from tallystick.verify.tally import Tally
from tallystick.verify.verdict import Step


def check_code(tally: Tally, reader: LedgerReader, block: int, trusted: bytes | None = None) -> bytes:
    """Compare the contract's code with the published one, and with the one that was trusted before; gives its hash.

    Raises: ContractMissing, OtherCode: the address may be mistyped, and accuses nobody.
    """
    found = reader.require_contract(block=block)
    if trusted is not None and found != trusted:
        raise OtherCode(reader.contract, frozenset({Hash32(trusted)}), found)
    tally.held[Step.CONTRACT_CODE] += 1
    return found
