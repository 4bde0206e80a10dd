import pytest

from tallystick_platform.embedded_chain import pool as pool_module
from tallystick_platform.embedded_chain.errors import TransactionRefused
from tallystick_platform.embedded_chain.pool import MAX_NONCES_AHEAD, TransactionPool, Waiting

A, B = b"\xaa" * 20, b"\xbb" * 20


def waiting(sender=A, nonce=0, max_fee=100, max_tip=10, size=100, salt=0):
    tx_hash = sender[:1] + bytes([nonce, salt]) + max_fee.to_bytes(4, "big")
    return Waiting(
        transaction=None,
        hash=tx_hash,
        raw=bytes(size),
        sender=sender,
        nonce=nonce,
        gas=21_000,
        max_fee=max_fee,
        max_tip=max_tip,
    )


@pytest.fixture
def pool():
    return TransactionPool()


def order(pool, nonces, base_fee=0):
    return [(entry.sender, entry.nonce) for entry in pool.candidates(nonces, base_fee)]


def test_the_same_transaction_twice_is_already_known(pool):
    pool.add(waiting(), 0)
    with pytest.raises(TransactionRefused, match="already known"):
        pool.add(waiting(), 0)


def test_the_next_nonce_is_taken_and_one_below_refused(pool):
    pool.add(waiting(nonce=5), 5)
    with pytest.raises(TransactionRefused, match="nonce too low: next nonce 5, tx nonce 4"):
        pool.add(waiting(nonce=4), 5)


def test_a_nonce_at_the_bound_is_taken_and_one_beyond_refused(pool):
    pool.add(waiting(nonce=MAX_NONCES_AHEAD), 0)
    with pytest.raises(TransactionRefused, match="nonce too high"):
        pool.add(waiting(nonce=MAX_NONCES_AHEAD + 1), 0)


def test_a_better_offer_replaces_and_a_slightly_better_one_does_not(pool):
    pool.add(waiting(max_fee=100, max_tip=10), 0)
    for fee, tip in ((109, 11), (110, 10)):
        with pytest.raises(TransactionRefused, match="replacement transaction underpriced"):
            pool.add(waiting(max_fee=fee, max_tip=tip), 0)
    better = waiting(max_fee=110, max_tip=11)
    pool.add(better, 0)
    assert len(pool) == 1
    assert pool.get(better.hash) is better


def test_the_pool_is_bounded_by_number(pool, monkeypatch):
    monkeypatch.setattr(pool_module, "MAX_POOL_TRANSACTIONS", 2)
    pool.add(waiting(nonce=0), 0)
    pool.add(waiting(nonce=1), 0)
    with pytest.raises(TransactionRefused, match="txpool is full"):
        pool.add(waiting(nonce=2), 0)


def test_the_pool_is_bounded_by_bytes_and_what_leaves_makes_room(pool, monkeypatch):
    monkeypatch.setattr(pool_module, "MAX_POOL_BYTES", 250)
    first = waiting(nonce=0)
    pool.add(first, 0)
    pool.add(waiting(nonce=1), 0)
    with pytest.raises(TransactionRefused, match="txpool is full"):
        pool.add(waiting(nonce=2), 0)
    pool.discard(first.hash)
    pool.add(waiting(nonce=2), 0)


def test_a_replacement_needs_no_further_room(pool, monkeypatch):
    monkeypatch.setattr(pool_module, "MAX_POOL_TRANSACTIONS", 1)
    pool.add(waiting(max_fee=100, max_tip=10), 0)
    pool.add(waiting(max_fee=200, max_tip=20), 0)
    assert len(pool) == 1


def test_the_best_tip_goes_first_and_each_senders_nonces_in_order(pool):
    pool.add(waiting(A, 1, max_tip=90), 0)
    pool.add(waiting(A, 0, max_tip=5), 0)
    pool.add(waiting(B, 0, max_tip=10), 0)
    assert order(pool, {A: 0, B: 0}) == [(B, 0), (A, 0), (A, 1)]


def test_equal_tips_go_by_arrival(pool):
    pool.add(waiting(B, 0), 0)
    pool.add(waiting(A, 0), 0)
    assert order(pool, {A: 0, B: 0}) == [(B, 0), (A, 0)]


def test_a_gap_holds_back_what_is_behind_it(pool):
    pool.add(waiting(nonce=0), 0)
    pool.add(waiting(nonce=2), 0)
    assert order(pool, {A: 0}) == [(A, 0)]
    assert pool.next_nonce(A, 0) == 1
    pool.add(waiting(nonce=1), 0)
    assert order(pool, {A: 0}) == [(A, 0), (A, 1), (A, 2)]
    assert pool.next_nonce(A, 0) == 3


def test_what_offers_less_than_the_base_fee_waits_with_all_behind_it(pool):
    pool.add(waiting(nonce=0, max_fee=50), 0)
    pool.add(waiting(nonce=1, max_fee=100), 0)
    assert order(pool, {A: 0}, base_fee=51) == []
    assert order(pool, {A: 0}, base_fee=50) == [(A, 0), (A, 1)]


def test_used_nonces_are_dropped(pool):
    for nonce in range(3):
        pool.add(waiting(nonce=nonce), 0)
    pool.drop_used({A: 2, B: 5})
    assert order(pool, {A: 2}) == [(A, 2)]
    assert len(pool) == 1


def test_a_sender_without_transactions_is_forgotten(pool):
    entry = waiting()
    pool.add(entry, 0)
    assert pool.is_ready(A, 0)
    pool.discard(entry.hash)
    pool.discard(entry.hash)
    assert pool.senders() == []
    assert not pool.is_ready(A, 0)


def test_a_sender_that_came_after_the_nonces_were_read_waits_for_the_next_block(pool):
    pool.add(waiting(A, 0), 0)
    pool.add(waiting(B, 0), 0)
    assert order(pool, {A: 0}) == [(A, 0)]


def test_the_tip_is_what_the_fee_leaves_above_the_base_fee():
    entry = waiting(max_fee=100, max_tip=10)
    assert (entry.tip(50), entry.tip(95), entry.tip(100)) == (10, 5, 0)
