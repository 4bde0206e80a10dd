from dataclasses import replace

import pytest

from tallystick.chain.authorship import Author, Mismatch, NotAuthored, TransactionWithheld, signer_of
from tallystick.chain.events import (
    BatchAppended,
    BatchCommitted,
    EpochOpened,
    LogPosition,
    NumbersVoided,
    WriterRotated,
)
from tallystick.chain.transaction import read_transaction
from tallystick.chain.views import LOG_STATE
from tallystick.chain.wire import MalformedAnswer
from tallystick.errors import ChainUnavailable
from tallystick.keys import Wallet
from tests.support import calldata
from tests.support.nodes import ScriptedNode
from tests.support.shown_transactions import CHAIN_ID, shown_transaction

KEY, STRANGER = b"\x11" * 32, b"\x99" * 32
WRITER = Wallet(KEY).address
CONTRACT, LOG, HEAD, OTHER = b"\xc0" * 20, b"\x11" * 32, b"\x22" * 32, b"\x33" * 32
NOWHERE = LogPosition(block_number=5, block_hash=b"\xbb" * 32, tx_hash=bytes(32), log_index=0)
COMMON = {"log_id": LOG, "entry": 4, "head": OTHER, "position": NOWHERE}
BATCH = {"batch": 1, "first_index": 3, "count": 2, "epoch": 1, "root": b"\x44" * 32}

APPENDED = BatchAppended(**COMMON, **BATCH, records=b"packed records")
COMMITTED = BatchCommitted(**COMMON, **BATCH)
OPENED = EpochOpened(**COMMON, epoch=2, first_index=3, wraps=b"\x55" * 1176)
ROTATED = WriterRotated(**COMMON, previous=WRITER, writer=b"\x66" * 20, size=3, last_admission=9)
VOIDED = NumbersVoided(**COMMON, first=5, last=8)
CALLS = [
    (APPENDED, calldata.append(LOG, HEAD, APPENDED.records)),
    (COMMITTED, calldata.commit(LOG, HEAD, 2, COMMITTED.root)),
    (OPENED, calldata.open_epoch(LOG, HEAD, 2, OPENED.wraps)),
    (ROTATED, calldata.rotate_writer(LOG, HEAD, ROTATED.writer, 9)),
    (VOIDED, calldata.void_numbers(LOG, HEAD, 5, 8)),
]
NAMES = [type(event).__name__ for event, _ in CALLS]


def ask(event, shown, *, asked_hash=None, head=HEAD):
    """Ask who made an entry of a node that shows this transaction, whose own hash the entry names."""
    tx_hash = bytes.fromhex(shown["hash"][2:]) if asked_hash is None else asked_hash
    node = ScriptedNode({"eth_getTransactionByHash": lambda _: shown})
    placed = replace(event, position=replace(event.position, tx_hash=tx_hash))
    author = signer_of(node, chain_id=CHAIN_ID, contract=CONTRACT, log_id=LOG, previous_head=head, event=placed)
    assert node.calls == [("eth_getTransactionByHash", ["0x" + tx_hash.hex()])]
    return author


def refusal(event, shown, **options):
    with pytest.raises(NotAuthored) as caught:
        ask(event, shown, **options)
    assert caught.value.where == "entry 4"
    return caught.value


@pytest.mark.parametrize(("event", "data"), CALLS, ids=NAMES)
@pytest.mark.parametrize("kind", [0, 2])
def test_the_signer_of_each_entry_is_computed_from_its_transaction(event, data, kind):
    shown = shown_transaction(KEY, to=CONTRACT, data=data, kind=kind)
    assert ask(event, shown) == Author(
        signer=WRITER, previous_head=HEAD, tx_hash=bytes.fromhex(shown["hash"][2:]), nonce=7
    )


def test_the_head_that_was_signed_is_given_to_who_does_not_know_it():
    shown = shown_transaction(KEY, to=CONTRACT, data=calldata.append(LOG, OTHER, APPENDED.records))
    assert ask(APPENDED, shown, head=None).previous_head == OTHER
    changed = calldata.append(LOG, OTHER, b"something else")
    assert refusal(APPENDED, shown_transaction(KEY, to=CONTRACT, data=changed), head=None).mismatch == Mismatch.BODY


@pytest.mark.parametrize(("event", "data"), CALLS, ids=NAMES)
def test_another_signer_is_named_as_who_it_is_whatever_the_node_says(event, data):
    shown = shown_transaction(STRANGER, to=CONTRACT, data=data) | {"from": "0x" + WRITER.hex()}
    assert ask(event, shown).signer == Wallet(STRANGER).address


@pytest.mark.parametrize(("event", "data"), CALLS, ids=NAMES)
def test_a_signature_moved_to_another_call_leads_to_another_hash(event, data):
    signed = shown_transaction(KEY, to=CONTRACT, data=b"another call")
    assert refusal(event, signed | {"input": "0x" + data.hex()}).mismatch == Mismatch.HASH


def test_a_transaction_shown_in_place_of_another_is_refused():
    shown = shown_transaction(KEY, to=CONTRACT, data=CALLS[0][1])
    found = refusal(APPENDED, shown, asked_hash=b"\x77" * 32)
    assert (found.mismatch, found.expected) == (Mismatch.HASH, "0x" + "77" * 32)


@pytest.mark.parametrize("kind", [0, 2])
def test_a_transaction_of_another_chain_is_refused(kind):
    shown = shown_transaction(KEY, to=CONTRACT, data=CALLS[0][1], kind=kind, chain_id=1)
    found = refusal(APPENDED, shown)
    assert (found.mismatch, found.expected, found.found) == (Mismatch.CHAIN, str(CHAIN_ID), "1")


