"""From raw bytes to a transaction that may wait for a block: everything that can be refused is refused here, by name."""

from __future__ import annotations

from typing import Final

import rlp
from eth.abc import SignedTransactionAPI
from eth.constants import SECPK1_N
from eth.exceptions import UnrecognizedTransactionType
from eth_keys.exceptions import BadSignature
from eth_utils import ValidationError

from tallystick_platform.embedded_chain.errors import TransactionRefused
from tallystick_platform.embedded_chain.pool import Waiting
from tallystick_platform.embedded_chain.rules import EmbeddedVM
from tallystick_platform.ledger_chain.gas import MAX_TRANSACTION_BYTES, MAX_TRANSACTION_GAS, calldata_floor

TYPE_LEGACY: Final = 0
TYPE_BLOB: Final = 3
MAX_INITCODE_BYTES: Final = 49_152
"""Source: EIP-3860."""


_UNDECODABLE: Final = (
    rlp.exceptions.RLPException,
    ValidationError,
    UnrecognizedTransactionType,
    ValueError,
    TypeError,
    IndexError,
)


def decode_transaction(raw: bytes) -> SignedTransactionAPI:
    """Decode a signed transaction; one has exactly one encoding.

    Raises: TransactionRefused.
    """
    if len(raw) > MAX_TRANSACTION_BYTES:
        raise TransactionRefused(f"oversized data: transaction size {len(raw)}, limit {MAX_TRANSACTION_BYTES}")
    try:
        transaction = EmbeddedVM.get_transaction_builder().decode(raw)
        canonical = transaction.encode() == raw
    except _UNDECODABLE as error:
        raise TransactionRefused(f"transaction does not decode: {str(error)[:200] or type(error).__name__}") from error
    if not canonical:
        raise TransactionRefused("transaction does not decode: its encoding is not canonical")
    return transaction


def check_transaction(raw: bytes, *, chain_id: int, base_fee: int) -> Waiting:
    """Check what can be checked without the sender's account.

    Raises: TransactionRefused.
    """
    transaction = decode_transaction(raw)
    type_id = transaction_type(transaction)
    if type_id == TYPE_BLOB:
        raise TransactionRefused("transaction type not supported: this chain carries no blobs")
    if transaction.chain_id is None:
        raise TransactionRefused("only replay-protected (EIP-155) transactions allowed over RPC")
    if transaction.chain_id != chain_id:
        raise TransactionRefused(f"invalid chain id for signer: have {transaction.chain_id} want {chain_id}")
    _check_gas(transaction)
    if transaction.max_fee_per_gas < transaction.max_priority_fee_per_gas:
        raise TransactionRefused("max priority fee per gas higher than max fee per gas")
    if transaction.max_fee_per_gas < base_fee:
        offered = transaction.max_fee_per_gas
        raise TransactionRefused(
            f"max fee per gas less than block base fee: maxFeePerGas {offered}, baseFee {base_fee}"
        )
    sender = _sender(transaction)
    return Waiting(
        transaction=transaction,
        hash=transaction.hash,
        raw=raw,
        sender=sender,
        nonce=transaction.nonce,
        gas=transaction.gas,
        max_fee=transaction.max_fee_per_gas,
        max_tip=transaction.max_priority_fee_per_gas,
    )


def check_funds(entry: Waiting, balance: int) -> None:
    """Refuse a transaction that its sender could not pay.

    Raises: TransactionRefused.
    """
    cost = entry.gas * entry.max_fee + int(entry.transaction.value)
    if cost > balance:
        raise TransactionRefused(f"insufficient funds for gas * price + value: have {balance} want {cost}")


def transaction_type(transaction: SignedTransactionAPI) -> int:
    """Give the EIP-2718 type, 0 for one from before it."""
    type_id = getattr(transaction, "type_id", None)
    return TYPE_LEGACY if type_id is None else int(type_id)


def gas_floor(transaction: SignedTransactionAPI) -> int:
    """Give the least gas limit with which a transaction is valid: py-evm charges EIP-7623's floor without asking for it."""
    return max(int(transaction.intrinsic_gas), calldata_floor(transaction.data))


def _sender(transaction: SignedTransactionAPI) -> bytes:
    if transaction.s > SECPK1_N // 2:
        raise TransactionRefused("invalid sender: s is in the upper half of the order")
    try:
        transaction.validate()
        return bytes(transaction.sender)
    except (ValidationError, BadSignature) as error:
        raise TransactionRefused(f"invalid sender or field: {error}") from error


def _check_gas(transaction: SignedTransactionAPI) -> None:
    if transaction.gas > MAX_TRANSACTION_GAS:
        raise TransactionRefused(f"transaction gas limit too high (cap: {MAX_TRANSACTION_GAS}, tx: {transaction.gas})")
    least = gas_floor(transaction)
    if transaction.gas < least:
        raise TransactionRefused(f"intrinsic gas too low: gas {transaction.gas}, minimum needed {least}")
    if transaction.to == b"" and len(transaction.data) > MAX_INITCODE_BYTES:
        raise TransactionRefused(
            f"max initcode size exceeded: code size {len(transaction.data)}, limit {MAX_INITCODE_BYTES}"
        )
