"""A node's answers over JSON-RPC, and what of them the node cannot make up: the signers of transactions."""

import json
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import rlp
from eth_abi import decode, encode

from tests.support.stranger.crypto import keccak, recover

Ask = Callable[[str, list[Any]], Any]


class NodeError(Exception):
    """The node did not answer, or answered with an error."""


def http_node(url: str) -> Ask:
    """A function that asks the node at an address."""

    def ask(method: str, params: list[Any]) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        if answer.get("error") is not None:
            raise NodeError(f"{method}: {answer['error']}")
        return answer["result"]

    return ask


def unhex(value: str) -> bytes:
    """The bytes of 0x and hex digits."""
    return bytes.fromhex(value.removeprefix("0x"))


def quantity(value: str | None) -> int:
    """The number of 0x and hex digits."""
    return int(value, 16) if value else 0


def selector(signature: str) -> bytes:
    """The first four bytes of a call."""
    return keccak(signature.encode())[:4]


def types_of(signature: str) -> list[str]:
    """The types in a signature."""
    inner = signature[signature.index("(") + 1 : -1]
    return inner.split(",") if inner else []


def plain(values: tuple[Any, ...], types: list[str]) -> list[Any]:
    """Decoded values, with addresses as bytes."""
    return [unhex(value) if kind == "address" else value for value, kind in zip(values, types, strict=True)]


@dataclass(frozen=True)
class Event:
    """One event of the log."""

    topic: bytes
    topics: list[bytes]
    data: bytes
    block: int
    position: int
    transaction: bytes

    def values(self, types: list[str]) -> list[Any]:
        """The values that are not indexed."""
        return plain(decode(types, self.data), types)


@dataclass(frozen=True)
class Transaction:
    """A transaction that proves its signer."""

    sender: bytes
    to: bytes
    data: bytes


class Node:
    """One contract at one block of one node."""

    def __init__(self, ask: Ask, contract: bytes) -> None:
        self.ask = ask
        self.contract = contract
        self.chain_id = quantity(ask("eth_chainId", []))
        self.block = quantity(ask("eth_blockNumber", []))
        self._times: dict[int, int] = {}

    def time(self, block: int) -> int:
        """The time of a block."""
        if block not in self._times:
            answer = self.ask("eth_getBlockByNumber", [hex(block), False])
            if answer is None:
                raise NodeError(f"the node has no block {block}")
            self._times[block] = quantity(answer["timestamp"])
        return self._times[block]

    def code(self) -> bytes:
        """The contract's code."""
        return unhex(self.ask("eth_getCode", ["0x" + self.contract.hex(), hex(self.block)]))

    def events(self, log_id: bytes, start: int = 0, end: int | None = None) -> list[Event]:
        """The events of a log in their order; a range that the node finds too large is asked for in halves."""
        end = self.block if end is None else end
        question = {
            "address": "0x" + self.contract.hex(),
            "fromBlock": hex(start),
            "toBlock": hex(end),
            "topics": [None, "0x" + log_id.hex()],
        }
        try:
            answer = self.ask("eth_getLogs", [question])
        except NodeError:
            if start >= end:
                raise
            middle = (start + end) // 2
            return self.events(log_id, start, middle) + self.events(log_id, middle + 1, end)
        found = [_event(item) for item in answer if not item.get("removed")]
        return sorted(found, key=lambda event: (event.block, event.position))

    def view(self, signature: str, arguments: list[Any], returns: list[str]) -> list[Any]:
        """What a view of the contract gives."""
        data = selector(signature) + encode(types_of(signature), arguments)
        call = {"to": "0x" + self.contract.hex(), "data": "0x" + data.hex()}
        return plain(decode(returns, unhex(self.ask("eth_call", [call, hex(self.block)]))), returns)

    def transaction(self, digest: bytes) -> Transaction:
        """A transaction by its hash, with the signer that its own fields lead to."""
        given = self.ask("eth_getTransactionByHash", ["0x" + digest.hex()])
        if given is None:
            raise NodeError(f"the node has no transaction 0x{digest.hex()}")
        return prove(given, digest, self.chain_id)


def _event(item: dict[str, Any]) -> Event:
    topics = [unhex(topic) for topic in item["topics"]]
    return Event(
        topics[0],
        topics,
        unhex(item["data"]),
        quantity(item["blockNumber"]),
        quantity(item["logIndex"]),
        unhex(item["transactionHash"]),
    )


def _access_list(given: list[dict[str, Any]]) -> list[Any]:
    return [[unhex(item["address"]), [unhex(key) for key in item["storageKeys"]]] for item in given]


def prove(given: dict[str, Any], digest: bytes, chain_id: int) -> Transaction:
    """A transaction's signer, once its fields led to its hash. Types 0 (EIP-155) and 2 (EIP-1559) are known."""
    kind = quantity(given.get("type"))
    to, data = unhex(given["to"] or ""), unhex(given["input"])
    r, s, v = quantity(given["r"]), quantity(given["s"]), quantity(given.get("v") or given.get("yParity"))
    nonce, gas, value = quantity(given["nonce"]), quantity(given["gas"]), quantity(given["value"])
    if kind == 0:
        fields = [nonce, quantity(given["gasPrice"]), gas, to, value, data]
        parity = v - 35 - 2 * chain_id
        signed, whole = rlp.encode([*fields, chain_id, 0, 0]), rlp.encode([*fields, v, r, s])
    elif kind == 2:
        fees = [quantity(given["maxPriorityFeePerGas"]), quantity(given["maxFeePerGas"])]
        fields = [chain_id, nonce, *fees, gas, to, value, data, _access_list(given.get("accessList") or [])]
        parity = quantity(given["yParity"]) if given.get("yParity") is not None else v
        signed, whole = b"\x02" + rlp.encode(fields), b"\x02" + rlp.encode([*fields, parity, r, s])
    else:
        raise ValueError(f"a transaction of type {kind}")
    if keccak(whole) != digest:
        raise ValueError("the transaction's fields do not lead to its hash")
    return Transaction(recover(keccak(signed), r, s, parity), to, data)
