import pytest
import rlp
from eth_account import Account
from eth_utils import to_checksum_address

from tallystick.chain.transaction import (
    Call,
    Fees,
    calldata_floor,
    contract_address,
    deployment_gas,
    encode_rlp,
    intrinsic_gas,
    sign_call,
)
from tallystick.keys import Wallet

KEY = b"\x11" * 32
TO = b"\x22" * 20


def call(**changes):
    values = {"chain_id": 73571, "nonce": 5, "to": TO, "data": b"\x00\x01", "gas": 100_000, "value": 0}
    fees = Fees(max_fee_per_gas=30 * 10**9, max_priority_fee_per_gas=10**9)
    return Call(**{**values, "fees": fees, **changes})


@pytest.mark.parametrize(
    "changes",
    [{}, {"nonce": 0}, {"data": b""}, {"data": b"\x7f" * 100_000}, {"to": None}, {"value": 10**18}, {"chain_id": 1}]
    + [{"nonce": nonce} for nonce in (127, 128, 255, 256)],
)
def test_a_signed_call_equals_eth_accounts(changes):
    ours = call(**changes)
    theirs = Account.sign_transaction(
        {
            "type": 2,
            "chainId": ours.chain_id,
            "nonce": ours.nonce,
            "to": to_checksum_address(ours.to) if ours.to else b"",
            "data": ours.data,
            "gas": ours.gas,
            "value": ours.value,
            "maxFeePerGas": ours.fees.max_fee_per_gas,
            "maxPriorityFeePerGas": ours.fees.max_priority_fee_per_gas,
        },
        KEY,
    )
    signed = sign_call(Wallet(KEY), ours)
    assert (signed.raw, signed.hash) == (bytes(theirs.raw_transaction), bytes(theirs.hash))


def test_signing_again_gives_the_same_bytes():
    assert sign_call(Wallet(KEY), call()) == sign_call(Wallet(KEY), call())


@pytest.mark.parametrize("size", [0, 1, 54, 55, 56, 57, 255, 256, 257, 65_535, 65_536])
def test_rlp_of_bytes_and_lists_of_every_length_class_equals_the_librarys(size):
    assert encode_rlp(b"\x80" * size) == rlp.encode(b"\x80" * size)
    assert encode_rlp([b"a"] * size) == rlp.encode([b"a"] * size)


@pytest.mark.parametrize("value", [0, 1, 127, 128, 255, 256, 2**64, 2**256 - 1])
def test_rlp_of_integers_equals_the_librarys(value):
    assert encode_rlp(value) == rlp.encode(value)


def test_rlp_of_nested_lists_equals_the_librarys():
    assert encode_rlp([b"", [[], [b"x", 1]], b"\x00"]) == rlp.encode([b"", [[], [b"x", 1]], b"\x00"])


@pytest.mark.parametrize("nonce", [0, 1, 127, 128])
def test_the_contract_address_is_that_of_the_yellow_paper(nonce):
    from eth._utils.address import generate_contract_address

    assert contract_address(TO, nonce) == generate_contract_address(TO, nonce)


def test_the_floor_and_the_intrinsic_gas_count_zero_bytes_as_a_quarter():
    assert calldata_floor(b"\x00" * 4) == calldata_floor(b"\x01") == 21_000 + 40
    assert intrinsic_gas(b"\x00" * 4) == intrinsic_gas(b"\x01") == 21_000 + 16


def test_a_deployment_gets_gas_for_every_byte_it_could_keep():
    assert deployment_gas(b"\x01" * 1000) >= 21_000 + 32_000 + 16_000 + 200_000


def test_raised_fees_replace_a_transaction_by_the_rules_of_nodes():
    fees = Fees(max_fee_per_gas=100, max_priority_fee_per_gas=0)
    assert fees.raised().max_fee_per_gas >= 110
    assert fees.raised().max_priority_fee_per_gas > 0