def test_a_transaction_that_is_valid_on_every_chain_is_refused():
    shown = shown_transaction(KEY, to=CONTRACT, data=CALLS[0][1], kind=0, chain_id=None)
    assert refusal(APPENDED, shown).mismatch == Mismatch.CHAIN


@pytest.mark.parametrize("to", [b"\xc1" * 20, None])
def test_a_transaction_to_another_address_is_refused(to):
    assert refusal(APPENDED, shown_transaction(KEY, to=to, data=CALLS[0][1])).mismatch == Mismatch.CONTRACT


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00\x01", CALLS[0][1][:-64], LOG_STATE.call(LOG), calldata.commit(LOG, HEAD, 2, BATCH["root"])],
    ids=["nothing", "half a selector", "cut short", "a view", "another function"],
)
def test_a_transaction_that_does_not_append_made_no_batch(data):
    assert refusal(APPENDED, shown_transaction(KEY, to=CONTRACT, data=data)).mismatch == Mismatch.FUNCTION


@pytest.mark.parametrize(
    ("event", "data", "mismatch"),
    [
        (APPENDED, calldata.append(OTHER, HEAD, APPENDED.records), Mismatch.LOG),
        (APPENDED, calldata.append(LOG, OTHER, APPENDED.records), Mismatch.HEAD),
        (APPENDED, calldata.append(LOG, HEAD, b"packed recordz"), Mismatch.BODY),
        (APPENDED, calldata.append(LOG, HEAD, APPENDED.records + b"\x00"), Mismatch.BODY),
        (COMMITTED, calldata.commit(LOG, OTHER, 2, COMMITTED.root), Mismatch.HEAD),
        (COMMITTED, calldata.commit(LOG, HEAD, 3, COMMITTED.root), Mismatch.BODY),
        (COMMITTED, calldata.commit(LOG, HEAD, 2, OTHER), Mismatch.BODY),
        (OPENED, calldata.open_epoch(LOG, OTHER, 2, OPENED.wraps), Mismatch.HEAD),
        (OPENED, calldata.open_epoch(LOG, HEAD, 3, OPENED.wraps), Mismatch.BODY),
        (OPENED, calldata.open_epoch(LOG, HEAD, 2, b"\x56" * 1176), Mismatch.BODY),
        (ROTATED, calldata.rotate_writer(LOG, OTHER, ROTATED.writer, 9), Mismatch.HEAD),
        (ROTATED, calldata.rotate_writer(LOG, HEAD, WRITER, 9), Mismatch.BODY),
        (ROTATED, calldata.rotate_writer(LOG, HEAD, ROTATED.writer, 10), Mismatch.BODY),
        (VOIDED, calldata.void_numbers(LOG, OTHER, 5, 8), Mismatch.HEAD),
        (VOIDED, calldata.void_numbers(LOG, HEAD, 4, 8), Mismatch.BODY),
        (VOIDED, calldata.void_numbers(LOG, HEAD, 5, 9), Mismatch.BODY),
    ],
)
def test_a_call_that_says_something_else_made_another_entry(event, data, mismatch):
    assert refusal(event, shown_transaction(KEY, to=CONTRACT, data=data)).mismatch == mismatch


def test_calldata_is_read_as_the_contract_reads_it():
    # Bytes after the last argument: the contract takes them, so the entry stands on the chain, signed by its writer.
    assert ask(APPENDED, shown_transaction(KEY, to=CONTRACT, data=CALLS[0][1] + b"more")).signer == WRITER


def test_a_signature_in_its_other_form_is_refused():
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    shown = shown_transaction(KEY, to=CONTRACT, data=CALLS[0][1])
    flipped = shown | {"s": hex(order - int(shown["s"], 16)), "yParity": hex(1 - int(shown["yParity"], 16))}
    assert refusal(APPENDED, flipped).mismatch == Mismatch.HASH
    assert refusal(APPENDED, flipped, asked_hash=read_transaction(flipped).hash).mismatch == Mismatch.SIGNATURE


def test_a_transaction_that_the_node_has_pruned_could_not_be_checked():
    node = ScriptedNode({"eth_getTransactionByHash": lambda _: None})
    node.name = "https://node.example"
    with pytest.raises(TransactionWithheld, match=r"https://node\.example.*does not show it") as caught:
        signer_of(node, chain_id=CHAIN_ID, contract=CONTRACT, log_id=LOG, previous_head=HEAD, event=APPENDED)
    assert (caught.value.node, caught.value.tx_hash) == ("https://node.example", bytes(32))


@pytest.mark.parametrize("absent", ["r", "s", "input", "accessList", "maxFeePerGas"])
def test_a_transaction_that_is_not_shown_whole_could_not_be_checked(absent):
    shown = shown_transaction(KEY, to=CONTRACT, data=CALLS[0][1]) | {absent: None}
    with pytest.raises(TransactionWithheld, match="shows no"):
        ask(APPENDED, shown)


def test_a_transaction_of_another_type_could_not_be_checked():
    with pytest.raises(TransactionWithheld, match="of type 4"):
        ask(APPENDED, shown_transaction(KEY, to=CONTRACT, data=CALLS[0][1]) | {"type": "0x4"})


def test_a_malformed_transaction_is_no_answer():
    with pytest.raises(MalformedAnswer):
        ask(APPENDED, shown_transaction(KEY, to=CONTRACT, data=CALLS[0][1]) | {"nonce": 5})


def test_a_node_that_cannot_be_asked_says_nothing_about_the_author():
    def unreachable(_):
        raise ChainUnavailable("a node", "refused")

    node = ScriptedNode({"eth_getTransactionByHash": unreachable})
    with pytest.raises(ChainUnavailable):
        signer_of(node, chain_id=CHAIN_ID, contract=CONTRACT, log_id=LOG, previous_head=HEAD, event=APPENDED)
