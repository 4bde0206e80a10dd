"""Checking a whole embedded chain: every block is executed again and must come out the same to the bit.

A block's hash covers its state, transactions, receipts and logs, so one comparison covers them all; what lies in rows beside
the block is compared too.
"""

from __future__ import annotations

from itertools import pairwise

from tallystick.hashing import keccak256
from tallystick.ids import to_hex
from tallystick_platform.embedded_chain import index
from tallystick_platform.embedded_chain.chain import EmbeddedChain
from tallystick_platform.embedded_chain.index import BlockRow, LogFilter
from tallystick_platform.embedded_chain.intake import check_transaction
from tallystick_platform.embedded_chain.producer import build_block
from tallystick_platform.embedded_chain.rules import rules_for
from tallystick_platform.embedded_chain.storage import BlockNodes
from tallystick_platform.errors import PlatformError


class ChainInconsistent(PlatformError):
    """A block does not follow from its parent and its transactions."""

    def __init__(self, *, block: int, what: str, expected: str, found: str) -> None:
        super().__init__(f"block {block}: {what}: expected {expected}, found {found}")
        self.block = block
        self.what = what
        self.expected = expected
        self.found = found


def replay(chain: EmbeddedChain) -> int:
    """Execute every block again; gives how many.

    Raises: ChainInconsistent.
    """
    head = chain.head().number
    connection = chain.storage.reader()
    rows = [index.block_by_number(connection, number) for number in range(head + 1)]
    blocks = [row for row in rows if row is not None]
    if len(blocks) != head + 1:
        raise ChainInconsistent(block=head, what="blocks below it", expected=str(head), found=str(len(blocks) - 1))
    for parent, block in pairwise(blocks):
        _replay_block(chain, parent, block)
    _require_nothing_beyond(chain, head)
    return head


def _replay_block(chain: EmbeddedChain, parent: BlockRow, block: BlockRow) -> None:
    connection = chain.storage.reader()
    transactions = index.transactions_of_block(connection, block.number)
    logs = list(index.logs(connection, LogFilter(from_block=block.number, to_block=block.number)))
    waiting = [check_transaction(row.raw, chain_id=chain.chain_id, base_fee=0) for row in transactions]
    nodes = BlockNodes(chain.stored)
    built = build_block(
        rules_for(chain.chain_id)(nodes), parent.header, block.timestamp, waiting, monotonic_s=lambda: 0.0
    )
    if built.block.hash != block.hash:
        expected, found = to_hex(built.block.hash), to_hex(block.hash)
        raise ChainInconsistent(block=block.number, what="hash", expected=expected, found=found)
    _require_state(chain, block.number, nodes)
    for what, expected_rows, found_rows in (
        ("transactions", built.transactions, transactions),
        ("logs", built.logs, logs),
    ):
        if expected_rows != found_rows:
            expected, found = f"{len(expected_rows)} as executed", f"{len(found_rows)} that differ"
            raise ChainInconsistent(block=block.number, what=what, expected=expected, found=found)


def _require_state(chain: EmbeddedChain, number: int, nodes: BlockNodes) -> None:
    # What is stored under its own hash never changes, so a block's part of the state must still be there.
    for key, value in nodes.written.items():
        if value is not None and key == keccak256(value) and key not in chain.stored:
            raise ChainInconsistent(block=number, what="state node", expected=to_hex(key), found="nothing")


def _require_nothing_beyond(chain: EmbeddedChain, head: int) -> None:
    connection = chain.storage.reader()
    bounds = {"tx": (head + 1) << index.TX_POSITION_BITS, "log": (head + 1) << index.LOG_INDEX_BITS}
    for table, bound in bounds.items():
        (count,) = connection.execute(f"SELECT count(*) FROM {table} WHERE id >= ?", (bound,)).fetchone()
        if count:
            raise ChainInconsistent(block=head, what=f"{table} rows beyond the head", expected="0", found=str(count))
