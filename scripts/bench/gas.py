"""What a record costs on chain: gas beside the protocol's calldata floor (EIP-7623), and bytes beside plain JSON.

The gas is that of the compiled contract on an in-process chain with today's rules. The records of the first part are random bytes,
the dearest there are; those of the second are a typical chat request and its answer, sealed as the service seals them.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "ledger"), str(ROOT / "platform")]

from tests.support.clocks import FixedClock  # noqa: E402
from tests.support.gas import measure_append_gas  # noqa: E402
from tests.support.journals import completed, would_be  # noqa: E402

from tallystick.chain import append_calldata_size  # noqa: E402
from tallystick.encoding import encode_record  # noqa: E402
from tallystick.ids import LogId  # noqa: E402
from tallystick.keys import EpochKey  # noqa: E402
from tallystick.record import Choice, Instructions, Record, Response, Usage  # noqa: E402
from tallystick.sealing import seal  # noqa: E402

BATCHES = (16, 64)
RECORD_BYTES = 1_024
FLOOR_BAR = 1.01

SYSTEM = "You are the assistant of a small library. Answer in a few plain sentences and say so when you do not know."
QUESTION = (
    "My grandmother left me a wooden stick with notches of different widths, split along its length, with some writing on one side. "
    "The dealer called it a tally. What were such sticks used for, why were they split, and can one still tell what mine recorded?"
)
ANSWER = (
    "A tally stick recorded a debt or a payment. The notches gave the amount: by custom a palm's width stood for a thousand pounds, a "
    "thumb's for a hundred, a little finger's for twenty, a swelling barleycorn for one pound, and narrower cuts for shillings and pence. "
    "When the notches and the writing were on it, the stick was split lengthwise, so that both halves carried the same cuts. The creditor "
    "kept the longer half, the stock, and the debtor the shorter, the foil. When the debt was settled the halves were laid together: only "
    "the true pair matched, along the grain as well as in the cuts, so neither side could add or shave off a notch unseen.\n\n"
    "To read yours, measure the notches and compare them with the scheme above, and look for names or a date in the writing, often in "
    "abbreviated Latin. Which half you hold tells which side your family was on. A county record office can usually date the hand."
)


def typical_record() -> Record:
    """A chat request of some eighty words and its answer."""
    clock = FixedClock()
    asked = replace(would_be(clock), admission_seq=41_873, sender_seq=512)
    asked = replace(
        asked, prompt={"messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]}
    )
    asked = replace(
        asked, instructions=Instructions(system=SYSTEM, chat_template=None, chat_template_digest=b"\x55" * 32)
    )
    clock.advance(2.418)
    record = completed(asked, clock)
    answer = Response(choices=(Choice(index=0, text=ANSWER, finish_reason="stop"),))
    return replace(record, response=answer, usage=Usage(input_tokens=118, output_tokens=241))


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
