"""How fast a log is verified on one core, and in how much memory.

A log of really sealed records is written to a file first, by another process, as the JSON that a node would answer; `verify_log` then
reads it through a transport that hands out one page at a time, parsing included. Beside it runs the floor: decrypting and decoding
the same records and nothing else. Each figure is the median over processes of their own.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

from harness import in_child, judged, options

from tallystick.chain.answers import MAX_ANSWER_BYTES
from tallystick.chain.events import BatchAppended
from tallystick.chain.packing import unpack_records
from tallystick.chain.reader import LedgerReader
from tallystick.chain.views import LogState
from tallystick.chain.wire import AnswerTooLarge
from tallystick.encoding import decode_record
from tallystick.hashing import keccak256
from tallystick.ids import Epoch, Head
from tallystick.keys import EpochKey
from tallystick.record import Record
from tallystick.sealing import decrypt, record_secret, sealed_header
from tallystick.verify.verdict import Outcome, Step
from tallystick.verify.whole_log import VerifyOptions, verify_log
from tests.support.synthetic_log import (
    ALICE,
    AUDITOR,
    BOB,
    CONTRACT,
    LOG,
    WRITER,
    SyntheticBlock,
    SyntheticLog,
    SyntheticNode,
    synthetic_record,
)

BAR_RECORDS_PER_S = 5_000
BAR_MEMORY = 1.10
"""The allocator keeps some megabytes of the pages that were freed: 53 MiB at 20,000 records, 58 at 50,000, and 59 at 100,000."""
BATCH = 64
SENDERS = (ALICE, BOB, CONTRACT)
WORDS = (
    "tally",
    "stick",
    "notch",
    "split",
    "debtor",
    "creditor",
    "half",
    "grain",
    "exchequer",
    "foil",
    "stock",
    "pound",
    "cut",
)


def record(number: int, admitted_us: int) -> Record:
    """A chat record with an answer of some 90 words that does not repeat."""
    picks = b"".join(keccak256(b"%d/%d" % (number, part)) for part in range(3))
    answer = " ".join(f"{WORDS[pick % len(WORDS)]}{pick // 32}" for pick in picks)
    sender, sender_seq = SENDERS[number % len(SENDERS)], (number - 1) // len(SENDERS) + 1
    return synthetic_record(
        number, sender=sender, sender_seq=sender_seq, admitted_us=admitted_us + number % BATCH, answer=answer
    )


def generate(path: Path, count: int) -> None:
    """Write a log of `count` records: one line of JSON for each block, then one that says where they are."""
    index: list[list[object]] = []
    sealed_bytes = 0
    with path.open("wb") as file:

        def put(block: SyntheticBlock) -> None:
            line = json.dumps(block.events).encode() + b"\n"
            index.append([file.tell(), len(line), block.hash.hex(), block.timestamp])
            file.write(line)
            last.append(block)

        last: deque[SyntheticBlock] = deque(maxlen=1)
        log = SyntheticLog(on_block=put)
        log.open_epoch()
        for start in range(1, count + 1, BATCH):
            admitted_us = log.next_block_time * 1_000_000 - 900_000
            sealed = log.append([record(number, admitted_us) for number in range(start, min(start + BATCH, count + 1))])
            sealed_bytes += sum(len(one.sealed) for one in sealed)
    state = last[0].state
    kept = {
        "size": state.size,
        "entries": state.entries,
        "head": state.head.hex(),
        "batches": state.batch_count,
        "sealed_bytes": sealed_bytes,
        "transaction": last[0].transaction,
    }
    path.with_suffix(".index").write_text(json.dumps({"blocks": index, **kept}))


class FileNode(SyntheticNode):
    """A node whose events stay in the file until somebody asks for them."""

    def __init__(self, path: Path) -> None:
        kept = json.loads(path.with_suffix(".index").read_text())
        self.state = LogState(
            writer=WRITER.address,
            size=kept["size"],
            entries=kept["entries"],
            head=Head(bytes.fromhex(kept["head"])),
            batch_count=kept["batches"],
            epoch=Epoch(1),
            epoch_open=True,
        )
        self.sealed_bytes = kept["sealed_bytes"]
        self._file = path.open("rb")
        self._places = [(start, size) for start, size, _, _ in kept["blocks"]]
        blocks = [
            SyntheticBlock(
                number=number,
                hash=bytes.fromhex(block_hash),
                timestamp=timestamp,
                state=self.state,
                transaction={"hash": None},
            )
            for number, (_, _, block_hash, timestamp) in enumerate(kept["blocks"])
        ]
        super().__init__(SyntheticLog(), blocks, [])
        self.transactions = {kept["transaction"]["hash"]: kept["transaction"]}

    def _logs(self, query: object) -> list[dict[str, object]]:
        assert isinstance(query, dict)
        first, last = int(query["fromBlock"], 16), min(int(query["toBlock"], 16), len(self._places) - 1)
        start, end = self._places[first][0], sum(self._places[last])
        if end - start > MAX_ANSWER_BYTES:
            raise AnswerTooLarge("file", f"the answer has {end - start} bytes")
        self._file.seek(start)
        events: list[dict[str, object]] = []
        for line in self._file.read(end - start).splitlines():
            events += json.loads(line)
        return events


def measure(path: Path, what: str) -> dict[str, float]:
    """Run one thing over the log, in this process: CPU seconds and peak memory."""
    node = FileNode(path)
    reader = LedgerReader(node, CONTRACT, LOG)
    before = time.process_time()
    if what == "verify":
        verdict = verify_log(reader, VerifyOptions(auditor_keys=[AUDITOR]))
        if verdict.outcome is not Outcome.PROVEN or verdict.check(Step.DECRYPTION).held != node.state.size:
            raise SystemExit(f"the log does not verify: {verdict.failures[:3]}")
    else:
        floor(reader, len(node.blocks) - 1)
    cpu_s = time.process_time() - before
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"records": node.state.size, "cpu_s": cpu_s, "peak_kib": peak_kib, "sealed_bytes": node.sealed_bytes}


def floor(reader: LedgerReader, last_block: int) -> None:
    """Read, decrypt and decode every record, and check nothing."""
    key = EpochKey(LOG, 1, keccak256(b"epoch" + bytes([1])))
    for event in reader.events(0, last_block, first_entry=0):
        if not isinstance(event, BatchAppended):
            continue
        for index, packed in enumerate(unpack_records(event.records), event.first_index):
            secret = record_secret(key, index, sealed_header(packed.sealed).nonce)
            root = packed.fields_root
            decode_record(decrypt(packed.sealed, log_id=LOG, index=index, epoch=1, fields_root=root, secret=secret))


def measured(path: Path, what: str, rounds: int) -> dict[str, float]:
    """The median of several runs, each in a process of its own."""
    runs = [json.loads(in_child(__file__, "--measure", what, str(path))) for _ in range(rounds)]
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def main() -> int:
    parser = options(__doc__, "a quarter of the records, for CI")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each measurement")
    parser.add_argument("--generate", nargs=2, metavar=("PATH", "COUNT"), help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, metavar=("WHAT", "PATH"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.generate:
        generate(Path(arguments.generate[0]), int(arguments.generate[1]))
        return 0
    if arguments.measure:
        print(json.dumps(measure(Path(arguments.measure[1]), arguments.measure[0])))
        return 0
    small, large = (6_000, 12_000) if arguments.short else (10_000, 50_000)
    with tempfile.TemporaryDirectory(prefix="tallystick-bench-") as folder:
        paths = {count: Path(folder) / f"{count}.jsonl" for count in (small, large)}
        for count, path in paths.items():
            in_child(__file__, "--generate", str(path), str(count))
        base, full = (
            measured(paths[large], "floor", arguments.rounds),
            measured(paths[large], "verify", arguments.rounds),
        )
        less = measured(paths[small], "verify", arguments.rounds)
    rate, floor_rate = full["records"] / full["cpu_s"], base["records"] / base["cpu_s"]
    growth = full["peak_kib"] / less["peak_kib"]
    print(f"sealed record: {full['sealed_bytes'] / full['records']:.0f} bytes on average")
    print(f"decrypt and decode alone: {floor_rate:.0f} records/s of CPU time")
    fast = judged(
        f"verify_log, {large} records: {rate:.0f} records/s (bar: {BAR_RECORDS_PER_S})", rate >= BAR_RECORDS_PER_S
    )
    print(f"verify_log beside decrypting and decoding alone: {floor_rate / rate:.2f} times the CPU time")
    print(
        f"peak memory at {small} records: {less['peak_kib'] / 1024:.0f} MiB, at {large}: {full['peak_kib'] / 1024:.0f} MiB"
    )
    flat = judged(f"memory, {large} over {small} records: {growth:.2f} (bar: {BAR_MEMORY})", growth <= BAR_MEMORY)
    return 0 if fast and flat else 1


if __name__ == "__main__":
    sys.exit(main())
