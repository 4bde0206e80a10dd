"""A chain in memory, in plain Python, that answers JSON-RPC as a node does: for what a real node does only when it is hard to arrange.

It knows one contract, InferenceLedger, as a model written from its interface. Blocks come when a test mines them; transactions
wait in a pool until then; blocks can be taken back, with or without their transactions; the base fee is whatever a test says.
`tests/platform/anchor/test_model_chain.py` holds it to the compiled contract.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import rlp
from eth_abi import decode, encode

from tallystick.chain.artifact import load_artifact
from tallystick.chain.packing import PackingError, unpack_records
from tallystick.chain.transaction import contract_address
from tallystick.errors import ChainRejected
from tallystick.hashing import keccak256
from tallystick.heads import (
    EntryKind,
    LogTerms,
    batch_body,
    derive_log_id,
    epoch_body,
    next_head,
    void_body,
    writer_body,
)
from tallystick.ids import Address, to_hex
from tallystick.keys import WRAP_BYTES, recover
from tallystick.merkle import leaf_hash, tree_root

CHAIN_ID = 73_571
GENESIS_TIME = 1_790_000_000
BLOCK_GAS = 60_000_000
TIP_WEI = 1_000_000_000
REVERTED = 3


def _selector(signature: str) -> bytes:
    return keccak256(signature.encode())[:4]


CREATE_LOG = _selector("createLog(address,address,uint8,uint32,uint32,bytes32)")
OPEN_EPOCH = _selector("openEpoch(bytes32,bytes32,uint32,bytes)")
APPEND = _selector("append(bytes32,bytes32,bytes)")
ROTATE_WRITER = _selector("rotateWriter(bytes32,bytes32,address,uint64)")
VOID_NUMBERS = _selector("voidNumbers(bytes32,bytes32,uint64,uint64)")
LOG_STATE = _selector("logState(bytes32)")
LOG_TERMS = _selector("logTerms(bytes32)")
BATCH_AT = _selector("batchAt(bytes32,uint64)")
MAX_NUMBER = 2**53 - 1


Emitted = tuple[list[bytes], bytes]
"""An event: its topics and its data."""


class Revert(Exception):
    """A custom error of the contract."""

    def __init__(self, signature: str, *arguments: object) -> None:
        super().__init__(signature)
        types = signature[signature.index("(") + 1 : -1].split(",")
        self.data = _selector(signature) + (encode(types, arguments) if types != [""] else b"")


@dataclass
class LogModel:
    writer: bytes
    keeper: bytes
    terms: LogTerms
    created_at: int
    head: bytes
    size: int = 0
    entries: int = 0
    epoch: int = 0
    epoch_open: bool = False
    first_admission: int = 1
    batches: list[tuple[int, int, int, int, bytes]] = field(default_factory=list)

    def chain(self, kind: EntryKind, body: bytes) -> int:
        """One more entry; its number."""
        entry = self.entries
        self.head = next_head(self.head, kind, entry, body)
        self.entries = entry + 1
        return entry


@dataclass
class State:
    nonces: dict[bytes, int] = field(default_factory=dict)
    balances: dict[bytes, int] = field(default_factory=dict)
    contracts: set[bytes] = field(default_factory=set)
    logs: dict[tuple[bytes, bytes], LogModel] = field(default_factory=dict)


@dataclass
class Transaction:
    hash: bytes
    raw: bytes
    sender: bytes
    nonce: int
    max_fee: int
    tip: int
    gas: int
    to: bytes
    data: bytes


@dataclass
class Block:
    number: int
    hash: bytes
    timestamp: int
    state: State
    receipts: list[dict[str, object]] = field(default_factory=list)
    logs: list[dict[str, object]] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)


class ModelChain:
    """One node and its chain. `auto_mine`: a block for each transaction, as development nodes do."""

    def __init__(
        self, *funded: Address, auto_mine: bool = True, balance_wei: int = 10**21, genesis_time: int = GENESIS_TIME
    ) -> None:
        self.auto_mine = auto_mine
        self.base_fee = 10**9
        self.now_s: Callable[[], int] = lambda: 0
        """The wall clock, which a block's time is never behind."""
        self.out_of_gas = 0
        """So many of the next calls of the contract fail as if their gas had run out."""
        self.pool: dict[tuple[bytes, int], Transaction] = {}
        self._forks = 0
        state = State(balances=dict.fromkeys(map(bytes, funded), balance_wei))
        self.blocks = [Block(0, keccak256(b"genesis"), genesis_time, state)]

    # -- what a test does ---------------------------------------------------------------------------------------------

    def mine(self, count: int = 1) -> None:
        """Add blocks; the first takes every transaction of the pool that pays enough and is next for its sender."""
        for _ in range(count):
            head = self.blocks[-1]
            number, timestamp = head.number + 1, max(head.timestamp + 1, self.now_s())
            digest = keccak256(head.hash + number.to_bytes(8, "big") + self._forks.to_bytes(8, "big"))
            block = Block(number, digest, timestamp, copy.deepcopy(head.state))
            while (chosen := self._next(block.state)) is not None:
                del self.pool[chosen.sender, chosen.nonce]
                self._execute(block, chosen)
            self.blocks.append(block)

    def reorganise(self, depth: int, *, keep_transactions: bool = True, regrow: int | None = None) -> None:
        """Take back the newest `depth` blocks and grow others, empty ones; their transactions go back to the pool, or are lost."""
        taken, self.blocks = self.blocks[-depth:], self.blocks[:-depth]
        self._forks += 1
        transactions = [tx for block in taken for tx in block.transactions] if keep_transactions else []
        waiting, self.pool = self.pool, {}
        self.mine(depth if regrow is None else regrow)
        self.pool = waiting | {(tx.sender, tx.nonce): tx for tx in transactions}

    def drop_pool(self) -> None:
        """The node forgets what waits, as after a restart."""
        self.pool.clear()

    @property
    def state(self) -> State:
        return self.blocks[-1].state

    # -- JSON-RPC -----------------------------------------------------------------------------------------------------

    def call(self, method: str, params: list[object]) -> object:
        """Answers one method, as tallystick.chain.rpc.Transport does."""
        return getattr(self, f"_{method}")(*params)

    def _eth_chainId(self) -> str:  # noqa: N802
        return hex(CHAIN_ID)

    def _eth_getBlockByNumber(self, tag: str, _full: bool) -> object:  # noqa: N802
        number = len(self.blocks) - 1 if tag == "latest" else int(tag, 16)
        if number >= len(self.blocks):
            return None
        block = self.blocks[number]
        return {
            "number": hex(block.number), "hash": to_hex(block.hash), "timestamp": hex(block.timestamp), "baseFeePerGas": hex(self.base_fee)
        }  # fmt: skip

    def _eth_maxPriorityFeePerGas(self) -> str:  # noqa: N802
        return hex(TIP_WEI)

    def _eth_getTransactionCount(self, address: str, _tag: str) -> str:  # noqa: N802
        return hex(self.state.nonces.get(bytes.fromhex(address[2:]), 0))

    def _eth_getBalance(self, address: str, _tag: str) -> str:  # noqa: N802
        return hex(self.state.balances.get(bytes.fromhex(address[2:]), 0))

    def _eth_getCode(self, address: str, tag: str) -> str:  # noqa: N802
        there = bytes.fromhex(address[2:]) in self._state_at(tag).contracts
        return to_hex(load_artifact().deployed_bytecode) if there else "0x"

    def _eth_getTransactionReceipt(self, tx_hash: str) -> object:  # noqa: N802
        return next((r for b in reversed(self.blocks) for r in b.receipts if r["transactionHash"] == tx_hash), None)

    def _eth_getTransactionByHash(self, tx_hash: str) -> object:  # noqa: N802
        for block in reversed(self.blocks):
            for tx in block.transactions:
                if to_hex(tx.hash) == tx_hash:
                    return _shown(tx, block)
        return None

    def _eth_getLogs(self, query: Mapping[str, object]) -> object:  # noqa: N802
        first, last = int(str(query["fromBlock"]), 16), int(str(query["toBlock"]), 16)
        wanted: list[object] = query["topics"]  # type: ignore[assignment]
        found = [entry for block in self.blocks[first : last + 1] for entry in block.logs]
        return [e for e in found if e["address"] == query["address"] and _lets_through(wanted, e["topics"])]  # type: ignore[arg-type]

    def _eth_call(self, request: Mapping[str, str], tag: str) -> str:
        contract, data = bytes.fromhex(request["to"][2:]), bytes.fromhex(request["data"][2:])
        state = self._state_at(tag)
        if contract not in state.contracts:
            return "0x"
        try:
            return to_hex(_view(state, contract, data))
        except Revert as revert:
            raise ChainRejected(REVERTED, "execution reverted", revert.data) from revert

    def _eth_sendRawTransaction(self, raw: str) -> str:  # noqa: N802
        tx = parse_transaction(bytes.fromhex(raw[2:]))
        place, state = (tx.sender, tx.nonce), self.state
        if tx.nonce < state.nonces.get(tx.sender, 0):
            raise ChainRejected(-32000, "nonce too low")
        if state.balances.get(tx.sender, 0) < tx.gas * tx.max_fee:
            raise ChainRejected(-32000, "insufficient funds for gas * price + value")
        waiting = self.pool.get(place)
        if waiting is not None:
            if waiting.hash == tx.hash:
                raise ChainRejected(-32000, "already known")
            if tx.max_fee * 10 < waiting.max_fee * 11 or tx.tip * 10 < waiting.tip * 11:
                raise ChainRejected(-32000, "replacement transaction underpriced")
        self.pool[place] = tx
        if self.auto_mine:
            self.mine()
        return to_hex(tx.hash)

    # -- the machine --------------------------------------------------------------------------------------------------

    def _state_at(self, tag: str) -> State:
        return self.state if tag in {"latest", "pending"} else self.blocks[int(tag, 16)].state

    def _next(self, state: State) -> Transaction | None:
        ready = [
            tx
            for (sender, nonce), tx in self.pool.items()
            if nonce == state.nonces.get(sender, 0) and tx.max_fee >= self.base_fee
        ]
        return max(ready, key=lambda tx: tx.tip, default=None)

    def _execute(self, block: Block, tx: Transaction) -> None:
        state = block.state
        state.nonces[tx.sender] = tx.nonce + 1
        created = contract_address(Address(tx.sender), tx.nonce) if not tx.to else None
        before = copy.deepcopy(state.logs)
        entries: list[tuple[list[bytes], bytes]] = []
        try:
            if created is not None:
                state.contracts.add(created)
            elif tx.to in state.contracts:
                self._use_gas()
                entries = _run(state, tx, block.timestamp)
            succeeded = True
        except Revert:
            state.logs, succeeded = before, False
        gas_used = 21_000 + 40 * len(tx.data)
        price = min(tx.max_fee, self.base_fee + tx.tip)
        state.balances[tx.sender] -= gas_used * price
        logs = [
            {
                "address": to_hex(tx.to), "topics": [to_hex(t) for t in topics], "data": to_hex(data), "removed": False,
                "blockNumber": hex(block.number), "blockHash": to_hex(block.hash), "transactionHash": to_hex(tx.hash),
                "transactionIndex": hex(len(block.transactions)), "logIndex": hex(len(block.logs) + position),
            }
            for position, (topics, data) in enumerate(entries)
        ]  # fmt: skip
        block.logs += logs
        block.transactions.append(tx)
        block.receipts.append(
            {
                "transactionHash": to_hex(tx.hash), "status": hex(succeeded), "blockNumber": hex(block.number),
                "blockHash": to_hex(block.hash), "gasUsed": hex(gas_used), "effectiveGasPrice": hex(price),
                "contractAddress": None if created is None else to_hex(created), "logs": logs,
            }
        )  # fmt: skip

    def _use_gas(self) -> None:
        if self.out_of_gas > 0:
            self.out_of_gas -= 1
            raise Revert("OutOfGas()")


