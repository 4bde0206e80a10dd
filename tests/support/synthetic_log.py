"""A valid log in memory, really sealed and signed, and a node that serves it: for whoever verifies.

log = SyntheticLog()
log.open_epoch()
log.append_requests(3)
verdict = verify_log(log.reader(), VerifyOptions(auditor_keys=[AUDITOR], messages=log.receipts))

Nothing here runs a contract: the events, the state and the transactions are written as the contract and its callers would, so that a test
can change them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from tallystick.binding import NO_REQUEST_HASH, record_request_hash
from tallystick.bundle.evidence import Anchor, Bundle, Evidence, sign_evidence
from tallystick.chain import words
from tallystick.chain.artifact import load_artifact
from tallystick.chain.events import (
    BATCH_APPENDED,
    BATCH_COMMITTED,
    EPOCH_OPENED,
    LOG_CREATED,
    NUMBERS_VOIDED,
    WRITER_ROTATED,
)
from tallystick.chain.packing import pack_records
from tallystick.chain.reader import LedgerReader
from tallystick.chain.transaction import Rlp, encode_rlp
from tallystick.chain.views import BATCH_AT, BATCH_OF, LOG_STATE, LOG_TERMS, WRITER_AT, WRITER_COUNT, LogState
from tallystick.errors import ChainRejected
from tallystick.hashing import keccak256
from tallystick.heads import (
    FORMAT,
    MODE_APPEND,
    MODE_COMMIT,
    EntryKind,
    LogTerms,
    batch_body,
    derive_log_id,
    epoch_body,
    next_head,
    void_body,
    writer_body,
)
from tallystick.ids import Address, Epoch, Head, Leaf, LogId, Root, new_record_id, to_hex
from tallystick.keys import AuditorKey, EpochKey, Wallet, wrap_epoch_key
from tallystick.merkle import inclusion_path, tree_root
from tallystick.receipts.messages import AdmissionReceipt, Domain, Erasure, HeadStatement, Receipt
from tallystick.receipts.signed import SignedAdmission, SignedErasure, SignedHead, SignedReceipt
from tallystick.record import (
    Gpu,
    HttpExchange,
    Instructions,
    Model,
    Price,
    Provider,
    Record,
    RecordTime,
    Request,
    Response,
    Sender,
    State,
    charge_micros,
)
from tallystick.sealing import SealedRecord, disclose, open_sealed, seal
from tallystick.tasks import chat_output, read
from tests.support import calldata

CHAIN_ID = 73571
CONTRACT = Address(b"\xc0" * 20)
WRITER = Wallet(b"\x01" * 32)
KEEPER = Wallet(b"\x09" * 32)
AUDITOR = AuditorKey(b"\x02" * 32)
STRANGER = AuditorKey(b"\x04" * 32)
ALICE, BOB = Address(b"\xa1" * 20), Address(b"\xb0" * 20)
START_S = 1_760_000_000
BLOCK_TIME_S = 2
PROMISE_S = 3600
SKEW_S = 60
GRACE_S = PROMISE_S + SKEW_S
TERMS = LogTerms(
    creator=WRITER.address,
    salt=bytes(32),
    writer=WRITER.address,
    keeper=KEEPER.address,
    format=FORMAT,
    mode=MODE_APPEND,
    promise=PROMISE_S,
    skew=SKEW_S,
)
LOG = derive_log_id(CHAIN_ID, CONTRACT, TERMS)
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
READER = "chat/openai/1"
PATH = "/v1/chat/completions"


def chat_request(question: str, number: int, seed: int) -> Request:
    """What a client sent; the salt follows from the number, so that the same record comes out each time."""
    body = json.dumps(
        {
            "model": MODEL.id,
            "messages": [{"role": "user", "content": question}],
            "temperature": 0.7,
            "max_tokens": 64,
            "seed": seed,
        }
    ).encode()
    salt = keccak256(b"salt" + number.to_bytes(8, "big"))[:16]
    return Request(reader=READER, target=PATH, content_type="application/json", body=body, salt=salt)


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
    request = chat_request(question, number, number)
    reading = read(request.reader, "POST", request.target, request.content_type, request.body)
    price = Price(currency="EUR", per_hour_micros=1_250_000, device_time_us=400_000 + number % 1000, charge_micros=0)
    return Record(
        id=new_record_id(admitted_us, lambda count: keccak256(number.to_bytes(8, "big"))[:count]),
        admission_seq=number,
        sender_seq=number if sender_seq is None else sender_seq,
        task="chat",
        state=State.COMPLETED,
        error=None,
        time=RecordTime(admitted_at=admitted_us, started_at=admitted_us + 2_000, finished_at=admitted_us + 450_000),
        http=HttpExchange(method="POST", path=PATH, streamed=False),
        gpu=CPU,
        provider=PROVIDER,
        price=replace(price, charge_micros=charge_micros(price, None)),
        model=MODEL,
        parameters={"top_p": 1.0, **reading.asked},
        request=request,
        prompt=reading.prompt,
        instructions=Instructions(system=reading.system, chat_template=None, chat_template_digest=b"\x66" * 32),
        response=Response(outputs=(chat_output(answer, "stop"),)),
        usage={"input_tokens": 9, "output_tokens": 80},
        sender=Sender(address=sender, proof="token", token_id="a-token", signature=None),
        proof_of_compute=None,
    )


@dataclass(slots=True, kw_only=True)
class SyntheticBlock:
    """A block with its one transaction, and the log's state after it."""

    number: int
    hash: bytes
    timestamp: int
    state: LogState
    transaction: dict[str, object]
    events: list[dict[str, object]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class SyntheticBatch:
    """What the contract keeps of a batch, with its leaves."""

    entry: int
    first_index: int
    leaves: list[Leaf]
    root: Root
    epoch: int
    previous_head: Head
    head: Head
    block: SyntheticBlock
    tx_hash: bytes


@dataclass(slots=True, kw_only=True)
class SyntheticSpan:
    """What the contract keeps of a writer. Units: `since` is Unix seconds."""

    writer: Address
    first_index: int
    first_admission: int
    since: int


class SyntheticLog:
    """Grows a log by whole transactions, one block for each, as the service and the contract would."""

    def __init__(self, *, terms: LogTerms = TERMS, on_block: Callable[[SyntheticBlock], None] | None = None) -> None:
        """With `on_block`, each block is handed over when it is made and nothing is kept: no record, batch or event."""
        self.terms = terms
        self.log_id = derive_log_id(CHAIN_ID, CONTRACT, terms)
        self.writer = WRITER
        self.keeper = KEEPER
        self.domain = Domain(chain_id=CHAIN_ID, contract=CONTRACT)
        self.blocks: list[SyntheticBlock] = []
        self.batches: list[SyntheticBatch] = []
        self.spans: list[SyntheticSpan] = []
        self.sealed: list[SealedRecord] = []
        self.records: list[Record] = []
        self.receipts: list[SignedReceipt] = []
        self.epoch_key: EpochKey | None = None
        self.epoch_open = False
        self.size = 0
        self.entries = 0
        self.head = Head(self.log_id)
        self.admitted = 0
        """The highest admission number that was given out."""
        self.delay_s = 0
        """How much later than its number says the next block comes. Units: seconds."""
        self._on_block = on_block
        self._batch_count = 0
        self._block_count = 0
        self._nonces: dict[Address, int] = {}
        self._drawn = 0
        self._sender_seqs: dict[Address, int] = {}
        self._create()

    @property
    def next_block_time(self) -> int:
        """Units: Unix seconds."""
        return START_S + BLOCK_TIME_S * self._block_count + self.delay_s

    def open_epoch(self, auditors: Sequence[AuditorKey] = (AUDITOR,), *, wraps: bytes | None = None) -> EpochKey:
        """Open the next epoch, with its key wrapped for these auditors, or with other bytes in the wraps' place."""
        epoch = 1 if self.epoch_key is None else self.epoch_key.epoch + 1
        self.epoch_key = EpochKey(self.log_id, epoch, keccak256(b"epoch" + bytes([epoch])))
        if wraps is None:
            wraps = b"".join(wrap_epoch_key(self.epoch_key, auditor.public) for auditor in auditors)
        call = calldata.open_epoch(self.log_id, self.head, Epoch(epoch), wraps)
        self.epoch_open = True
        entry = self._advance(EntryKind.EPOCH, epoch_body(epoch, self.size, wraps))
        data = words.uint(epoch) + words.uint(self.size) + self.head + words.uint(4 * 32) + calldata.dynamic(wraps)
        self.transact(call, [self._event(EPOCH_OPENED, [words.uint(entry)], data)])
        return self.epoch_key

    def request(self, sender: Address = ALICE, *, skip: int = 0) -> Record:
        """The record of the next request of a sender; `skip` leaves out so many numbers of the sender's before it."""
        self.admitted += 1 + skip
        self._sender_seqs[sender] = self._sender_seqs.get(sender, 0) + 1 + skip
        admitted_us = self.next_block_time * 1_000_000 - 900_000
        return synthetic_record(
            self.admitted, sender=sender, sender_seq=self._sender_seqs[sender], admitted_us=admitted_us
        )

    def withhold(self, sender: Address = ALICE) -> Record:
        """A request that got a number and no record; the sender's later numbers do not show it."""
        record = self.request(sender)
        self._sender_seqs[sender] -= 1
        return record

    def append_requests(self, count: int, senders: Sequence[Address] = (ALICE, BOB)) -> list[SealedRecord]:
        """Append one batch of new requests, the senders in turn."""
        return self.append([self.request(senders[n % len(senders)]) for n in range(count)])

    def seal(self, record: Record, index: int, vault: bytes = b"") -> SealedRecord:
        """Seal a record for an index."""
        assert self.epoch_key is not None
        return seal(record, epoch_key=self.epoch_key, index=index, random=self._random, vault=vault)

    def append(
        self,
        records: Sequence[Record],
        change: Callable[[SealedRecord], SealedRecord] | None = None,
        *,
        vault: bytes = b"",
    ) -> list[SealedRecord]:
        """Seal records and append them as one batch; `change` may alter a sealed record before its leaf is used."""
        sealed = [self.seal(record, self.size + n, vault) for n, record in enumerate(records)]
        if change is not None:
            sealed = [change(one) for one in sealed]
        if self._on_block is None:
            self.records += records
            self.receipts += [self.receipt(record, one) for record, one in zip(records, sealed, strict=True)]
        self.append_sealed(sealed)
        return sealed

    def append_sealed(self, sealed: Sequence[SealedRecord]) -> None:
        """Append one batch of records that are sealed already; their roots alone where the log is of that mode."""
        assert self.epoch_key is not None
        first, leaves, previous, epoch = self.size, [one.leaf for one in sealed], self.head, self.epoch_key.epoch
        root, count = tree_root(leaves), len(sealed)
        commits = self.terms.mode == MODE_COMMIT
        packed = b"" if commits else pack_records([(one.fields_root, one.sealed) for one in sealed])
        call = (
            calldata.commit(self.log_id, previous, count, root)
            if commits
            else calldata.append(self.log_id, previous, packed)
        )
        kind = EntryKind.COMMIT if commits else EntryKind.BATCH
        entry = self._advance(kind, batch_body(epoch, first, count, root))
        numbers = b"".join(map(words.uint, (self._batch_count, first, count, epoch)))
        data = numbers + root + self.head
        if not commits:
            data += words.uint(7 * 32) + calldata.dynamic(packed)
        self.size += count
        self._batch_count += 1
        event = self._event(BATCH_COMMITTED if commits else BATCH_APPENDED, [words.uint(entry)], data)
        block = self.transact(call, [event])
        if self._on_block is None:
            self.sealed += sealed
            self.batches.append(
                SyntheticBatch(
                    entry=entry,
                    first_index=first,
                    leaves=leaves,
                    root=root,
                    epoch=epoch,
                    previous_head=previous,
                    head=self.head,
                    block=block,
                    tx_hash=bytes.fromhex(str(block.transaction["hash"])[2:]),
                )
            )

    def rotate_writer(self, wallet: Wallet, *, last_admission: int | None = None, by: Wallet | None = None) -> None:
        """Hand the log to another writer."""
        last = self.admitted if last_admission is None else last_admission
        previous = self.writer.address
        call = calldata.rotate_writer(self.log_id, self.head, wallet.address, last)
        entry = self._advance(EntryKind.WRITER, writer_body(previous, wallet.address, self.size, last))
        data = calldata.address(previous) + calldata.address(wallet.address) + words.uint(self.size) + words.uint(last)
        self.spans.append(
            SyntheticSpan(
                writer=wallet.address, first_index=self.size, first_admission=last + 1, since=self.next_block_time
            )
        )
        self.writer, self.epoch_open = wallet, False
        event = self._event(WRITER_ROTATED, [words.uint(entry)], data + self.head)
        self.transact(call, [event], by=by or self.keeper)

    def void(self, first: int, last: int) -> None:
        """Declare numbers void; what is admitted from now on goes on above the last of them."""
        call = calldata.void_numbers(self.log_id, self.head, first, last)
        entry = self._advance(EntryKind.VOID, void_body(first, last))
        data = words.uint(first) + words.uint(last) + self.head
        self.admitted = max(self.admitted, last)
        self._sender_seqs = {sender: max(number, last) for sender, number in self._sender_seqs.items()}
        self.transact(call, [self._event(NUMBERS_VOIDED, [words.uint(entry)], data)])

    def transact(self, data: bytes, events: list[dict[str, object]], *, by: Wallet | None = None) -> SyntheticBlock:
        """Put one transaction and its events into a block of its own."""
        number = self._block_count
        block_hash = keccak256(b"block" + words.uint(number))
        transaction = self._signed(by or self.writer, data)
        for position, event in enumerate(events):
            event |= {
                "blockNumber": hex(number),
                "blockHash": to_hex(block_hash),
                "transactionHash": transaction["hash"],
                "transactionIndex": "0x0",
                "logIndex": hex(position),
                "removed": False,
            }
        block = SyntheticBlock(
            number=number,
            hash=block_hash,
            timestamp=self.next_block_time,
            state=self._state(),
            transaction=transaction,
            events=events,
        )
        self._block_count += 1
        if self._on_block is not None:
            self._on_block(block)
        else:
            self.blocks.append(block)
        return block

    def idle(self, seconds: int) -> None:
        """Let time pass, and make a block at the end of it."""
        self.delay_s += seconds
        self.transact(b"", [])

    def receipt(self, record: Record, sealed: SealedRecord) -> SignedReceipt:
        """The receipt that the writer gives for a record."""
        issued_at = record.time.finished_at // 1_000_000
        receipt = Receipt(
            log_id=self.log_id,
            index=sealed.index,
            admission_seq=record.admission_seq,
            leaf=sealed.leaf,
            request_hash=sealed.request_hash,
            response_hash=sealed.response_hash,
            sender=record.sender.address,
            issued_at=issued_at,
            anchor_by=record.time.admitted_at // 1_000_000 + PROMISE_S,
        )
        return SignedReceipt.sign(self.writer, self.domain, receipt)

    def admission(self, record: Record) -> SignedAdmission:
        """The admission that the writer gave for a record."""
        admitted_at = record.time.admitted_at // 1_000_000
        request = record.request
        admission = AdmissionReceipt(
            log_id=self.log_id,
            admission_seq=record.admission_seq,
            sender_seq=record.sender_seq,
            request_hash=record_request_hash(record.http, request) if isinstance(request, Request) else NO_REQUEST_HASH,
            sender=record.sender.address,
            admitted_at=admitted_at,
            record_by=admitted_at + PROMISE_S,
        )
        return SignedAdmission.sign(self.writer, self.domain, admission)

    def signed_head(self, **changes: object) -> SignedHead:
        """The head as it stands, signed by the writer."""
        statement = HeadStatement(
            log_id=self.log_id, entries=self.entries, size=self.size, head=self.head, time=self.next_block_time
        )
        return SignedHead.sign(self.writer, self.domain, replace(statement, **changes))  # type: ignore[arg-type]

    def erasure(self, index: int) -> SignedErasure:
        """The writer's word that a record's secret is gone."""
        erasure = Erasure(log_id=self.log_id, index=index, leaf=self.sealed[index].leaf, erased_at=self.next_block_time)
        return SignedErasure.sign(self.writer, self.domain, erasure)

    def bundle(self, index: int, *, secret: bool = True, anchored: bool = True, receipt: bool = True) -> Bundle:
        """The evidence of one record."""
        sealed = self.sealed[index]
        evidence = Evidence(
            domain=self.domain,
            terms=self.terms,
            log_id=self.log_id,
            index=index,
            epoch=sealed.epoch,
            fields_root=sealed.fields_root,
            sealed=sealed.sealed,
            receipt=self.receipts[index] if receipt else None,
            anchor=self._anchor(index) if anchored else None,
        )
        attestation = sign_evidence(self.writer, evidence)
        return Bundle(evidence=evidence, attestation=attestation, record_secret=sealed.secret if secret else None)

    def disclosed_bundle(self, index: int, names: Sequence[str]) -> Bundle:
        """The evidence of one record that shows some fields of it."""
        sealed, whole = self.sealed[index], self.bundle(index)
        opened = open_sealed(
            sealed.sealed,
            log_id=self.log_id,
            index=index,
            epoch=sealed.epoch,
            fields_root=sealed.fields_root,
            secret=sealed.secret,
        )
        return replace(whole, record_secret=None, disclosed=disclose(opened, names))

    def node(self) -> SyntheticNode:
        """A node whose chain is this log's, as it is now; changing the node's does not change the log."""
        blocks = [
            replace(block, events=[{**event, "topics": list(event["topics"])} for event in block.events])  # type: ignore[call-overload]
            for block in self.blocks
        ]
        return SyntheticNode(self, blocks, list(self.batches))

    def reader(self) -> LedgerReader:
        """A reader of this log through such a node."""
        return LedgerReader(self.node(), CONTRACT, self.log_id)

    def _create(self) -> None:
        terms = self.terms
        numbers = b"".join(map(words.uint, (terms.format, terms.mode, terms.promise, terms.skew)))
        data = words.fixed(terms.salt) + calldata.address(terms.writer) + calldata.address(terms.keeper) + numbers
        self.spans.append(
            SyntheticSpan(writer=terms.writer, first_index=0, first_admission=1, since=self.next_block_time)
        )
        call = calldata.create_log(terms.writer, terms.keeper, terms.mode, terms.promise, terms.skew, terms.salt)
        self.transact(call, [self._event(LOG_CREATED, [calldata.address(terms.creator)], data)])

    def _advance(self, kind: EntryKind, body: bytes) -> int:
        entry = self.entries
        self.head = next_head(self.head, kind, entry, body)
        self.entries += 1
        return entry

    def _random(self, count: int) -> bytes:
        self._drawn += 1
        return keccak256(b"random" + words.uint(self._drawn))[:count]

    def _signed(self, wallet: Wallet, data: bytes) -> dict[str, object]:
        nonce = self._nonces.get(wallet.address, 0)
        self._nonces[wallet.address] = nonce + 1
        fields: list[Rlp] = [CHAIN_ID, nonce, 1, 2, 16_000_000, CONTRACT, 0, data, []]
        signature = wallet.sign_digest(keccak256(b"\x02" + encode_rlp(fields)))
        r, s, parity = (
            int.from_bytes(signature[:32], "big"),
            int.from_bytes(signature[32:64], "big"),
            signature[64] - 27,
        )
        return {
            "type": "0x2",
            "hash": to_hex(keccak256(b"\x02" + encode_rlp([*fields, parity, r, s]))),
            "chainId": hex(CHAIN_ID),
            "nonce": hex(nonce),
            "maxPriorityFeePerGas": "0x1",
            "maxFeePerGas": "0x2",
            "gas": hex(16_000_000),
            "to": to_hex(CONTRACT),
            "value": "0x0",
            "input": to_hex(data),
            "accessList": [],
            "yParity": hex(parity),
            "r": hex(r),
            "s": hex(s),
        }

    def _anchor(self, index: int) -> Anchor:
        number, batch = next(
            (n, b) for n, b in enumerate(self.batches) if b.first_index <= index < b.first_index + len(b.leaves)
        )
        return Anchor(
            entry=batch.entry,
            batch=number,
            first_index=batch.first_index,
            count=len(batch.leaves),
            root=batch.root,
            path=tuple(inclusion_path(batch.leaves, index - batch.first_index)),
            previous_head=batch.previous_head,
            head=batch.head,
            tx_hash=batch.tx_hash,
            block_number=batch.block.number,
            block_hash=batch.block.hash,
            block_time=batch.block.timestamp,
        )

    def _state(self) -> LogState:
        return LogState(
            writer=self.writer.address,
            size=self.size,
            entries=self.entries,
            head=self.head,
            batch_count=self._batch_count,
            epoch=Epoch(0 if self.epoch_key is None else self.epoch_key.epoch),
            epoch_open=self.epoch_open,
        )

    def _event(self, kind: bytes, topics: Sequence[bytes], data: bytes) -> dict[str, object]:
        shown = [to_hex(topic) for topic in (kind, self.log_id, *topics)]
        return {"address": to_hex(CONTRACT), "topics": shown, "data": to_hex(data)}


class SyntheticNode:
    """Answers the JSON-RPC that an auditor asks, from blocks in memory."""

    name = "the synthetic node"

    def __init__(self, log: SyntheticLog, blocks: list[SyntheticBlock], batches: list[SyntheticBatch]) -> None:
        self.blocks = blocks
        self.batches = batches
        self.spans = list(log.spans)
        self.terms = log.terms
        self.log_id = log.log_id
        self.code = load_artifact().deployed_bytecode
        self.chain_id = CHAIN_ID
        self.calls: list[str] = []
        self.max_events: int | None = None
        """How many events an answer holds at most; the rest is left out without a word."""
        self.transactions = {block.transaction["hash"]: block.transaction for block in blocks}

    def call(self, method: str, params: list[object]) -> object:
        """See `tallystick.chain.Transport`."""
        self.calls.append(method)
        answer = {
            "eth_chainId": lambda: hex(self.chain_id),
            "eth_getCode": lambda: to_hex(self.code),
            "eth_blockNumber": lambda: hex(self.blocks[-1].number),
            "eth_getBlockByNumber": lambda: self._block(params[0]),
            "eth_getTransactionByHash": lambda: self.transactions.get(params[0]),
            "eth_call": lambda: to_hex(self._view(params[0], params[1])),
            "eth_getLogs": lambda: self._logs(params[0])[: self.max_events],
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
        if data[4:36] != self.log_id:
            raise ChainRejected(3, "execution reverted", keccak256(b"UnknownLog(bytes32)")[:4] + data[4:36])
        number = int.from_bytes(data[36:68], "big")
        asked = next(ask for ask, call in self._views().items() if call == data[:4])
        return asked(block, number)

    def _views(self) -> dict[Callable[[SyntheticBlock, int], bytes], bytes]:
        log = LogId(self.log_id)
        return {
            self._log_state: LOG_STATE.call(log)[:4],
            self._log_terms: LOG_TERMS.call(log)[:4],
            self._batch_at: BATCH_AT.call(log, 0)[:4],
            self._batch_of: BATCH_OF.call(log, 0)[:4],
            self._writer_count: WRITER_COUNT.call(log)[:4],
            self._writer_at: WRITER_AT.call(log, 0)[:4],
        }

    def _log_state(self, block: SyntheticBlock, _: int) -> bytes:
        state = block.state
        return (
            calldata.address(state.writer)
            + words.uint(state.size)
            + words.uint(state.entries)
            + state.head
            + words.uint(state.batch_count)
            + words.uint(state.epoch)
            + words.uint(int(state.epoch_open))
        )

    def _log_terms(self, _: SyntheticBlock, __: int) -> bytes:
        terms = self.terms
        numbers = (terms.format, terms.mode, terms.promise, terms.skew, self.blocks[0].timestamp)
        return calldata.address(terms.keeper) + b"".join(map(words.uint, numbers))

    def _batch_at(self, block: SyntheticBlock, number: int) -> bytes:
        if number >= block.state.batch_count:
            selector = keccak256(b"UnknownBatch(bytes32,uint64)")[:4]
            raise ChainRejected(3, "execution reverted", selector + self.log_id + words.uint(number))
        batch = self.batches[number]
        numbers = (batch.first_index, len(batch.leaves), batch.epoch, batch.block.timestamp)
        return b"".join(map(words.uint, numbers)) + batch.root

    def _batch_of(self, block: SyntheticBlock, index: int) -> bytes:
        for number, batch in enumerate(self.batches[: block.state.batch_count]):
            if batch.first_index <= index < batch.first_index + len(batch.leaves):
                return words.uint(number)
        selector = keccak256(b"UnknownIndex(bytes32,uint64)")[:4]
        raise ChainRejected(3, "execution reverted", selector + self.log_id + words.uint(index))

    def _writer_count(self, _: SyntheticBlock, __: int) -> bytes:
        return words.uint(len(self.spans))

    def _writer_at(self, _: SyntheticBlock, number: int) -> bytes:
        span = self.spans[number]
        numbers = (span.first_index, span.first_admission, span.since)
        return calldata.address(span.writer) + b"".join(map(words.uint, numbers))

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
            want is None or (topic in want if isinstance(want, list) else topic == want)
            for topic, want in zip(topics, wanted, strict=False)
        )
