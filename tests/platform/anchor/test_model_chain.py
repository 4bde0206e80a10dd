"""The model chain that the tests here stand on, held to the compiled contract on the embedded chain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tallystick.chain.faults import LogMissing
from tallystick.chain.packing import pack_records
from tallystick.chain.reader import LedgerReader
from tallystick.chain.rpc import Transport
from tallystick.errors import ChainRejected
from tallystick.ids import Epoch, FieldsRoot, Head, LogId
from tallystick.keys import WRAP_BYTES, Wallet
from tallystick_platform.ledger_chain.signers import Fees, KeySigner, Unsigned
from tests.support.anchoring import CONTRACT, KEEPER, LOG, TERMS, WALLET, client_of, sealed_bytes
from tests.support.calldata import append, open_epoch, rotate_writer, void_numbers
from tests.support.chains import direct_chain
from tests.support.model_chain import CHAIN_ID, ModelChain

STRANGER = Wallet(bytes.fromhex("22" * 32))
ID = LOG.log_id
WRAP = b"w" * WRAP_BYTES


@contextmanager
def both() -> Iterator[tuple[Transport, Transport]]:
    funded = [WALLET.address, STRANGER.address, KEEPER.address]
    with direct_chain(prefund=funded) as real:
        yield ModelChain(*funded), real


def send(chain: Transport, wallet: Wallet, data: bytes) -> bool:
    """Sends a call of the contract; says whether it succeeded."""
    account = client_of(chain, wallet)
    fees = Fees(max_fee_per_gas=10**11, max_priority_fee_per_gas=10**9)
    call = Unsigned(chain_id=CHAIN_ID, nonce=account.nonce(), to=CONTRACT, data=data, gas=2_000_000, fees=fees)
    transaction = KeySigner(wallet).sign(call)
    account.send(transaction)
    receipt = account.receipt(transaction.hash)
    assert receipt is not None
    return receipt.succeeded


def packed(count: int, first: int) -> bytes:
    """So many records of different sizes."""
    return pack_records([(FieldsRoot(bytes([i]) * 32), sealed_bytes(i, 42 + i)) for i in range(first, first + count)])


def script(chain: Transport) -> list[object]:
    """Every function of writer and keeper, rightly and wrongly; what can be observed of it."""
    account = client_of(chain)
    account.send(account.build_deploy(account.nonce()))
    seen: list[object] = []
    reader = LedgerReader(chain, CONTRACT, ID)
    with pytest.raises(LogMissing):
        reader.log_state()
    account.send(account.build_create_log(account.nonce(), CONTRACT, TERMS))

    def head() -> Head:
        return reader.log_state().head

    stale = Head(b"s" * 32)
    steps: list[Callable[[], tuple[Wallet, bytes]]] = [
        lambda: (WALLET, append(ID, head(), packed(1, 1))),  # no epoch
        lambda: (WALLET, open_epoch(ID, head(), Epoch(2), WRAP)),  # out of order
        lambda: (WALLET, open_epoch(ID, head(), Epoch(1), b"")),  # no wraps
        lambda: (WALLET, open_epoch(ID, head(), Epoch(1), WRAP + b"x")),  # half a wrap
        lambda: (STRANGER, open_epoch(ID, head(), Epoch(1), WRAP)),  # not the writer
        lambda: (WALLET, open_epoch(ID, head(), Epoch(1), WRAP * 2)),
        lambda: (WALLET, append(ID, head(), packed(3, 1))),
        lambda: (WALLET, append(ID, stale, packed(4, 4))),  # stale
        lambda: (WALLET, append(ID, head(), b"")),  # empty
        lambda: (WALLET, append(ID, head(), packed(2, 4)[:-1])),  # cut short
        lambda: (STRANGER, append(ID, head(), packed(4, 4))),  # not the writer
        lambda: (WALLET, append(LogId(b"x" * 32), head(), packed(1, 4))),  # unknown log
        lambda: (WALLET, append(ID, head(), packed(4, 4))),
        lambda: (WALLET, void_numbers(ID, head(), 9, 20)),
        lambda: (WALLET, void_numbers(ID, head(), 20, 9)),  # the wrong way round
        lambda: (STRANGER, void_numbers(ID, head(), 21, 21)),  # not the writer
        lambda: (WALLET, open_epoch(ID, head(), Epoch(2), WRAP)),
        lambda: (WALLET, rotate_writer(ID, head(), STRANGER.address, 20)),  # not the keeper
        lambda: (KEEPER, rotate_writer(ID, head(), STRANGER.address, 20)),
        lambda: (WALLET, append(ID, head(), packed(1, 21))),  # not the writer any more
        lambda: (STRANGER, append(ID, head(), packed(1, 21))),  # its epoch is not open
        lambda: (STRANGER, open_epoch(ID, head(), Epoch(3), WRAP)),
        lambda: (STRANGER, append(ID, head(), packed(1, 21))),
        lambda: (KEEPER, rotate_writer(ID, head(), WALLET.address, 19)),  # numbers that were another's
    ]
    for step in steps:
        wallet, data = step()
        seen.append(send(chain, wallet, data))
        seen.append(reader.log_state())
    terms = reader.log_terms()
    seen += [terms.keeper, terms.mode, terms.promise, terms.skew]
    seen += [replace(reader.batch_at(n), time=0) for n in range(3)] + [refusal(lambda: reader.batch_at(3))]
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
            account = client_of(chain)
            deployment = account.build_deploy(0)
            account.send(deployment)
            account.send(deployment)
            assert account.nonce() == 1
