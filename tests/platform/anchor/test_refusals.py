from __future__ import annotations

import pytest

from tallystick.chain.reverts import ContractReverted
from tallystick.errors import ChainRejected
from tallystick_platform.anchor.courier import Refusal, classify


@pytest.mark.parametrize(
    ("message", "refusal"),
    [
        ("nonce too low: next nonce 5, tx nonce 4", Refusal.NONCE_USED),
        ("OldNonce", Refusal.NONCE_USED),
        ("nonce too high", Refusal.NONCE_USED),
        ("replacement transaction underpriced", Refusal.FEE_TOO_LOW),
        ("transaction underpriced: tip needed 1000000000", Refusal.FEE_TOO_LOW),
        ("max fee per gas less than block base fee: address 0x0, maxFeePerGas: 1", Refusal.FEE_TOO_LOW),
        ("FeeTooLow, MaxFeePerGas too low", Refusal.FEE_TOO_LOW),
        ("insufficient funds for gas * price + value", Refusal.NO_FUNDS),
        ("Insufficient funds for gas * price + value", Refusal.NO_FUNDS),
        ("Upfront cost exceeds account balance", Refusal.NO_FUNDS),
        ("execution reverted", Refusal.REVERTED),
        ("oversized data", Refusal.OTHER),
        ("", Refusal.OTHER),
    ],
)
def test_a_node_s_words_tell_what_to_do(message: str, refusal: Refusal):
    assert classify(ChainRejected(-32000, message)) is refusal


def test_an_error_of_the_contract_is_a_revert_whatever_it_is_called():
    assert classify(ContractReverted(3, "StaleHead", {"expected": b"h" * 32}, b"")) is Refusal.REVERTED
