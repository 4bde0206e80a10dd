"""The writer's side: transactions signed once, sent as often as needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tallystick.chain import calldata
from tallystick.chain.artifact import load_artifact
from tallystick.chain.events import LedgerEvent, decode_receipt_events
from tallystick.chain.reverts import explain
from tallystick.chain.rpc import Transport
from tallystick.chain.transaction import (
    MAX_TRANSACTION_BYTES,
    MAX_TRANSACTION_GAS,
    Call,
    Fees,
    SignedTransaction,
    calldata_floor,
    deployment_gas,
    intrinsic_gas,
    sign_call,
)
from tallystick.chain.wire import UINT256_MAX, MalformedAnswer, read_data, read_object, read_quantity
from tallystick.errors import ChainError, ChainRejected
from tallystick.ids import Address, Epoch, FieldsRoot, Hash32, Index, LogId, to_hex
from tallystick.keys import Wallet

DEFAULT_FEE_CAP_WEI: Final = 500 * 10**9
"""No transaction offers more for a unit of gas, whatever the node says that gas costs."""
GAS_STORAGE: Final = 200_000
GAS_PER_RECORD: Final = 8_000
GAS_PER_BYTE: Final = 13
"""What executing a call may use at most: storage once, then for each record its events and hashes, and for each byte of
calldata its log data (8), hashing and copying. A limit costs nothing that is not used; `test_sender` holds it to the contract."""
TRANSACTION_OVERHEAD_BYTES: Final = 200
"""The bytes of a signed transaction beside its calldata, rounded up."""
_KNOWN: Final = ("already known", "known transaction", "already imported", "already_exists", "already exists")
_USED_NONCE: Final = ("nonce too low", "nonce is too low", "invalid nonce", "nonce_too_low")


class NotBound(ChainError):
    """The sender was made before its contract or log existed."""

    def __init__(self, what: str) -> None:
        super().__init__(f"this sender was given no {what}")
        self.what = what


class TransactionTooLarge(ChainError):
    """A transaction is beyond what nodes take; the batch must be split."""

    def __init__(self, unit: str, found: int, limit: int) -> None:
        super().__init__(f"the transaction has {found} {unit}, more than {limit}")
        self.unit = unit
        self.found = found
        self.limit = limit


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionReceipt:
    """What became of a transaction. Units: `effective_gas_price` in wei."""

    tx_hash: Hash32
    succeeded: bool
    block_number: int
    block_hash: Hash32
    gas_used: int
    effective_gas_price: int
    contract_address: Address | None
    events: tuple[LedgerEvent, ...]


class LedgerSender:
    """Builds, signs and sends one writer's transactions for one log."""

    def __init__(
        self,
        transport: Transport,
        wallet: Wallet,
        contract: Address | None,
        log_id: LogId | None,
        chain_id: int,
        *,
        fee_cap_wei: int = DEFAULT_FEE_CAP_WEI,
    ) -> None:
        self.transport = transport
        self.wallet = wallet
        self.contract = contract
        self.log_id = log_id
        self.chain_id = chain_id
        self._fee_cap_wei = fee_cap_wei

    def build_append(
        self,
        nonce: int,
        first_index: Index,
        fields_roots: Sequence[FieldsRoot],
        sealed: Sequence[bytes],
        *,
        fees: Fees | None = None,
    ) -> SignedTransaction:
        """Sign an `append`.

        Raises: TransactionTooLarge.
        """
        data = calldata.append(self._log(), first_index, fields_roots, sealed)
        return self._sign(nonce, data, call_gas(data, len(sealed)), fees)

    def build_open_epoch(
        self, nonce: int, epoch: Epoch, wraps: Sequence[bytes], *, fees: Fees | None = None
    ) -> SignedTransaction:
        """Sign an `openEpoch`."""
        data = calldata.open_epoch(self._log(), epoch, wraps)
        return self._sign(nonce, data, call_gas(data, len(wraps)), fees)

    def build_create_log(
        self, nonce: int, writer: Address, salt: bytes, *, fees: Fees | None = None
    ) -> SignedTransaction:
        """Sign a `createLog`; `calldata.derive_log_id` tells the id beforehand."""
        data = calldata.create_log(writer, salt)
        return self._sign(nonce, data, call_gas(data, 0), fees)

    def build_deploy(self, nonce: int, *, fees: Fees | None = None) -> SignedTransaction:
        """Sign the contract's deployment; `transaction.contract_address` tells its address beforehand."""
        code = load_artifact().bytecode
        return self._finish(nonce, None, code, deployment_gas(code), fees)

    def fees(self) -> Fees:
        """The offer that the node's next blocks should take: twice the base fee, and the tip that it suggests, capped."""
        header = read_object(self.transport.call("eth_getBlockByNumber", ["latest", False]), "block")
        base_fee = read_quantity(header.get("baseFeePerGas"), "base fee", UINT256_MAX)
        tip = read_quantity(self.transport.call("eth_maxPriorityFeePerGas", []), "priority fee", UINT256_MAX)
        return Fees(
            max_fee_per_gas=min(2 * base_fee + tip, self._fee_cap_wei),
            max_priority_fee_per_gas=min(tip, self._fee_cap_wei),
        )

    def nonce(self) -> int:
        """How many transactions of the writer the newest block counts; those that wait are not among them."""
        answer = self.transport.call("eth_getTransactionCount", [to_hex(self.wallet.address), "latest"])
        return read_quantity(answer, "transaction count")

    def balance(self) -> int:
        """The writer's balance in wei."""
        answer = self.transport.call("eth_getBalance", [to_hex(self.wallet.address), "latest"])
        return read_quantity(answer, "balance", UINT256_MAX)

    def send(self, transaction: SignedTransaction) -> None:
        """Give the node a transaction that it may already have: sending again is never wrong.

        Raises: ChainRejected when the node refuses it, ChainUnavailable when it is unknown whether the node has it.
        """
        try:
            answer = self.transport.call("eth_sendRawTransaction", [to_hex(transaction.raw)])
        except ChainRejected as error:
            reason = error.message.lower()
            if any(phrase in reason for phrase in _KNOWN):
                return
            # A nonce is used up by this very transaction too, once it is mined.
            if any(phrase in reason for phrase in _USED_NONCE) and self.receipt(transaction.hash) is not None:
                return
            raise explain(error) from error
        if read_data(answer, "eth_sendRawTransaction", 32) != transaction.hash:
            raise MalformedAnswer("eth_sendRawTransaction", "gave another hash than the transaction's own")

    def receipt(self, tx_hash: Hash32) -> TransactionReceipt | None:
        """What became of a transaction; None while it is not in a block."""
        answer = self.transport.call("eth_getTransactionReceipt", [to_hex(tx_hash)])
        if answer is None:
            return None
        fields = read_object(answer, "receipt")
        if read_data(fields.get("transactionHash"), "receipt hash", 32) != tx_hash:
            raise MalformedAnswer("receipt", "is another transaction's")
        created = fields.get("contractAddress")
        return TransactionReceipt(
            tx_hash=tx_hash,
            succeeded=read_quantity(fields.get("status"), "receipt status", 1) == 1,
            block_number=read_quantity(fields.get("blockNumber"), "receipt block number"),
            block_hash=Hash32(read_data(fields.get("blockHash"), "receipt block hash", 32)),
            gas_used=read_quantity(fields.get("gasUsed"), "gas used"),
            effective_gas_price=read_quantity(fields.get("effectiveGasPrice"), "effective gas price", UINT256_MAX),
            contract_address=None if created is None else Address(read_data(created, "contract address", 20)),
            events=self._events(fields.get("logs")),
        )

    def _events(self, entries: object) -> tuple[LedgerEvent, ...]:
        if self.contract is None or self.log_id is None:
            return ()
        return decode_receipt_events(entries, contract=self.contract, log_id=self.log_id)

    def _log(self) -> LogId:
        if self.log_id is None:
            raise NotBound("log")
        return self.log_id

    def _sign(self, nonce: int, data: bytes, gas: int, fees: Fees | None) -> SignedTransaction:
        if self.contract is None:
            raise NotBound("contract")
        return self._finish(nonce, self.contract, data, gas, fees)

    def _finish(self, nonce: int, to: Address | None, data: bytes, gas: int, fees: Fees | None) -> SignedTransaction:
        if gas > MAX_TRANSACTION_GAS:
            raise TransactionTooLarge("gas", gas, MAX_TRANSACTION_GAS)
        signed = sign_call(
            self.wallet,
            Call(chain_id=self.chain_id, nonce=nonce, to=to, data=data, gas=gas, fees=fees or self.fees()),
        )
        if len(signed.raw) > MAX_TRANSACTION_BYTES:
            raise TransactionTooLarge("bytes", len(signed.raw), MAX_TRANSACTION_BYTES)
        return signed


def append_calldata_size(sealed_sizes: Sequence[int]) -> int:
    """Count the calldata bytes of a batch from the sizes of its sealed records; add TRANSACTION_OVERHEAD_BYTES to compare
    with MAX_TRANSACTION_BYTES."""
    return calldata.append_size(sealed_sizes)


def call_gas(data: bytes, items: int) -> int:
    """A gas limit for a call with so many records or wraps, without asking a node.

    An estimate would be wrong for a batch whose predecessor is not mined yet: the contract refuses its index until then.
    """
    executed = GAS_STORAGE + GAS_PER_RECORD * items + GAS_PER_BYTE * len(data)
    return max(intrinsic_gas(data) + executed, calldata_floor(data))
