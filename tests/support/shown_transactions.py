"""Transactions as a node shows them, signed by eth-account: what the reader computes must agree with it.

shown = shown_transaction(KEY, to=contract, data=calldata)      # type 2
shown = shown_transaction(KEY, to=contract, data=calldata, kind=0)
"""

from __future__ import annotations

from typing import Any

from eth_account import Account
from eth_utils import to_checksum_address

from tallystick.ids import Address, to_hex

CHAIN_ID = 73571
ACCESS = {"address": "0x" + "ab" * 20, "storageKeys": ["0x" + "01" * 32, "0x" + "02" * 32]}


def shown_transaction(
    key: bytes,
    *,
    to: Address | None,
    data: bytes,
    kind: int = 2,
    chain_id: int | None = CHAIN_ID,
    nonce: int = 7,
    value: int = 0,
    access: list[dict[str, Any]] | None = None,
) -> dict[str, object]:
    """The answer to `eth_getTransactionByHash`. A legacy one without `chain_id` is signed as before EIP-155."""
    asked: dict[str, Any] = {"nonce": nonce, "gas": 100_000, "value": value, "data": data}
    asked["to"] = to_checksum_address(to) if to else b""
    fees: dict[str, object]
    if chain_id is not None:
        asked["chainId"] = chain_id
    if kind == 0:
        asked["gasPrice"] = 30 * 10**9
        fees = {"gasPrice": hex(asked["gasPrice"])}
    else:
        asked |= {"type": kind, "maxFeePerGas": 30 * 10**9, "maxPriorityFeePerGas": 10**9, "accessList": access or []}
        fees = {
            "maxFeePerGas": hex(asked["maxFeePerGas"]),
            "maxPriorityFeePerGas": hex(asked["maxPriorityFeePerGas"]),
            "gasPrice": hex(20 * 10**9),
            "accessList": access or [],
            "chainId": hex(asked["chainId"]),
        }
    signed = Account.sign_transaction(asked, key)
    shown: dict[str, object] = {
        "blockHash": "0x" + "bb" * 32,
        "blockNumber": "0x5",
        "transactionIndex": "0x0",
        "hash": to_hex(bytes(signed.hash)),
        "from": Account.from_key(key).address.lower(),
        "type": hex(kind),
        "nonce": hex(nonce),
        "gas": hex(asked["gas"]),
        "value": hex(value),
        "to": to_hex(to) if to else None,
        "input": to_hex(data),
        "v": hex(signed.v),
        "r": hex(signed.r),
        "s": hex(signed.s),
        **fees,
    }
    if kind:
        shown["yParity"] = hex(signed.v)
    return shown
