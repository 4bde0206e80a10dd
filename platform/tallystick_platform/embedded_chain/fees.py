"""`eth_feeHistory`: what gas cost in the latest blocks."""

from __future__ import annotations

import sqlite3
from typing import Final

from eth.vm.forks.london.headers import calculate_expected_base_fee_per_gas

from tallystick_platform.embedded_chain import index
from tallystick_platform.embedded_chain.errors import BadParams
from tallystick_platform.embedded_chain.index import BlockRow

MAX_BLOCKS: Final = 1024
MAX_PERCENTILES: Final = 100


def fee_history(connection: sqlite3.Connection, newest: BlockRow, count: int, percentiles: object) -> dict[str, object]:
    """Give base fees, fullness and, where percentiles are asked for, tips of up to `count` blocks ending with `newest`.

    Source: execution-apis, eth_feeHistory.
    """
    wanted = _read_percentiles(percentiles)
    if count < 1:
        raise BadParams("block count", "must be at least 1")
    first = max(0, newest.number - min(count, MAX_BLOCKS) + 1)
    rows = [index.block_by_number(connection, number) for number in range(first, newest.number)]
    blocks = [row for row in rows if row is not None] + [newest]
    fees = [int(block.header.base_fee_per_gas) for block in blocks]
    fees.append(int(calculate_expected_base_fee_per_gas(newest.header)))
    answer: dict[str, object] = {
        "oldestBlock": hex(first),
        "baseFeePerGas": [hex(fee) for fee in fees],
        "gasUsedRatio": [block.header.gas_used / block.header.gas_limit for block in blocks],
        "baseFeePerBlobGas": [hex(1)] * (len(blocks) + 1),
        "blobGasUsedRatio": [0.0] * len(blocks),
    }
    if wanted:
        answer["reward"] = [[hex(tip) for tip in _tips(connection, block, wanted)] for block in blocks]
    return answer


def _tips(connection: sqlite3.Connection, block: BlockRow, percentiles: list[float]) -> list[int]:
    base_fee = int(block.header.base_fee_per_gas)
    rows = index.transactions_of_block(connection, block.number)
    paid = sorted((row.gas_price - base_fee, row.gas_used) for row in rows)
    tips: list[int] = []
    for percentile in percentiles:
        threshold = block.header.gas_used * percentile / 100
        reached, tip = 0, 0
        for offered, gas_used in paid:
            tip = offered
            reached += gas_used
            if reached >= threshold:
                break
        tips.append(tip)
    return tips


def _read_percentiles(value: object) -> list[float]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > MAX_PERCENTILES:
        raise BadParams("reward percentiles", f"must be an array of at most {MAX_PERCENTILES}")
    numbers: list[float] = []
    for entry in value:
        if isinstance(entry, bool) or not isinstance(entry, int | float) or not 0 <= entry <= 100:
            raise BadParams("reward percentiles", "must be numbers from 0 to 100")
        if numbers and entry < numbers[-1]:
            raise BadParams("reward percentiles", "must not decrease")
        numbers.append(float(entry))
    return numbers
