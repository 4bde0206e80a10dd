"""The verification of one record's evidence, offline or against a node: `verify_bundle`."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tallystick import errors
from tallystick.bundle.evidence import Anchor, Bundle, attester
from tallystick.chain.rpc import Transport
from tallystick.encoding import decode_with_fields
from tallystick.errors import Party
from tallystick.heads import MODE_COMMIT, EntryKind, HeadError, batch_body, next_head
from tallystick.ids import Address, Leaf, to_hex
from tallystick.merkle import leaf_hash, root_from_path
from tallystick.receipts.signed import signer
from tallystick.record import FIELD_NAMES, Record
from tallystick.sealing import OpenedRecord, SealedHeader, check_commitments, check_disclosure, decrypt, sealed_header
from tallystick.verify.binding_checks import (
    NO_RECEIPT,
    Blobs,
    check_header,
    check_request,
    fill_blobs,
    request_hash_of,
    response_hash_of,
    without_blobs,
)
from tallystick.verify.bundle_on_chain import BundleOnChain
from tallystick.verify.claims import note_shown
from tallystick.verify.field_checks import NO_PRICE, Window, check_price, check_record_times, check_sender
from tallystick.verify.model_checks import ModelFolder, check_model, exported_in, leave_model
from tallystick.verify.promise_checks import Arrived, check_deadline, check_promise, check_receipt
from tallystick.verify.shown_fields import read_shown_fields
from tallystick.verify.tally import Tally
from tallystick.verify.verdict import CONTENT_STEPS, LEDGER_STEPS, BundleSubject, Exported, Gap, Step, Verdict
from tallystick.verify.vouching import Vouch, gap_of

OFFLINE: Final = "not compared with the contract: no chain node was asked"
UNANCHORED: Final = "not on the chain when the bundle was made"
NO_RECEIPT_HERE: Final = "the bundle holds no receipt"
CLOSED: Final = "the bundle does not open the record: it carries neither the record secret nor disclosed fields"
ONE_RECORD: Final = "one record says nothing of the others: verify the log"
NOT_SHOWN: Final = "whose field {} is not shown"
ALL_FIELDS: Final = frozenset(FIELD_NAMES)
REQUEST_FIELDS: Final = frozenset(("request", "http", "prompt", "instructions", "parameters", "model"))


def verify_bundle(
    bundle: Bundle,
    transport: Transport | None = None,
    folder: ModelFolder | None = None,
    *,
    vouch: Vouch | None = None,
    blobs: Blobs = without_blobs,
) -> Verdict:
    """Check a bundle by itself, given a node against the contract, and given a model folder against the record in it.

    `vouch` says whose log it is; without it nothing counts as proven.
    Raises: ChainError where the node gives no answer that can be judged.
    """
    return _BundleVerification(bundle, folder, vouch, blobs).verdict(transport)


class _BundleVerification:
    """One run over one bundle."""

    def __init__(self, bundle: Bundle, folder: ModelFolder | None, vouch: Vouch | None, blobs: Blobs) -> None:
        self._bundle = bundle
        self._folder = folder
        self._vouch = vouch
        self._blobs = blobs
        self._evidence = bundle.evidence
        self._tally = Tally()
        self._where = f"record {bundle.evidence.index}"
        self._header: SealedHeader | None = None
        self._batch_time = None if bundle.evidence.anchor is None else bundle.evidence.anchor.block_time
        self._created_at: int | None = None
        self._exported: Exported | None = None

    def verdict(self, transport: Transport | None) -> Verdict:
        evidence, tally, folder = self._evidence, self._tally, self._folder
        leaf = leaf_hash(evidence.log_id, evidence.index, evidence.fields_root, evidence.sealed)
        attested_by = self._attester()
        on_chain = None if transport is None else BundleOnChain(evidence, transport, tally)
        gap = self._gap(attested_by, on_chain)
        # 6 authorship
        if gap is None:
            tally.held[Step.AUTHORSHIP] += 1
        else:
            tally.block(Step.AUTHORSHIP, gap, 0)
            tally.writer_is = Party.MAKER  # who is accused below wherever the writer is named
        self._check_structure(leaf)
        self._check_receipt(leaf, on_chain)
        if on_chain is None:
            for step in (Step.CONTRACT_CODE, Step.COMPLETENESS):
                tally.skip(step, OFFLINE if step is Step.CONTRACT_CODE else ONE_RECORD)
        else:
            on_chain.check(leaf)
            tally.skip(Step.COMPLETENESS, ONE_RECORD)
            self._batch_time, self._created_at = on_chain.batch_time or self._batch_time, on_chain.created_at
        self._check_content(leaf)
        tally.skip(Step.SEQUENCES, ONE_RECORD)
        return tally.verdict(
            BundleSubject(
                chain_id=evidence.domain.chain_id,
                contract=evidence.domain.contract,
                log_id=evidence.log_id,
                index=evidence.index,
                signer=attested_by,
                vouched=None if self._vouch is None or gap is not None else self._vouch.how,
                disclosed=() if self._bundle.disclosed is None else tuple(self._bundle.disclosed.fields),
                opened=self._bundle.record_secret is not None,
                head_block=None if on_chain is None else on_chain.head_block,
                model_digest=None if folder is None else folder.manifest.digest,
                exported=self._exported,
            ),
            steps=LEDGER_STEPS if folder is None else tuple(Step),
            grounded=True,
        )

    def _gap(self, who: Address | None, on_chain: BundleOnChain | None) -> Gap | None:
        vouch = self._vouch
        gap = gap_of(vouch, self._evidence.terms, who)
        if gap is None or on_chain is None or who is None or vouch is None:
            return gap
        if not vouch.log_known or vouch.asks_for_another(who):
            return gap
        return on_chain.gap_of_writer(who)  # the log is known, and its keeper may have named this writer since

    def _attester(self) -> Address | None:
        try:
            return attester(self._bundle)
        except errors.SignatureError as error:
            self._tally.fail(errors.ReceiptsError("attestation", "a signature", error.reason, Party.MAKER))
            return None

    def _check_structure(self, leaf: Leaf) -> None:
        evidence, tally = self._evidence, self._tally
        try:
            self._header = sealed_header(evidence.sealed)
        except errors.OpenError as error:
            # 3 leaves
            tally.fail(errors.LeavesError(self._where, "a sealed record", error.reason, Party.WRITER))
        else:
            tally.held[Step.LEAVES] += 1
        if evidence.anchor is None:
            for step in (Step.INDEX_CONTINUITY, Step.ROOTS, Step.HEADS):
                tally.skip(step, UNANCHORED)
            return
        tally.hold(Step.INDEX_CONTINUITY, self._check_place, evidence.anchor)
        tally.hold(Step.ROOTS, self._check_root, evidence.anchor, leaf)
        tally.hold(Step.HEADS, self._check_head, evidence.anchor)

    def _check_place(self, anchor: Anchor) -> None:
        # 2 index-continuity
        index = self._evidence.index
        if not anchor.first_index <= index < anchor.first_index + anchor.count:
            expected = f"a batch of {anchor.count} records from {anchor.first_index} that holds this one"
            raise errors.IndexContinuityError(self._where, expected, f"index {index}", Party.WRITER)

    def _check_root(self, anchor: Anchor, leaf: Leaf) -> None:
        # 4 roots
        where, expected = f"batch {anchor.batch}, {self._where}", to_hex(anchor.root)
        try:
            root = root_from_path(leaf, self._evidence.index - anchor.first_index, anchor.count, anchor.path)
        except errors.MerkleError as error:
            raise errors.RootsError(where, expected, error.reason, Party.WRITER) from error
        if root != anchor.root:
            raise errors.RootsError(where, expected, to_hex(root), Party.WRITER)

    def _check_head(self, anchor: Anchor) -> None:
        # 5 heads
        where, expected = f"batch {anchor.batch}", to_hex(anchor.head)
        kind = EntryKind.COMMIT if self._evidence.terms.mode == MODE_COMMIT else EntryKind.BATCH
        try:
            body = batch_body(self._evidence.epoch, anchor.first_index, anchor.count, anchor.root)
            head = next_head(anchor.previous_head, kind, anchor.entry, body)
        except HeadError as error:
            raise errors.HeadsError(where, expected, str(error), Party.WRITER) from error
        if head != anchor.head:
            raise errors.HeadsError(where, expected, to_hex(head), Party.WRITER)

    def _check_receipt(self, leaf: Leaf, on_chain: BundleOnChain | None) -> None:
        # 8 receipts: the receipt in the bundle is about this record, and keeps to the log's promise
        signed, evidence, tally = self._evidence.receipt, self._evidence, self._tally
        if signed is None:
            tally.skip(Step.RECEIPTS, NO_RECEIPT_HERE)
            return
        where, receipt = f"receipt for {self._where}", signed.receipt
        try:
            found = signer(signed)
        except errors.SignatureError as error:
            tally.fail(errors.ReceiptsError(where, "a signature", error.reason, Party.MAKER))
            return
        gap = self._gap(found, on_chain)
        if gap is not None and self._vouch is not None:
            tally.block(Step.RECEIPTS, gap, 0)
        about = (receipt.log_id, receipt.index, signed.domain)
        try:
            if about != (evidence.log_id, evidence.index, evidence.domain):
                raise errors.ReceiptsError(where, "a receipt for this log and index", "one for another", Party.MAKER)
            check_promise(where, receipt.issued_at, receipt.anchor_by, evidence.terms.promise)
            number = None if self._header is None else self._header.admission_seq
            check_receipt(
                where, receipt, Arrived(evidence.index, leaf, 0, number or receipt.admission_seq, opened=False)
            )
            if evidence.anchor is not None:
                check_deadline(where, receipt.anchor_by, evidence.anchor.block_time)
        except errors.VerificationError as failure:
            tally.fail(failure)
        else:
            tally.held[Step.RECEIPTS] += 1

    def _check_content(self, leaf: Leaf) -> None:
        tally, bundle = self._tally, self._bundle
        shown: frozenset[str] = frozenset()
        record: Record | None = None
        opened: OpenedRecord | None = None
        try:
            if bundle.disclosed is not None:
                record, shown = self._read_disclosed(), frozenset(bundle.disclosed.fields)
            if bundle.record_secret is not None:
                opened = self._open(bundle.record_secret)
                opened = fill_blobs(tally, self._where, opened, self._blobs)
                record, shown = opened.record, ALL_FIELDS
        except errors.VerificationError as failure:
            tally.fail(failure)
            record = None
        if record is None:
            closed = bundle.record_secret is None and bundle.disclosed is None
            for step in CONTENT_STEPS:
                tally.skip(step, CLOSED if closed else "not opened")
            if self._folder is not None:
                leave_model(tally, CLOSED, self._folder)
            return
        if bundle.record_secret is None:
            tally.skip(Step.DECRYPTION, "the bundle does not carry the record's secret")
        self._check_bindings(record, shown, opened, leaf)
        self._check_fields(record, shown)
        self._exported = exported_in(record, shown, self._evidence.index)
        if self._folder is not None:
            check_model(tally, self._where, record, shown, self._folder)
        note_shown(tally, record, shown, replayed=bool(tally.held[Step.REPLAY]))

    def _open(self, secret: bytes) -> OpenedRecord:
        evidence, where, held = self._evidence, self._where, self._tally.held
        index, fields_root = evidence.index, evidence.fields_root
        # 9 decryption: a secret proves itself, and who holds the bundle may have put another in its place
        try:
            data = decrypt(
                evidence.sealed,
                log_id=evidence.log_id,
                index=index,
                epoch=evidence.epoch,
                fields_root=fields_root,
                secret=secret,
            )
        except errors.OpenError as error:
            expected = "a sealed record that opens with its secret"
            raise errors.DecryptionError(where, expected, error.reason, Party.MAKER) from error
        held[Step.DECRYPTION] += 1
        # 10 canonical-encoding
        try:
            record, fields = decode_with_fields(data)
        except (errors.EncodingError, errors.RecordError) as error:
            raise errors.CanonicalEncodingError(where, "the canonical encoding of a record", str(error)) from error
        held[Step.CANONICAL_ENCODING] += 1
        # 11 field-commitments
        opened = OpenedRecord(index=index, record=record, record_bytes=data, fields=tuple(fields), secret=secret)
        try:
            check_commitments(opened, fields_root)
        except errors.OpenError as error:
            raise errors.FieldCommitmentsError(where, "fields that give the root in the leaf", error.reason) from error
        held[Step.FIELD_COMMITMENTS] += 1
        return opened

    def _read_disclosed(self) -> Record | None:
        disclosed = self._bundle.disclosed
        if disclosed is None:
            return None
        where = f"{self._where}, disclosed fields"
        # 11 field-commitments: what is disclosed proves itself, and was chosen by whoever holds the bundle
        try:
            check_disclosure(disclosed, self._evidence.fields_root)
        except errors.DisclosureError as error:
            expected, place = "a field that leads to the root in the leaf", f"{self._where}, field {error.field}"
            raise errors.FieldCommitmentsError(place, expected, error.reason, Party.MAKER) from error
        self._tally.held[Step.FIELD_COMMITMENTS] += 1
        # 10 canonical-encoding
        try:
            record = read_shown_fields({name: shown.field_bytes for name, shown in disclosed.fields.items()})
        except (errors.EncodingError, errors.RecordError) as error:
            raise errors.CanonicalEncodingError(where, "the canonical encoding of each field", str(error)) from error
        self._tally.held[Step.CANONICAL_ENCODING] += 1
        return record

    def _check_bindings(self, record: Record, shown: frozenset[str], opened: OpenedRecord | None, leaf: Leaf) -> None:
        tally, where, signed = self._tally, self._where, self._evidence.receipt
        # 12 request-binding
        if self._header is not None and "admission_seq" in shown:
            try:
                check_header(where, record, self._header.admission_seq)
            except errors.VerificationError as failure:
                tally.fail(failure)
        if shown >= REQUEST_FIELDS:
            check_request(tally, where, record)
        else:
            hidden = ", ".join(sorted(REQUEST_FIELDS - shown))
            tally.skip(Step.REQUEST_BINDING, f"the fields {hidden} are not shown")
        # 8, 12 and 13: the sender and the hashes that the receipt names
        if signed is None:
            tally.skip(Step.RESPONSE_BINDING, NO_RECEIPT)
            return
        arrived = Arrived(
            self._evidence.index,
            leaf,
            0,
            signed.receipt.admission_seq,
            opened=opened is not None,
            sender=record.sender.address if "sender" in shown else None,
            request_hash=request_hash_of(record) if {"request", "http"} <= shown else None,
            response_hash=None if opened is None else response_hash_of(opened),
        )
        receipt = replace(signed.receipt, leaf=leaf)  # another leaf was named before
        try:
            check_receipt(f"receipt for {where}", receipt, arrived)
        except errors.VerificationError as failure:
            tally.fail(failure)
            return
        if arrived.response_hash is not None:
            tally.held[Step.RESPONSE_BINDING] += 1
        elif not tally.is_blocked(Step.RESPONSE_BINDING):
            tally.skip(Step.RESPONSE_BINDING, NOT_SHOWN.format("response"))

    def _check_fields(self, record: Record, shown: frozenset[str]) -> None:
        tally, where, evidence = self._tally, self._where, self._evidence
        # 15 times
        if "time" in shown:
            window = None
            if self._batch_time is not None:
                terms = evidence.terms
                window = Window(self._batch_time, terms.promise, terms.skew, self._created_at)
            record_id = record.id if "id" in shown else None
            work_admitted_at = 0 if "follows" not in shown or record.follows is not None else None
            tally.hold(Step.TIMES, check_record_times, where, record, record_id, window, work_admitted_at)
        else:
            tally.skip(Step.TIMES, NOT_SHOWN.format("time"))
        # 16 price-arithmetic
        price = record.price
        if "price" not in shown:
            tally.skip(Step.PRICE_ARITHMETIC, NOT_SHOWN.format("price"))
        elif price is None:
            tally.skip(Step.PRICE_ARITHMETIC, NO_PRICE)
        elif price.basis == "tokens" and "usage" not in shown:
            gap = Gap("whose price goes by counts that are not shown", "a bundle that discloses the field usage too")
            tally.block(Step.PRICE_ARITHMETIC, gap)
        else:
            tally.hold(Step.PRICE_ARITHMETIC, check_price, where, price, record.usage)
        # 17 sender-proof
        if "sender" not in shown:
            tally.skip(Step.SENDER_PROOF, NOT_SHOWN.format("sender"))
        elif record.sender.proof == "token" or {"request", "http", "time"} <= shown:
            check_sender(tally, where, evidence.domain, evidence.log_id, record)
        else:
            tally.skip(Step.SENDER_PROOF, NOT_SHOWN.format("request"))
