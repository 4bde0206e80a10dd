"""One account on one chain, through web3.py: what the writer, and whoever sets a log up, builds, signs and sends.

Building and sending are apart: a transaction is signed once, its bytes and hash are kept, and sending them again is never wrong. Every
call that makes an entry names the head that it follows, so the contract refuses what comes twice or out of order.
Source: ledger/SPEC.md section 6
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeVar

from tallystick.chain.artifact import load_artifact
from tallystick.chain.reverts import explain
from tallystick.chain.rpc import Transport
from tallystick.chain.wire import MalformedAnswer
from tallystick.errors import ChainError, ChainRejected
from tallystick.heads import LogTerms
from tallystick.ids import Address, Epoch, Hash32, Head, LogId, checksum_address, to_hex
from tallystick.keys import WRAP_BYTES
from tallystick_platform.ledger_chain.errors import TransactionTooLarge
from tallystick_platform.ledger_chain.gas import (
    MAX_TRANSACTION_BYTES,
    MAX_TRANSACTION_GAS,
    call_gas,
    deployment_gas,
)
from tallystick_platform.ledger_chain.signers import Fees, SignedTransaction, Signer, Unsigned

DEFAULT_FEE_CAP_WEI: Final = 500 * 10**9
"""No transaction offers more for a unit of gas, whatever the node says that gas costs."""
_KNOWN: Final = ("already known", "known transaction", "already imported", "already_exists", "already exists")
_USED_NONCE: Final = ("nonce too low", "nonce is too low", "invalid nonce", "nonce_too_low")


T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionReceipt:
    """What became of a transaction."""

    tx_hash: Hash32
    succeeded: bool
    block_number: int
    block_hash: Hash32
    gas_used: int


class LedgerClient:
    """Builds, signs and sends one account's transactions."""

    def __init__(
        self, transport: Transport, signer: Signer, chain_id: int, *, fee_cap_wei: int = DEFAULT_FEE_CAP_WEI
    ) -> None:
        self._transport = transport
        self._signer = signer
        self.chain_id = chain_id
        self._fee_cap_wei = fee_cap_wei

    @property
    def address(self) -> Address:
        """The account."""
        return self._signer.address

    # -- what the node says

    def nonce(self) -> int:
        """How many transactions of the account the newest block counts; those that wait are not among them.

        Raises: ChainUnavailable, ChainRejected
        """
        return _asked("transaction count", lambda: _count(self._eth.get_transaction_count(self._account, "latest")))

    def balance(self, of: Address | None = None) -> int:
        """The account's balance, or another's. Units: wei.

        Raises: ChainUnavailable, ChainRejected
        """
        account = self._account if of is None else checksum_address(of)
        return _asked("balance", lambda: _count(self._eth.get_balance(account, "latest")))

    def fees(self) -> Fees:
        """The offer that the node's next blocks should take: twice the base fee, and the tip that it suggests, within the cap.

        Raises: ChainUnavailable, ChainRejected
        """
        base_fee = _asked("base fee", lambda: _count(self._eth.get_block("latest")["baseFeePerGas"]))
        tip = _asked("priority fee", lambda: _count(self._eth.max_priority_fee))
        return Fees(max_fee_per_gas=2 * base_fee + tip, max_priority_fee_per_gas=tip).capped(self._fee_cap_wei)

    def receipt(self, tx_hash: Hash32) -> TransactionReceipt | None:
        """What became of a transaction; None while it is not in a block.

        Raises: ChainUnavailable, ChainRejected
        """
        from web3.exceptions import TransactionNotFound

        def read() -> TransactionReceipt | None:
            try:
                found = self._eth.get_transaction_receipt(to_hex(tx_hash))
            except TransactionNotFound:
                return None
            receipt = TransactionReceipt(
                tx_hash=Hash32(bytes(found["transactionHash"])),
                succeeded=int(found["status"]) == 1,
                block_number=_count(found["blockNumber"]),
                block_hash=Hash32(bytes(found["blockHash"])),
                gas_used=_count(found["gasUsed"]),
            )
            if receipt.tx_hash != tx_hash or len(receipt.block_hash) != len(tx_hash):
                raise ValueError("is another transaction's")
            return receipt

        return _asked("receipt", read)

    def send(self, transaction: SignedTransaction) -> None:
        """Give the node a transaction that it may already have: sending again is never wrong.

        Raises: ChainRejected when the node refuses it, ChainUnavailable when it is unknown whether the node has it.
        """
        try:
            given = _asked("eth_sendRawTransaction", lambda: bytes(self._eth.send_raw_transaction(transaction.raw)))
        except ChainRejected as rejected:
            reason = rejected.message.lower()
            if any(phrase in reason for phrase in _KNOWN):
                return
            # A nonce is used up by this very transaction too, once it is mined.
            if any(phrase in reason for phrase in _USED_NONCE) and self.receipt(transaction.hash) is not None:
                return
            raise
        if given != transaction.hash:
            raise MalformedAnswer("eth_sendRawTransaction", "gave another hash than the transaction's own")

    # -- what the account signs

    def build_deploy(self, nonce: int, *, fees: Fees | None = None) -> SignedTransaction:
        """Sign the contract's deployment; `contract_address` tells its address beforehand."""
        code = load_artifact().bytecode
        return self._sign(None, code, deployment_gas(code), nonce, fees)

    def build_create_log(
        self, nonce: int, contract: Address, terms: LogTerms, *, fees: Fees | None = None
    ) -> SignedTransaction:
        """Sign a `createLog`; `heads.derive_log_id` tells the id beforehand. Requires: the creator is this account."""
        arguments = (
            checksum_address(terms.writer), checksum_address(terms.keeper), terms.mode, terms.promise, terms.skew, terms.salt
        )  # fmt: skip
        return self._call(contract, "createLog", arguments, 0, nonce, fees)

    def build_append(
        self, nonce: int, log: LogOnChain, head: Head, packed: bytes, count: int, *, fees: Fees | None = None
    ) -> SignedTransaction:
        """Sign an `append` of so many packed records.

        Raises: TransactionTooLarge, SignerUnavailable, SignerRefused
        """
        return self._call(log.contract, "append", (log.log_id, head, packed), count, nonce, fees)

    def build_open_epoch(
        self, nonce: int, log: LogOnChain, head: Head, epoch: Epoch, wraps: bytes, *, fees: Fees | None = None
    ) -> SignedTransaction:
        """Sign an `openEpoch`."""
        items = len(wraps) // WRAP_BYTES
        return self._call(log.contract, "openEpoch", (log.log_id, head, epoch, wraps), items, nonce, fees)

    def build_void(
        self, nonce: int, log: LogOnChain, head: Head, first: int, last: int, *, fees: Fees | None = None
    ) -> SignedTransaction:
        """Sign a `voidNumbers`."""
        return self._call(log.contract, "voidNumbers", (log.log_id, head, first, last), 0, nonce, fees)

    def build_rotate(
        self, nonce: int, log: LogOnChain, head: Head, writer: Address, last_admission: int, *, fees: Fees | None = None
    ) -> SignedTransaction:
        """Sign a `rotateWriter`. Requires: this account is the log's keeper."""
        arguments = (log.log_id, head, checksum_address(writer), last_admission)
        return self._call(log.contract, "rotateWriter", arguments, 0, nonce, fees)

    def build_transfer(self, nonce: int, to: Address, value_wei: int, *, fees: Fees | None = None) -> SignedTransaction:
        """Sign a payment to another account, which may be a new writer's."""
        return self._sign(to, b"", call_gas(b"", 0), nonce, fees, value_wei)

    # -- web3.py

    @cached_property
    def _web3(self) -> Any:
        from web3 import Web3

        from tallystick_platform.ledger_chain.provider import TransportProvider

        # No middleware: names, nonces, fees and gas are all given, so nothing is asked that was not meant.
        return Web3(TransportProvider(self._transport), middleware=[])

    @property
    def _eth(self) -> Any:
        return self._web3.eth

    @cached_property
    def _account(self) -> str:
        return checksum_address(self._signer.address)

    @cached_property
    def _interface(self) -> Any:
        """The contract's functions, without an address."""
        return self._eth.contract(abi=list(load_artifact().abi))

    def _call(
        self, contract: Address, function: str, arguments: tuple[object, ...], items: int, nonce: int, fees: Fees | None
    ) -> SignedTransaction:
        data = bytes.fromhex(self._interface.encode_abi(function, args=list(arguments)).removeprefix("0x"))
        return self._sign(contract, data, call_gas(data, items), nonce, fees)

    def _sign(
        self, to: Address | None, data: bytes, gas: int, nonce: int, fees: Fees | None, value_wei: int = 0
    ) -> SignedTransaction:
        if gas > MAX_TRANSACTION_GAS:
            raise TransactionTooLarge(unit="gas", found=gas, limit=MAX_TRANSACTION_GAS)
        unsigned = Unsigned(
            chain_id=self.chain_id,
            nonce=nonce,
            to=to,
            data=data,
            gas=gas,
            fees=fees or self.fees(),
            value=value_wei,
        )
        signed = self._signer.sign(unsigned)
        if len(signed.raw) > MAX_TRANSACTION_BYTES:
            raise TransactionTooLarge(unit="bytes", found=len(signed.raw), limit=MAX_TRANSACTION_BYTES)
        return signed


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOnChain:
    """A log of a contract, as calls name it."""

    contract: Address
    log_id: LogId


def _count(value: object) -> int:
    """A number as web3.py gives it, which hands through what is none."""
    if not isinstance(value, int) or value < 0:
        raise ValueError("is no count")
    return value


def _asked(what: str, read: Callable[[], T]) -> T:
    """What web3.py reads; its errors become the two that callers know: the node said no, or nothing was learned."""
    from web3.exceptions import Web3Exception, Web3RPCError

    try:
        return read()
    except ChainError:
        raise
    except Web3RPCError as error:
        refusal = (error.rpc_response or {}).get("error")
        if not isinstance(refusal, dict):
            raise MalformedAnswer(what, "is neither a result nor an error") from error
        data = bytes.fromhex(str(refusal.get("data", "0x"))[2:])
        raise explain(ChainRejected(int(refusal["code"]), str(refusal["message"]), data)) from error
    except (Web3Exception, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise MalformedAnswer(what, f"cannot be read: {type(error).__name__}") from error
