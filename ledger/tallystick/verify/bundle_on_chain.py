"""What a node says about one record's evidence: the part of checks 1 to 6 and 11 that needs the contract."""

from __future__ import annotations

from typing import Final

from tallystick.bundle import Anchor, Evidence
from tallystick.chain import (
    BatchAppended,
    ContractReverted,
    LedgerReader,
    LogMissing,
    LogPosition,
    LogState,
    Transport,
)
from tallystick.chain.events import BATCH_APPENDED, RECORD_APPENDED, WRITER_ROTATED, RecordAppended, WriterRotated
from tallystick.errors import (
    ChainError,
    HeadsError,
    IndexContinuityError,
    LeavesError,
    ReceiptsError,
    RootsError,
    TimeOrderError,
)
from tallystick.ids import Address, Leaf, to_hex
from tallystick.merkle import leaf_hash
from tallystick.verify.contract_code import ChainMoved, NodeBehind, OtherChain, check_code
from tallystick.verify.receipt_checks import NOT_DUE, check_deadline, check_signer
from tallystick.verify.verdict import BlockRef, Step, Tally

NO_CONTRACT: Final = "there is no log without the contract"


class BundleOnChain:
    """One record's evidence, and a node to hold it against."""

    def __init__(self, evidence: Evidence, transport: Transport, tally: Tally) -> None:
        """Raises: OtherChain, NodeBehind: this node cannot be the judge."""
        self._evidence = evidence
        self._tally = tally
        self._reader = LedgerReader(transport, evidence.domain.contract, evidence.log_id)
        self._where = f"record {evidence.index}"
        chain_id = self._reader.chain_id()
        if chain_id != evidence.domain.chain_id:
            raise OtherChain(evidence.domain.chain_id, chain_id)
        self._head = self._reader.latest_block()
        if evidence.anchor is not None and evidence.anchor.block_number > self._head.number:
            raise NodeBehind(evidence.anchor.block_number, self._head.number)

    @property
    def head_block(self) -> BlockRef:
        """The block as of which the evidence was judged."""
        return BlockRef(number=self._head.number, hash=self._head.hash, timestamp=self._head.timestamp)

    def check(self, leaf: Leaf) -> None:
        """Hold the evidence against the contract's state and events.

        Raises: ChainMoved if they are no longer those of one chain; ChainError.
        """
        self._check(leaf)
        again = self._reader.block(self._head.number)
        if again.hash != self._head.hash:
            raise ChainMoved(again.number, self._head.hash, again.hash)

    def _check(self, leaf: Leaf) -> None:
        tally, anchor = self._tally, self._evidence.anchor
        # 1 contract-code
        code_hash = check_code(tally, self._reader, self._head.number)
        state = None if code_hash is None else self._state()
        if state is None:
            for step in (Step.ROOTS, Step.HEADS, Step.RECEIPTS):
                tally.uncover(step, NO_CONTRACT)
            return
        if anchor is None:
            self._check_without_anchor(state, leaf)
            return
        tally.hold(Step.INDEX_CONTINUITY, self._check_place, state, anchor)
        tally.hold(Step.ROOTS, self._check_root, anchor)
        event = self._find_batch(anchor)
        tally.hold(Step.HEADS, self._check_event, anchor, event)
        tally.hold(Step.RECEIPTS, self._check_writer, state, event)
        self._check_block_time(anchor)

    def _state(self) -> LogState | None:
        try:
            return self._reader.log_state(self._head.number)
        except LogMissing:
            expected = f"the log {to_hex(self._evidence.log_id)} on the contract"
            self._tally.fail(IndexContinuityError(self._where, expected, "no such log"))
        except ChainError:
            if not self._tally.failed(Step.CONTRACT_CODE):
                raise
        return None

    def _check_place(self, state: LogState, anchor: Anchor) -> None:
        # 2 index-continuity: the contract keeps a batch of this number, place and size
        if anchor.batch >= state.batch_count:
            expected = f"batch {anchor.batch} on the contract"
            raise IndexContinuityError(self._where, expected, f"{state.batch_count} batches")
        kept = self._reader.batch(anchor.batch, self._head.number)
        if (kept.first_index, kept.count) != (anchor.first_index, anchor.count):
            expected = f"{kept.count} records from {kept.first_index}, as the contract keeps"
            raise IndexContinuityError(f"batch {anchor.batch}", expected, f"{anchor.count} from {anchor.first_index}")

    def _check_root(self, anchor: Anchor) -> None:
        # 4 roots: it is the root that the contract keeps
        try:
            kept = self._reader.batch(anchor.batch, self._head.number)
        except ContractReverted:
            raise RootsError(f"batch {anchor.batch}", "a root on the contract", "no such batch") from None
        if kept.root != anchor.root:
            raise RootsError(
                f"batch {anchor.batch}", f"{to_hex(kept.root)}, as the contract keeps", to_hex(anchor.root)
            )

    def _find_batch(self, anchor: Anchor) -> BatchAppended | None:
        block = anchor.block_number
        for event in self._reader.events_of(BATCH_APPENDED, block, block, anchor.batch):
            if isinstance(event, BatchAppended) and event.batch == anchor.batch:
                return event
        return None

    def _check_event(self, anchor: Anchor, event: BatchAppended | None) -> None:
        # 5 heads: the batch's event stands where the bundle says, with this head
        where = f"batch {anchor.batch}"
        if event is None:
            raise HeadsError(where, f"its event in block {anchor.block_number}", "no such event")
        if event.head != anchor.head:
            raise HeadsError(where, f"{to_hex(event.head)}, as on the chain", to_hex(anchor.head))
        position = event.position
        if (position.block_hash, position.tx_hash) != (anchor.block_hash, anchor.tx_hash):
            expected = f"transaction {to_hex(position.tx_hash)} in block {to_hex(position.block_hash)}, as on the chain"
            raise HeadsError(where, expected, f"{to_hex(anchor.tx_hash)} in {to_hex(anchor.block_hash)}")

    def _check_writer(self, state: LogState, event: BatchAppended | RecordAppended | None) -> None:
        # 6 receipts: the signer was the log's writer when the record was appended, or when it gave the receipt
        place = None if event is None else event.position
        writer = state.writer if place is None else self._writer_after(place, state.writer)
        where, receipt = f"receipt for {self._where}", self._evidence.receipt
        try:
            check_signer(where, receipt, writer)
        except ReceiptsError:
            check_signer(where, receipt, writer, self._retired_before(place))

    def _writer_after(self, place: LogPosition, latest: Address) -> Address:
        for rotation in self._reader.events_of(WRITER_ROTATED, place.block_number, self._head.number):
            if isinstance(rotation, WriterRotated) and _order(rotation.position) > _order(place):
                return rotation.previous
        return latest

    def _retired_before(self, place: LogPosition | None) -> dict[Address, int]:
        """The log's former writers at a place, or by now, and when each handed it over. Units: Unix seconds."""
        retired = {}
        last = self._head.number if place is None else place.block_number
        for rotation in self._reader.events_of(WRITER_ROTATED, self._reader.creation_block(), last):
            if isinstance(rotation, WriterRotated) and (place is None or _order(rotation.position) < _order(place)):
                retired[rotation.previous] = self._reader.block(rotation.position.block_number).timestamp
        return retired

    def _check_block_time(self, anchor: Anchor) -> None:
        # 11 time-order: the block's time is the one that the bundle says
        kept = self._reader.block(anchor.block_number)
        if kept.timestamp != anchor.block_time:
            where = f"block {anchor.block_number}"
            self._tally.fail(TimeOrderError(where, f"{kept.timestamp}, as on the chain", str(anchor.block_time)))

    def _check_without_anchor(self, state: LogState, leaf: Leaf) -> None:
        """The bundle was made before the record was anchored: see whether it is now, as the receipt promised."""
        receipt, index = self._evidence.receipt, self._evidence.index
        where = f"receipt for {self._where}"
        event = self._find_record(index) if index < state.size else None
        # 6 receipts
        self._tally.hold(Step.RECEIPTS, self._check_writer, state, event)
        if index >= state.size:
            if self._head.timestamp > receipt.receipt.anchor_by:
                self._tally.hold(Step.RECEIPTS, check_deadline, where, receipt.receipt.anchor_by, self._head.timestamp)
            else:
                self._tally.uncover(Step.RECEIPTS, NOT_DUE)
            return
        # 3 leaves
        if event is None:
            self._tally.fail(LeavesError(self._where, "its event on the chain", "no such event"))
            return
        found = leaf_hash(self._evidence.log_id, index, event.fields_root, event.sealed)
        self._tally.hold(Step.LEAVES, _same_leaf, self._where, leaf, found)
        block_time = self._reader.block(event.position.block_number).timestamp
        self._tally.hold(Step.RECEIPTS, check_deadline, where, receipt.receipt.anchor_by, block_time)

    def _find_record(self, index: int) -> RecordAppended | None:
        first = self._reader.creation_block()
        for event in self._reader.events_of(RECORD_APPENDED, first, self._head.number, index):
            if isinstance(event, RecordAppended) and event.index == index:
                return event
        return None


def _order(position: LogPosition) -> tuple[int, int]:
    return position.block_number, position.log_index


def _same_leaf(where: str, expected: Leaf, found: Leaf) -> None:
    if expected != found:
        raise LeavesError(where, f"the bundle's leaf {to_hex(expected)}", f"the leaf {to_hex(found)} on the chain")
