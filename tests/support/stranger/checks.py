"""What the records of a log must be among each other: numbers, times, prices, senders (sections 1, 6 and 7)."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tests.support.stranger.crypto import signer
from tests.support.stranger.errors import Refused
from tests.support.stranger.messages import request_digest
from tests.support.stranger.record import charge_of
from tests.support.stranger.requests import check_binding

if TYPE_CHECKING:
    from tests.support.stranger.reader import LogReport, ReadRecord
    from tests.support.stranger.walk import Void

MICROS = 1_000_000


class _Numbers:
    """The admission numbers as they come: the highest, and the spans below it that did not, each with the time from which it waits."""

    def __init__(self, report: LogReport) -> None:
        self.report = report
        self.grace = report.terms.promise + report.terms.skew
        self.highest = 0
        self.waiting: list[tuple[int, int, int]] = []

    def record(self, read: ReadRecord) -> None:
        number, time = read.admission_seq, read.batch_time
        if number > self.highest:
            self.rise(number - 1, number, time)
            return
        inside = [span for span in self.waiting if span[0] <= number <= span[1]]
        if not inside:
            _wrong(self.report, read, f"admission number {number} came before, or is void")
        elif time > inside[0][2] + self.grace:
            _wrong(self.report, read, f"admission number {number} came later than promised")
        self.remove(number, number)

    def void(self, void: Void) -> None:
        given_up = self.remove(void.first, void.last)
        if void.last > self.highest:
            given_up += void.last - max(self.highest, void.first - 1)
            self.rise(void.first - 1, void.last, void.time)
        self.report.given_up += given_up

    def rise(self, below: int, highest: int, time: int) -> None:
        if below > self.highest:
            self.waiting.append((self.highest + 1, below, time))
        self.highest = highest

    def remove(self, first: int, last: int) -> int:
        """Takes numbers out of what waits; how many of them waited."""
        removed, rest = 0, []
        for low, high, since in self.waiting:
            removed += max(0, min(high, last) - max(low, first) + 1)
            rest += [(a, b, since) for a, b in ((low, min(high, first - 1)), (max(low, last + 1), high)) if a <= b]
        self.waiting = rest
        return removed

    def finish(self) -> None:
        for low, high, since in self.waiting:
            if self.report.time > since + self.grace:
                self.report.problems.append(f"the admission numbers {low} to {high} are missing")
            else:
                self.report.pending += range(low, min(high, low + 10_000) + 1)


def check_numbers(report: LogReport) -> None:
    """Completeness: every admission number once and in time, or void."""
    if report.terms.mode != 1:
        report.unchecked.append("the records, roots and admission numbers of a log in mode 2 do not stand on the chain")
        return
    numbers, voids = _Numbers(report), list(report.walk.voids)
    nonces: set[tuple[int, bytes]] = set()
    for read in report.records:
        while voids and voids[0].size <= read.index:
            numbers.void(voids.pop(0))
        numbers.record(read)
        if (read.epoch, read.nonce) in nonces:
            report.problems.append(f"record {read.index}: a nonce twice in epoch {read.epoch}")
        nonces.add((read.epoch, read.nonce))
    for void in voids:
        numbers.void(void)
    numbers.finish()


def check_records(report: LogReport) -> None:
    """Every opened record by itself, then all of them together."""
    opened = [read for read in report.records if read.record is not None]
    sealed = len(report.records) - len(opened)
    if sealed:
        report.unchecked.append(f"{sealed} records were not opened")
    by_id: dict[bytes, ReadRecord] = {}
    for read in opened:
        identifier = _record(read)["id"]
        if identifier in by_id:
            _wrong(report, read, f"has the id of record {by_id[identifier].index}")
        by_id.setdefault(identifier, read)
    for read in opened:
        _check_alone(report, read)
        _check_times(report, read, by_id)
        _check_signature(report, read)
    _check_accepted(report, opened, by_id, complete=not sealed)
    _check_gpus(report, opened)
    _check_nonces(report, opened, by_id)
    if not sealed and not report.pending:
        _check_senders(report, opened)


def _record(read: ReadRecord) -> dict[str, Any]:
    assert read.record is not None
    return read.record


def _wrong(report: LogReport, read: ReadRecord, text: str) -> None:
    report.problems.append(f"record {read.index}: {text}")


def _check_alone(report: LogReport, read: ReadRecord) -> None:
    record = _record(read)
    for text in check_binding(record, read.missing_blobs):
        _wrong(report, read, text)
    price = record["price"]
    if price is not None and charge_of(price, record["usage"]) != price["charge_micros"]:
        _wrong(report, read, f"the charge is {price['charge_micros']}, not {charge_of(price, record['usage'])}")
    if int.from_bytes(record["id"][:6], "big") != record["time"]["admitted_at"] // 1000:
        _wrong(report, read, "the id's time is not admitted_at")
    request = record["request"]
    if "request" not in read.missing_blobs and request and request["target"].split("?", 1)[0] != record["http"]["path"]:
        _wrong(report, read, "http.path is not the path of the request's target")


def _check_times(report: LogReport, read: ReadRecord, by_id: dict[bytes, ReadRecord]) -> None:
    record = _record(read)
    time, price = record["time"], record["price"]
    admitted, started, finished = time["admitted_at"], time["started_at"], time["finished_at"]
    skew, promise = report.terms.skew * MICROS, report.terms.promise * MICROS
    batch = read.batch_time * MICROS
    if not batch - promise - skew <= admitted <= batch + skew:
        _wrong(report, read, "admitted_at is too far from the batch's time")
    if admitted < report.walk.created * MICROS - skew:
        _wrong(report, read, "admitted_at is before the log's creation")
    if not admitted <= finished <= batch + skew:
        _wrong(report, read, "finished_at is before admitted_at, or after the batch")
    begin = admitted
    if record["follows"] is not None and record["follows"] in by_id:
        begin = _record(by_id[record["follows"]])["time"]["admitted_at"]
    if started is not None and not begin <= started <= finished:
        _wrong(report, read, "started_at does not lie between admission and end")
    if price is not None and price["device_time_us"] > (finished - started if started is not None else 0):
        _wrong(report, read, "device_time_us is more than the time that the work took")


def _check_signature(report: LogReport, read: ReadRecord) -> None:
    record = _record(read)
    sender, request = record["sender"], record["request"]
    if sender["proof"] != "signature":
        return
    signature = sender["signature"]
    if signature is None:
        _wrong(report, read, "the sender's signature is not there")
        return
    if request is None:
        _wrong(report, read, "the request that the sender signed is not there")
        return
    if "request" in read.missing_blobs:
        report.unchecked.append(f"record {read.index}: no request to check the sender's signature with")
        return
    parts = (record["http"]["method"], request["target"], request["content_type"], request["body"])
    digest = request_digest(
        report.chain_id, report.contract, report.log_id, parts, signature["nonce"], signature["deadline"]
    )
    try:
        found = signer(digest, signature["signature"])
    except Refused as error:
        _wrong(report, read, f"the sender's signature: {error}")
        return
    if found != sender["address"]:
        _wrong(report, read, "the sender's signature is another's")
    if record["time"]["admitted_at"] // MICROS > signature["deadline"]:
        _wrong(report, read, "it was admitted after the sender's deadline")


def _check_nonces(report: LogReport, opened: list[ReadRecord], by_id: dict[bytes, ReadRecord]) -> None:
    """A sender's nonce stands once; a record that ends accepted work repeats that of the work."""
    seen: set[tuple[bytes, bytes]] = set()
    for read in opened:
        record = _record(read)
        signature = record["sender"]["signature"]
        if signature is None:
            continue
        work = by_id.get(record["follows"])
        if work is not None and _record(work)["sender"]["signature"] is not None:
            before = _record(work)["sender"]
            if (before["address"], before["signature"]["nonce"]) == (record["sender"]["address"], signature["nonce"]):
                continue
        key = (record["sender"]["address"], signature["nonce"])
        if key in seen:
            _wrong(report, read, "the sender's nonce was used before")
        seen.add(key)


