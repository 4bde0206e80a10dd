"""The compiled contract on an in-memory py-evm chain (Prague), spoken to through the ABI alone.

Independent of `tallystick.chain` on purpose: calls are encoded from the committed ABI by eth-abi, so that the two can be compared.

ledger = EvmLedger.deploy()
log_id = ledger.create_log()
ledger.follow("append", log_id, records)
assert ledger.call("logState", log_id)["size"] == 1
"""

from __future__ import annotations

import ast
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from eth_abi.abi import decode, encode
from eth_tester import EthereumTester, PyEVMBackend
from eth_tester.exceptions import TransactionFailed
from eth_utils import decode_hex, encode_hex, keccak, to_canonical_address

ARTIFACT_PATH = Path(__file__).resolve().parents[2] / "contracts" / "abi" / "InferenceLedger.json"
BLOCK_GAS_LIMIT = 60_000_000
TRANSACTION_GAS_LIMIT = 16_777_216
"""EIP-7825's cap, which py-evm does not enforce by itself."""
PROMISE_S, SKEW_S = 3_600, 60
WRAP_BYTES = 1_176
HEADER_BYTES = 25


class Reverted(Exception):
    """The contract refused a call with one of its own errors; `arguments` in the order of the ABI."""

    def __init__(self, name: str, arguments: tuple[Any, ...]) -> None:
        super().__init__(f"{name}{arguments}")
        self.name = name
        self.arguments = arguments


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One decoded event, indexed arguments included, under the names of the ABI."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """What one transaction did."""

    gas_used: int
    calldata: bytes
    events: tuple[Event, ...]


@cache
def artifact() -> dict[str, Any]:
    """The committed artifact."""
    document: dict[str, Any] = json.loads(ARTIFACT_PATH.read_bytes())
    return document


class EvmLedger:
    """One deployed InferenceLedger. Accounts are hex addresses that the tester funds and signs for; the first is the default sender."""

    def __init__(self, tester: EthereumTester, address: str) -> None:
        self.tester = tester
        self.address = address
        self.accounts: tuple[str, ...] = tester.get_accounts()

    @classmethod
    def deploy(cls) -> EvmLedger:
        """Deploy onto a fresh chain."""
        genesis = PyEVMBackend.generate_genesis_params(overrides={"gas_limit": BLOCK_GAS_LIMIT})
        tester = EthereumTester(PyEVMBackend(genesis_parameters=genesis))
        creation = {"from": tester.get_accounts()[0], "data": artifact()["bytecode"], "gas": TRANSACTION_GAS_LIMIT}
        receipt = tester.get_transaction_receipt(tester.send_transaction(creation))
        return cls(tester, receipt["contract_address"])

    def call(self, function: str, *arguments: Any) -> Any:
        """Run a view; a single output bare, several by their names."""
        entry = _entry("function", function)
        request = self._request(_calldata(entry, arguments), self.accounts[0])
        try:
            returned = self.tester.call(request)
        except TransactionFailed as failure:
            raise _decode_failure(failure) from failure
        outputs = decode(_types(entry["outputs"]), decode_hex(returned))
        if len(outputs) == 1:
            return outputs[0]
        return {output["name"]: value for output, value in zip(entry["outputs"], outputs, strict=True)}

    def send(self, function: str, *arguments: Any, sender: str | None = None) -> Landed:
        """Send a transaction and mine it.

        Raises: Reverted.
        """
        calldata = _calldata(_entry("function", function), arguments)
        request = self._request(calldata, sender or self.accounts[0])
        receipt = self.tester.get_transaction_receipt(self.tester.send_transaction(request))
        if receipt["status"] != 1:
            self._raise_refusal(request)
        events = tuple(_decode_event(entry) for entry in receipt["logs"])
        return Landed(gas_used=receipt["gas_used"], calldata=calldata, events=events)

    def takes(self, calldata: bytes) -> bool:
        """Whether the contract would take this calldata from the first account, as it stands."""
        try:
            self.tester.call(self._request(calldata, self.accounts[0]))
        except TransactionFailed:
            return False
        return True

    def create_log(self, salt: bytes = bytes(32), *, mode: int = 1, epochs: int = 1) -> bytes:
        """Create a log on PROMISE_S and SKEW_S, written by the first account and kept by the second, and open its first epochs."""
        writer, keeper = self.accounts[:2]
        created = self.send("createLog", writer, keeper, mode, PROMISE_S, SKEW_S, salt)
        log_id: bytes = created.events[0].arguments["logId"]
        for epoch in range(1, epochs + 1):
            self.follow("openEpoch", log_id, epoch, bytes(WRAP_BYTES))
        return log_id

    def follow(self, function: str, log_id: bytes, *arguments: Any, sender: str | None = None) -> Landed:
        """Send one of the calls that make an entry, after the head that the log has now.

        Raises: Reverted.
        """
        return self.send(function, log_id, self.call("logState", log_id)["head"], *arguments, sender=sender)

    def code(self) -> bytes:
        """The deployed code."""
        code: bytes = decode_hex(self.tester.get_code(self.address))
        return code

    def _raise_refusal(self, request: dict[str, Any]) -> NoReturn:
        """Ask again as a call: a receipt says that a transaction failed, not why."""
        try:
            self.tester.call(request)
        except TransactionFailed as failure:
            raise _decode_failure(failure) from failure
        raise AssertionError("failed as a transaction and passed as a call")

    def _request(self, calldata: bytes, sender: str) -> dict[str, Any]:
        return {"from": sender, "to": self.address, "data": encode_hex(calldata), "gas": TRANSACTION_GAS_LIMIT}


def packed(records: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Records as `append` takes them, each a fields root and the sealed bytes."""
    parts = ((len(sealed) - HEADER_BYTES).to_bytes(3, "big") + root + sealed for root, sealed in records)
    return b"".join(parts)


