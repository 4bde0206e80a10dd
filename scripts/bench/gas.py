"""What a record costs on chain: gas beside the protocol's calldata floor (EIP-7623), and bytes beside plain JSON.

The gas is that of the compiled contract on an in-process chain with today's rules. The records of the first part are random bytes,
the dearest there are; those of the second are a typical chat request and its answer, sealed as the service seals them.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "ledger"), str(ROOT / "platform")]

from tallystick.chain import append_calldata_size  # noqa: E402
from tallystick.encoding import encode_record  # noqa: E402
from tallystick.ids import LogId  # noqa: E402
from tallystick.keys import EpochKey  # noqa: E402
from tallystick.record import Record  # noqa: E402
from tallystick.sealing import seal  # noqa: E402
from tests.support.gas import measure_append_gas  # noqa: E402
from tests.support.typical_record import typical_record  # noqa: E402

BATCHES = (16, 64)
RECORD_BYTES = 1_024
FLOOR_BAR = 1.01


def plain_json(record: Record) -> bytes:
    """The record as an ordinary log would hold it: compact JSON, bytes in hex."""

    def shown(value: Any) -> Any:
        return value.hex() if isinstance(value, bytes) else str(value)

    return json.dumps({"v": 1} | asdict(record), default=shown, separators=(",", ":"), ensure_ascii=False).encode()


def report_gas() -> bool:
    """Gas per record against the floor. Says whether the bars held."""
    held = True
    for count in BATCHES:
        figures = measure_append_gas(count, RECORD_BYTES)
        ok = figures.ratio <= FLOOR_BAR
        held &= ok
        floor_per_record = figures.floor_gas / count
        print(
            f"gas per record, {count} x {RECORD_BYTES} B: {figures.gas_per_record:,.0f} (floor {floor_per_record:,.0f})"
        )
        print(
            f"gas over floor, {count} x {RECORD_BYTES} B: {figures.ratio:.4f} (bar: {FLOOR_BAR}) {'ok' if ok else 'MISSED'}"
        )
    return held


def report_bytes() -> None:
    """Bytes of a typical record on its way to the chain."""
    record = typical_record()
    sealed = seal(record, epoch_key=EpochKey(LogId(bytes(32)), 1, bytes(32)), index=41_872).sealed
    plain = len(plain_json(record))
    print(
        f"a chat record as plain JSON: {plain:,} B; as canonical CBOR: {len(encode_record(record)):,} B; sealed: {len(sealed):,} B"
    )
    for count in BATCHES:
        on_chain = append_calldata_size([len(sealed)] * count) / count
        print(f"on chain per record in a batch of {count}: {on_chain:,.0f} B, {on_chain / plain:.2f} of its plain JSON")
        gas = measure_append_gas(count, len(sealed)).gas_per_record
        print(f"gas per such record in a batch of {count}: {gas:,.0f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--short", action="store_true", help="the same: this part takes seconds")
    parser.parse_args()
    held = report_gas()
    report_bytes()
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
