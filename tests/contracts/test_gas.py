"""A batch costs what the protocol charges for its bytes, and the measurement is one."""

from __future__ import annotations

import pytest

from tests.support.gas import (
    calldata_tokens,
    execution_allowance,
    floor_gas,
    measure_append_gas,
    measure_commit_gas,
)

RECORD_BYTES = 1024


@pytest.mark.parametrize(("count", "record_bytes"), [(5, 1024), (16, 512), (16, 1024), (64, 1024)])
def test_a_batch_costs_exactly_the_calldata_floor(count: int, record_bytes: int) -> None:
    figures = measure_append_gas(count, record_bytes)
    assert figures.gas_used == figures.floor_gas
    assert figures.ratio == 1
    assert figures.gas_per_record * count == pytest.approx(figures.gas_used)


@pytest.mark.parametrize(("count", "record_bytes", "limit"), [(1, 1024, 1.72), (4, 1024, 1.03)])
def test_small_batches_stay_within_their_measured_ratio(count: int, record_bytes: int, limit: float) -> None:
    assert 1 < measure_append_gas(count, record_bytes).ratio <= limit


def test_a_full_transaction_stays_below_the_transaction_gas_cap() -> None:
    # 128 KiB is what public nodes keep in their pools, and 115 records of 1 KB come close to it.
    figures = measure_append_gas(115, RECORD_BYTES)
    assert 131_072 * 0.9 < figures.calldata_bytes < 131_072
    assert figures.gas_used == figures.floor_gas < 16_777_216


def test_a_committed_batch_costs_the_same_whatever_it_holds() -> None:
    assert measure_commit_gas(1).gas_used == pytest.approx(measure_commit_gas(1024).gas_used, abs=100)
    assert measure_commit_gas(256).gas_per_record < 340


def test_the_figures_are_the_same_in_every_run() -> None:
    assert measure_append_gas(2, 100) == measure_append_gas(2, 100)


def test_tokens_count_a_zero_byte_once_and_any_other_four_times() -> None:
    assert calldata_tokens(b"") == 0
    assert calldata_tokens(bytes(10)) == 10
    assert calldata_tokens(b"\x00\x01\xff") == 9


def test_the_floor_and_the_allowance_follow_eip_7623() -> None:
    calldata = b"\x00\x01\xff"
    assert floor_gas(calldata) == 21_000 + 90
    assert execution_allowance(calldata) == 54
