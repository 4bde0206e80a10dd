"""The verification of one record's evidence, offline or against a node: `verify_bundle`."""

from __future__ import annotations

from typing import Final

from tallystick.bundle import Anchor, Bundle, attester
from tallystick.chain import Transport
from tallystick.encoding import decode_with_fields
from tallystick.errors import (
    CanonicalEncodingError,
    DecryptionError,
    DisclosureError,
    EncodingError,
    FieldCommitmentsError,
    HeadsError,
    IndexContinuityError,
    LeavesError,
    MerkleError,
    OpenError,
    ReceiptsError,
    RecordError,
    RootsError,
    SignatureError,
    VerificationError,
)
from tallystick.ids import Address, Leaf, checksum_address, to_hex
from tallystick.merkle import leaf_hash, next_head, root_from_path
from tallystick.receipts import signer
from tallystick.record import FIELD_NAMES, BlobRef, Record
from tallystick.sealing import OpenedRecord, check_commitments, check_disclosure, decrypt, sealed_header
from tallystick.verify.bundle_on_chain import BundleOnChain
from tallystick.verify.field_checks import check_price, check_time_order, sender_proof_gap
from tallystick.verify.model_checks import ModelFolder, check_model, leave_model
from tallystick.verify.receipt_checks import HASHES_CLOSED, TEXT_IN_BLOB, check_deadline, check_hashes, check_leaf
from tallystick.verify.record_checks import CONTENT_STEPS, NO_PRICE
from tallystick.verify.shown_fields import read_shown_fields
from tallystick.verify.verdict import LEDGER_STEPS, BundleSubject, Step, Tally, Verdict

OFFLINE: Final = "not compared with the contract: no chain node was asked"
UNKNOWN_WRITER: Final = "whose signer was not compared with the log's writer: no chain node was asked"
UNANCHORED: Final = "not on the chain when the bundle was made"
CLOSED: Final = "that the bundle does not open: it carries neither the record secret nor disclosed fields"
ONE_RECORD: Final = "one record says nothing of the others: verify the log"
ALL_FIELDS: Final = frozenset(FIELD_NAMES)


def verify_bundle(bundle: Bundle, transport: Transport | None = None, folder: ModelFolder | None = None) -> Verdict:
    """Check a bundle by itself, given a node against the contract, and given a model folder against the record in it.

    Raises: ChainError where the node gives no answer that can be judged.
    """
    return _BundleVerification(bundle, folder).verdict(transport)


