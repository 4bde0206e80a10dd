"""Who signs the writer's transactions: a key in this process, or a signer behind JSON-RPC.

A transaction is signed once and its bytes are kept; what is sent later is those bytes. A remote signer signs transactions only. Receipts
and admissions are signed many times a second with the same key, so they need it in this process.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from tallystick.chain.rpc import Transport
from tallystick.errors import ChainRejected, ChainUnavailable
from tallystick.hashing import keccak256
from tallystick.ids import Address, Hash32, checksum_address, parse_address, to_hex
from tallystick.keys import Wallet
from tallystick_platform.ledger_chain.errors import SignerRefused, SignerUnavailable
from tallystick_platform.ledger_chain.gas import MAX_TRANSACTION_BYTES

FEE_MARKET_TYPE = 2
MAX_RAW_DIGITS = 2 + 4 * MAX_TRANSACTION_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """What a transaction offers for each unit of gas. Units: wei."""

    max_fee_per_gas: int
    max_priority_fee_per_gas: int

    def raised(self) -> Fees:
        """The least offer with which a node lets one transaction replace another of the same nonce, and a little more."""
        return Fees(
            max_fee_per_gas=self.max_fee_per_gas * 9 // 8 + 1,
            max_priority_fee_per_gas=self.max_priority_fee_per_gas * 9 // 8 + 1,
        )

    def capped(self, cap_wei: int) -> Fees:
        """The same offer where it is below `cap_wei`."""
        return Fees(
            max_fee_per_gas=min(self.max_fee_per_gas, cap_wei),
            max_priority_fee_per_gas=min(self.max_priority_fee_per_gas, cap_wei),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsigned:
    """A transaction before its signature. `to` is None for a deployment. Units: `value` in wei."""

    chain_id: int
    nonce: int
    to: Address | None
    data: bytes = field(repr=False)
    gas: int
    fees: Fees
    value: int = 0

    def as_fields(self) -> dict[str, Any]:
        """The transaction as eth-account takes it. Source: EIP-1559"""
        return {
            "type": FEE_MARKET_TYPE,
            "chainId": self.chain_id,
            "nonce": self.nonce,
            "maxPriorityFeePerGas": self.fees.max_priority_fee_per_gas,
            "maxFeePerGas": self.fees.max_fee_per_gas,
            "gas": self.gas,
            "to": "" if self.to is None else checksum_address(self.to),
            "value": self.value,
            "data": to_hex(self.data),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedTransaction:
    """A transaction's bytes, and the hash under which every node will know it."""

    hash: Hash32
    raw: bytes = field(repr=False)
    nonce: int


class Signer(Protocol):
    """Signs transactions for one account."""

    @property
    def address(self) -> Address:
        """The account."""
        ...

    def sign(self, transaction: Unsigned) -> SignedTransaction:
        """Sign a transaction.

        Raises: SignerUnavailable, SignerRefused
        """
        ...


class KeySigner:
    """Signs with a key in this process."""

    def __init__(self, wallet: Wallet) -> None:
        self._wallet = wallet

    @property
    def address(self) -> Address:
        """The wallet's account."""
        return self._wallet.address

    def sign(self, transaction: Unsigned) -> SignedTransaction:
        """Sign; the same transaction signed again gives the same bytes (RFC 6979)."""
        from eth_account import Account

        signed = Account.sign_transaction(transaction.as_fields(), self._wallet.secret)
        return _signed(bytes(signed.raw_transaction), transaction)


class RemoteSigner:
    """Asks a signer such as web3signer or clef by `eth_signTransaction`. What it gives back is checked before it is used."""

    def __init__(self, transport: Transport, address: Address, name: str) -> None:
        """`name` is shown in errors: the signer's address without what may be a key in it."""
        self._transport = transport
        self._address = address
        self._name = name

    @property
    def address(self) -> Address:
        """The account that the signer is asked to sign for."""
        return self._address

    def sign(self, transaction: Unsigned) -> SignedTransaction:
        """Have a transaction signed.

        Raises: SignerUnavailable, SignerRefused
        """
        fields = {
            name: hex(value) if isinstance(value, int) else value for name, value in transaction.as_fields().items()
        }
        if transaction.to is None:
            del fields["to"]
        try:
            answer = self._transport.call("eth_signTransaction", [fields | {"from": checksum_address(self._address)}])
        except ChainRejected as rejected:
            raise SignerRefused(signer=self._name, reason=rejected.message) from rejected
        except ChainUnavailable as unavailable:
            raise SignerUnavailable(signer=self._name, reason=unavailable.reason) from unavailable
        raw = self._raw(answer)
        self._check(raw, transaction)
        return _signed(raw, transaction)

    def _raw(self, answer: object) -> bytes:
        """web3signer answers the bytes, geth and clef an object that holds them as `raw`."""
        text = answer.get("raw") if isinstance(answer, dict) else answer
        if not isinstance(text, str) or not text.startswith("0x") or len(text) > MAX_RAW_DIGITS:
            raise SignerUnavailable(signer=self._name, reason="its answer holds no signed transaction")
        try:
            return bytes.fromhex(text[2:])
        except ValueError as error:
            raise SignerUnavailable(signer=self._name, reason="its answer is not hex") from error

    def _check(self, raw: bytes, transaction: Unsigned) -> None:
        """The bytes must be this transaction, signed by this account: nothing else is ever saved or sent."""
        from eth_account import Account
        from eth_account.typed_transactions.typed_transaction import TypedTransaction
        from hexbytes import HexBytes

        try:
            found = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
            signer = parse_address(Account.recover_transaction(raw))
        except Exception as error:  # the libraries raise of every kind on bytes that are no transaction
            raise SignerRefused(signer=self._name, reason="its answer is no transaction of type 2") from error
        for name, expected in transaction.as_fields().items():
            if _plain(found.get(name)) != _plain(expected):
                raise SignerRefused(signer=self._name, reason=f"its transaction has another {name}")
        if found.get("accessList"):
            raise SignerRefused(signer=self._name, reason="its transaction has an access list")
        if signer != self._address:
            reason = f"it signed as {checksum_address(signer)}, not as {checksum_address(self._address)}"
            raise SignerRefused(signer=self._name, reason=reason)


def _plain(value: object) -> object:
    """A field for comparison: numbers as they are, texts and bytes as bytes."""
    if isinstance(value, str):
        return bytes.fromhex(value.removeprefix("0x"))
    return bytes(value) if isinstance(value, bytes) else value


def _signed(raw: bytes, transaction: Unsigned) -> SignedTransaction:
    return SignedTransaction(hash=Hash32(keccak256(raw)), raw=raw, nonce=transaction.nonce)
