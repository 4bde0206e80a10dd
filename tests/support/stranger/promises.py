"""The messages that a writer signed, held against the log (section 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.stranger.walk import Span

if TYPE_CHECKING:
    from tests.support.stranger.messages import SignedMessage
    from tests.support.stranger.reader import LogReport, ReadRecord

TIMES = {"receipt": "issued_at", "admission": "admitted_at", "head": "time", "erasure": "erased_at"}


class _Held:
    """Messages beside the log that they are about."""

    def __init__(self, report: LogReport) -> None:
        self.report = report
        self.by_number = {read.admission_seq: read for read in report.records}
        self.by_index = {read.index: read for read in report.records}
        self.erased: set[int] = set()
        self.binding: list[SignedMessage] = []

    def wrong(self, message: SignedMessage, text: str) -> None:
        self.report.problems.append(f"{message.kind} {message.values}: {text}")

    def was_writer(self, message: SignedMessage) -> bool:
        """Whether the signer was the writer at the time that the message names, give or take the skew, and its number binds that writer."""
        at, skew = message.values[TIMES[message.kind]], self.report.terms.skew
        spans: list[Span] = self.report.walk.spans
        number = message.values.get("admission_seq")
        for at_span, span in enumerate(spans):
            after = spans[at_span + 1] if at_span + 1 < len(spans) else None
            if span.writer != message.signer or at < span.since - skew:
                continue
            if after is None or (at <= after.since + skew and (number is None or number < after.first_admission)):
                return True
        return False

    def check(self, message: SignedMessage) -> None:
        report = self.report
        if (message.chain_id, message.contract, message.values["log_id"]) != (
            report.chain_id,
            report.contract,
            report.log_id,
        ):
            self.wrong(message, "it is about another log")
            return
        if not self.was_writer(message):
            self.report.unchecked.append(f"{message.kind} {message.values}: not by the writer of that time")
            return
        self.binding.append(message)
        {"receipt": self.receipt, "admission": self.admission, "head": self.head, "erasure": self.erasure}[
            message.kind
        ](message)

    def _record(self, message: SignedMessage, read: ReadRecord) -> None:
        values = message.values
        if read.record is not None and values["sender"] != read.record["sender"]["address"]:
            self.wrong(message, "it names another sender than the record")
        for name in ("request_hash", "response_hash"):
            found = getattr(read, name)
            if name in values and found is not None and values[name] != found:
                self.wrong(message, f"it has another {name} than the record")

    def receipt(self, message: SignedMessage) -> None:
        values, report = message.values, self.report
        if values["anchor_by"] - values["issued_at"] > report.terms.promise:
            self.wrong(message, "anchor_by is beyond the promise")
        read = self.by_index.get(values["index"])
        if read is None:
            self._absent(message, values["anchor_by"], values["index"] < report.size)
            return
        if read.leaf != values["leaf"]:
            self.wrong(message, "another leaf stands at its index")
        if read.admission_seq != values["admission_seq"]:
            self.wrong(message, "the record has another admission number")
        if read.batch_time > values["anchor_by"]:
            self.wrong(message, "its batch came after anchor_by")
        self._record(message, read)

    def _absent(self, message: SignedMessage, due: int, unseen: bool) -> None:
        if unseen or self.report.time <= due:
            self.report.unchecked.append(f"{message.kind} {message.values}: its record cannot be seen yet")
        else:
            self.wrong(message, "its record did not come")

    def admission(self, message: SignedMessage) -> None:
        values = message.values
        if values["record_by"] - values["admitted_at"] > self.report.terms.promise:
            self.wrong(message, "record_by is beyond the promise")
        read = self.by_number.get(values["admission_seq"])
        if read is None:
            self._absent(message, values["record_by"], self.report.terms.mode != 1)
            return
        if read.batch_time > values["record_by"]:
            self.wrong(message, "its record came after record_by")
        if read.record is not None and read.record["sender_seq"] != values["sender_seq"]:
            self.wrong(message, "the record has another number of its sender")
        if read.record is not None and read.record["time"]["admitted_at"] // 1_000_000 != values["admitted_at"]:
            self.wrong(message, "the record was admitted in another second")
        self._record(message, read)

    def head(self, message: SignedMessage) -> None:
        values, walk = message.values, self.report.walk
        if values["entries"] > walk.entries:
            self.report.unchecked.append(f"head {values}: the log has not come so far")
        elif (walk.heads[values["entries"]], walk.sizes[values["entries"]]) != (values["head"], values["size"]):
            self.wrong(message, "the log does not pass through it")

    def erasure(self, message: SignedMessage) -> None:
        read = self.by_index.get(message.values["index"])
        if read is None or read.leaf != message.values["leaf"]:
            self.report.unchecked.append(f"erasure {message.values}: no such leaf stands at its index")
            return
        self.erased.add(read.index)

    def compare(self, messages: list[SignedMessage]) -> None:
        """Two messages that contradict each other."""
        leaves: dict[int, bytes] = {}
        contents: dict[int, tuple[bytes, bytes]] = {}
        whole: dict[tuple[str, int], Any] = {}
        for message in messages:
            values = message.values
            if "leaf" in values and leaves.setdefault(values["index"], values["leaf"]) != values["leaf"]:
                self.wrong(message, "another message names another leaf for this index")
            if "admission_seq" not in values:
                continue
            number = values["admission_seq"]
            content = values["sender"], values["request_hash"]
            same = whole.setdefault((message.kind, number), values) == values
            if not same or contents.setdefault(number, content) != content:
                self.wrong(message, "another message says something else about this admission number")
        due = {m.values["admission_seq"]: m.values["record_by"] for m in messages if m.kind == "admission"}
        for message in messages:
            values = message.values
            if message.kind == "receipt" and values["anchor_by"] > due.get(
                values["admission_seq"], values["anchor_by"]
            ):
                self.wrong(message, "anchor_by is after its admission's record_by")


def check_messages(report: LogReport, messages: list[SignedMessage]) -> None:
    """Everything that receipts, admissions, heads and erasures prove."""
    held = _Held(report)
    for message in messages:
        held.check(message)
    held.compare(held.binding)
    for read in report.records:
        if read.flags & 1 and read.record is None:
            known = "erased, intact" if read.index in held.erased else "neither opened nor erased"
            report.unchecked.append(f"record {read.index} in vault custody is {known}")
