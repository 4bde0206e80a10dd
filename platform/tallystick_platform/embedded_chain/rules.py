"""The chain's constants, and py-evm set up for them: Prague rules, one block producer, no system contracts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from eth.abc import BlockAPI, BlockHeaderAPI, ReceiptAPI, SignedTransactionAPI
from eth.chains.base import Chain
from eth.db.trie import make_trie_root_and_nodes
from eth.vm.forks.prague import PragueVM

DEFAULT_CHAIN_ID: Final = 73_571
BLOCK_GAS_LIMIT: Final = 36_000_000
BLOCK_INTERVAL_S: Final = 1
MAX_CLOCK_LEAD_S: Final = 1
"""A block's time may be this far ahead of the wall clock, so that two blocks may follow each other at once."""
MAX_BLOCK_BYTES: Final = 4 << 20
MAX_BUILD_S: Final = 2.0
"""No further transaction is put in a block that has been executing for so long; what is left waits for the next one."""
PREFUND_WEI: Final = 10**27
TIP_WEI: Final = 10**9
COINBASE: Final = bytes(20)


class EmbeddedVM(PragueVM):  # type: ignore[misc]  # py-evm is untyped to us
    """Prague's rules, without the copies of transactions and receipts that the index keeps already."""

    def set_block_transactions_and_withdrawals(
        self,
        base_block: BlockAPI,
        new_header: BlockHeaderAPI,
        transactions: Sequence[SignedTransactionAPI],
        receipts: Sequence[ReceiptAPI],
        withdrawals: Any = None,  # noqa: ARG002  (this chain has none)
    ) -> BlockAPI:
        """Put the roots in the header; the trie nodes below them are dropped."""
        transaction_root, _ = make_trie_root_and_nodes(transactions)
        receipt_root, _ = make_trie_root_and_nodes(receipts)
        header = new_header.copy(transaction_root=transaction_root, receipt_root=receipt_root)
        return base_block.copy(transactions=transactions, header=header)


class EmbeddedChainRules(Chain):  # type: ignore[misc]
    """A chain of EmbeddedVM blocks with one gas limit for ever."""

    vm_configuration = ((0, EmbeddedVM),)

    def create_header_from_parent(self, parent_header: BlockHeaderAPI, **header_params: Any) -> BlockHeaderAPI:
        """Make the next header, with its parent's gas limit."""
        return super().create_header_from_parent(parent_header, gas_limit=parent_header.gas_limit, **header_params)


def rules_for(chain_id: int) -> type[EmbeddedChainRules]:
    """Give the chain class for a chain id: py-evm reads it from the class."""
    return type("EmbeddedChainRules", (EmbeddedChainRules,), {"chain_id": chain_id})


def next_timestamp(parent_timestamp: int, now_s: float) -> int:
    """Give the time of the next block: the wall clock's second, or the one after its parent's if that is later."""
    return max(int(now_s), parent_timestamp + BLOCK_INTERVAL_S)


def wait_for_block_s(parent_timestamp: int, now_s: float) -> float:
    """Give the seconds until the next block may be made."""
    return max(0.0, next_timestamp(parent_timestamp, now_s) - MAX_CLOCK_LEAD_S - now_s)
