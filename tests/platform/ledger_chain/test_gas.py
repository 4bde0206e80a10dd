"""Gas limits that are computed, held to what the compiled contract uses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tallystick.chain.artifact import load_artifact
from tallystick.chain.packing import MAX_CIPHERTEXT_BYTES
from tallystick.keys import WRAP_BYTES
from tallystick_platform.ledger_chain.gas import (
    MAX_CALLDATA_BYTES,
    MAX_TRANSACTION_BYTES,
    MAX_TRANSACTION_GAS,
    OVERHEAD_BYTES,
    call_gas,
    calldata_floor,
    deployment_gas,
    intrinsic_gas,
)
from tests.support.chains import DeployedLedger, deployed_ledger

HEADER = b"\x20" + (1).to_bytes(8, "big") + b"\xff" * 16


@pytest.fixture
def ledger() -> Iterator[DeployedLedger]:
    with deployed_ledger() as deployed:
        yield deployed


@pytest.mark.parametrize(
    ("records", "size"), [(1, 17), (1, MAX_CIPHERTEXT_BYTES), (16, 1_024), (64, 1_024), (110, 1_024), (1_024, 17)]
)
def test_the_limit_suffices_for_any_batch_without_asking_the_node(ledger, records, size):
    assert ledger.append([(b"\xff" * 32, HEADER + b"\xff" * size)] * records).succeeded


def test_the_limit_suffices_for_many_records_of_zeros(ledger):
    sealed = b"\x20" + (1).to_bytes(8, "big") + bytes(16 + 17)
    assert ledger.append([(bytes(32), sealed)] * 1_024).succeeded


def test_the_limit_suffices_for_many_wraps():
    with deployed_ledger(wraps=[b"w" * WRAP_BYTES] * 64) as ledger:
        assert ledger.reader.log_state().epoch == 1


def test_the_limit_suffices_for_every_call_of_writer_and_keeper(ledger):
    assert ledger.void(1, 2**53 - 1).succeeded
    assert ledger.rotate(ledger.wallet, 5).succeeded


def test_no_batch_that_a_transaction_carries_needs_more_gas_than_one_may_use():
    least = 3 + 32 + 25 + 17
    most_records = min(1_024, MAX_CALLDATA_BYTES // least)
    assert call_gas(b"\xff" * MAX_CALLDATA_BYTES, most_records) <= MAX_TRANSACTION_GAS


def test_the_floor_counts_a_zero_byte_once_and_another_four_times():
    assert calldata_floor(b"") == intrinsic_gas(b"") == 21_000
    assert calldata_floor(b"\x00\x01") == 21_000 + 10 * 5
    assert intrinsic_gas(b"\x00\x01") == 21_000 + 4 * 5


def test_the_deployment_fits_a_transaction():
    code = load_artifact().bytecode
    assert len(code) + OVERHEAD_BYTES < MAX_TRANSACTION_BYTES
    assert deployment_gas(code) < MAX_TRANSACTION_GAS
