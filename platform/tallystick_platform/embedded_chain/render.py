"""Writing blocks, transactions, receipts and logs as JSON-RPC shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eth.abc import SignedTransactionAPI

from tallystick.ids import to_hex
from tallystick_platform.embedded_chain.index import BlockRow, LogRow, TransactionRow
from tallystick_platform.embedded_chain.intake import TYPE_LEGACY, decode_transaction, transaction_type

Json = dict[str, object]
_SET_CODE_TYPE = 4


def block(row: BlockRow, transactions: Sequence[object]) -> Json:
    """A block, with its transactions as given: hashes or objects."""
    header = row.header
    return {
        "number": hex(header.block_number),
        "hash": to_hex(row.hash),
        "parentHash": to_hex(header.parent_hash),
        "nonce": to_hex(header.nonce),
        "mixHash": to_hex(header.mix_hash),
        "sha3Uncles": to_hex(header.uncles_hash),
        "logsBloom": to_hex(header.bloom.to_bytes(256, "big")),
        "transactionsRoot": to_hex(header.transaction_root),
        "stateRoot": to_hex(header.state_root),
        "receiptsRoot": to_hex(header.receipt_root),
        "miner": to_hex(header.coinbase),
        "difficulty": hex(header.difficulty),
        "extraData": to_hex(header.extra_data),
        "size": hex(row.size),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "baseFeePerGas": hex(header.base_fee_per_gas),
        "withdrawalsRoot": to_hex(header.withdrawals_root),
        "blobGasUsed": hex(header.blob_gas_used),
        "excessBlobGas": hex(header.excess_blob_gas),
        "parentBeaconBlockRoot": to_hex(header.parent_beacon_block_root),
        "requestsHash": to_hex(header.requests_hash),
        "transactions": list(transactions),
        "withdrawals": [],
        "uncles": [],
    }


def mined_transaction(row: TransactionRow, block_hash: bytes) -> Json:
    """A transaction that stands in a block."""
    place: Json = {
        "blockHash": to_hex(block_hash),
        "blockNumber": hex(row.block_number),
        "transactionIndex": hex(row.position),
    }
    return transaction(decode_transaction(row.raw), row.sender, row.gas_price, place)


def waiting_transaction(signed: SignedTransactionAPI, sender: bytes) -> Json:
    """A transaction that waits in the pool."""
    place: Json = {"blockHash": None, "blockNumber": None, "transactionIndex": None}
    return transaction(signed, sender, int(signed.max_fee_per_gas), place)


def transaction(signed: SignedTransactionAPI, sender: bytes, gas_price: int, place: Json) -> Json:
    """A transaction, at `place`."""
    type_id = transaction_type(signed)
    shown: Json = {
        **place,
        "hash": to_hex(signed.hash),
        "type": hex(type_id),
        "chainId": hex(signed.chain_id),
        "from": to_hex(sender),
        "to": to_hex(signed.to) if signed.to else None,
        "nonce": hex(signed.nonce),
        "gas": hex(signed.gas),
        "gasPrice": hex(gas_price),
        "value": hex(signed.value),
        "input": to_hex(signed.data),
        "r": hex(signed.r),
        "s": hex(signed.s),
    }
    if type_id == TYPE_LEGACY:
        shown["v"] = hex(signed.v)
        return shown
    shown["v"] = shown["yParity"] = hex(signed.y_parity)
    shown["accessList"] = [
        {"address": to_hex(address), "storageKeys": [to_hex(slot.to_bytes(32, "big")) for slot in slots]}
        for address, slots in signed.access_list
    ]
    if type_id > 1:
        shown["maxFeePerGas"] = hex(signed.max_fee_per_gas)
        shown["maxPriorityFeePerGas"] = hex(signed.max_priority_fee_per_gas)
    if type_id == _SET_CODE_TYPE:
        shown["authorizationList"] = [
            {
                "chainId": hex(entry.chain_id),
                "address": to_hex(entry.address),
                "nonce": hex(entry.nonce),
                "yParity": hex(entry.y_parity),
                "r": hex(entry.r),
                "s": hex(entry.s),
            }
            for entry in signed.authorization_list
        ]
    return shown


def receipt(row: TransactionRow, block_row: BlockRow, logs: Sequence[LogRow], bloom: bytes) -> Json:
    """What became of a transaction."""
    signed = decode_transaction(row.raw)
    return {
        "transactionHash": to_hex(row.hash),
        "transactionIndex": hex(row.position),
        "blockHash": to_hex(block_row.hash),
        "blockNumber": hex(row.block_number),
        "from": to_hex(row.sender),
        "to": to_hex(signed.to) if signed.to else None,
        "contractAddress": to_hex(row.contract) if row.contract else None,
        "cumulativeGasUsed": hex(row.cumulative_gas),
        "gasUsed": hex(row.gas_used),
        "effectiveGasPrice": hex(row.gas_price),
        "status": hex(int(row.succeeded)),
        "type": hex(transaction_type(signed)),
        "logsBloom": to_hex(bloom),
        "logs": [log(entry, {row.block_number: block_row.hash}) for entry in logs],
    }


def log(row: LogRow, block_hashes: Mapping[int, bytes]) -> Json:
    """An event."""
    number = row.block_number
    return {
        "address": "0x" + row.address.hex(),
        "topics": ["0x" + topic.hex() for topic in row.topics],
        "data": "0x" + row.data.hex(),
        "blockNumber": hex(number),
        "blockHash": "0x" + block_hashes[number].hex(),
        "transactionHash": "0x" + row.tx_hash.hex(),
        "transactionIndex": hex(row.tx_position),
        "logIndex": hex(row.log_index),
        "removed": False,
    }
