"""EIP-1559 transactions, built and signed by hand so that their hash is known before they are sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tallystick.hashing import keccak256
from tallystick.ids import Address, Hash32
from tallystick.keys import Wallet

MAX_TRANSACTION_BYTES: Final = 131_072
"""Public nodes keep no longer transaction in their pools."""
MAX_TRANSACTION_GAS: Final = 16_777_216
"""No block may hold a transaction with a higher gas limit. Source: EIP-7825."""
TYPE_FEE_MARKET: Final = b"\x02"

GAS_TRANSACTION: Final = 21_000
GAS_CREATE: Final = 32_000
GAS_INIT_CODE_WORD: Final = 2
GAS_CODE_BYTE: Final = 200
_FLOOR_PER_TOKEN: Final = 10
_GAS_PER_TOKEN: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """What a transaction offers for each unit of gas, in wei."""

    max_fee_per_gas: int
    max_priority_fee_per_gas: int

    def raised(self) -> Fees:
        """The least offer with which a node lets one transaction replace another of the same nonce, and a little more."""
        return Fees(
            max_fee_per_gas=self.max_fee_per_gas * 9 // 8 + 1,
            max_priority_fee_per_gas=self.max_priority_fee_per_gas * 9 // 8 + 1,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A transaction before its signature. `to` is None for a deployment."""

    chain_id: int
    nonce: int
    to: Address | None
    data: bytes
    gas: int
    fees: Fees
    value: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedTransaction:
    """A transaction's bytes, and the hash under which every node will know it."""

    hash: Hash32
    raw: bytes
    nonce: int


def sign_call(wallet: Wallet, call: Call) -> SignedTransaction:
    """Sign a transaction; the same call signed again gives the same bytes.

    Source: EIP-1559, EIP-2718.
    """
    fields: list[Rlp] = [
        call.chain_id,
        call.nonce,
        call.fees.max_priority_fee_per_gas,
        call.fees.max_fee_per_gas,
        call.gas,
        call.to or b"",
        call.value,
        call.data,
        [],
    ]
    signature = wallet.sign_digest(keccak256(TYPE_FEE_MARKET + encode_rlp(fields)))
    fields += [signature[64] - 27, int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")]
    raw = TYPE_FEE_MARKET + encode_rlp(fields)
    return SignedTransaction(hash=Hash32(keccak256(raw)), raw=raw, nonce=call.nonce)


def contract_address(creator: Address, nonce: int) -> Address:
    """The address of the contract that this transaction of `creator` deploys.

    Source: Yellow Paper, section 7.
    """
    return Address(keccak256(encode_rlp([creator, nonce]))[12:])


def calldata_tokens(data: bytes) -> int:
    """Count calldata in tokens: one for a zero byte, four for another.

    Source: EIP-7623.
    """
    return 4 * len(data) - 3 * data.count(0)


def calldata_floor(data: bytes) -> int:
    """The least gas that a transaction with this calldata uses, however little it executes.

    Source: EIP-7623.
    """
    return GAS_TRANSACTION + _FLOOR_PER_TOKEN * calldata_tokens(data)


def intrinsic_gas(data: bytes) -> int:
    """The gas that a call with this calldata pays before it executes.

    Source: EIP-2028.
    """
    return GAS_TRANSACTION + _GAS_PER_TOKEN * calldata_tokens(data)


def deployment_gas(code: bytes) -> int:
    """A gas limit that suffices to deploy a contract without constructor logic.

    Source: EIP-3860 for the words of initialisation code; its code deposit is counted as if all of it were kept.
    """
    words = (len(code) + 31) // 32
    spent = intrinsic_gas(code) + GAS_CREATE + GAS_INIT_CODE_WORD * words + GAS_CODE_BYTE * len(code) + 50_000
    return max(spent, calldata_floor(code))


Rlp = bytes | int | list["Rlp"]


def encode_rlp(value: Rlp) -> bytes:
    """Encode bytes, an integer or a list of these.

    Source: Yellow Paper, appendix B.
    """
    if isinstance(value, int):
        value = value.to_bytes((value.bit_length() + 7) // 8, "big")
    if isinstance(value, list):
        body = b"".join(map(encode_rlp, value))
        return _rlp_header(len(body), 0xC0) + body
    if len(value) == 1 and value[0] < 0x80:
        return value
    return _rlp_header(len(value), 0x80) + value


def _rlp_header(size: int, offset: int) -> bytes:
    if size < 56:
        return bytes((offset + size,))
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((offset + 55 + len(digits),)) + digits
