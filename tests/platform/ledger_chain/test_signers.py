"""A key in this process, and signers elsewhere: what they give back is checked before it is used."""

from __future__ import annotations

import pytest
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from tallystick.errors import ChainRejected, ChainUnavailable
from tallystick.hashing import keccak256
from tallystick.ids import Address, checksum_address
from tallystick.keys import Wallet
from tallystick_platform.ledger_chain.errors import SignerRefused, SignerUnavailable
from tallystick_platform.ledger_chain.signers import Fees, KeySigner, RemoteSigner, Unsigned
from tests.support.nodes import ScriptedNode

WALLET, OTHER = Wallet(b"\x11" * 32), Wallet(b"\x22" * 32)
FEES = Fees(max_fee_per_gas=10**10, max_priority_fee_per_gas=10**9)
CALL = Unsigned(chain_id=5, nonce=7, to=Address(b"\xcc" * 20), data=b"\x01\x02\x00", gas=50_000, fees=FEES, value=3)
DEPLOYMENT = Unsigned(chain_id=5, nonce=0, to=None, data=b"\x60", gas=50_000, fees=FEES)


def remote(answer: object, address: Address = WALLET.address) -> RemoteSigner:
    def sign(params: list[object]) -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer(params[0]) if callable(answer) else answer

    return RemoteSigner(ScriptedNode({"eth_signTransaction": sign}), address, "signer.example")


def signed_by(wallet: Wallet, **changes: object):
    """A signer that signs what it is asked to, but for some changes."""

    def sign(asked: dict[str, str]) -> str:
        fields: dict[str, object] = {
            name: value if name in {"to", "data"} else int(value, 16) for name, value in asked.items() if name != "from"
        }
        return "0x" + bytes(Account.sign_transaction(fields | changes, wallet.secret).raw_transaction).hex()

    return sign


@pytest.mark.parametrize("transaction", [CALL, DEPLOYMENT], ids=["call", "deployment"])
def test_a_key_signs_what_it_was_given_and_always_the_same_bytes(transaction):
    signed = KeySigner(WALLET).sign(transaction)
    assert KeySigner(WALLET).sign(transaction) == signed
    assert (signed.hash, signed.nonce) == (keccak256(signed.raw), transaction.nonce)
    assert Account.recover_transaction(signed.raw) == checksum_address(WALLET.address)
    fields = TypedTransaction.from_bytes(HexBytes(signed.raw)).as_dict()
    assert (fields["nonce"], fields["chainId"], fields["value"]) == (transaction.nonce, 5, transaction.value)


@pytest.mark.parametrize("transaction", [CALL, DEPLOYMENT], ids=["call", "deployment"])
def test_a_remote_signer_gives_the_bytes_that_the_key_itself_would(transaction):
    expected = KeySigner(WALLET).sign(transaction)
    assert remote(signed_by(WALLET)).sign(transaction) == expected
    as_geth_answers = remote(lambda asked: {"raw": signed_by(WALLET)(asked), "tx": {}})
    assert as_geth_answers.sign(transaction) == expected


def test_a_remote_signer_is_asked_in_the_protocol_s_terms():
    asked: list[dict[str, str]] = []

    def sign(fields: dict[str, str]) -> str:
        asked.append(fields)
        return signed_by(WALLET)(fields)

    remote(sign).sign(CALL)
    remote(sign).sign(DEPLOYMENT)
    assert asked[0]["from"] == checksum_address(WALLET.address)
    assert (asked[0]["nonce"], asked[0]["gas"], asked[0]["to"]) == ("0x7", "0xc350", checksum_address(CALL.to))
    assert "to" not in asked[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": 8},
        {"chainId": 6},
        {"gas": 50_001},
        {"maxFeePerGas": 10**11},
        {"maxPriorityFeePerGas": 10},
        {"value": 4},
        {"data": "0x0102"},
        {"to": checksum_address(OTHER.address)},
        {"accessList": [{"address": checksum_address(OTHER.address), "storageKeys": []}]},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_transaction_than_was_asked_for_is_never_used(changes):
    with pytest.raises(SignerRefused, match=r"signer\.example"):
        remote(signed_by(WALLET, **changes)).sign(CALL)


def test_a_signature_of_another_account_is_never_used():
    with pytest.raises(SignerRefused, match="it signed as"):
        remote(signed_by(OTHER)).sign(CALL)


@pytest.mark.parametrize(
    "answer", [None, 7, "", "0x", "0xzz", "0x02", "0x" + "00" * 200, {}, {"raw": None}, "0x" + "00" * 600_000]
)
def test_what_is_no_transaction_is_refused(answer):
    with pytest.raises((SignerUnavailable, SignerRefused)):
        remote(answer).sign(CALL)


def test_a_legacy_transaction_is_not_what_was_asked_for():
    fields = {
        "nonce": 7,
        "gas": 50_000,
        "gasPrice": 1,
        "to": checksum_address(CALL.to),
        "value": 3,
        "data": "0x",
        "chainId": 5,
    }
    raw = "0x" + bytes(Account.sign_transaction(fields, WALLET.secret).raw_transaction).hex()
    with pytest.raises(SignerRefused):
        remote(raw).sign(CALL)


def test_a_signer_that_says_no_and_one_that_does_not_answer_are_told_apart():
    with pytest.raises(SignerRefused, match="not allowed"):
        remote(ChainRejected(-32000, "not allowed")).sign(CALL)
    with pytest.raises(SignerUnavailable, match="timed out"):
        remote(ChainUnavailable("signer", "timed out")).sign(CALL)


def test_neither_key_nor_signed_bytes_show_in_a_text():
    signed = KeySigner(WALLET).sign(CALL)
    for shown in (repr(signed), repr(CALL), repr(KeySigner(WALLET)), str(KeySigner(WALLET))):
        assert WALLET.secret.hex() not in shown
        assert signed.raw.hex() not in shown
        assert repr(signed.raw)[2:-1] not in shown


def test_a_replacement_is_dearer_by_an_eighth_in_both_fees():
    raised = FEES.raised()
    assert raised.max_fee_per_gas * 8 > FEES.max_fee_per_gas * 9
    assert raised.max_priority_fee_per_gas * 8 > FEES.max_priority_fee_per_gas * 9
