from __future__ import annotations

from itertools import pairwise

from tallystick_platform.anchor.policy import (
    BACKOFF_CAP_MS,
    BACKOFF_FIRST_MS,
    EMBEDDED_IN_FLIGHT,
    EMBEDDED_POLL_MS,
    EMBEDDED_RESEND_MS,
    REMOTE_POLL_MS,
    REMOTE_RESEND_MS,
    AnchorPolicy,
    backoff_ms,
)
from tallystick_platform.settings import load_settings


def test_the_pause_doubles_with_each_failure_up_to_its_cap():
    pauses = [backoff_ms(failures) for failures in range(1, 12)]
    assert pauses[0] == BACKOFF_FIRST_MS
    assert all(after == min(2 * before, BACKOFF_CAP_MS) for before, after in pairwise(pauses))
    assert pauses[-1] == BACKOFF_CAP_MS


def test_no_failure_needs_no_pause_and_any_number_of_them_stays_within_the_cap():
    assert backoff_ms(0) == 0
    assert backoff_ms(10**6) == BACKOFF_CAP_MS


def test_the_policy_follows_the_settings():
    policy = AnchorPolicy.from_settings(
        load_settings(batch_max_bytes=5_000, batch_max_age_ms=7, confirmations=3, max_fee_per_gas_gwei=2)
    )
    assert (policy.batch_max_bytes, policy.batch_max_age_ms, policy.confirmations) == (5_000, 7, 3)
    assert policy.max_fee_per_gas_wei == 2 * 10**9


def test_a_node_of_somebody_else_is_asked_less_often_and_given_one_transaction_at_a_time():
    ours = AnchorPolicy.from_settings(load_settings())
    theirs = AnchorPolicy.from_settings(load_settings(chain_rpc="http://node.example:8545"))
    assert (ours.poll_ms, ours.resend_after_ms, ours.max_in_flight) == (
        EMBEDDED_POLL_MS,
        EMBEDDED_RESEND_MS,
        EMBEDDED_IN_FLIGHT,
    )
    assert (theirs.poll_ms, theirs.resend_after_ms, theirs.max_in_flight) == (REMOTE_POLL_MS, REMOTE_RESEND_MS, 1)
