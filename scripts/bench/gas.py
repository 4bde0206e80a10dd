"""What a record costs on chain: gas beside the protocol's calldata floor (EIP-7623), each part of a record by itself, and bytes.

The gas is that of the compiled contract on an in-process chain with today's rules. The records of the first parts are random bytes,
the dearest there are; those of the last are a typical chat request and its answer, sealed as the service seals them.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from eth_abi.abi import encode
from harness import judged, options

from tallystick.chain.packing import append_size
from tallystick.encoding import encode_record
from tallystick.ids import LogId
from tallystick.keys import EpochKey
from tallystick.merkle import HEADER_BYTES
from tallystick.record import Record
from tallystick.sealing import seal
from tests.support.evm import packed, sealed_like
from tests.support.gas import floor_gas, measure_append_gas, measure_commit_gas
from tests.support.typical_record import typical_record

SIZES = (512, 1_024)
BATCHES = (1, 4, 16, 64, 115)
AT_FLOOR = {512: 16, 1_024: 5}
"""From this count of records of each size on, a batch must cost the floor."""
FLOOR_BAR = 1.01
COMMITTED = 256
COMMIT_BAR_GAS = 340
COMPARED_RECORDS = 64
COMPARED_BYTES = 1_024
SELECTOR = b"\xff\xff\xff\xff"


def plain_json(record: Record) -> bytes:
    """The record as an ordinary log would hold it: compact JSON, bytes in hex."""

    def shown(value: Any) -> Any:
        return value.hex() if isinstance(value, bytes) else str(value)

    return json.dumps({"v": 2} | asdict(record), default=shown, separators=(",", ":"), ensure_ascii=False).encode()


def report_gas() -> bool:
    """Gas per record against the floor. Says whether the bars held."""
    held = True
    for record_bytes in SIZES:
        for count in sorted({*BATCHES, AT_FLOOR[record_bytes]}):
            figures = measure_append_gas(count, record_bytes)
            line = f"gas per record, {count} x {record_bytes} B: {figures.gas_per_record:,.0f}, {figures.ratio:.4f} of the floor"
            if count >= AT_FLOOR[record_bytes]:
                held &= judged(f"{line} (bar: {FLOOR_BAR})", figures.ratio <= FLOOR_BAR)
            else:
                print(line)
    commit = measure_commit_gas(COMMITTED)
    line = f"gas per record, a root for {COMMITTED}: {commit.gas_per_record:,.0f} (bar: {COMMIT_BAR_GAS})"
    return judged(line, commit.gas_per_record <= COMMIT_BAR_GAS) and held


def report_additions() -> bool:
    """What each part of a record's calldata adds to the floor, one on top of the other; the last is what `append` takes.

    Says whether the contract was measured at the sum.
    """
    source = random.Random(1)
    fields_roots = [source.randbytes(32) for _ in range(COMPARED_RECORDS)]
    sealed = [sealed_like(source, HEADER_BYTES + COMPARED_BYTES, 1 + n) for n in range(COMPARED_RECORDS)]
    bare = [one[HEADER_BYTES:] for one in sealed]
    log_id, head, index = source.randbytes(32), source.randbytes(32), 40_000
    layouts: Sequence[tuple[str, Callable[[], bytes]]] = (
        (
            "ciphertexts alone, as an array of byte strings, after an index",
            lambda: encode(["bytes32", "uint64", "bytes[]"], [log_id, index, bare]),
        ),
        (
            "fields roots, as an array beside it",
            lambda: encode(["bytes32", "uint64", "bytes32[]", "bytes[]"], [log_id, index, fields_roots, bare]),
        ),
        (
            "the header: flags, admission number, nonce",
            lambda: encode(["bytes32", "uint64", "bytes32[]", "bytes[]"], [log_id, index, fields_roots, sealed]),
        ),
        (
            "the head in place of the index",
            lambda: encode(["bytes32", "bytes32", "bytes32[]", "bytes[]"], [log_id, head, fields_roots, sealed]),
        ),
        (
            "packed in place of the two arrays",
            lambda: encode(
                ["bytes32", "bytes32", "bytes"], [log_id, head, packed(list(zip(fields_roots, sealed, strict=True)))]
            ),
        ),
    )
    print(
        f"floor gas per record, {COMPARED_RECORDS} x {COMPARED_BYTES} B of ciphertext, one layout on top of the other:"
    )
    before = 0.0
    for name, layout in layouts:
        gas = floor_gas(SELECTOR + layout()) / COMPARED_RECORDS
        print(f"  {name}: {gas:,.0f} ({gas - before:+,.0f})")
        before = gas
    measured = measure_append_gas(COMPARED_RECORDS, HEADER_BYTES + COMPARED_BYTES).gas_per_record
    return judged(f"  as measured: {measured:,.0f}", abs(measured / before - 1) < FLOOR_BAR - 1)


def report_bytes() -> None:
    """Bytes of a typical record on its way to the chain."""
    record = typical_record()
    epoch_key = EpochKey(LogId(bytes(32)), 1, bytes(32))
    sealed = seal(record, epoch_key=epoch_key, index=41_872, random=os.urandom).sealed
    plain = len(plain_json(record))
    print(
        f"a chat record as plain JSON: {plain:,} B; as canonical CBOR: {len(encode_record(record)):,} B; sealed: {len(sealed):,} B"
    )
    for count in (16, 64):
        on_chain = append_size([len(sealed)] * count) / count
        print(f"on chain per record in a batch of {count}: {on_chain:,.0f} B, {on_chain / plain:.2f} of its plain JSON")
        gas = measure_append_gas(count, len(sealed)).gas_per_record
        print(f"gas per such record in a batch of {count}: {gas:,.0f}")


def main() -> int:
    options(__doc__, "the same: this part takes seconds").parse_args()
    held = report_gas()
    held &= report_additions()
    report_bytes()
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
