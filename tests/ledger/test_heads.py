import dataclasses

import pytest
from eth_abi import encode
from hypothesis import given
from hypothesis import strategies as st

from tallystick import heads
from tallystick.hashing import keccak256
from tallystick.heads import EntryKind, HeadError, LogTerms, derive_log_id, next_head
from tallystick.ids import Head, Root
from tallystick.merkle import MAX_BATCH_RECORDS

HEAD, ROOT = Head(b"\x05" * 32), Root(b"\x06" * 32)
WHO, NEXT, CONTRACT = b"\x01" * 20, b"\x02" * 20, b"\xc0" * 20
TERMS = LogTerms(
    creator=b"\x03" * 20, salt=bytes(range(32)), writer=WHO, keeper=NEXT, format=2, mode=1, promise=3_600, skew=60
)
BODIES = {
    EntryKind.BATCH: heads.batch_body(7, 40, 3, ROOT),
    EntryKind.COMMIT: heads.batch_body(7, 40, 3, ROOT),
    EntryKind.EPOCH: heads.epoch_body(7, 40, b"wraps"),
    EntryKind.WRITER: heads.writer_body(WHO, NEXT, 40, 90),
    EntryKind.VOID: heads.void_body(91, 99),
}
UINT64 = st.integers(0, 2**64 - 1)
UINT32 = st.integers(0, 2**32 - 1)


def test_a_head_is_the_hash_of_prefix_head_kind_entry_and_body():
    expected = keccak256(b"\x04" + HEAD + b"\x03" + (9).to_bytes(8, "big") + BODIES[EntryKind.EPOCH])
    assert next_head(HEAD, EntryKind.EPOCH, 9, BODIES[EntryKind.EPOCH]) == expected


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (EntryKind.BATCH, "00000007" + "0000000000000028" + "00000003" + "06" * 32),
        (EntryKind.COMMIT, "00000007" + "0000000000000028" + "00000003" + "06" * 32),
        (EntryKind.EPOCH, "00000007" + "0000000000000028" + keccak256(b"wraps").hex()),
        (EntryKind.WRITER, "01" * 20 + "02" * 20 + "0000000000000028" + "000000000000005a"),
        (EntryKind.VOID, "000000000000005b" + "0000000000000063"),
    ],
)
def test_a_body_is_its_parts_in_order(kind, body):
    assert BODIES[kind].hex() == body


def test_every_kind_gives_a_head_of_its_own():
    found = {next_head(HEAD, kind, 1, body) for kind, body in BODIES.items()}
    assert len(found) == len(EntryKind)


