import pytest
import rlp
from eth_account import Account as EthAccount

from tallystick.keys import Wallet
from tallystick_platform.embedded_chain.errors import TransactionRefused
from tallystick_platform.embedded_chain.intake import MAX_INITCODE_BYTES, check_funds, check_transaction
from tallystick_platform.ledger_chain.gas import MAX_TRANSACTION_BYTES, MAX_TRANSACTION_GAS, calldata_floor
from tallystick_platform.ledger_chain.signers import Fees
from tests.support.accounts import Account

ACCOUNT = Account(transport=None, wallet=Wallet(b"\x11" * 32))
CHAIN_ID = ACCOUNT.chain_id
LEGACY = {"nonce": 0, "gas": 21_000, "gasPrice": 10**10, "to": "0x" + "00" * 20, "value": 5, "data": b""}


def check(raw, base_fee=0):
    return check_transaction(raw, chain_id=CHAIN_ID, base_fee=base_fee)


def refused(raw, reason, base_fee=0):
    with pytest.raises(TransactionRefused, match=reason):
        check(raw, base_fee)


def eth_signed(**fields):
    return bytes(EthAccount.sign_transaction(fields, b"\x11" * 32).raw_transaction)


def test_a_fee_market_transaction_is_taken():
    signed = ACCOUNT.sign(value=5, nonce=3)
    entry = check(signed.raw)
    assert (entry.hash, entry.sender, entry.nonce, entry.raw) == (signed.hash, ACCOUNT.address, 3, signed.raw)


@pytest.mark.parametrize("fields", [LEGACY, LEGACY | {"type": 1, "accessList": []}])
def test_older_types_with_the_chain_id_are_taken(fields):
    assert check(eth_signed(chainId=CHAIN_ID, **fields)).sender == ACCOUNT.address


def test_a_legacy_transaction_without_a_chain_id_is_refused():
    refused(eth_signed(**LEGACY), "replay-protected")


def test_another_chains_transaction_is_refused_by_both_ids():
    refused(ACCOUNT.sign(chain_id=1).raw, f"have 1 want {CHAIN_ID}")


def test_a_blob_transaction_is_refused():
    fields = [CHAIN_ID, 0, 1, 1, 21_000, bytes(20), 0, b"", [], 1, [b"\x01" + bytes(31)], 0, 1, 1]
    refused(b"\x03" + rlp.encode(fields), "no blobs")


def test_gas_at_the_cap_is_taken_and_one_more_refused():
    check(ACCOUNT.sign(gas=MAX_TRANSACTION_GAS).raw)
    refused(ACCOUNT.sign(gas=MAX_TRANSACTION_GAS + 1).raw, "cap: 16777216, tx: 16777217")


def test_gas_at_the_calldata_floor_is_taken_and_one_less_refused():
    data = b"\x01" * 100
    assert calldata_floor(data) == 25_000
    check(ACCOUNT.sign(data=data, gas=25_000).raw)
    refused(ACCOUNT.sign(data=data, gas=24_999).raw, "minimum needed 25000")


def test_a_transaction_at_the_size_limit_is_taken_and_one_byte_more_refused():
    room = MAX_TRANSACTION_BYTES - len(ACCOUNT.sign(data=bytes(100_000), gas=10**7).raw) + 100_000
    assert len(ACCOUNT.sign(data=bytes(room), gas=10**7).raw) == MAX_TRANSACTION_BYTES
    check(ACCOUNT.sign(data=bytes(room), gas=10**7).raw)
    refused(ACCOUNT.sign(data=bytes(room + 1), gas=10**7).raw, "oversized data")


def test_initialisation_code_at_the_limit_is_taken_and_one_byte_more_refused():
    check(ACCOUNT.sign(None, bytes(MAX_INITCODE_BYTES), gas=10**7).raw)
    refused(ACCOUNT.sign(None, bytes(MAX_INITCODE_BYTES + 1), gas=10**7).raw, "max initcode size")


def test_a_fee_at_the_base_fee_is_taken_and_one_less_refused():
    raw = ACCOUNT.sign(fees=Fees(max_fee_per_gas=100, max_priority_fee_per_gas=0)).raw
    check(raw, base_fee=100)
    refused(raw, "less than block base fee: maxFeePerGas 100, baseFee 101", base_fee=101)


def test_a_tip_above_the_fee_is_refused():
    refused(ACCOUNT.sign(fees=Fees(max_fee_per_gas=1, max_priority_fee_per_gas=2)).raw, "higher than max fee")


def test_a_broken_signature_is_refused():
    fields = [CHAIN_ID, 0, 1, 1, 21_000, bytes(20), 0, b"", [], 0, 2**256 - 1, 1]
    refused(b"\x02" + rlp.encode(fields), "invalid sender")


def test_a_high_s_is_refused():
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    fields = rlp.decode(ACCOUNT.sign().raw[1:])
    fields[-1] = (order - int.from_bytes(fields[-1], "big")).to_bytes(32, "big")
    fields[-3] = b"" if fields[-3] else b"\x01"
    refused(b"\x02" + rlp.encode(fields), "upper half")


NOT_TRANSACTIONS = [b"", b"\x02", b"\x02\xc0", b"\x05\xc0", b"\xc0", b"\x80", b"\xff", b"\x00", b"\x02" + b"\xc1" * 50]


@pytest.mark.parametrize("raw", [*NOT_TRANSACTIONS, ACCOUNT.sign().raw + b"\x00", ACCOUNT.sign().raw[:-1]])
def test_bytes_that_are_no_transaction_are_refused(raw):
    refused(raw, "does not decode")


def test_every_truncation_and_bit_flip_is_refused_or_is_another_transaction():
    raw = ACCOUNT.sign(value=7).raw
    for position in range(len(raw)):
        changed = bytearray(raw)
        changed[position] ^= 1
        for candidate in (bytes(changed), raw[:position]):
            try:
                entry = check(candidate)
            except TransactionRefused:
                continue
            assert entry.hash != ACCOUNT.sign(value=7).hash
            assert entry.transaction.encode() == candidate


def test_funds_that_just_suffice_are_enough_and_one_wei_less_not():
    entry = check(ACCOUNT.sign(gas=21_000, value=5, fees=Fees(max_fee_per_gas=2, max_priority_fee_per_gas=0)).raw)
    check_funds(entry, 42_005)
    with pytest.raises(TransactionRefused, match="have 42004 want 42005"):
        check_funds(entry, 42_004)