def _check_accepted(
    report: LogReport, opened: list[ReadRecord], by_id: dict[bytes, ReadRecord], *, complete: bool
) -> None:
    ends: dict[bytes, ReadRecord] = {}
    for read in opened:
        follows = _record(read)["follows"]
        if follows is None:
            continue
        if follows in by_id and by_id[follows].index > read.index:
            _wrong(report, read, "it comes before the record that it follows")
        if follows in by_id and _record(by_id[follows])["sender"]["address"] != _record(read)["sender"]["address"]:
            _wrong(report, read, "it has another sender than the record that it follows")
        if follows in by_id and _record(by_id[follows])["state"] != "accepted":
            _wrong(report, read, "it follows a record that is not accepted work")
        if follows not in by_id and complete:
            _wrong(report, read, "it follows a record that is not in the log")
        if follows in ends:
            _wrong(report, read, f"the work that it ends was ended by record {ends[follows].index}")
        ends.setdefault(follows, read)
    for read in opened:
        record = _record(read)
        if record["state"] != "accepted":
            continue
        due = record["time"]["due_by"] // MICROS + report.terms.promise
        end = ends.get(record["id"])
        came = end.batch_time if end is not None else report.time
        if came > due and (end is not None or complete):
            _wrong(report, read, "its work was not ended by the time that it names")


def _check_gpus(report: LogReport, opened: list[ReadRecord]) -> None:
    used: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for read in opened:
        record = _record(read)
        gpu, price, time = record["gpu"], record["price"], record["time"]
        if gpu and gpu["uuid"] and price and price["device_time_us"] and time["started_at"] is not None:
            used[gpu["uuid"]].append((price["device_time_us"], time["started_at"], time["finished_at"]))
    for uuid, spans in used.items():
        whole = max(span[2] for span in spans) - min(span[1] for span in spans)
        if sum(span[0] for span in spans) > whole:
            report.problems.append(f"the device {uuid} worked longer than there was time")


def _check_senders(report: LogReport, opened: list[ReadRecord]) -> None:
    numbers: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
    for read in opened:
        record = _record(read)
        numbers[record["sender"]["address"]].append((record["sender_seq"], read.index))
    lost, voids = 0, report.walk.voids
    for address, pairs in numbers.items():
        before = 0
        pairs.sort()
        for at, (number, index) in enumerate(pairs):
            earliest = min(higher for _, higher in pairs[at:])
            if number <= before:
                report.problems.append(f"record {index}: sender 0x{address.hex()} has number {number} twice")
            elif number > before + 1 and not any(v.size <= index and v.last == number - 1 for v in voids):
                if any(earliest < v.size for v in voids):
                    lost += number - before - 1
                else:
                    report.problems.append(f"record {index}: sender 0x{address.hex()} has {number} after {before}")
            before = number
    if lost > report.given_up:
        report.problems.append(f"{lost} numbers of senders are missing, and {report.given_up} were given up")