def sealed_like(source: random.Random, size: int, admission_seq: int, *, flags: int = 0x20) -> bytes:
    """Bytes of `size` that the contract takes for a sealed record: a header, and a ciphertext of random bytes."""
    return bytes((flags,)) + admission_seq.to_bytes(8, "big") + source.randbytes(size - 9)


def address_bytes(account: str) -> bytes:
    """An account as its 20 bytes."""
    return bytes(to_canonical_address(account))


def _types(parameters: list[dict[str, Any]]) -> list[str]:
    return [parameter["type"] for parameter in parameters]


def _signature(entry: dict[str, Any]) -> bytes:
    return bytes(keccak(text=f"{entry['name']}({','.join(_types(entry['inputs']))})"))


def _entry(kind: str, name: str) -> dict[str, Any]:
    (entry,) = (entry for entry in artifact()["abi"] if entry["type"] == kind and entry["name"] == name)
    found: dict[str, Any] = entry
    return found


def _calldata(entry: dict[str, Any], arguments: Sequence[Any]) -> bytes:
    return _signature(entry)[:4] + encode(_types(entry["inputs"]), list(arguments))


def _decode_failure(failure: TransactionFailed) -> Exception:
    shown = str(failure)  # eth-tester shows revert data as Python writes bytes
    data: bytes = ast.literal_eval(shown) if shown.startswith(("b'", 'b"')) else b""
    for entry in artifact()["abi"]:
        if entry["type"] == "error" and _signature(entry)[:4] == data[:4]:
            return Reverted(entry["name"], decode(_types(entry["inputs"]), data[4:]))
    return AssertionError(f"not one of the contract's errors: {failure}")


def _decode_event(log: dict[str, Any]) -> Event:
    topics = [decode_hex(topic) for topic in log["topics"]]
    (entry,) = (item for item in artifact()["abi"] if item["type"] == "event" and _signature(item) == topics[0])
    indexed = [item for item in entry["inputs"] if item["indexed"]]
    plain = [item for item in entry["inputs"] if not item["indexed"]]
    arguments = {
        item["name"]: decode([item["type"]], topic)[0] for item, topic in zip(indexed, topics[1:], strict=True)
    }
    values = decode(_types(plain), decode_hex(log["data"]))
    arguments |= {item["name"]: value for item, value in zip(plain, values, strict=True)}
    return Event(name=entry["name"], arguments=arguments)