def parse_transaction(raw: bytes) -> Transaction:
    """Reads an EIP-1559 transaction and recovers its sender."""
    fields = rlp.decode(raw[1:])
    chain_id, nonce, tip, max_fee, gas, to, _value, data, _access, parity, r, s = fields
    if int.from_bytes(chain_id, "big") != CHAIN_ID:
        raise ChainRejected(-32000, "invalid chain id")
    digest = keccak256(b"\x02" + rlp.encode(fields[:9]))
    signature = r.rjust(32, b"\0") + s.rjust(32, b"\0") + bytes((27 + int.from_bytes(parity, "big"),))
    number = [int.from_bytes(value, "big") for value in (nonce, max_fee, tip, gas)]
    return Transaction(keccak256(raw), raw, bytes(recover(digest, signature)), *number, to, data)


def _shown(tx: Transaction, block: Block) -> dict[str, object]:
    fields = rlp.decode(tx.raw[1:])
    number = [hex(int.from_bytes(value, "big")) for value in fields]
    return {
        "blockHash": to_hex(block.hash), "blockNumber": hex(block.number), "hash": to_hex(tx.hash), "type": "0x2",
        "chainId": number[0], "nonce": number[1], "maxPriorityFeePerGas": number[2], "maxFeePerGas": number[3], "gas": number[4],
        "to": to_hex(tx.to) if tx.to else None, "value": number[6], "input": to_hex(tx.data), "accessList": [],
        "v": number[9], "yParity": number[9], "r": number[10], "s": number[11], "from": to_hex(tx.sender),
    }  # fmt: skip


