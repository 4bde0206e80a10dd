"""What a node says about one record's evidence: the part of checks 1 to 8 that needs the contract.

The batch is fetched from the node and held against the signature of its own transaction. So where evidence and batch differ, both are
signed, and it is not the node's word against the evidence.
"""

from __future__ import annotations

from typing import Final

from tallystick.bundle.evidence import Anchor, Evidence
from tallystick.chain.reader import LedgerReader
from tallystick.chain.rpc import Transport
from tallystick.chain.views import LogState
from tallystick.errors import (
    HeadsError,
    IndexContinuityError,
    LeavesError,
    Party,
    ReceiptsError,
    RootsError,
    TimesError,
)
from tallystick.ids import Address, Leaf, checksum_address, to_hex
from tallystick.verify.author_checks import counted
from tallystick.verify.one_record import SealedOnChain, find_sealed, require_writer, writer_spans
from tallystick.verify.promise_checks import check_deadline
from tallystick.verify.receipt_checks import NOT_DUE, WriterSpan
from tallystick.verify.tally import Tally
from tallystick.verify.verdict import BlockRef, Gap, Step
from tallystick.verify.vouching import UNKNOWN_SIGNER

NEVER_NAMED_REMEDY: Final = "evidence that a writer of this log signed"


class BundleOnChain:
    """One record's evidence, and a node to hold it against."""

    def __init__(self, evidence: Evidence, transport: Transport, tally: Tally) -> None:
        """Raises: OtherChain, NodeBehind, ContractMissing, OtherCode, LogMissing: this node cannot be the judge."""
        self._evidence = evidence
        self._tally = tally
        self._where = f"record {evidence.index}"
        self._reader = LedgerReader(transport, evidence.domain.contract, evidence.log_id)
        self._reader.require_chain(evidence.domain.chain_id)
        anchor = evidence.anchor
        self._head = self._reader.require_block(0 if anchor is None else anchor.block_number)
        # 1 contract-code
        self._reader.require_contract(block=self._head.number)
        tally.held[Step.CONTRACT_CODE] += 1
        self._state: LogState = self._reader.log_state(self._head.number)
        self._spans = self._known_writers()
        self.created_at = self._reader.log_terms(self._head.number).created_at
        """When the log was created. Units: Unix seconds."""
        self.batch_time: int | None = None
        """When the record's batch came, None where it did not. Units: Unix seconds."""

    def _known_writers(self) -> list[WriterSpan]:
        # 6 authorship, of each writer after the first
        evidence, tally, terms = self._evidence, self._tally, self._evidence.terms
        with counted(tally):
            return writer_spans(self._reader, evidence.domain.chain_id, terms, self._head.number)
        return [WriterSpan(writer=terms.writer, since_s=0)]

    @property
    def head_block(self) -> BlockRef:
        """The block as of which the evidence was judged."""
        return BlockRef(number=self._head.number, hash=self._head.hash, timestamp=self._head.timestamp)

    def gap_of_writer(self, signer: Address) -> Gap | None:
        """What keeps a signer from counting as one of the log's writers, by what the contract keeps; None if nothing does."""
        if signer in {span.writer for span in self._spans}:
            return None
        return Gap(UNKNOWN_SIGNER.format(checksum_address(signer)), NEVER_NAMED_REMEDY)

    def check(self, leaf: Leaf) -> None:
        """Hold the evidence against the contract's state and the record's batch.

        Raises: ChainMoved if the node's chain changed meanwhile; ChainError.
        """
        anchor, index = self._evidence.anchor, self._evidence.index
        if index >= self._state.size:
            self._check_absent(anchor)
        else:
            batch = self._reader.batch_of(index, self._head.number)
            found = self._find(batch)
            if found is not None:
                self.batch_time = found.batch_time
                self._compare(found, leaf, anchor)
        self._reader.require_same(self._head)

    def _find(self, batch: int) -> SealedOnChain | None:
        # 6 authorship, of the record's batch
        with counted(self._tally, f"batch {batch}: "):
            chain_id = self._evidence.domain.chain_id
            found = find_sealed(self._reader, chain_id, self._evidence.index, batch, self._head.number)
            require_writer(found, self._spans)
            self._tally.held[Step.AUTHORSHIP] += 1
            return found
        return None

    def _compare(self, found: SealedOnChain, leaf: Leaf, anchor: Anchor | None) -> None:
        tally, receipt = self._tally, self._evidence.receipt
        if found.leaf is not None:
            tally.hold(Step.LEAVES, self._check_leaf, found, leaf)
        if anchor is not None:
            tally.hold(Step.INDEX_CONTINUITY, self._check_place, found, anchor)
            tally.hold(Step.ROOTS, self._check_root, found, anchor)
            tally.hold(Step.HEADS, self._check_head, found, anchor)
            # 15 times: the block's time is the one that the bundle says
            if found.batch_time != anchor.block_time:
                expected = f"{found.batch_time}, as the contract keeps"
                found_time = str(anchor.block_time)
                tally.fail(TimesError(f"batch {anchor.batch}", expected, found_time, Party.WRITER, timed=True))
        if receipt is not None:
            # 8 receipts
            where = f"receipt for {self._where}"
            tally.hold(Step.RECEIPTS, check_deadline, where, receipt.receipt.anchor_by, found.batch_time)

    def _check_leaf(self, found: SealedOnChain, leaf: Leaf) -> None:
        # 3 leaves
        if found.leaf is not None and found.leaf != leaf:
            expected = f"the leaf {to_hex(found.leaf)} on the chain"
            raise LeavesError(self._where, expected, f"the bundle's leaf {to_hex(leaf)}", Party.WRITER)

    def _check_place(self, found: SealedOnChain, anchor: Anchor) -> None:
        # 2 index-continuity
        event = found.event
        kept = (event.entry, event.batch, event.first_index, event.count, event.epoch)
        said = (anchor.entry, anchor.batch, anchor.first_index, anchor.count, self._evidence.epoch)
        if kept != said:
            names = ("entry", "batch", "first_index", "count", "epoch")
            expected = ", ".join(f"{name} {value}" for name, value in zip(names, kept, strict=True))
            shown = ", ".join(f"{name} {value}" for name, value in zip(names, said, strict=True))
            raise IndexContinuityError(self._where, f"{expected}, as on the chain", shown, Party.WRITER)

    def _check_root(self, found: SealedOnChain, anchor: Anchor) -> None:
        # 4 roots
        if found.event.root != anchor.root:
            expected = f"{to_hex(found.event.root)}, as the contract keeps"
            raise RootsError(f"batch {anchor.batch}", expected, to_hex(anchor.root), Party.WRITER)

    def _check_head(self, found: SealedOnChain, anchor: Anchor) -> None:
        # 5 heads, and where the batch stands
        event, where = found.event, f"batch {anchor.batch}"
        if (event.head, found.previous_head) != (anchor.head, anchor.previous_head):
            expected = f"{to_hex(event.head)} after {to_hex(found.previous_head)}, as on the chain"
            raise HeadsError(
                where, expected, f"{to_hex(anchor.head)} after {to_hex(anchor.previous_head)}", Party.WRITER
            )
        position = event.position
        kept = (position.block_number, position.block_hash, position.tx_hash)
        if kept != (anchor.block_number, anchor.block_hash, anchor.tx_hash):
            expected = f"transaction {to_hex(position.tx_hash)} in block {position.block_number}, as on the chain"
            raise HeadsError(where, expected, f"{to_hex(anchor.tx_hash)} in block {anchor.block_number}", Party.WRITER)

    def _check_absent(self, anchor: Anchor | None) -> None:
        """The log has no such record yet: see whether it should have."""
        tally, receipt, size = self._tally, self._evidence.receipt, self._state.size
        if anchor is not None:
            gap = Gap(f"that stands in batch {anchor.batch}, while the node shows {size} records", "ask another node")
            tally.block(Step.INDEX_CONTINUITY, gap)
        if receipt is None:
            return
        by = receipt.receipt.anchor_by
        if self._head.timestamp > by:
            where, found = f"receipt for {self._where}", f"{size} records at the block of {self._head.timestamp}"
            tally.fail(ReceiptsError(where, f"a record on the chain by {by}, as promised", found, timed=True))
        else:
            tally.note(Step.RECEIPTS, NOT_DUE)
