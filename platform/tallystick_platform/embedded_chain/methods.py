"""The JSON-RPC methods, over the chain and its index."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from eth_bloom import BloomFilter

from tallystick.chain.wire import UINT256_MAX
from tallystick.hashing import keccak256
from tallystick.ids import to_hex
from tallystick_platform.embedded_chain import index, render
from tallystick_platform.embedded_chain.chain import EmbeddedChain
from tallystick_platform.embedded_chain.errors import LIMIT_EXCEEDED, SERVER_ERROR, BadParams, Refused
from tallystick_platform.embedded_chain.execution import estimate_gas, execute
from tallystick_platform.embedded_chain.fees import fee_history
from tallystick_platform.embedded_chain.index import BlockRow, LogFilter, LogRow, TransactionRow
from tallystick_platform.embedded_chain.params import (
    TAGS,
    Params,
    read_addresses,
    read_bytes,
    read_call,
    read_number,
    read_topics,
)
from tallystick_platform.embedded_chain.rules import TIP_WEI
from tallystick_platform.ledger_chain.gas import MAX_TRANSACTION_BYTES

CLIENT_VERSION: Final = "tallystick-embedded/1"
MAX_LOGS_PER_ANSWER: Final = 10_000
MAX_LOG_BYTES_PER_ANSWER: Final = 8 << 20
"""Of log data; as hex in JSON it is a little over twice as long."""

Method = Callable[[Params], object]


class Methods:
    """Every method that this node answers, by name. All are safe to call from several threads."""

    def __init__(self, chain: EmbeddedChain) -> None:
        self._chain = chain
        self._storage = chain.storage
        self.executing: Mapping[str, tuple[int, Method]] = MappingProxyType(
            {"eth_call": (2, self._call), "eth_estimateGas": (2, self._estimate_gas)}
        )
        """Those that run the EVM: they take long, so they have a thread of their own. With the most parameters each takes."""
        self.reading: Mapping[str, tuple[int, Method]] = MappingProxyType(
            {
                "web3_clientVersion": (0, lambda _: CLIENT_VERSION),
                "web3_sha3": (1, lambda p: to_hex(keccak256(read_bytes(p.required(0, "data"), "data")))),
                "net_version": (0, lambda _: str(chain.chain_id)),
                "net_listening": (0, lambda _: True),
                "eth_chainId": (0, lambda _: hex(chain.chain_id)),
                "eth_syncing": (0, lambda _: False),
                "eth_accounts": (0, lambda _: []),
                "eth_blockNumber": (0, lambda _: hex(chain.head().number)),
                "eth_gasPrice": (0, lambda _: hex(chain.next_base_fee() + TIP_WEI)),
                "eth_maxPriorityFeePerGas": (0, lambda _: hex(TIP_WEI)),
                "eth_feeHistory": (3, self._fee_history),
                "eth_getBalance": (2, self._get_balance),
                "eth_getTransactionCount": (2, self._get_transaction_count),
                "eth_getCode": (2, self._get_code),
                "eth_getStorageAt": (3, self._get_storage_at),
                "eth_getBlockByNumber": (2, self._get_block_by_number),
                "eth_getBlockByHash": (2, self._get_block_by_hash),
                "eth_getBlockReceipts": (1, self._get_block_receipts),
                "eth_getTransactionByHash": (1, self._get_transaction_by_hash),
                "eth_getTransactionReceipt": (1, self._get_transaction_receipt),
                "eth_getLogs": (1, self._get_logs),
                "eth_sendRawTransaction": (1, self._send_raw_transaction),
            }
        )

    # -- the state

    def _get_balance(self, params: Params) -> str:
        with self._chain.state(self._block(params.optional(1)).header) as state:
            return hex(state.get_balance(params.address(0)))

    def _get_transaction_count(self, params: Params) -> str:
        address, tag = params.address(0), params.optional(1)
        with self._chain.state(self._block(tag).header) as state:
            nonce = int(state.get_nonce(address))
        return hex(self._chain.pool.next_nonce(address, nonce) if tag == "pending" else nonce)

    def _get_code(self, params: Params) -> str:
        with self._chain.state(self._block(params.optional(1)).header) as state:
            return to_hex(state.get_code(params.address(0)))

    def _get_storage_at(self, params: Params) -> str:
        slot = params.quantity(1, "slot", UINT256_MAX)
        with self._chain.state(self._block(params.optional(2)).header) as state:
            return to_hex(state.get_storage(params.address(0), slot).to_bytes(32, "big"))

    def _call(self, params: Params) -> str:
        call = read_call(params.required(0, "call"))
        with self._chain.state(self._block(params.optional(1)).header) as state:
            return to_hex(execute(state, call).output)

    def _estimate_gas(self, params: Params) -> str:
        call = read_call(params.required(0, "call"))
        with self._chain.state(self._block(params.optional(1)).header) as state:
            return hex(estimate_gas(state, call))

    # -- blocks and transactions

    def _get_block_by_number(self, params: Params) -> object:
        full = params.flag(1, "full transactions")
        row = self._find_block(params.required(0, "block"))
        return None if row is None else self._render_block(row, full=full)

    def _get_block_by_hash(self, params: Params) -> object:
        full = params.flag(1, "full transactions")
        row = index.block_by_hash(self._storage.reader(), params.hash(0, "block hash"))
        return None if row is None else self._render_block(row, full=full)

    def _get_block_receipts(self, params: Params) -> object:
        row = self._find_block(params.required(0, "block"))
        if row is None:
            return None
        return [self._render_receipt(tx, row) for tx in index.transactions_of_block(self._storage.reader(), row.number)]

    def _get_transaction_by_hash(self, params: Params) -> object:
        tx_hash = params.hash(0, "transaction hash")
        row = index.transaction_by_hash(self._storage.reader(), tx_hash)
        if row is not None:
            return render.mined_transaction(row, self._block_of(row).hash)
        waiting = self._chain.pool.get(tx_hash)
        return None if waiting is None else render.waiting_transaction(waiting.transaction, waiting.sender)

    def _get_transaction_receipt(self, params: Params) -> object:
        row = index.transaction_by_hash(self._storage.reader(), params.hash(0, "transaction hash"))
        return None if row is None else self._render_receipt(row, self._block_of(row))

    def _send_raw_transaction(self, params: Params) -> str:
        raw = read_bytes(params.required(0, "transaction"), "transaction", max_size=2 * MAX_TRANSACTION_BYTES)
        return to_hex(self._chain.submit(raw))

    def _fee_history(self, params: Params) -> object:
        count = params.quantity(0, "block count") if isinstance(params.optional(0), str) else params.optional(0)
        if not isinstance(count, int) or isinstance(count, bool):
            raise BadParams("block count", "must be a quantity")
        return fee_history(self._storage.reader(), self._block(params.optional(1)), count, params.optional(2))

    # -- logs

    def _get_logs(self, params: Params) -> list[render.Json]:
        wanted = params.required(0, "filter")
        if not isinstance(wanted, dict):
            raise BadParams("filter", "must be an object")
        first, last = self._log_range(wanted)
        connection = self._storage.reader()
        found: list[LogRow] = []
        size = 0
        query = LogFilter(
            from_block=first,
            to_block=last,
            addresses=read_addresses(wanted.get("address")),
            topics=read_topics(wanted.get("topics")),
        )
        for row in index.logs(connection, query):
            found.append(row)
            size += len(row.data)
            if len(found) > MAX_LOGS_PER_ANSWER:
                raise Refused(LIMIT_EXCEEDED, f"query returned more than {MAX_LOGS_PER_ANSWER} results")
            if size > MAX_LOG_BYTES_PER_ANSWER:
                raise Refused(LIMIT_EXCEEDED, f"query returned more than {MAX_LOG_BYTES_PER_ANSWER} bytes of log data")
        if not found:
            return []
        hashes = index.block_hashes(connection, found[0].block_number, found[-1].block_number)
        return [render.log(row, hashes) for row in found]

    def _log_range(self, wanted: Mapping[str, object]) -> tuple[int, int]:
        if "blockHash" in wanted:
            if "fromBlock" in wanted or "toBlock" in wanted:
                raise BadParams("filter", "blockHash excludes fromBlock and toBlock")
            row = index.block_by_hash(self._storage.reader(), read_bytes(wanted["blockHash"], "blockHash", 32))
            if row is None:
                raise Refused(SERVER_ERROR, "unknown block")
            return row.number, row.number
        head = self._chain.head().number
        first = self._number(wanted.get("fromBlock"), head)
        last = self._number(wanted.get("toBlock"), head)
        if first > last:
            raise BadParams("filter", f"fromBlock {first} is after toBlock {last}")
        return first, min(last, head)

    # -- finding and showing

    def _number(self, tag: object, head: int) -> int:
        if tag is None or (isinstance(tag, str) and tag in TAGS):
            return head
        return 0 if tag == "earliest" else read_number(tag, "block", index.MAX_BLOCK_NUMBER)

    def _find_block(self, tag: object) -> BlockRow | None:
        if isinstance(tag, dict):  # EIP-1898
            if "blockHash" in tag:
                return index.block_by_hash(self._storage.reader(), read_bytes(tag["blockHash"], "blockHash", 32))
            tag = tag.get("blockNumber")
        head = self._chain.head()
        number = self._number(tag, head.number)
        return head if number == head.number else index.block_by_number(self._storage.reader(), number)

    def _block(self, tag: object) -> BlockRow:
        row = self._find_block(tag)
        if row is None:
            raise Refused(SERVER_ERROR, "header not found")
        return row

    def _block_of(self, row: TransactionRow) -> BlockRow:
        return self._block(hex(row.block_number))

    def _render_block(self, row: BlockRow, *, full: bool) -> render.Json:
        connection = self._storage.reader()
        if full:
            rows = index.transactions_of_block(connection, row.number)
            return render.block(row, [render.mined_transaction(tx, row.hash) for tx in rows])
        return render.block(row, [to_hex(tx_hash) for tx_hash in index.transaction_hashes(connection, row.number)])

    def _render_receipt(self, row: TransactionRow, block: BlockRow) -> render.Json:
        logs = index.logs_of_transaction(self._storage.reader(), row)
        bloom = BloomFilter()
        for log in logs:
            bloom.extend((log.address, *log.topics))
        return render.receipt(row, block, logs, int(bloom).to_bytes(256, "big"))
