"""A transaction as a node shows it: its hash and its signer follow from its fields, so that the node has to be believed in neither.

Two types are read, the ones in which writers send: legacy (0) with a chain id, and fee market (2).
Source: EIP-155, EIP-1559, EIP-2718, EIP-2930.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tallystick.chain.wire import (
    UINT8_MAX,
    UINT64_MAX,
    UINT256_MAX,
    read_data,
    read_list,
    read_object,
    read_quantity,
)
from tallystick.errors import ChainError
from tallystick.hashing import keccak256
from tallystick.ids import ADDRESS_BYTES, HASH_BYTES, Address, Hash32
from tallystick.keys import recover

LEGACY: Final = 0
FEE_MARKET: Final = 2
MAX_ACCESS_ITEMS: Final = 1024
"""Of an access list, and of the slots of each address in it; a call of the contract needs none."""
_LEGACY_V: Final = 35


class TransactionUnreadable(ChainError):
    """The node shows a transaction of which the signer cannot be computed: a field is missing, or the type is another."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"transaction: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTransaction:
    """What a transaction says, and what its bytes hash to. `chain_id` is None for one that is valid on every chain."""

    type: int
    hash: Hash32
    chain_id: int | None
    nonce: int
    to: Address | None
    data: bytes
    signing_hash: Hash32
    signature: bytes

    def signer(self) -> Address:
        """Whose key signed it.

        Raises: SignatureError.
        """
        return recover(self.signing_hash, self.signature)


def read_transaction(answer: object) -> ShownTransaction:
    """Read what `eth_getTransactionByHash` gives, and compute the hash and what was signed.

    Raises: TransactionUnreadable, MalformedAnswer.
    """
    fields = read_object(answer, "transaction")
    kind = LEGACY if fields.get("type") is None else read_quantity(fields["type"], "transaction type", UINT8_MAX)
    if kind == LEGACY:
        return _read_legacy(fields)
    if kind == FEE_MARKET:
        return _read_fee_market(fields)
    raise TransactionUnreadable(f"is of type {kind}; types {LEGACY} and {FEE_MARKET} are read")


def _read_legacy(fields: Mapping[str, object]) -> ShownTransaction:
    nonce, to, value, data = _common(fields)
    parts: list[Rlp] = [nonce, _number(fields, "gasPrice"), _number(fields, "gas"), to or b"", value, data]
    v, r, s = (_number(fields, name) for name in ("v", "r", "s"))
    chain_id, parity = divmod(v - _LEGACY_V, 2) if v >= _LEGACY_V else (None, v - 27)
    if parity not in (0, 1):
        raise TransactionUnreadable(f"v is {v}, which no signature has")
    signed = parts if chain_id is None else [*parts, chain_id, 0, 0]
    return ShownTransaction(
        type=LEGACY,
        hash=Hash32(keccak256(encode_rlp([*parts, v, r, s]))),
        chain_id=chain_id,
        nonce=nonce,
        to=to,
        data=data,
        signing_hash=Hash32(keccak256(encode_rlp(signed))),
        signature=_signature(r, s, parity),
    )


def _read_fee_market(fields: Mapping[str, object]) -> ShownTransaction:
    nonce, to, value, data = _common(fields)
    chain_id = _number(fields, "chainId")
    fees: list[Rlp] = [_number(fields, "maxPriorityFeePerGas"), _number(fields, "maxFeePerGas")]
    tail: list[Rlp] = [_number(fields, "gas"), to or b"", value, data, _access_list(fields)]
    parts: list[Rlp] = [chain_id, nonce, *fees, *tail]
    parity = _number(fields, "v" if fields.get("yParity") is None else "yParity", 1)
    r, s = _number(fields, "r"), _number(fields, "s")
    prefix = bytes((FEE_MARKET,))
    return ShownTransaction(
        type=FEE_MARKET,
        hash=Hash32(keccak256(prefix + encode_rlp([*parts, parity, r, s]))),
        chain_id=chain_id,
        nonce=nonce,
        to=to,
        data=data,
        signing_hash=Hash32(keccak256(prefix + encode_rlp(parts))),
        signature=_signature(r, s, parity),
    )


def _common(fields: Mapping[str, object]) -> tuple[int, Address | None, int, bytes]:
    to = fields.get("to")
    return (
        _number(fields, "nonce", UINT64_MAX),
        None if to is None else Address(read_data(to, "transaction to", ADDRESS_BYTES)),
        _number(fields, "value"),
        read_data(_required(fields, "data" if fields.get("input") is None else "input"), "transaction input"),
    )


def _access_list(fields: Mapping[str, object]) -> list[Rlp]:
    items: list[Rlp] = []
    for item in read_list(_required(fields, "accessList"), "access list", MAX_ACCESS_ITEMS):
        entry = read_object(item, "access list item")
        keys = read_list(entry.get("storageKeys"), "storage keys", MAX_ACCESS_ITEMS)
        address = read_data(entry.get("address"), "access list address", ADDRESS_BYTES)
        items.append([address, [read_data(key, "storage key", HASH_BYTES) for key in keys]])
    return items


def _number(fields: Mapping[str, object], name: str, most: int = UINT256_MAX) -> int:
    return read_quantity(_required(fields, name), f"transaction {name}", most)


def _required(fields: Mapping[str, object], name: str) -> object:
    value = fields.get(name)
    if value is None:
        raise TransactionUnreadable(f"the node shows no {name}")
    return value


def _signature(r: int, s: int, parity: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((27 + parity,))


def contract_address(creator: Address, nonce: int) -> Address:
    """The address of the contract that this transaction of `creator` deploys.

    Source: Yellow Paper, section 7.
    """
    return Address(keccak256(encode_rlp([creator, nonce]))[12:])


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
