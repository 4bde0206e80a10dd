"""What an append costs, beside the least that the protocol charges for its calldata."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.support.evm import EvmLedger

GAS_TRANSACTION = 21_000
FLOOR_GAS_PER_TOKEN = 10
TOKENS_PER_NONZERO_BYTE = 4
STANDARD_GAS_PER_TOKEN = 4
BATCHES_PER_END_SLOT = 4
"""The contract packs four batches' ends into one storage slot, so that one append in four pays for a new slot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GasFigures:
    """One append's cost. `gas_used` is that of the dearest of four consecutive batches; `ratio` is gas used over floor."""

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


def measure_append_gas(record_count: int, record_bytes: int, *, seed: int = 1) -> GasFigures:
    """Measure batches of random sealed records on a log that has batches already.

    Units: `record_bytes` counts the sealed bytes of one record.
    """
    source = random.Random(seed)
    ledger = EvmLedger.deploy()
    log_id = ledger.create_log()
    ledger.append(log_id, 0, [source.randbytes(32)], [b"first"])
    landed = []
    for batch in range(BATCHES_PER_END_SLOT):
        roots = [source.randbytes(32) for _ in range(record_count)]
        sealed = [source.randbytes(record_bytes) for _ in range(record_count)]
        landed.append(ledger.append(log_id, 1 + batch * record_count, roots, sealed))
    dearest = max(landed, key=lambda append: append.gas_used)
    floor = floor_gas(dearest.calldata)
    return GasFigures(
        gas_used=dearest.gas_used,
        floor_gas=floor,
        calldata_bytes=len(dearest.calldata),
        gas_per_record=dearest.gas_used / record_count,
        ratio=dearest.gas_used / floor,
    )
