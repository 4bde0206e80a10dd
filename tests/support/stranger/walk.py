"""The walk along a log's entries (section 6)."""

from dataclasses import dataclass, field
from typing import Any

from eth_abi import decode
from eth_abi.exceptions import DecodingError

from tests.support.stranger import tree
from tests.support.stranger.chain import Event, Node, NodeError, plain, selector, types_of
from tests.support.stranger.crypto import keccak
from tests.support.stranger.errors import Refused
from tests.support.stranger.record import MAX_NUMBER
from tests.support.stranger.tree import Packed, Terms

ZERO = bytes(20)
WRAP = 1176
CREATED = keccak(b"LogCreated(bytes32,address,bytes32,address,address,uint16,uint8,uint32,uint32)")
APPENDED = keccak(b"BatchAppended(bytes32,uint64,uint64,uint64,uint32,uint32,bytes32,bytes32,bytes)")
COMMITTED = keccak(b"BatchCommitted(bytes32,uint64,uint64,uint64,uint32,uint32,bytes32,bytes32)")
OPENED = keccak(b"EpochOpened(bytes32,uint64,uint32,uint64,bytes32,bytes)")
ROTATED = keccak(b"WriterRotated(bytes32,uint64,address,address,uint64,uint64,bytes32)")
VOIDED = keccak(b"NumbersVoided(bytes32,uint64,uint64,uint64,bytes32)")
CALLS = {
    APPENDED: "append(bytes32,bytes32,bytes)",
    COMMITTED: "commit(bytes32,bytes32,uint32,bytes32)",
    OPENED: "openEpoch(bytes32,bytes32,uint32,bytes)",
    ROTATED: "rotateWriter(bytes32,bytes32,address,uint64)",
    VOIDED: "voidNumbers(bytes32,bytes32,uint64,uint64)",
}


@dataclass(frozen=True)
class Batch:
    """One batch."""

    number: int
    entry: int
    first_index: int
    count: int
    epoch: int
    time: int
    root: bytes
    records: list[Packed] | None


@dataclass(frozen=True)
class Epoch:
    """One epoch."""

    number: int
    first_index: int
    wraps: list[bytes]


@dataclass(frozen=True)
class Span:
    """One writer's time."""

    writer: bytes
    first_index: int
    first_admission: int
    since: int


@dataclass(frozen=True)
class Void:
    """Admission numbers that the writer lost."""

    first: int
    last: int
    size: int
    time: int