def _lets_through(wanted: list[object], topics: list[str]) -> bool:
    if len(topics) < len(wanted):
        return False
    return all(
        choice is None or topic == choice or (isinstance(choice, list) and topic in choice)
        for choice, topic in zip(wanted, topics, strict=False)
    )


def _known(state: State, tx: Transaction, log_id: bytes) -> LogModel:
    log = state.logs.get((tx.to, log_id))
    if log is None:
        raise Revert("UnknownLog(bytes32)", log_id)
    return log


def _own_log(state: State, tx: Transaction, log_id: bytes, head: bytes) -> LogModel:
    log = _known(state, tx, log_id)
    if log.writer != tx.sender:
        raise Revert("NotWriter(bytes32,address)", log_id, tx.sender)
    return _at_head(log, log_id, head)


def _at_head(log: LogModel, log_id: bytes, head: bytes) -> LogModel:
    if head != log.head:
        raise Revert("StaleHead(bytes32,bytes32,bytes32)", log_id, log.head, head)
    return log


def _topic(signature: str) -> bytes:
    return keccak256(signature.encode())


def _event(signature: str, log_id: bytes, entry: int, types: list[str], values: list[object]) -> list[Emitted]:
    return [([_topic(signature), log_id, entry.to_bytes(32, "big")], encode(types, values))]


