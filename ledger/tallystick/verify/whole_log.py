"""The verification of a whole log, from its creation to one block: `verify_log`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tallystick.chain import Block, LedgerReader, LogState, RecordAppended, WriterRotated
from tallystick.chain.events import EpochOpened, LogPosition
from tallystick.errors import ChainError, TimeOrderError
from tallystick.ids import Hash32
from tallystick.keys import AuditorKey
from tallystick.receipts import Domain
from tallystick.record import Record
from tallystick.verify.contract_code import ChainMoved, check_code
from tallystick.verify.log_walk import LogWalk
from tallystick.verify.receipt_checks import Held, ReceiptChecks
from tallystick.verify.record_checks import Placed, RecordChecks
from tallystick.verify.verdict import LEDGER_STEPS, BlockRef, LogSubject, Tally, Verdict

DEFAULT_GRACE_S: Final = 3600
"""How long an admitted request may take to reach the chain before its missing number is a failure: the deadline that a service
promises in its receipts unless it is set otherwise."""
PROGRESS_RECORDS: Final = 256
"""Progress is told once for so many records."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions:
    """What to hold against the log.

    `first_index` and `last_index`, both included, say which records are opened; the structure is always checked as a whole.
    `at_block` is the block as of which the log is judged, the newest if None.
    """

    auditor_keys: Sequence[AuditorKey] = ()
    receipts: Sequence[Held] = ()
    first_index: int = 0
    last_index: int | None = None
    at_block: int | None = None
    grace_s: int = DEFAULT_GRACE_S


def verify_log(reader: LedgerReader, options: VerifyOptions, on_progress: Progress | None = None) -> Verdict:
    """Check a log from its creation to one block, in the memory of one page of events.

    Raises: ChainError where the node gives no answer that can be judged; ReceiptFormatError for a receipt of another log.
    """
    return _LogVerification(reader, options, on_progress).verdict()


class _LogVerification:
    """One run over one log."""

    def __init__(self, reader: LedgerReader, options: VerifyOptions, on_progress: Progress | None) -> None:
        self._reader = reader
        self._options = options
        self._on_progress = on_progress
        self._chain_id = reader.chain_id()
        domain = Domain(chain_id=self._chain_id, contract=reader.contract)
        self._tally = Tally()
        self._receipts = ReceiptChecks(self._tally, reader.log_id, domain, options.receipts)
        self._records = RecordChecks(
            self._tally,
            reader.log_id,
            options.auditor_keys,
            options.first_index,
            options.last_index,
            self._hold_receipts,
        )
        self._walk = LogWalk(self._tally, reader.log_id)
        self._blocks = _Blocks(self._tally, reader)

    def verdict(self) -> Verdict:
        reader, tally = self._reader, self._tally
        at = self._options.at_block
        head = reader.latest_block() if at is None else reader.block(at)
        # 1 contract-code
        code_hash = check_code(tally, reader, head.number)
        try:
            state = reader.log_state(head.number) if code_hash is not None else None
        except ChainError:
            if not tally.failures_found:
                raise
            state = None  # some other contract, which knows no logs
        if state is None:
            for step in LEDGER_STEPS[1:]:
                tally.uncover(step, "there is no log without the contract", 0)
            return self._conclude(code_hash, None, head, head.number)
        first_block = reader.creation_block()
        # 2 to 5, and 7 to 9 and 11 to 13 on each record on the way
        self._walk_events(first_block, head, state)
        self._walk.finish(state)
        # 10 sequence-completeness
        self._records.finish(head.timestamp * 1_000_000, self._options.grace_s * 1_000_000)
        # 6 receipts, the ones whose record never came
        self._receipts.finish(state.writer, head.timestamp)
        self._blocks.require(head.number, head.hash)
        return self._conclude(code_hash, state, head, first_block)

    def _walk_events(self, first_block: int, head: Block, state: LogState) -> None:
        walk, records, blocks = self._walk, self._records, self._blocks
        for event in self._reader.events(first_block, head.number):
            block_time = blocks.time_of(event.position)
            if isinstance(event, RecordAppended):
                placed = walk.take_record(event)
                if placed is not None:
                    records.take(Placed(event, *placed, walk.writer, block_time))
                if self._on_progress is not None and event.index % PROGRESS_RECORDS == 0:
                    self._on_progress(event.index, state.size)
                continue
            walk.take(event)
            if isinstance(event, EpochOpened):
                records.open_epoch(event)
            elif isinstance(event, WriterRotated):
                records.flush()
                self._receipts.retire(event.previous, block_time)
        if self._on_progress is not None:
            self._on_progress(state.size, state.size)

    def _hold_receipts(self, placed: Placed, record: Record | None) -> None:
        # 6 receipts
        self._receipts.meet(placed.event.index, placed.leaf, placed.writer, placed.block_time, record)

    def _conclude(self, code_hash: bytes | None, state: LogState | None, head: Block, first_block: int) -> Verdict:
        options = self._options
        subject = LogSubject(
            chain_id=self._chain_id,
            contract=self._reader.contract,
            code_hash=code_hash,
            log_id=self._reader.log_id,
            writer=None if state is None else state.writer,
            size=0 if state is None else state.size,
            head=None if state is None else state.head,
            batch_count=0 if state is None else state.batch_count,
            first_block=first_block,
            head_block=BlockRef(number=head.number, hash=head.hash, timestamp=head.timestamp),
            opened_from=options.first_index,
            opened_to=options.last_index,
            auditor_key_ids=tuple(key.key_id for key in options.auditor_keys),
        )
        return self._tally.verdict(subject)


class _Blocks:
    """The block that the walk is in, asked for once, and held to be the one that the events name."""

    def __init__(self, tally: Tally, reader: LedgerReader) -> None:
        self._tally = tally
        self._reader = reader
        self._number = -1
        self._hash = Hash32(b"")
        self._time = 0

    def time_of(self, position: LogPosition) -> int:
        """The block's time. Units: Unix seconds. Raises: ChainMoved."""
        if position.block_number != self._number:
            block = self._reader.block(position.block_number)
            if block.timestamp < self._time:
                expected = f"a time no earlier than block {self._number}'s, {self._time}"
                self._tally.fail(TimeOrderError(f"block {block.number}", expected, str(block.timestamp)))
            self._number, self._hash, self._time = block.number, block.hash, block.timestamp
        if position.block_hash != self._hash:
            raise ChainMoved(position.block_number, position.block_hash, self._hash)
        return self._time

    def require(self, number: int, block_hash: bytes) -> None:
        """Ask for a block again. Raises: ChainMoved."""
        found = self._reader.block(number).hash
        if found != block_hash:
            raise ChainMoved(number, block_hash, found)