@dataclass
class Walk:
    """What the entries of a log say."""

    node: Node
    log_id: bytes
    terms: Terms
    created: int
    heads: list[bytes]
    spans: list[Span]
    sizes: list[int] = field(default_factory=lambda: [0])
    batches: list[Batch] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=list)
    voids: list[Void] = field(default_factory=list)
    epoch_open: bool = False
    problems: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """The number of records."""
        return self.sizes[-1]

    @property
    def entries(self) -> int:
        """The number of entries."""
        return len(self.heads) - 1

    def _wrong(self, text: str) -> None:
        self.problems.append(f"entry {self.entries}: {text}")

    def _expect(self, what: str, given: Any, must: Any) -> None:
        if given != must:
            self._wrong(f"{what} is {given!r}, not {must!r}")

    def follow(self, event: Event) -> None:
        """Takes the next entry."""
        readers = {
            APPENDED: self._batch,
            COMMITTED: self._batch,
            OPENED: self._epoch,
            ROTATED: self._writer,
            VOIDED: self._void,
        }
        if event.topic not in readers:
            self._wrong("an event that no log has")
            return
        self._expect("its number", int.from_bytes(event.topics[2], "big"), self.entries)
        author = self.terms.keeper if event.topic == ROTATED else self.spans[-1].writer
        before = self.heads[-1]
        try:
            kind, body, head, arguments, size = readers[event.topic](event)
        except DecodingError as error:
            self._wrong(f"an event that cannot be read: {error}")
            return
        self._check_transaction(event, author, [self.log_id, before, *arguments])
        after = tree.next_head(before, kind, self.entries, body)
        self._expect("its head", head.hex(), after.hex())
        self.heads.append(after)
        self.sizes.append(size)

    def _check_transaction(self, event: Event, author: bytes, arguments: list[Any]) -> None:
        signature = CALLS[event.topic]
        types = types_of(signature)
        try:
            transaction = self.node.transaction(event.transaction)
            given = plain(decode(types, transaction.data[4:]), types)
        except (Refused, NodeError, DecodingError, ValueError, OverflowError) as error:
            self._wrong(f"its transaction: {error}")
            return
        if author == ZERO or transaction.sender != author:
            self._wrong(f"its transaction is signed by 0x{transaction.sender.hex()}, who may not make it")
        if transaction.to != self.node.contract or transaction.data[:4] != selector(signature):
            self._wrong("its transaction is no such call of this contract")
        elif given != arguments:
            self._wrong("its transaction does not name this log, the head before and the entry's body")

    def _batch(self, event: Event) -> tuple[int, bytes, bytes, list[Any], int]:
        types = ["uint64", "uint64", "uint32", "uint32", "bytes32", "bytes32"]
        sealed = event.topic == APPENDED
        number, first, count, epoch, root, head, *rest = event.values([*types, "bytes"] if sealed else types)
        self._expect("the kind of batch", 1 if sealed else 2, self.terms.mode)
        self._expect("the batch's number", number, len(self.batches))
        self._expect("the first index", first, self.size)
        self._expect("the epoch", epoch, self.epochs[-1].number if self.epochs else None)
        if not self.epoch_open:
            self._wrong("no epoch is open")
        if not 1 <= count <= tree.MAX_BATCH or first + count - 1 > MAX_NUMBER:
            self._wrong(f"a batch of {count} records from {first}")
        records = None
        if sealed:
            try:
                records = tree.unpack(rest[0])
                self._expect("the count", count, len(records))
                leaves = [
                    tree.leaf_hash(self.log_id, first + at, r.fields_root, r.sealed) for at, r in enumerate(records)
                ]
                self._expect("the root", root.hex(), tree.tree_root(leaves).hex())
            except Refused as error:
                self._wrong(str(error))
        self.batches.append(
            Batch(number, self.entries, first, count, epoch, self.node.time(event.block), root, records)
        )
        body = tree.batch_body(epoch, first, count, root)
        return (1 if sealed else 2), body, head, [rest[0]] if sealed else [count, root], self.size + count

    def _epoch(self, event: Event) -> tuple[int, bytes, bytes, list[Any], int]:
        epoch, first, head, wraps = event.values(["uint32", "uint64", "bytes32", "bytes"])
        self._expect("the epoch", epoch, len(self.epochs) + 1)
        self._expect("the first index", first, self.size)
        if len(wraps) % WRAP or not 1 <= len(wraps) // WRAP <= 64:
            self._wrong("not 1 to 64 whole wraps")
        self.epochs.append(Epoch(epoch, first, [wraps[at : at + WRAP] for at in range(0, len(wraps), WRAP)]))
        self.epoch_open = True
        return 3, tree.epoch_body(epoch, first, wraps), head, [epoch, wraps], self.size

    def _writer(self, event: Event) -> tuple[int, bytes, bytes, list[Any], int]:
        previous, writer, size, last, head = event.values(["address", "address", "uint64", "uint64", "bytes32"])
        self._expect("the previous writer", previous.hex(), self.spans[-1].writer.hex())
        self._expect("the size", size, self.size)
        if not self.spans[-1].first_admission - 1 <= last < MAX_NUMBER:
            self._wrong(f"the last admission number {last} is before the writer's first")
        if writer == ZERO:
            self._wrong("the new writer is the zero address")
        self.spans.append(Span(writer, self.size, last + 1, self.node.time(event.block)))
        self.epoch_open = False
        return 4, tree.writer_body(previous, writer, size, last), head, [writer, last], self.size

    def _void(self, event: Event) -> tuple[int, bytes, bytes, list[Any], int]:
        first, last, head = event.values(["uint64", "uint64", "bytes32"])
        if not 1 <= first <= last <= MAX_NUMBER:
            self._wrong(f"void numbers {first} to {last}")
        self.voids.append(Void(first, last, self.size, self.node.time(event.block)))
        return 5, tree.void_body(first, last), head, [first, last], self.size

    def compare_state(self) -> None:
        """Holds the walk against the contract's own state at the same block."""
        node, log = self.node, self.log_id
        state = node.view(
            "logState(bytes32)", [log], ["address", "uint64", "uint64", "bytes32", "uint64", "uint32", "bool"]
        )
        epoch = self.epochs[-1].number if self.epochs else 0
        walked = [
            self.spans[-1].writer, self.size, self.entries, self.heads[-1], len(self.batches), epoch, self.epoch_open,
        ]  # fmt: skip
        self._same("logState", state, walked)
        terms = self.terms
        stated = node.view("logTerms(bytes32)", [log], ["address", "uint16", "uint8", "uint32", "uint32", "uint64"])
        self._same(
            "logTerms", stated, [terms.keeper, terms.format, terms.mode, terms.promise, terms.skew, self.created]
        )
        for batch in self.batches:
            answer = node.view(
                "batchAt(bytes32,uint64)", [log, batch.number], ["uint64", "uint32", "uint32", "uint64", "bytes32"]
            )
            self._same(
                f"batchAt({batch.number})",
                answer,
                [batch.first_index, batch.count, batch.epoch, batch.time, batch.root],
            )
            last = batch.first_index + batch.count - 1
            for index in (batch.first_index, last):
                answer = node.view("batchOf(bytes32,uint64)", [log, index], ["uint64"])
                self._same(f"batchOf({index})", answer, [batch.number])
        self._same("writerCount", node.view("writerCount(bytes32)", [log], ["uint64"]), [len(self.spans)])
        for at, span in enumerate(self.spans):
            answer = node.view("writerAt(bytes32,uint64)", [log, at], ["address", "uint64", "uint64", "uint64"])
            self._same(f"writerAt({at})", answer, [span.writer, span.first_index, span.first_admission, span.since])

    def _same(self, view: str, answer: list[Any], walked: list[Any]) -> None:
        if answer != walked:
            self.problems.append(f"the contract's {view} is {answer}, and the entries lead to {walked}")


def walk_log(node: Node, log_id: bytes) -> Walk:
    """Follows a log from its creation to the node's last block."""
    events = node.events(log_id)
    if not events or events[0].topic != CREATED:
        raise NodeError("the contract has no log of this identifier")
    first = events[0]
    types = ["bytes32", "address", "address", "uint16", "uint8", "uint32", "uint32"]
    salt, writer, keeper, layout, mode, promise, skew = first.values(types)
    terms = Terms(first.topics[2][12:], salt, writer, keeper, layout, mode, promise, skew)
    created = node.time(first.block)
    walk = Walk(node, log_id, terms, created, [log_id], [Span(writer, 0, 1, created)])
    if terms.log_id(node.chain_id, node.contract) != log_id:
        walk.problems.append("the log's identifier is not the hash of its terms")
    if layout != 2 or mode not in (1, 2) or not 60 <= promise <= 2_592_000 or skew > 3_600 or writer == ZERO:
        walk.problems.append("the log has terms that version 2 does not allow")
    for event in events[1:]:
        walk.follow(event)
    walk.compare_state()
    return walk
