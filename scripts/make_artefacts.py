"""Writes the kept log of format 2 to tests/artefacts/v2/. It was run once: what lies there is frozen, and later versions must verify it.

A real contract on a real EVM: two epochs, chats answered and failed, a request signed by its sender, one too large for a
transaction, a record whose secret was erased, work accepted and ended, void numbers, and a change of the writer by the keeper.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ledger"), str(ROOT / "platform")]

from tallystick.binding import record_request_hash  # noqa: E402
from tallystick.bundle import Anchor, Bundle, Evidence, sign_evidence  # noqa: E402
from tallystick.chain import BatchAppended  # noqa: E402
from tallystick.hashing import keccak256  # noqa: E402
from tallystick.ids import Address, FieldsRoot, checksum_address, new_record_id, to_hex  # noqa: E402
from tallystick.keys import AuditorKey, EpochKey, Wallet, wrap_epoch_key  # noqa: E402
from tallystick.merkle import inclusion_path, leaf_hash  # noqa: E402
from tallystick.receipts import (  # noqa: E402
    AdmissionReceipt,
    Domain,
    Erasure,
    HeadStatement,
    Receipt,
    SignedReceipt,
    sender_request,
    sign_admission,
    sign_erasure,
    sign_head,
    sign_receipt,
    sign_sender_request,
)
from tallystick.record import (  # noqa: E402
    HttpExchange,
    Model,
    Output,
    Price,
    Record,
    RecordFault,
    RecordTime,
    Request,
    Response,
    Sender,
    SenderSignature,
    State,
)
from tallystick.sealing import SealedRecord, disclose, open_sealed, seal  # noqa: E402
from tallystick.tasks import read  # noqa: E402
from tests.support.artefacts import FOLDER  # noqa: E402
from tests.support.chains import KEEPER_KEY, TEST_KEY, DeployedLedger, deploy, direct_chain  # noqa: E402
from tests.support.synthetic_log import CPU, MODEL, PROVIDER, chat_request, synthetic_record  # noqa: E402

START_S = 1_790_000_000
AUDITOR = AuditorKey(keccak256(b"tallystick artefact: auditor"))
SENDER = Wallet(keccak256(b"tallystick artefact: sender"))
NEXT_WRITER = Wallet(keccak256(b"tallystick artefact: next writer"))
VAULT = keccak256(b"tallystick artefact: vault")
FUNDED = (Wallet(TEST_KEY), Wallet(KEEPER_KEY), NEXT_WRITER)
BOB = Address(b"\xb0" * 20)
EXPORT = Model(
    id="a-model",
    version="1",
    weights_digest=MODEL.weights_digest,
    engine="exporter",
    engine_version="1",
    dtype="float16",
    quantisation=None,
    device="cpu",
)


class Writer:
    """Appends records and keeps what their senders and auditors would."""

    def __init__(self, ledger: DeployedLedger) -> None:
        self.ledger = ledger
        self.wallet = ledger.wallet
        self.domain = Domain(chain_id=ledger.chain_id, contract=ledger.contract)
        self.key = EpochKey(ledger.log_id, 1, keccak256(b"tallystick artefact: epoch 1"))
        self.records: list[Record] = []
        self.sealed: list[SealedRecord] = []
        self.receipts: list[SignedReceipt] = []
        self._drawn = 0

    def now_us(self) -> int:
        return int(self.ledger.clock.now_s) * 1_000_000

    def open_epoch(self, number: int) -> None:
        self.key = EpochKey(self.ledger.log_id, number, keccak256(b"tallystick artefact: epoch %d" % number))
        self.ledger.open_epoch(number, [wrap_epoch_key(self.key, AUDITOR.public)])

    def append(self, records: list[Record], vault: bytes = b"") -> None:
        batch = []
        for record in records:
            index = len(self.sealed)
            sealed = seal(record, epoch_key=self.key, index=index, random=self._random, vault=vault)
            for one in sealed.blobs:
                (FOLDER / "blobs" / one.ref.sealed_digest.hex()).write_bytes(one.ciphertext)
            issued_at = record.time.finished_at // 1_000_000
            receipt = Receipt(
                log_id=self.ledger.log_id,
                index=index,
                admission_seq=record.admission_seq,
                leaf=sealed.leaf,
                request_hash=sealed.request_hash,
                response_hash=sealed.response_hash,
                sender=record.sender.address,
                issued_at=issued_at,
                anchor_by=record.time.admitted_at // 1_000_000 + self.ledger.terms.promise,
            )
            self.receipts.append(sign_receipt(self.wallet, self.domain, receipt))
            self.records.append(record)
            self.sealed.append(sealed)
            batch.append((sealed.fields_root, sealed.sealed))
        self.ledger.append(batch)

    def bundle(self, index: int) -> Bundle:
        sealed, reader = self.sealed[index], self.ledger.reader
        event = next(
            one
            for one in reader.events(0, reader.latest_block().number)
            if isinstance(one, BatchAppended) and one.first_index <= index < one.first_index + one.count
        )
        members = range(event.first_index, event.first_index + event.count)
        leaves = [
            leaf_hash(self.ledger.log_id, n, FieldsRoot(self.sealed[n].fields_root), self.sealed[n].sealed)
            for n in members
        ]
        block = reader.block(event.position.block_number)
        evidence = Evidence(
            domain=self.domain,
            terms=self.ledger.terms,
            log_id=self.ledger.log_id,
            index=index,
            epoch=event.epoch,
            fields_root=sealed.fields_root,
            sealed=sealed.sealed,
            receipt=self.receipts[index],
            anchor=Anchor(
                entry=event.entry,
                batch=event.batch,
                first_index=event.first_index,
                count=event.count,
                root=event.root,
                path=tuple(inclusion_path(leaves, index - event.first_index)),
                previous_head=self._head_before(event.entry),
                head=event.head,
                tx_hash=event.position.tx_hash,
                block_number=block.number,
                block_hash=block.hash,
                block_time=block.timestamp,
            ),
        )
        return Bundle(evidence=evidence, attestation=sign_evidence(self.wallet, evidence), record_secret=sealed.secret)

    def _head_before(self, entry: int) -> Any:
        if entry == 0:
            return self.ledger.log_id
        event: Any = self.ledger.reader.entry_event(entry - 1, 0, self.ledger.reader.latest_block().number)
        return event.head

    def _random(self, count: int) -> bytes:
        self._drawn += 1
        return keccak256(b"tallystick artefact: random" + self._drawn.to_bytes(4, "big"))[:count]


def main() -> int:
    if (FOLDER / "log.json").exists():
        print(f"{FOLDER} is frozen", file=sys.stderr)
        return 1
    (FOLDER / "blobs").mkdir(parents=True, exist_ok=True)
    sent: list[str] = []

    def note(method: str, params: list[object]) -> None:
        if method == "eth_sendRawTransaction":
            sent.append(str(params[0]))

    with direct_chain(prefund=[wallet.address for wallet in FUNDED], now_s=START_S) as transport:
        transport.before = note
        ledger = deploy(transport, Wallet(TEST_KEY), ())
        genesis_s = ledger.reader.block(0).timestamp
        writer = Writer(ledger)
        writer.open_epoch(1)
        first = [chat(writer, 1, 1), chat(writer, 2, 2), failed(writer, 3, BOB, 1)]
        writer.append(first)
        writer.append([signed(writer, 4, 3), large(writer, 5, 4)])
        writer.append([chat(writer, 6, 5)], vault=VAULT)
        accepted = export(writer, 7, 6, None)
        writer.append([accepted])
        ledger.clock.now_s += 60
        writer.append([export(writer, 8, 7, accepted)])
        ledger.void(9, 20)
        ledger.rotate(NEXT_WRITER, 20)
        writer.wallet = NEXT_WRITER
        writer.open_epoch(2)
        writer.append([chat(writer, 21, 21), chat(writer, 22, 22)])
        document = describe(ledger, genesis_s, sent)
        kept = keep(writer)
    (FOLDER / "log.json").write_text(json.dumps(document, indent=1) + "\n")
    for name, value in kept.items():
        text = value.decode() if isinstance(value, bytes) else json.dumps(value, indent=1)
        (FOLDER / name).write_text(text + "\n")
    return 0


def chat(writer: Writer, number: int, sender_seq: int, sender: Address = SENDER.address) -> Record:
    return synthetic_record(number, sender=sender, sender_seq=sender_seq, admitted_us=writer.now_us() - 900_000)


def failed(writer: Writer, number: int, sender: Address, sender_seq: int) -> Record:
    record = chat(writer, number, sender_seq, sender)
    return replace(
        record,
        state=State.FAILED,
        error=RecordFault(code="engine-failed", message="The engine failed."),
        response=Response(outputs=()),
    )


def signed(writer: Writer, number: int, sender_seq: int) -> Record:
    record = chat(writer, number, sender_seq)
    assert isinstance(record.request, Request)
    unsigned = SenderSignature(
        nonce=keccak256(b"tallystick artefact: nonce"), deadline=START_S + 3600, signature=bytes(65)
    )
    message = sender_request(writer.ledger.log_id, record.http, record.request, unsigned)
    signature = replace(unsigned, signature=sign_sender_request(SENDER, writer.domain, message))
    return replace(record, sender=Sender(address=SENDER.address, proof="signature", token_id=None, signature=signature))


def large(writer: Writer, number: int, sender_seq: int) -> Record:
    record = chat(writer, number, sender_seq)
    request = chat_request("Why? " * 30_000, number, number)
    reading = read(request.reader, "POST", request.target, request.content_type, request.body)
    return replace(record, request=request, prompt=reading.prompt)


def export(writer: Writer, number: int, sender_seq: int, accepted: Record | None) -> Record:
    now = writer.now_us() - 900_000
    request = Request(
        reader="export/tallystick/1",
        target="/v1/models/a-model/exports",
        content_type="application/json",
        body=b'{"format":"gguf","quantization":"Q8_0"}',
        salt=keccak256(b"salt%d" % number)[:16],
    )
    done = None if accepted is None else Output(kind="document", content={"files": [{"name": "model.gguf", "size": 7}]})
    return Record(
        id=new_record_id(now, lambda count: keccak256(b"export%d" % number)[:count]),
        admission_seq=number,
        sender_seq=sender_seq,
        task="export",
        state=State.ACCEPTED if done is None else State.COMPLETED,
        error=None,
        time=RecordTime(
            admitted_at=now,
            started_at=None if done is None else now - 30_000_000,
            finished_at=now,
            due_by=now + 3_600_000_000 if done is None else None,
        ),
        http=HttpExchange(method="POST", path=request.target, streamed=False),
        request=request,
        gpu=CPU,
        provider=PROVIDER,
        price=None
        if done is None
        else Price(
            basis="fixed",
            currency="EUR",
            per_hour_micros=1_250_000,
            device_time_us=20_000_000,
            rates={"request": 5_000},
            charge_micros=5_000,
        ),
        model=EXPORT,
        parameters={"format": "gguf", "quantization": "Q8_0"},
        prompt=None,
        instructions=None,
        response=None if done is None else Response(outputs=(done,)),
        usage=None,
        sender=Sender(address=SENDER.address, proof="token", token_id="a-token", signature=None),  # noqa: S106 - a name
        follows=None if accepted is None else accepted.id,
        proof_of_compute=None,
    )


def describe(ledger: DeployedLedger, genesis_s: int, sent: list[str]) -> dict[str, Any]:
    """The chain as its transactions, each in a block of its own, and their times."""
    times = [ledger.reader.block(number).timestamp for number in range(1, ledger.reader.latest_block().number + 1)]
    transactions = [{"raw": raw, "block_time": time} for raw, time in zip(sent, times, strict=True)]
    state = ledger.reader.log_state()
    return {
        "chain_id": ledger.chain_id,
        "genesis_s": genesis_s,
        "funded": [checksum_address(wallet.address) for wallet in FUNDED],
        "contract": checksum_address(ledger.contract),
        "log_id": to_hex(ledger.log_id),
        "writers": [checksum_address(ledger.terms.writer), checksum_address(NEXT_WRITER.address)],
        "size": state.size,
        "entries": state.entries,
        "head": to_hex(state.head),
        "auditor_seed": to_hex(AUDITOR.seed),
        "transactions": transactions,
    }


def keep(writer: Writer) -> dict[str, Any]:
    """What the sender and the auditor kept."""
    ledger, record, state = writer.ledger, writer.records[0], writer.ledger.reader.log_state()
    whole, last = writer.bundle(0), writer.bundle(len(writer.sealed) - 1)
    sealed = writer.sealed[0]
    opened = open_sealed(
        sealed.sealed,
        log_id=ledger.log_id,
        index=0,
        epoch=sealed.epoch,
        fields_root=sealed.fields_root,
        secret=sealed.secret,
    )
    shown = replace(whole, record_secret=None, disclosed=disclose(opened, ["model", "gpu", "price"]))
    assert isinstance(record.request, Request)
    admitted_at = record.time.admitted_at // 1_000_000
    admission = AdmissionReceipt(
        log_id=ledger.log_id,
        admission_seq=record.admission_seq,
        sender_seq=record.sender_seq,
        request_hash=record_request_hash(record.http, record.request),
        sender=record.sender.address,
        admitted_at=admitted_at,
        record_by=admitted_at + ledger.terms.promise,
    )
    first = Wallet(TEST_KEY)
    erased = Erasure(log_id=ledger.log_id, index=5, leaf=writer.sealed[5].leaf, erased_at=int(ledger.clock.now_s))
    head = HeadStatement(
        log_id=ledger.log_id, entries=state.entries, size=state.size, head=state.head, time=int(ledger.clock.now_s)
    )
    return {
        "bundle.json": whole.to_bytes(),
        "bundle-disclosed.json": shown.to_bytes(),
        "bundle-next-writer.json": last.to_bytes(),
        "receipt.json": writer.receipts[0].to_json(),
        "admission.json": sign_admission(first, writer.domain, admission).to_json(),
        "erasure.json": sign_erasure(NEXT_WRITER, writer.domain, erased).to_json(),
        "head.json": sign_head(NEXT_WRITER, writer.domain, head).to_json(),
    }


if __name__ == "__main__":
    sys.exit(main())
