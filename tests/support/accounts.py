"""An account that sends anything to a chain under test, and small contracts in bytecode for it to call."""

from __future__ import annotations

from dataclasses import dataclass

from tallystick.chain.rpc import Transport
from tallystick.ids import Address, to_hex
from tallystick.keys import Wallet
from tallystick_platform.embedded_chain.rules import DEFAULT_CHAIN_ID
from tallystick_platform.ledger_chain.signers import Fees, KeySigner, SignedTransaction, Unsigned

FEES = Fees(max_fee_per_gas=10**10, max_priority_fee_per_gas=10**9)


def deployer(code: bytes) -> bytes:
    """Initialisation code that deploys `code`."""
    size = len(code).to_bytes(2, "big")
    # PUSH2 size, DUP1, PUSH1 12, PUSH0, CODECOPY, PUSH0, RETURN; padded to 12 bytes with JUMPDESTs
    return b"\x61" + size + b"\x80\x60\x0c\x5f\x39\x5f\xf3\x5b\x5b" + code


RETURN_42 = bytes.fromhex("602a5f5260205ff3")
"""Returns 42."""
REVERT_WITH_CALLDATA = bytes.fromhex("365f5f37365ffd")
"""Reverts with what it was called with."""
LOOP = bytes.fromhex("5b5f56")
"""Jumps for ever."""
INVALID = bytes.fromhex("fe")


def logger(topics: int) -> bytes:
    """A contract that emits its calldata's first word as data, and 1, 2, .. as its topics."""
    pushes = b"".join(b"\x60" + bytes([number]) for number in range(topics, 0, -1))
    return bytes.fromhex("5f355f52") + pushes + bytes.fromhex("60205f") + bytes([0xA0 + topics]) + b"\x00"


@dataclass(kw_only=True)
class Account:
    """A wallet with its next nonce."""

    transport: Transport
    wallet: Wallet
    nonce: int = 0
    chain_id: int = DEFAULT_CHAIN_ID

    @property
    def address(self) -> Address:
        return self.wallet.address

    def sign(
        self,
        to: bytes | None = bytes(20),
        data: bytes = b"",
        *,
        gas: int = 100_000,
        value: int = 0,
        nonce: int | None = None,
        fees: Fees = FEES,
        chain_id: int | None = None,
    ) -> SignedTransaction:
        """Sign a transaction with the next nonce, without using the nonce up."""
        transaction = Unsigned(
            chain_id=chain_id or self.chain_id,
            nonce=self.nonce if nonce is None else nonce,
            to=None if to is None else Address(to),
            data=data,
            gas=gas,
            fees=fees,
            value=value,
        )
        return KeySigner(self.wallet).sign(transaction)

    def send(self, to: bytes | None = bytes(20), data: bytes = b"", **options: object) -> SignedTransaction:
        """Sign and send; the nonce is used up."""
        signed = self.sign(to, data, **options)  # type: ignore[arg-type]
        self.transport.call("eth_sendRawTransaction", [to_hex(signed.raw)])
        self.nonce += 1
        return signed

    def receipt(self, signed: SignedTransaction) -> dict[str, object] | None:
        """The receipt as the node shows it."""
        return self.transport.call("eth_getTransactionReceipt", [to_hex(signed.hash)])  # type: ignore[return-value]

    def deploy(self, code: bytes) -> bytes:
        """Deploy a contract on a chain that mines at once; gives its address."""
        receipt = self.receipt(self.send(None, deployer(code), gas=1_000_000))
        assert receipt is not None
        assert receipt["status"] == "0x1"
        return bytes.fromhex(str(receipt["contractAddress"])[2:])