def _run(state: State, tx: Transaction, now_s: int) -> list[Emitted]:
    selector, data = tx.data[:4], tx.data[4:]
    run = {
        CREATE_LOG: _create_log,
        OPEN_EPOCH: _open_epoch,
        APPEND: _append,
        ROTATE_WRITER: _rotate,
        VOID_NUMBERS: _void,
    }
    return run[selector](state, tx, data, now_s)


def _create_log(state: State, tx: Transaction, data: bytes, now_s: int) -> list[Emitted]:
    writer, keeper, mode, promise, skew, salt = decode(
        ["address", "address", "uint8", "uint32", "uint32", "bytes32"], data
    )
    writer, keeper = bytes.fromhex(writer[2:]), bytes.fromhex(keeper[2:])
    terms = LogTerms(
        creator=Address(tx.sender), salt=salt, writer=Address(writer), keeper=Address(keeper), format=2, mode=mode,
        promise=promise, skew=skew,
    )  # fmt: skip
    log_id = bytes(derive_log_id(CHAIN_ID, Address(tx.to), terms))
    if (tx.to, log_id) in state.logs:
        raise Revert("LogExists(bytes32)", log_id)
    state.logs[tx.to, log_id] = LogModel(writer, keeper, terms, now_s, log_id)
    signature = "LogCreated(bytes32,address,bytes32,address,address,uint16,uint8,uint32,uint32)"
    values = encode(
        ["bytes32", "address", "address", "uint16", "uint8", "uint32", "uint32"],
        [salt, writer, keeper, 2, mode, promise, skew],
    )
    return [([_topic(signature), log_id, encode(["address"], [tx.sender])], values)]


def _open_epoch(state: State, tx: Transaction, data: bytes, _now_s: int) -> list[Emitted]:
    log_id, head, epoch, wraps = decode(["bytes32", "bytes32", "uint32", "bytes"], data)
    log = _own_log(state, tx, log_id, head)
    if epoch != log.epoch + 1:
        raise Revert("EpochOutOfOrder(bytes32,uint32,uint32)", log_id, log.epoch + 1, epoch)
    if not wraps or len(wraps) > 64 * WRAP_BYTES or len(wraps) % WRAP_BYTES:
        raise Revert("BadWraps(uint256,uint256,uint256)", len(wraps), WRAP_BYTES, 64)
    log.epoch, log.epoch_open = epoch, True
    entry = log.chain(EntryKind.EPOCH, epoch_body(epoch, log.size, wraps))
    types = ["uint32", "uint64", "bytes32", "bytes"]
    signature = "EpochOpened(bytes32,uint64,uint32,uint64,bytes32,bytes)"
    return _event(signature, log_id, entry, types, [epoch, log.size, log.head, wraps])


