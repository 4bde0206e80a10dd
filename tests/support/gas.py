"""What a batch costs, beside the least that the protocol charges for its calldata."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.evm import EvmLedger, Landed, packed, sealed_like

GAS_TRANSACTION = 21_000
FLOOR_GAS_PER_TOKEN = 10
TOKENS_PER_NONZERO_BYTE = 4
STANDARD_GAS_PER_TOKEN = 4
BATCHES_PER_SLOT = 2
"""The contract keeps two batches' sizes, epochs and times in one storage slot, so that every second one pays for a new slot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GasFigures:
    """One batch's cost. `gas_used` is that of the dearer of two consecutive batches; `ratio` is gas used over floor."""

    gas_used: int
    floor_gas: int
    calldata_bytes: int
    gas_per_record: float
    ratio: float


def calldata_tokens(calldata: bytes) -> int:
    """Count tokens as EIP-7623 does: one for a zero byte, four for any other."""
    zeros = calldata.count(0)
    return zeros + (len(calldata) - zeros) * TOKENS_PER_NONZERO_BYTE


def floor_gas(calldata: bytes) -> int:
    """The least gas that a call with this calldata pays.

    Source: EIP-7623.
    """
    return GAS_TRANSACTION + FLOOR_GAS_PER_TOKEN * calldata_tokens(calldata)


def execution_allowance(calldata: bytes) -> int:
    """How much gas the execution may use before the call pays more than the floor."""
    return (FLOOR_GAS_PER_TOKEN - STANDARD_GAS_PER_TOKEN) * calldata_tokens(calldata)


def random_records(source: random.Random, count: int, sealed_bytes: int) -> bytes:
    """Packed records of random bytes, the dearest there are; an admission number is small, as it is in a young log."""
    return packed([(source.randbytes(32), sealed_like(source, sealed_bytes, 1 + number)) for number in range(count)])


def measure_append_gas(record_count: int, record_bytes: int, *, seed: int = 1) -> GasFigures:
    """Measure batches of random sealed records on a log that has batches already.

    Units: `record_bytes` counts the sealed bytes of one record, header included.
    """
    source = random.Random(seed)
    ledger = EvmLedger.deploy()
    log_id = ledger.create_log()
    ledger.follow("append", log_id, random_records(source, 1, 64))
    return _dearest(
        record_count, lambda: ledger.follow("append", log_id, random_records(source, record_count, record_bytes))
    )


def measure_commit_gas(record_count: int, *, seed: int = 1) -> GasFigures:
    """Measure batches of which only the root is sent."""
    source = random.Random(seed)
    ledger = EvmLedger.deploy()
    log_id = ledger.create_log(mode=2)
    ledger.follow("commit", log_id, 1, source.randbytes(32))
    return _dearest(record_count, lambda: ledger.follow("commit", log_id, record_count, source.randbytes(32)))


def _dearest(record_count: int, send: Callable[[], Landed]) -> GasFigures:
    landed = max((send() for _ in range(BATCHES_PER_SLOT)), key=lambda batch: batch.gas_used)
    floor = floor_gas(landed.calldata)
    return GasFigures(
        gas_used=landed.gas_used,
        floor_gas=floor,
        calldata_bytes=len(landed.calldata),
        gas_per_record=landed.gas_used / record_count,
        ratio=landed.gas_used / floor,
    )
