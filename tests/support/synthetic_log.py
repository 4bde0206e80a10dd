"""A valid log in memory, really sealed and signed, and a node that serves it: for whoever verifies.

log = SyntheticLog()
log.open_epoch()
log.append_requests(3)
verdict = verify_log(log.reader(), VerifyOptions(auditor_keys=[AUDITOR], receipts=log.receipts))

Nothing here runs a contract: the events and the state are written as the contract would, so that a test can change them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from tallystick.bundle import Anchor, Bundle, Evidence, sign_evidence
from tallystick.chain import LedgerReader, LogState, load_artifact, words
from tallystick.chain.events import (
    BATCH_APPENDED,
    EPOCH_OPENED,
    LOG_CREATED,
    RECORD_APPENDED,
    WRITER_PROPOSED,
    WRITER_ROTATED,
)
from tallystick.errors import ChainRejected
from tallystick.hashing import keccak256
from tallystick.ids import Address, Epoch, Head, Leaf, LogId, RecordId, new_record_id, to_hex
from tallystick.keys import AuditorKey, EpochKey, Wallet, wrap_epoch_key
from tallystick.merkle import inclusion_path, next_head, tree_root
from tallystick.receipts import (
    AdmissionReceipt,
    Domain,
    Receipt,
    SignedAdmission,
    SignedReceipt,
    request_hash,
    response_hash,
    sign_admission,
    sign_receipt,
)
from tallystick.record import (
    Choice,
    Gpu,
    HttpExchange,
    Instructions,
    Model,
    Price,
    Provider,
    Record,
    RecordTime,
    Response,
    Sender,
    State,
    Usage,
    charge_micros,
)
from tallystick.sealing import SealedRecord, disclose, open_sealed, seal

CHAIN_ID = 73571
CONTRACT = Address(b"\xc0" * 20)
LOG = LogId(keccak256(b"a synthetic log"))
WRITER = Wallet(b"\x01" * 32)
AUDITOR = AuditorKey(b"\x02" * 64, b"\x03" * 32)
STRANGER = AuditorKey(b"\x04" * 64, b"\x05" * 32)
ALICE, BOB = Address(b"\xa1" * 20), Address(b"\xb0" * 20)
START_S = 1_760_000_000
BLOCK_TIME_S = 2
ANCHOR_DEADLINE_S = 3600
PROVIDER = Provider(id="here", name="A provider", address=WRITER.address)
CPU = Gpu(kind="cpu", name="A processor", uuid=None, count=1, memory_bytes=8 * 2**30, driver=None)
MODEL = Model(
    id="a-model",
    version="1",
    weights_digest=b"\x77" * 32,
    engine="torch",
    engine_version="2",
    dtype="bfloat16",
    quantisation=None,
    device="cpu",
)
ANSWER = "A tally was split so that debtor and creditor each held half: neither could alter the count alone. "


def synthetic_record(
    number: int,
    *,
    sender: Address = ALICE,
    sender_seq: int | None = None,
    admitted_us: int = START_S * 1_000_000,
    answer: str = ANSWER,
) -> Record:
    """The record of one completed chat request; `number` is its admission_seq."""
    question, answer = f"What is tally stick {number}?", f"{answer}This was number {number}."
    device_time_us = 400_000 + number % 1000
    return Record(
        id=new_record_id(admitted_us, lambda count: keccak256(number.to_bytes(8, "big"))[:count]),
        admission_seq=number,
        sender_seq=number if sender_seq is None else sender_seq,
        task="chat",
        state=State.COMPLETED,
        error=None,
        time=RecordTime(admitted_at=admitted_us, started_at=admitted_us + 2_000, finished_at=admitted_us + 450_000),
        http=HttpExchange(
            method="POST",
            path="/v1/chat/completions",
            request_hash=request_hash(question.encode()),
            response_hash=response_hash([answer.encode()]),
            streamed=False,
        ),
        gpu=CPU,
        provider=PROVIDER,
        price=Price(
            per_hour_micros=1_250_000,
            currency="EUR",
            device_time_us=device_time_us,
            charge_micros=charge_micros(1_250_000, device_time_us),
        ),
        model=MODEL,
        parameters={"temperature": 0.7, "top_p": 1.0, "max_tokens": 64, "seed": number},
        prompt={"messages": [{"role": "user", "content": question}]},
        instructions=Instructions(system=None, chat_template=None, chat_template_digest=b"\x66" * 32),
        response=Response(choices=(Choice(index=0, text=answer, finish_reason="stop"),)),
        usage=Usage(input_tokens=9, output_tokens=80),
        sender=Sender(address=sender, proof="token", token_id="a-token", signature=None),
        proof_of_compute=None,
    )


@dataclass(slots=True, kw_only=True)
class SyntheticBlock:
    """A block, and the log's state after it."""

    number: int
    hash: bytes
    timestamp: int
    state: LogState
    events: list[dict[str, object]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class SyntheticBatch:
    """What the contract keeps of a batch, with its leaves."""

    first_index: int
    leaves: list[Leaf]
    root: bytes
    previous_head: Head
    head: Head
    block: SyntheticBlock
    tx_hash: bytes


class SyntheticLog:
    """Grows a log by whole transactions, one block for each, as the service and the contract would."""

    def __init__(self, *, on_block: Callable[[SyntheticBlock], None] | None = None) -> None:
        """With `on_block`, each block is handed over when it is made and nothing is kept: no record, batch or event."""
        self.writer = WRITER
        self.domain = Domain(chain_id=CHAIN_ID, contract=CONTRACT)
        self.blocks: list[SyntheticBlock] = []
        self.batches: list[SyntheticBatch] = []
        self.sealed: list[SealedRecord] = []
        self.records: list[Record] = []
        self.receipts: list[SignedReceipt] = []
        self.epoch_key: EpochKey | None = None
        self.size = 0
        self.head = Head(LOG)
        self._on_block = on_block
        self._batch_count = 0
        self._block_count = 0
        self._admitted = 0
        self._sender_seqs: dict[Address, int] = {}
        self.transact([("created", self._event(LOG_CREATED, [words.address(self.writer.address)], b""))])

    @property
    def next_block_time(self) -> int:
        """Units: Unix seconds."""
        return START_S + BLOCK_TIME_S * self._block_count

    def open_epoch(self, auditors: Sequence[AuditorKey] = (AUDITOR,)) -> EpochKey:
        """Open the next epoch, with its key wrapped for these auditors."""
        epoch = 1 if self.epoch_key is None else self.epoch_key.epoch + 1
        self.epoch_key = EpochKey(LOG, epoch, keccak256(b"epoch" + bytes([epoch])))
        wraps = [wrap_epoch_key(self.epoch_key, auditor.public) for auditor in auditors]
        data = words.uint(self.size) + words.uint(64) + words.dynamic_array(wraps)
        self.transact([("epoch", self._event(EPOCH_OPENED, [words.uint(epoch)], data))])
        return self.epoch_key

    def request(self, sender: Address = ALICE, *, skip: int = 0) -> Record:
        """The record of the next request of a sender; `skip` leaves out so many numbers of the sender's before it."""
        self._admitted += 1 + skip
        self._sender_seqs[sender] = self._sender_seqs.get(sender, 0) + 1 + skip
        admitted_us = self.next_block_time * 1_000_000 - 900_000
        return synthetic_record(
            self._admitted, sender=sender, sender_seq=self._sender_seqs[sender], admitted_us=admitted_us
        )

    def append_requests(self, count: int, senders: Sequence[Address] = (ALICE, BOB)) -> list[SealedRecord]:
        """Append one batch of new requests, the senders in turn."""
        return self.append([self.request(senders[n % len(senders)]) for n in range(count)])

    def append(
        self, records: Sequence[Record], change: Callable[[SealedRecord], SealedRecord] | None = None
    ) -> list[SealedRecord]:
        """Seal records and append them as one batch; `change` may alter a sealed record before its leaf is used."""
        assert self.epoch_key is not None
        sealed = [seal(record, epoch_key=self.epoch_key, index=self.size + n) for n, record in enumerate(records)]
        if change is not None:
            sealed = [change(one) for one in sealed]
        if self._on_block is None:
            self.records += records
            self.receipts += [self.receipt(record, one) for record, one in zip(records, sealed, strict=True)]
        self.append_sealed(sealed)
        return sealed

    def append_sealed(self, sealed: Sequence[SealedRecord]) -> None:
        """Append one batch of records that are sealed already."""
        first, leaves, previous = self.size, [one.leaf for one in sealed], self.head
        root = tree_root(leaves)
        self.head = next_head(previous, root, first, len(sealed))
        events = [("record", self._record_event(one)) for one in sealed]
        data = words.uint(first) + words.uint(len(sealed)) + root + self.head
        events.append(("batch", self._event(BATCH_APPENDED, [words.uint(self._batch_count)], data)))
        self.size += len(sealed)
        self._batch_count += 1
        block = self.transact(events)
        if self._on_block is None:
            self.sealed += sealed
            self.batches.append(
                SyntheticBatch(
                    first_index=first,
                    leaves=leaves,
                    root=root,
                    previous_head=previous,
                    head=self.head,
                    block=block,
                    tx_hash=bytes.fromhex(str(block.events[0]["transactionHash"])[2:]),
                )
            )

    def rotate_writer(self, wallet: Wallet) -> None:
        """Hand the log to another writer: proposed in one block, accepted in the next."""
        old, new = words.address(self.writer.address), words.address(wallet.address)
        self.transact([("proposed", self._event(WRITER_PROPOSED, [old, new], b""))], pending=wallet.address)
        self.writer = wallet
        self.transact([("rotated", self._event(WRITER_ROTATED, [old, new], b""))])

    def transact(self, events: list[tuple[str, dict[str, object]]], pending: Address | None = None) -> SyntheticBlock:
        """Put one transaction's events into a block of its own."""
        number = self._block_count
        block_hash, tx_hash = keccak256(b"block" + words.uint(number)), keccak256(b"tx" + words.uint(number))
        for position, (_, event) in enumerate(events):
            event |= {
                "blockNumber": hex(number),
                "blockHash": to_hex(block_hash),
                "transactionHash": to_hex(tx_hash),
                "transactionIndex": "0x0",
                "logIndex": hex(position),
                "removed": False,
            }
        block = SyntheticBlock(
            number=number,
            hash=block_hash,
            timestamp=self.next_block_time,
            state=self._state(pending),
            events=[event for _, event in events],
        )
        self._block_count += 1
        if self._on_block is not None:
            self._on_block(block)
        else:
            self.blocks.append(block)
        return block

    def merge_last_blocks(self) -> None:
        """Make the last block's transaction the second one of the block before it."""
        last, block = self.blocks.pop(), self.blocks[-1]
        for event in last.events:
            event |= {
                "blockNumber": hex(block.number),
                "blockHash": to_hex(block.hash),
                "transactionIndex": "0x1",
                "logIndex": hex(len(block.events)),
            }
            block.events.append(event)
        block.state = last.state
        self._block_count -= 1
        for batch in self.batches:
            if batch.block is last:
                batch.block = block

    def receipt(self, record: Record, sealed: SealedRecord) -> SignedReceipt:
        """The receipt that the writer gives for a record."""
        issued_at = record.time.finished_at // 1_000_000
        receipt = Receipt(
            log_id=LOG,
            index=sealed.index,
            leaf=sealed.leaf,
            request_hash=record.http.request_hash,
            response_hash=record.http.response_hash or response_hash([]),
            issued_at=issued_at,
            anchor_by=issued_at + ANCHOR_DEADLINE_S,
        )
        return sign_receipt(self.writer, self.domain, receipt)

    def admission(self, record: Record) -> SignedAdmission:
        """The admission receipt that the writer gave for a record."""
        admitted_at = record.time.admitted_at // 1_000_000
        admission = AdmissionReceipt(
            log_id=LOG,
            record_id=RecordId(record.id),
            sender=record.sender.address,
            sender_seq=record.sender_seq,
            request_hash=record.http.request_hash,
            admitted_at=admitted_at,
            anchor_by=admitted_at + ANCHOR_DEADLINE_S,
        )
        return sign_admission(self.writer, self.domain, admission)

    def bundle(self, index: int, *, secret: bool = True, anchored: bool = True) -> Bundle:
        """The evidence of one record."""
        sealed = self.sealed[index]
        evidence = Evidence(
            domain=self.domain,
            log_id=LOG,
            index=index,
            epoch=sealed.epoch,
            fields_root=sealed.fields_root,
            sealed=sealed.sealed,
            receipt=self.receipts[index],
            anchor=self._anchor(index) if anchored else None,
        )
        attestation = sign_evidence(self.writer, evidence)
        return Bundle(evidence=evidence, attestation=attestation, record_secret=sealed.secret if secret else None)

    def disclosed_bundle(self, index: int, names: Sequence[str]) -> Bundle:
        """The evidence of one record that shows some fields of it."""
        sealed, whole = self.sealed[index], self.bundle(index)
        opened = open_sealed(
            sealed.sealed, log_id=LOG, index=index, fields_root=sealed.fields_root, secret=sealed.secret
        )
        return replace(whole, record_secret=None, disclosed=disclose(opened, names))

    def _anchor(self, index: int) -> Anchor:
        number, batch = next(
            (n, b) for n, b in enumerate(self.batches) if b.first_index <= index < b.first_index + len(b.leaves)
        )
        return Anchor(
            batch=number,
            first_index=batch.first_index,
            count=len(batch.leaves),
            root=batch.root,  # type: ignore[arg-type]
            path=tuple(inclusion_path(batch.leaves, index - batch.first_index)),
            previous_head=batch.previous_head,
            head=batch.head,
            tx_hash=batch.tx_hash,
            block_number=batch.block.number,
            block_hash=batch.block.hash,
            block_time=batch.block.timestamp,
        )

    def node(self) -> SyntheticNode:
        """A node whose chain is this log's, as it is now; changing the node's does not change the log."""
        blocks = [
            replace(block, events=[{**event, "topics": list(event["topics"])} for event in block.events])  # type: ignore[call-overload]
            for block in self.blocks
        ]
        return SyntheticNode(blocks, list(self.batches))

    def reader(self) -> LedgerReader:
        """A reader of this log through such a node."""
        return LedgerReader(self.node(), CONTRACT, LOG)

    def _state(self, pending: Address | None) -> LogState:
        return LogState(
            writer=self.writer.address,
            pending_writer=pending,
            size=self.size,
            head=self.head,
            batch_count=self._batch_count,
            epoch=Epoch(0 if self.epoch_key is None else self.epoch_key.epoch),
        )

    def _record_event(self, sealed: SealedRecord) -> dict[str, object]:
        data = sealed.fields_root + words.uint(64) + words.dynamic(sealed.sealed)
        return self._event(RECORD_APPENDED, [words.uint(sealed.index)], data)

    def _event(self, kind: bytes, topics: Sequence[bytes], data: bytes) -> dict[str, object]:
        shown = [to_hex(topic) for topic in (kind, LOG, *topics)]
        return {"address": to_hex(CONTRACT), "topics": shown, "data": to_hex(data)}


class SyntheticNode:
    """Answers the JSON-RPC that an auditor asks, from blocks in memory."""

    def __init__(self, blocks: list[SyntheticBlock], batches: list[SyntheticBatch]) -> None:
        self.blocks = blocks
        self.batches = batches
        self.code = load_artifact().deployed_bytecode
        self.chain_id = CHAIN_ID
        self.calls: list[str] = []

    def call(self, method: str, params: list[object]) -> object:
        """See `tallystick.chain.Transport`."""
        self.calls.append(method)
        answer = {
            "eth_chainId": lambda: hex(self.chain_id),
            "eth_getCode": lambda: to_hex(self.code),
            "eth_blockNumber": lambda: hex(self.blocks[-1].number),
            "eth_getBlockByNumber": lambda: self._block(params[0]),
            "eth_call": lambda: to_hex(self._view(params[0], params[1])),
            "eth_getLogs": lambda: self._logs(params[0]),
        }.get(method)
        if answer is None:
            raise ChainRejected(-32601, f"the method {method} does not exist")
        return answer()

    def events(self) -> list[dict[str, object]]:
        """Every event, in chain order."""
        return [event for block in self.blocks for event in block.events]

    def _at(self, tag: object) -> SyntheticBlock | None:
        if tag == "latest":
            return self.blocks[-1]
        number = int(str(tag), 16)
        return self.blocks[number] if number < len(self.blocks) else None

    def _block(self, tag: object) -> object:
        block = self._at(tag)
        if block is None:
            return None
        return {"number": hex(block.number), "hash": to_hex(block.hash), "timestamp": hex(block.timestamp)}

    def _view(self, request: object, tag: object) -> bytes:
        assert isinstance(request, dict)
        data, block = bytes.fromhex(request["data"][2:]), self._at(tag)
        assert block is not None
        if data[4:36] != LOG:
            raise ChainRejected(3, "execution reverted", keccak256(b"UnknownLog(bytes32)")[:4] + data[4:36])
        if data[:4] == keccak256(b"logState(bytes32)")[:4]:
            state = block.state
            return (
                words.address(state.writer)
                + words.address(state.pending_writer or bytes(20))
                + words.uint(state.size)
                + state.head
                + words.uint(state.batch_count)
                + words.uint(state.epoch)
            )
        number = int.from_bytes(data[36:68], "big")
        if number >= block.state.batch_count:
            raise ChainRejected(3, "execution reverted", keccak256(b"UnknownBatch(bytes32,uint64)")[:4] + data[4:68])
        batch = self.batches[number]
        return words.uint(batch.first_index) + words.uint(len(batch.leaves)) + batch.root

    def _logs(self, query: object) -> list[dict[str, object]]:
        assert isinstance(query, dict)
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        return [
            event for block in self.blocks[first : last + 1] for event in block.events if self.matches(event, query)
        ]

    @staticmethod
    def matches(event: dict[str, object], query: dict[str, object]) -> bool:
        """Whether an event has the topics that a query asks for."""
        topics, wanted = event["topics"], query["topics"]
        assert isinstance(topics, list)
        assert isinstance(wanted, list)
        return len(wanted) <= len(topics) and all(
            topic in want if isinstance(want, list) else topic == want
            for topic, want in zip(topics, wanted, strict=False)
        )
