"""What can be wrong with a node, or with where it was pointed: each of these means that nothing could be checked, and accuses no writer."""

from __future__ import annotations

from tallystick.errors import ChainError, ChainRejected
from tallystick.ids import Address, Hash32, LogId, checksum_address, to_hex

BlockTag = int | str
"""A block number, or one of `latest`, `safe`, `finalized`, `earliest`, `pending`."""


class ContractMissing(ChainRejected):
    """There is no code at the contract's address: it is mistyped, or on another chain."""

    def __init__(self, contract: Address, block: BlockTag) -> None:
        super().__init__(0, f"there is no contract at {checksum_address(contract)} in block {block}")


class OtherCode(ChainError):
    """The code at the contract's address is none that this reader knows, so what it says means nothing."""

    def __init__(self, contract: Address, expected: frozenset[Hash32], found: Hash32) -> None:
        known = " or ".join(sorted(map(to_hex, expected)))
        super().__init__(f"the code at {checksum_address(contract)} has the hash {to_hex(found)}, not {known}")
        self.contract = contract
        self.expected = expected
        self.found = found


class LogMissing(ChainRejected):
    """The contract knows no log of this id."""

    def __init__(self, log_id: LogId) -> None:
        super().__init__(0, f"the contract has no log {to_hex(log_id)}")


class OtherChain(ChainError):
    """The node serves another chain than the one asked about."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"the node serves chain {found}, not chain {expected}")
        self.expected = expected
        self.found = found


class NodeBehind(ChainError):
    """The node has not come to the block that it is asked about."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"the node is at block {found}; what is asked about stands in block {expected}")
        self.expected = expected
        self.found = found


class ChainMoved(ChainError):
    """The chain changed, or the node contradicted itself, while it was read: nothing was learned."""

    def __init__(self, block_number: int, expected: bytes, found: bytes) -> None:
        super().__init__(
            f"block {block_number} was {to_hex(expected)} and is {to_hex(found)}: the chain moved meanwhile; run it again"
        )
        self.block_number = block_number
        self.expected = expected
        self.found = found


class EventsWithheld(ChainError):
    """The contract counts entries that the node does not show, however it is asked.

    `what` names the first of them, `count` says how many, and `node` who was asked.
    """

    def __init__(self, node: str, what: str, count: int) -> None:
        more = f" and {count - 1} more" if count > 1 else ""
        super().__init__(
            f"{node} does not show {what}{more}, which the contract counts; ask a node that keeps the events of all blocks"
        )
        self.node = node
        self.what = what
        self.count = count