@given(UINT64, UINT64, st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_two_entries_that_differ_give_two_heads(one, other, head, root):
    def after(entry, first_index):
        return next_head(Head(head), EntryKind.BATCH, entry, heads.batch_body(1, first_index, 1, Root(root)))

    assert (after(one, other) == after(other, one)) == (one == other)


@given(UINT32, UINT64, UINT64)
def test_bodies_have_a_fixed_width(epoch, number, other):
    assert len(heads.batch_body(epoch, number, 1, ROOT)) == len(BODIES[EntryKind.BATCH])
    assert len(heads.epoch_body(epoch, number, b"")) == len(BODIES[EntryKind.EPOCH])
    assert len(heads.writer_body(WHO, NEXT, number, other)) == len(BODIES[EntryKind.WRITER])


@pytest.mark.parametrize("count", [1, MAX_BATCH_RECORDS])
def test_a_batch_at_its_bounds_has_a_body(count):
    assert heads.batch_body(1, 0, count, ROOT)[12:16] == count.to_bytes(4, "big")


@pytest.mark.parametrize(
    ("part", "refused"),
    [
        ("count", lambda: heads.batch_body(1, 0, 0, ROOT)),
        ("count", lambda: heads.batch_body(1, 0, MAX_BATCH_RECORDS + 1, ROOT)),
        ("epoch", lambda: heads.batch_body(2**32, 0, 1, ROOT)),
        ("epoch", lambda: heads.epoch_body(-1, 0, b"")),
        ("first index", lambda: heads.batch_body(1, 2**64, 1, ROOT)),
        ("first index", lambda: heads.epoch_body(1, -1, b"")),
        ("root", lambda: heads.batch_body(1, 0, 1, Root(bytes(31)))),
        ("previous writer", lambda: heads.writer_body(bytes(19), NEXT, 0, 0)),
        ("writer", lambda: heads.writer_body(WHO, bytes(21), 0, 0)),
        ("size", lambda: heads.writer_body(WHO, NEXT, -1, 0)),
        ("last admission", lambda: heads.writer_body(WHO, NEXT, 0, 2**64)),
        ("first", lambda: heads.void_body(0, 1)),
        ("last", lambda: heads.void_body(2, 1)),
        ("last", lambda: heads.void_body(1, heads.MAX_NUMBER + 1)),
        ("head", lambda: next_head(Head(bytes(31)), EntryKind.VOID, 0, BODIES[EntryKind.VOID])),
        ("entry", lambda: next_head(HEAD, EntryKind.VOID, 2**64, BODIES[EntryKind.VOID])),
        ("entry", lambda: next_head(HEAD, EntryKind.VOID, -1, BODIES[EntryKind.VOID])),
        ("body", lambda: next_head(HEAD, EntryKind.EPOCH, 0, BODIES[EntryKind.VOID])),
        ("body", lambda: next_head(HEAD, EntryKind.VOID, 0, BODIES[EntryKind.VOID] + b"\x00")),
    ],
)
def test_a_part_that_no_entry_has_is_refused_by_its_name(part, refused):
    with pytest.raises(HeadError) as caught:
        refused()
    assert caught.value.part == part


def test_the_highest_numbers_can_be_void():
    assert heads.void_body(heads.MAX_NUMBER, heads.MAX_NUMBER) == (heads.MAX_NUMBER).to_bytes(8, "big") * 2


def test_a_log_id_is_the_hash_of_ten_abi_words():
    types = ["uint256", "address", "address", "bytes32", "address", "address", *["uint256"] * 4]
    words = encode(types, [131, CONTRACT, TERMS.creator, TERMS.salt, WHO, NEXT, 2, 1, 3_600, 60])
    assert len(words) == 320
    assert derive_log_id(131, CONTRACT, TERMS) == keccak256(words)


@pytest.mark.parametrize(
    "change",
    [
        {"creator": WHO},
        {"salt": bytes(32)},
        {"writer": NEXT},
        {"keeper": WHO},
        {"mode": 2},
        {"promise": 3_601},
        {"skew": 61},
    ],
)
def test_each_term_gives_another_log(change):
    assert derive_log_id(131, CONTRACT, dataclasses.replace(TERMS, **change)) != derive_log_id(131, CONTRACT, TERMS)


def test_another_chain_or_contract_gives_another_log():
    assert len({derive_log_id(*place, TERMS) for place in ((131, CONTRACT), (132, CONTRACT), (131, WHO))}) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"promise": heads.MIN_PROMISE_S},
        {"promise": heads.MAX_PROMISE_S},
        {"skew": 0},
        {"skew": heads.MAX_SKEW_S},
        {"mode": heads.MODE_COMMIT},
        {"keeper": bytes(20)},
    ],
)
def test_terms_at_their_bounds_stand(change):
    assert dataclasses.replace(TERMS, **change) != TERMS


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("promise", heads.MIN_PROMISE_S - 1),
        ("promise", heads.MAX_PROMISE_S + 1),
        ("skew", -1),
        ("skew", heads.MAX_SKEW_S + 1),
        ("mode", 0),
        ("mode", 3),
        ("format", 1),
        ("format", 3),
        ("writer", bytes(20)),
        ("writer", bytes(19)),
        ("keeper", bytes(21)),
        ("creator", b""),
        ("salt", bytes(31)),
    ],
)
def test_terms_that_the_contract_refuses_are_refused_by_name(part, value):
    with pytest.raises(HeadError) as caught:
        dataclasses.replace(TERMS, **{part: value})
    assert caught.value.part == part


@pytest.mark.parametrize(("chain_id", "contract"), [(-1, CONTRACT), (2**256, CONTRACT), (1, bytes(19))])
def test_a_place_that_no_chain_has_is_refused(chain_id, contract):
    with pytest.raises(HeadError):
        derive_log_id(chain_id, contract, TERMS)
