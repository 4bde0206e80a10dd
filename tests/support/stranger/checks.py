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

MICROS = 1_000_000


def check_numbers(report: LogReport) -> None:
    """Completeness: every admission number once and in time, or void."""
    if report.terms.mode != 1:
        report.unchecked.append("the admission numbers of a log of committed records do not stand on the chain")
        return
    grace = report.terms.promise + report.terms.skew
    times: dict[int, int] = {}
    nonces: set[tuple[int, bytes]] = set()
    for read in report.records:
        if read.admission_seq in times:
            report.problems.append(
                f"record {read.index}: admission number {read.admission_seq} stands in the log twice"
            )
        times.setdefault(read.admission_seq, read.batch_time)
        if (read.epoch, read.nonce) in nonces:
            report.problems.append(f"record {read.index}: a nonce twice in epoch {read.epoch}")
        nonces.add((read.epoch, read.nonce))
        for void in report.walk.voids:
            if void.size <= read.index and read.admission_seq <= void.last:
                report.problems.append(f"record {read.index}: number {read.admission_seq} came after it was void")
    _check_gaps(report, times, grace)


def _check_gaps(report: LogReport, times: dict[int, int], grace: int) -> None:
    """Walks from the highest number down; `earliest` is when a number above the present one first came."""
    earliest = report.time + 1
    above: int | None = None
    for number in sorted(times, reverse=True):
        if above is not None:
            gap = list(_not_void(report, number + 1, above - 1))
            _missing(report, gap, earliest + grace)
        if above is not None and times[number] > earliest + grace:
            report.problems.append(f"admission number {number} came later than promised")
        earliest = min(earliest, times[number])
        above = number
    if above is not None:
        _missing(report, _not_void(report, 1, above - 1), earliest + grace)


def _not_void(report: LogReport, first: int, last: int) -> list[tuple[int, int]]:
    """The spans between two numbers that no void entry covers."""
    spans = [(first, last)] if first <= last else []
    for void in report.walk.voids:
        cut = []
        for low, high in spans:
            if void.last < low or void.first > high:
                cut.append((low, high))
                continue
            cut += [(a, b) for a, b in ((low, void.first - 1), (void.last + 1, high)) if a <= b]
        spans = cut
    return spans


def _missing(report: LogReport, spans: list[tuple[int, int]], due: int) -> None:
    for low, high in spans:
        if report.time > due:
            report.problems.append(f"the admission numbers {low} to {high} are missing")
        else:
            report.pending += range(low, min(high, low + 10_000) + 1)


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
    _check_nonces(report, opened)
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
    if request is None or "request" in read.missing_blobs:
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


def _check_nonces(report: LogReport, opened: list[ReadRecord]) -> None:
    """A sender's nonce stands once; a record that ends accepted work repeats that of the work."""
    seen: set[tuple[bytes, bytes]] = set()
    for read in opened:
        record = _record(read)
        signature = record["sender"]["signature"]
        if signature is None or record["follows"] is not None:
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
        due = record["time"]["due_by"] + report.terms.promise * MICROS
        end = ends.get(record["id"])
        came = end.batch_time if end is not None else report.time
        if came * MICROS > due and (end is not None or complete):
            _wrong(report, read, "its work was not ended by the time that it names")


def _check_gpus(report: LogReport, opened: list[ReadRecord]) -> None:
    used: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for read in opened:
        record = _record(read)
        gpu, price, time = record["gpu"], record["price"], record["time"]
        if gpu and gpu["uuid"] and price and time["started_at"] is not None:
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
    for address, pairs in numbers.items():
        before = 0
        for number, index in sorted(pairs):
            void = any(v.size <= index and before <= v.last < number for v in report.walk.voids)
            if number != before + 1 and not void:
                report.problems.append(f"record {index}: sender 0x{address.hex()} has number {number} after {before}")
            before = number
