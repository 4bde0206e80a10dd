"""Making one block: execute what waits, until the block is full, and give the rows to write."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import rlp
import structlog
from eth._utils.address import generate_contract_address
from eth.abc import BlockHeaderAPI, ComputationAPI, ReceiptAPI, VirtualMachineAPI
from eth_utils import ValidationError

from tallystick.ids import to_hex
from tallystick_platform.embedded_chain.index import BlockRow, LogRow, TransactionRow, log_id
from tallystick_platform.embedded_chain.pool import Waiting
from tallystick_platform.embedded_chain.rules import COINBASE, MAX_BLOCK_BYTES, MAX_BUILD_S, EmbeddedChainRules

_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class BuiltBlock:
    """A block that was executed and is not written yet."""

    block: BlockRow
    transactions: list[TransactionRow]
    logs: list[LogRow]
    dropped: list[bytes]

    def rows(self) -> dict[str, list[tuple[object, ...]]]:
        """Its rows, by table."""
        return {
            "block": [self.block.values()],
            "tx": [row.values() for row in self.transactions],
            "log": [tuple(row) for row in self.logs],
        }


class TransactionBroke(Exception):
    """The EVM itself failed on a transaction; the block is made anew without it."""

    def __init__(self, tx_hash: bytes) -> None:
        super().__init__(tx_hash.hex())
        self.tx_hash = tx_hash


@dataclass(slots=True, kw_only=True)
class _Draft:
    header: BlockHeaderAPI
    included: list[Waiting] = field(default_factory=list)
    receipts: list[ReceiptAPI] = field(default_factory=list)
    computations: list[ComputationAPI] = field(default_factory=list)
    dropped: list[bytes] = field(default_factory=list)
    size: int = 0


def build_block(
    chain: EmbeddedChainRules,
    parent: BlockHeaderAPI,
    timestamp: int,
    candidates: Iterable[Waiting],
    monotonic_s: Callable[[], float],
) -> BuiltBlock:
    """Execute candidates on top of `parent`; its state goes to the chain's database, its rows into the result.

    Raises: TransactionBroke.
    """
    header = chain.create_header_from_parent(parent, timestamp=timestamp, coinbase=COINBASE)
    vm = chain.get_vm(header)
    draft = _Draft(header=header)
    deadline = monotonic_s() + MAX_BUILD_S
    skipped: set[bytes] = set()
    for entry in candidates:
        if monotonic_s() > deadline:
            break
        # A sender whose transaction does not fit must wait with the later ones too.
        if entry.sender in skipped or not _fits(draft, entry) or not _apply(vm, draft, entry):
            skipped.add(entry.sender)
    transactions = [entry.transaction for entry in draft.included]
    filled = vm.set_block_transactions_and_withdrawals(vm.get_block(), draft.header, transactions, draft.receipts)
    block = vm.mine_block(filled).block
    chain.chaindb.persist_header(block.header)
    size = len(rlp.encode(block))
    return _rows(BlockRow(hash=block.hash, header=block.header, size=size), draft)


def _fits(draft: _Draft, entry: Waiting) -> bool:
    gas_left = draft.header.gas_limit - draft.header.gas_used
    return entry.gas <= gas_left and draft.size + len(entry.raw) <= MAX_BLOCK_BYTES


def _apply(vm: VirtualMachineAPI, draft: _Draft, entry: Waiting) -> bool:
    try:
        receipt, computation = vm.apply_transaction(draft.header, entry.transaction)
    except ValidationError as error:
        # Valid when it came, not any more: its sender has spent the balance, or lost it to a rise of the base fee.
        _log.info("chain.transaction_dropped", tx_hash=to_hex(entry.hash), reason=str(error))
        draft.dropped.append(entry.hash)
        return False
    except Exception as error:
        _log.exception("chain.transaction_broke", tx_hash=to_hex(entry.hash))
        raise TransactionBroke(entry.hash) from error
    draft.header = vm.add_receipt_to_header(draft.header, receipt)
    draft.included.append(entry)
    draft.receipts.append(receipt)
    draft.computations.append(computation)
    draft.size += len(entry.raw)
    return True


def _rows(block: BlockRow, draft: _Draft) -> BuiltBlock:
    transactions: list[TransactionRow] = []
    logs: list[LogRow] = []
    base_fee = block.header.base_fee_per_gas
    gas_before = 0
    for position, (entry, receipt) in enumerate(zip(draft.included, draft.receipts, strict=True)):
        first_log = len(logs)
        for log in receipt.logs:
            topics = [topic.to_bytes(32, "big") for topic in log.topics]
            first, second, third, fourth = [*topics, None, None, None, None][:4]
            logs.append(
                LogRow(
                    id=log_id(block.number, len(logs)),
                    tx_position=position,
                    tx_hash=entry.hash,
                    address=log.address,
                    topic0=first,
                    topic1=second,
                    topic2=third,
                    topic3=fourth,
                    data=log.data,
                )
            )
        created = generate_contract_address(entry.sender, entry.nonce) if entry.transaction.to == b"" else None
        transactions.append(
            TransactionRow(
                block_number=block.number,
                position=position,
                hash=entry.hash,
                sender=entry.sender,
                contract=created,
                succeeded=receipt.state_root == b"\x01",
                gas_used=receipt.gas_used - gas_before,
                cumulative_gas=receipt.gas_used,
                gas_price=base_fee + entry.tip(base_fee),
                first_log=first_log,
                log_count=len(logs) - first_log,
                raw=entry.raw,
            )
        )
        gas_before = receipt.gas_used
    return BuiltBlock(block=block, transactions=transactions, logs=logs, dropped=draft.dropped)
