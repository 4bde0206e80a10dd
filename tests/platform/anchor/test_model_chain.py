"""The model chain that the tests here stand on, held to the compiled contract on the embedded chain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tallystick.chain import LedgerReader, LedgerSender, LogMissing, Transport, contract_address, derive_log_id
from tallystick.chain.calldata import append, open_epoch
from tallystick.chain.transaction import Call, Fees, sign_call
from tallystick.errors import ChainRejected
from tallystick.ids import Index, LogId
from tallystick.keys import Wallet
from tests.support.anchoring import SALT, WALLET
from tests.support.chains import direct_chain
from tests.support.model_chain import CHAIN_ID, ModelChain

STRANGER = Wallet(bytes.fromhex("22" * 32))
CONTRACT = contract_address(WALLET.address, 0)
LOG = derive_log_id(CHAIN_ID, CONTRACT, WALLET.address, SALT)


@contextmanager
def both() -> Iterator[tuple[Transport, Transport]]:
    with direct_chain(prefund=[WALLET.address, STRANGER.address]) as real:
        yield ModelChain(WALLET.address, STRANGER.address), real


def send(chain: Transport, wallet: Wallet, data: bytes) -> bool:
    """Sends a call of the contract; says whether it succeeded."""
    account = LedgerSender(chain, wallet, CONTRACT, LOG, CHAIN_ID)
    fees = Fees(max_fee_per_gas=10**11, max_priority_fee_per_gas=10**9)
    call = Call(chain_id=CHAIN_ID, nonce=account.nonce(), to=CONTRACT, data=data, gas=2_000_000, fees=fees)
    transaction = sign_call(wallet, call)
    account.send(transaction)
    receipt = account.receipt(transaction.hash)
    assert receipt is not None
    return receipt.succeeded


def script(chain: Transport) -> list[object]:
    """Every function of the writer, rightly and wrongly; what can be observed of it."""
    account = LedgerSender(chain, WALLET, CONTRACT, LOG, CHAIN_ID)
    account.send(account.build_deploy(account.nonce()))
    seen: list[object] = []
    reader = LedgerReader(chain, CONTRACT, LOG)
    with pytest.raises(LogMissing):
        reader.log_state()
    account.send(account.build_create_log(account.nonce(), WALLET.address, SALT))
    records = [(bytes([i]) * 32, b"sealed %d" % i * (i + 1)) for i in range(7)]
    roots, texts = [r for r, _ in records], [t for _, t in records]
    steps: list[tuple[Wallet, bytes]] = [
        (WALLET, append(LOG, Index(0), roots[:1], texts[:1])),  # no epoch
        (WALLET, open_epoch(LOG, 2, [b"wrap"])),  # out of order
        (WALLET, open_epoch(LOG, 1, [])),  # no wraps
        (STRANGER, open_epoch(LOG, 1, [b"wrap"])),  # not the writer
        (WALLET, open_epoch(LOG, 1, [b"wrap one", b"wrap two"])),
        (WALLET, append(LOG, Index(0), roots[:3], texts[:3])),
        (WALLET, append(LOG, Index(2), roots[3:], texts[3:])),  # stale
        (WALLET, append(LOG, Index(3), [], [])),  # empty
        (WALLET, append(LOG, Index(3), roots[:2], texts[:1])),  # lengths differ
        (WALLET, append(LOG, Index(3), roots[:1], [b""])),  # empty sealed
        (STRANGER, append(LOG, Index(3), roots[3:], texts[3:])),  # not the writer
        (WALLET, append(LogId(b"x" * 32), Index(0), roots[:1], texts[:1])),  # unknown log
        (WALLET, append(LOG, Index(3), roots[3:], texts[3:])),
        (WALLET, open_epoch(LOG, 2, [b"wrap"])),
    ]
    for wallet, data in steps:
        seen.append(send(chain, wallet, data))
        seen.append(reader.log_state())
    seen += [reader.batch(0), reader.batch(1), refusal(lambda: reader.batch(2))]
    seen += [_without_place(event) for event in reader.events(0, reader.latest_block().number)]
    return seen


def refusal(call: Callable[[], object]) -> tuple[str, bytes]:
    with pytest.raises(ChainRejected) as caught:
        call()
    return caught.typename, caught.value.data


def _without_place(event: object) -> dict[str, object]:
    return {"type": type(event).__name__} | {
        name: getattr(event, name)
        for name in event.__slots__
        if name != "position"  # type: ignore[attr-defined]
    }


def test_the_model_does_what_the_compiled_contract_does():
    with both() as (model, real):
        assert script(model) == script(real)


def test_a_mined_transaction_that_is_sent_again_changes_nothing_on_either():
    with both() as chains:
        for chain in chains:
            account = LedgerSender(chain, WALLET, None, None, CHAIN_ID)
            deployment = account.build_deploy(0)
            account.send(deployment)
            account.send(deployment)
            assert account.nonce() == 1