def _append(state: State, tx: Transaction, data: bytes, now_s: int) -> list[Emitted]:
    log_id, head, packed = decode(["bytes32", "bytes32", "bytes"], data)
    log = _own_log(state, tx, log_id, head)
    if not log.epoch_open:
        raise Revert("NoOpenEpoch(bytes32)", log_id)
    try:
        records = unpack_records(packed)
    except PackingError as error:
        raise Revert("TruncatedRecord(uint256)", error.position) from error
    first, batch, count = log.size, len(log.batches), len(records)
    root = tree_root([leaf_hash(log_id, first + i, r.fields_root, r.sealed) for i, r in enumerate(records)])
    entry = log.chain(EntryKind.BATCH, batch_body(log.epoch, first, count, root))
    log.size += count
    log.batches.append((first, count, log.epoch, now_s, root))
    types = ["uint64", "uint64", "uint32", "uint32", "bytes32", "bytes32", "bytes"]
    signature = "BatchAppended(bytes32,uint64,uint64,uint64,uint32,uint32,bytes32,bytes32,bytes)"
    return _event(signature, log_id, entry, types, [batch, first, count, log.epoch, root, log.head, packed])


def _rotate(state: State, tx: Transaction, data: bytes, _now_s: int) -> list[Emitted]:
    log_id, head, writer, last_admission = decode(["bytes32", "bytes32", "address", "uint64"], data)
    log = _known(state, tx, log_id)
    if log.keeper != tx.sender:
        raise Revert("NotKeeper(bytes32,address)", log_id, tx.sender)
    _at_head(log, log_id, head)
    if not log.first_admission - 1 <= last_admission < MAX_NUMBER:
        earliest = log.first_admission - 1
        raise Revert("BadLastAdmission(uint64,uint64,uint64)", last_admission, earliest, MAX_NUMBER - 1)
    previous, log.writer = log.writer, bytes.fromhex(writer[2:])
    log.epoch_open, log.first_admission = False, last_admission + 1
    body = writer_body(Address(previous), Address(log.writer), log.size, last_admission)
    entry = log.chain(EntryKind.WRITER, body)
    types = ["address", "address", "uint64", "uint64", "bytes32"]
    signature = "WriterRotated(bytes32,uint64,address,address,uint64,uint64,bytes32)"
    return _event(signature, log_id, entry, types, [previous, log.writer, log.size, last_admission, log.head])


def _void(state: State, tx: Transaction, data: bytes, _now_s: int) -> list[Emitted]:
    log_id, head, first, last = decode(["bytes32", "bytes32", "uint64", "uint64"], data)
    log = _own_log(state, tx, log_id, head)
    if not 1 <= first <= last <= MAX_NUMBER:
        raise Revert("BadNumbers(uint64,uint64,uint64)", first, last, MAX_NUMBER)
    entry = log.chain(EntryKind.VOID, void_body(first, last))
    signature = "NumbersVoided(bytes32,uint64,uint64,uint64,bytes32)"
    return _event(signature, log_id, entry, ["uint64", "uint64", "bytes32"], [first, last, log.head])


def _view(state: State, contract: bytes, data: bytes) -> bytes:
    log_id = data[4:36]
    log = state.logs.get((contract, log_id))
    if log is None:
        raise Revert("UnknownLog(bytes32)", log_id)
    if data[:4] == LOG_STATE:
        state_values = [log.writer, log.size, log.entries, log.head, len(log.batches), log.epoch, log.epoch_open]
        return encode(["address", "uint64", "uint64", "bytes32", "uint64", "uint32", "bool"], state_values)
    if data[:4] == LOG_TERMS:
        terms = [log.keeper, 2, log.terms.mode, log.terms.promise, log.terms.skew, log.created_at]
        return encode(["address", "uint16", "uint8", "uint32", "uint32", "uint64"], terms)
    batch = int.from_bytes(data[36:68], "big")
    if data[:4] != BATCH_AT:
        raise Revert("NotModelled()")
    if batch >= len(log.batches):
        raise Revert("UnknownBatch(bytes32,uint64)", log_id, batch)
    return encode(["uint64", "uint32", "uint32", "uint64", "bytes32"], log.batches[batch])