class _BundleVerification:
    """One run over one bundle."""

    def __init__(self, bundle: Bundle, folder: ModelFolder | None) -> None:
        self._bundle = bundle
        self._folder = folder
        self._evidence = bundle.evidence
        self._tally = Tally()
        self._where = f"record {bundle.evidence.index}"

    def verdict(self, transport: Transport | None) -> Verdict:
        evidence, tally, folder = self._evidence, self._tally, self._folder
        leaf = leaf_hash(evidence.log_id, evidence.index, evidence.fields_root, evidence.sealed)
        tally.hold(Step.LEAVES, self._check_leaf, leaf)
        if evidence.anchor is None:
            for step in (Step.INDEX_CONTINUITY, Step.ROOTS, Step.HEADS):
                tally.uncover(step, UNANCHORED)
        else:
            tally.hold(Step.INDEX_CONTINUITY, self._check_place, evidence.anchor)
            tally.hold(Step.ROOTS, self._check_root, evidence.anchor, leaf)
            tally.hold(Step.HEADS, self._check_head, evidence.anchor)
        writer = self._signer()
        tally.hold(Step.RECEIPTS, self._check_receipt, leaf)
        tally.hold(Step.RECEIPTS, self._check_attestation, writer)
        on_chain = None if transport is None else BundleOnChain(evidence, transport, tally)
        if on_chain is None:
            tally.uncover(Step.CONTRACT_CODE, OFFLINE)
            if evidence.anchor is not None:
                tally.uncover(Step.ROOTS, OFFLINE)
                tally.uncover(Step.HEADS, OFFLINE)
            tally.uncover(Step.RECEIPTS, UNKNOWN_WRITER)
        else:
            on_chain.check(leaf)
        self._check_content()
        tally.uncover(Step.SEQUENCE_COMPLETENESS, ONE_RECORD, 0)
        return tally.verdict(
            BundleSubject(
                chain_id=evidence.domain.chain_id,
                contract=evidence.domain.contract,
                log_id=evidence.log_id,
                index=evidence.index,
                signer=writer,
                disclosed=() if self._bundle.disclosed is None else tuple(self._bundle.disclosed.fields),
                opened=self._bundle.record_secret is not None,
                head_block=None if on_chain is None else on_chain.head_block,
                model_digest=None if folder is None else folder.manifest.digest,
            ),
            steps=LEDGER_STEPS if folder is None else tuple(Step),
            asked=() if folder is None else folder.asked,
        )

    def _check_leaf(self, leaf: Leaf) -> None:
        # 3 leaves
        evidence, where = self._evidence, self._where
        try:
            header = sealed_header(evidence.sealed)
        except OpenError as error:
            raise LeavesError(where, "a sealed record", error.reason) from error
        if header.epoch != evidence.epoch:
            raise LeavesError(where, f"sealed in epoch {evidence.epoch}", f"epoch {header.epoch}")
        promised = evidence.receipt.receipt.leaf
        if leaf != promised:
            raise LeavesError(where, f"the receipt's leaf {to_hex(promised)}", f"the leaf {to_hex(leaf)}")

    def _check_place(self, anchor: Anchor) -> None:
        # 2 index-continuity
        index = self._evidence.index
        if not anchor.first_index <= index < anchor.first_index + anchor.count:
            expected = f"a batch of {anchor.count} records from {anchor.first_index} that holds this one"
            raise IndexContinuityError(self._where, expected, f"index {index}")

    def _check_root(self, anchor: Anchor, leaf: Leaf) -> None:
        # 4 roots
        where, expected = f"batch {anchor.batch}, {self._where}", to_hex(anchor.root)
        try:
            root = root_from_path(leaf, self._evidence.index - anchor.first_index, anchor.count, anchor.path)
        except MerkleError as error:
            raise RootsError(where, expected, error.reason) from error
        if root != anchor.root:
            raise RootsError(where, expected, to_hex(root))

    def _check_head(self, anchor: Anchor) -> None:
        # 5 heads
        where, expected = f"batch {anchor.batch}", to_hex(anchor.head)
        try:
            head = next_head(anchor.previous_head, anchor.root, anchor.first_index, anchor.count)
        except MerkleError as error:
            raise HeadsError(where, expected, error.reason) from error
        if head != anchor.head:
            raise HeadsError(where, expected, to_hex(head))

    def _check_receipt(self, leaf: Leaf) -> None:
        # 6 receipts: the receipt is about this record
        evidence, where = self._evidence, f"receipt for {self._where}"
        receipt = evidence.receipt.receipt
        about = (receipt.log_id, receipt.index, evidence.receipt.domain)
        if about != (evidence.log_id, evidence.index, evidence.domain):
            raise ReceiptsError(where, "a receipt for this log and index", "one for another")
        check_leaf(where, evidence.receipt, leaf)
        if evidence.anchor is not None:
            check_deadline(where, receipt.anchor_by, evidence.anchor.block_time)

    def _check_attestation(self, writer: Address | None) -> None:
        # 6 receipts: the evidence is attested by who signed the receipt
        expected = "a signature" if writer is None else f"a signature by {checksum_address(writer)}, as on the receipt"
        try:
            found = attester(self._bundle)
        except SignatureError as error:
            raise ReceiptsError("attestation", expected, error.reason) from error
        if writer is not None and found != writer:
            raise ReceiptsError("attestation", expected, f"one by {checksum_address(found)}")

    def _signer(self) -> Address | None:
        try:
            return signer(self._evidence.receipt)
        except SignatureError as error:
            self._tally.fail(ReceiptsError(f"receipt for {self._where}", "a signature", error.reason))
            return None

    def _check_content(self) -> None:
        tally, bundle = self._tally, self._bundle
        shown: frozenset[str] = frozenset()
        record: Record | None = None
        try:
            if bundle.disclosed is not None:
                record, shown = self._read_disclosed(), frozenset(bundle.disclosed.fields)
            if bundle.record_secret is not None:
                record, shown = self._open(bundle.record_secret), ALL_FIELDS
        except VerificationError as failure:
            tally.fail(failure)
            record = None
        if record is None:
            for step in CONTENT_STEPS:
                tally.uncover(
                    step, CLOSED if bundle.record_secret is None and bundle.disclosed is None else "not opened"
                )
            tally.uncover(Step.RECEIPTS, HASHES_CLOSED)
            if self._folder is not None:
                leave_model(tally, CLOSED, self._folder)
            return
        if bundle.record_secret is None:
            tally.uncover(Step.DECRYPTION, "whose secret the bundle does not carry")
        self._check_fields(record, shown)
        if self._folder is not None:
            check_model(tally, self._where, record, shown, self._folder)

    def _open(self, secret: bytes) -> Record:
        evidence, where, held = self._evidence, self._where, self._tally.held
        index, fields_root = evidence.index, evidence.fields_root
        # 7 decryption
        try:
            data = decrypt(evidence.sealed, log_id=evidence.log_id, index=index, fields_root=fields_root, secret=secret)
        except OpenError as error:
            raise DecryptionError(where, "a sealed record that opens with its secret", error.reason) from error
        held[Step.DECRYPTION] += 1
        # 8 canonical-encoding
        try:
            record, fields = decode_with_fields(data)
        except (EncodingError, RecordError) as error:
            raise CanonicalEncodingError(where, "the canonical encoding of a record", str(error)) from error
        held[Step.CANONICAL_ENCODING] += 1
        # 9 field-commitments
        opened = OpenedRecord(index=index, record=record, record_bytes=data, fields=tuple(fields), secret=secret)
        try:
            check_commitments(opened, fields_root)
        except OpenError as error:
            raise FieldCommitmentsError(where, "fields that give the root in the leaf", error.reason) from error
        held[Step.FIELD_COMMITMENTS] += 1
        return record

    def _read_disclosed(self) -> Record | None:
        disclosed = self._bundle.disclosed
        if disclosed is None:
            return None
        where = f"{self._where}, disclosed fields"
        # 9 field-commitments
        try:
            check_disclosure(disclosed, self._evidence.fields_root)
        except DisclosureError as error:
            expected = "a field that leads to the root in the leaf"
            raise FieldCommitmentsError(f"{self._where}, field {error.field}", expected, error.reason) from error
        self._tally.held[Step.FIELD_COMMITMENTS] += 1
        # 8 canonical-encoding
        try:
            record = read_shown_fields({name: shown.field_bytes for name, shown in disclosed.fields.items()})
        except (EncodingError, RecordError) as error:
            raise CanonicalEncodingError(where, "the canonical encoding of each field", str(error)) from error
        self._tally.held[Step.CANONICAL_ENCODING] += 1
        return record

    def _check_fields(self, record: Record, shown: frozenset[str]) -> None:
        tally, where, anchor = self._tally, self._where, self._evidence.anchor
        # 6 receipts: the request and response in the record
        if "http" in shown:
            tally.hold(Step.RECEIPTS, check_hashes, where, self._evidence.receipt, record, "response" in shown)
            if isinstance(record.response, BlobRef):
                tally.uncover(Step.RECEIPTS, TEXT_IN_BLOB)
        else:
            tally.uncover(Step.RECEIPTS, HASHES_CLOSED)
        # 11 time-order
        if "time" in shown:
            record_id = record.id if "id" in shown else None
            block_time = None if anchor is None else anchor.block_time
            tally.hold(Step.TIME_ORDER, check_time_order, where, record.time, record_id, block_time)
        else:
            tally.uncover(Step.TIME_ORDER, "whose field time is not shown")
        # 12 price-arithmetic
        price = record.price
        if price is not None:
            tally.hold(Step.PRICE_ARITHMETIC, check_price, where, price)
        else:
            tally.uncover(Step.PRICE_ARITHMETIC, NO_PRICE if "price" in shown else "whose field price is not shown")
        # 13 sender-proof
        if "sender" in shown:
            try:
                tally.uncover(Step.SENDER_PROOF, sender_proof_gap(where, record.sender))
            except VerificationError as failure:
                tally.fail(failure)
        else:
            tally.uncover(Step.SENDER_PROOF, "whose field sender is not shown")
