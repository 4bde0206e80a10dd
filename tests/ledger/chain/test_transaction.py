import pytest
import rlp
from eth_account import Account

from tallystick.chain.transaction import (
    MAX_ACCESS_ITEMS,
    TransactionUnreadable,
    contract_address,
    encode_rlp,
    read_transaction,
)
from tallystick.chain.wire import MalformedAnswer
from tallystick.errors import SignatureError
from tallystick.keys import Wallet
from tests.support.shown_transactions import ACCESS, CHAIN_ID, shown_transaction

KEY = b"\x11" * 32
TO = b"\x22" * 20
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@pytest.mark.parametrize("kind", [0, 2])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"data": b""},
        {"data": b"\x7f" * 100_000},
        {"to": None},
        {"value": 10**18},
        {"chain_id": 1},
        {"chain_id": 2**53 - 1},
        *({"nonce": nonce} for nonce in (0, 127, 128, 255, 256)),
    ],
)
def test_hash_and_signer_equal_eth_accounts(kind, changes):
    shown = shown_transaction(KEY, **{"to": TO, "data": b"\x00\x01", "kind": kind, **changes})
    read = read_transaction(shown)
    assert "0x" + read.hash.hex() == shown["hash"]
    assert read.signer() == Wallet(KEY).address
    assert (read.to, read.data) == (changes.get("to", TO), changes.get("data", b"\x00\x01"))
    assert (read.chain_id, read.nonce) == (changes.get("chain_id", CHAIN_ID), changes.get("nonce", 7))


def test_an_access_list_is_part_of_what_was_signed():
    shown = shown_transaction(KEY, to=TO, data=b"", access=[ACCESS])
    assert "0x" + read_transaction(shown).hash.hex() == shown["hash"]
    assert read_transaction(shown).signer() == Wallet(KEY).address
    assert read_transaction(shown | {"accessList": []}).hash != read_transaction(shown).hash


@pytest.mark.parametrize("name", ["nonce", "gas", "value", "maxFeePerGas", "maxPriorityFeePerGas", "chainId"])
def test_every_number_is_part_of_what_was_signed(name):
    shown = shown_transaction(KEY, to=TO, data=b"")
    changed = read_transaction(shown | {name: hex(int(shown[name], 16) + 1)})
    assert changed.hash != read_transaction(shown).hash
    assert changed.signer() != Wallet(KEY).address


def test_a_legacy_transaction_may_come_without_its_type_and_with_data_for_input():
    shown = shown_transaction(KEY, to=TO, data=b"\x01", kind=0)
    old = {name: value for name, value in shown.items() if name not in ("type", "input")} | {"data": "0x01"}
    assert read_transaction(old) == read_transaction(shown)


def test_a_legacy_transaction_that_is_valid_on_every_chain_names_none():
    shown = shown_transaction(KEY, to=TO, data=b"", kind=0, chain_id=None)
    assert read_transaction(shown).chain_id is None
    assert read_transaction(shown).signer() == Wallet(KEY).address


@pytest.mark.parametrize("kind", [0, 2])
@pytest.mark.parametrize("absent", ["nonce", "gas", "value", "input", "v", "r", "s"])
def test_a_field_that_is_not_shown_is_named(kind, absent):
    shown = shown_transaction(KEY, to=TO, data=b"", kind=kind)
    hidden = {name: value for name, value in shown.items() if name not in (absent, "yParity" if absent == "v" else "")}
    with pytest.raises(TransactionUnreadable, match="data" if absent == "input" else f"no {absent}$"):
        read_transaction(hidden)


@pytest.mark.parametrize("absent", ["chainId", "maxFeePerGas", "maxPriorityFeePerGas", "accessList"])
def test_a_field_of_type_two_that_is_not_shown_is_named(absent):
    shown = shown_transaction(KEY, to=TO, data=b"")
    with pytest.raises(TransactionUnreadable, match=absent):
        read_transaction(shown | {absent: None})


@pytest.mark.parametrize("kind", ["0x1", "0x3", "0x4", "0x7e"])
def test_another_type_is_named(kind):
    with pytest.raises(TransactionUnreadable, match=f"type {int(kind, 16)}"):
        read_transaction(shown_transaction(KEY, to=TO, data=b"") | {"type": kind})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("nonce", 7),
        ("nonce", "7"),
        ("nonce", "0x1_0"),
        ("nonce", "0x10000000000000000"),
        ("gas", "-0x1"),
        ("value", "0x" + "1" * 65),
        ("to", "0x22"),
        ("input", "0x0"),
        ("input", "0xzz"),
        ("r", "0x" + "f" * 65),
        ("yParity", "0x2"),
        ("accessList", {}),
        ("accessList", [[]]),
        ("accessList", [ACCESS] * (MAX_ACCESS_ITEMS + 1)),
        ("accessList", [{"address": "0xab", "storageKeys": []}]),
        ("accessList", [ACCESS | {"storageKeys": ["0x01"]}]),
        ("accessList", [ACCESS | {"storageKeys": ["0x" + "01" * 32] * (MAX_ACCESS_ITEMS + 1)}]),
        ("type", "0x100"),
    ],
)
def test_a_malformed_field_is_refused(name, value):
    with pytest.raises(MalformedAnswer):
        read_transaction(shown_transaction(KEY, to=TO, data=b"") | {name: value})


@pytest.mark.parametrize("answer", [[], "0x", 1, True])
def test_what_is_no_object_is_refused(answer):
    with pytest.raises(MalformedAnswer):
        read_transaction(answer)


@pytest.mark.parametrize("v", [0, 1, 26, 29, 34])
def test_a_v_that_no_legacy_signature_has_is_refused(v):
    with pytest.raises(TransactionUnreadable, match=f"v is {v}"):
        read_transaction(shown_transaction(KEY, to=TO, data=b"", kind=0) | {"v": hex(v)})


def test_the_other_form_of_a_signature_is_refused():
    shown = shown_transaction(KEY, to=TO, data=b"")
    flipped = shown | {"s": hex(ORDER - int(shown["s"], 16)), "yParity": hex(1 - int(shown["yParity"], 16))}
    with pytest.raises(SignatureError, match="upper half"):
        read_transaction(flipped).signer()


@pytest.mark.parametrize("change", [{"r": "0x0"}, {"s": "0x0"}, {"r": hex(2**256 - 1)}])
def test_a_signature_of_nobody_is_refused(change):
    with pytest.raises(SignatureError):
        read_transaction(shown_transaction(KEY, to=TO, data=b"") | change).signer()


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


def test_the_signer_is_never_taken_from_what_the_node_says():
    stranger = Account.from_key(b"\x99" * 32).address
    shown = shown_transaction(KEY, to=TO, data=b"") | {"from": stranger, "hash": "0x" + "00" * 32}
    assert read_transaction(shown).signer() == Wallet(KEY).address
