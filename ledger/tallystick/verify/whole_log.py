"""The verification of a whole log, from its creation to one block: `verify_log`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tallystick.chain.events import BatchAppended, BatchCommitted, EpochOpened, LogCreated, NumbersVoided, WriterRotated
from tallystick.chain.faults import OtherChain, OtherCode
from tallystick.chain.reader import Block, LedgerReader
from tallystick.chain.views import LogState
from tallystick.errors import HeadsError, Party
from tallystick.ids import Address, Hash32, LogId, checksum_address, to_hex
from tallystick.keys import AuditorKey
from tallystick.receipts.messages import Domain
from tallystick.sealing import sealed_header
from tallystick.verify.author_checks import AuthorChecks
from tallystick.verify.binding_checks import NO_RECEIPT, Blobs, without_blobs
from tallystick.verify.blocks import Blocks
from tallystick.verify.completeness import NUMBERS_HIDDEN, Completeness
from tallystick.verify.log_walk import ROOTS_ONLY, Entry, LogWalk, Standing
from tallystick.verify.promise_checks import Message
from tallystick.verify.receipt_checks import Promises, WriterSpan
from tallystick.verify.record_checks import Placed, RecordChecks
from tallystick.verify.tally import Tally
from tallystick.verify.verdict import BlockRef, Gap, LogSubject, Step, Verdict
from tallystick.verify.vouching import NOBODY

MAX_CLOCK_AHEAD_S: Final = 15
"""A newest block later than this machine's clock by more than so many seconds means that one of the two is wrong."""
DEFAULT_MAX_AGE_S: Final = 600
"""A chain whose blocks come by the clock makes one every few seconds: an older newest block means a node that is behind."""
IDLE_CHAINS: Final = frozenset((73_571, 31_337))
"""Chains that make a block only when there is something to put in it: the embedded one, and development nodes. There the age of the
newest block says nothing."""
PROGRESS_RECORDS: Final = 256
"""Progress is told once for so many records."""

EMPTY: Final = Gap("of a log that holds no record", "verify it once something was written to it")
OTHER_WRITER: Final = "written by {}, where {} was named"
OTHER_WRITER_REMEDY: Final = "the log whose writer you know; its id fixes the first writer"
OLD_BLOCK: Final = "as of a block that is {} s old: a node that is behind shows an old head"
OLD_BLOCK_REMEDY: Final = (
    "ask another node; --max-age SECONDS where a longer pause is usual, --max-age none where blocks come only on demand"
)
FUTURE_BLOCK: Final = "as of a block that lies {} s in this machine's future: one of the two clocks is wrong"
FUTURE_BLOCK_REMEDY: Final = "set this machine's clock, or ask another node"
FEWER_ENTRIES: Final = (
    "of {} entries that were verified before, of which the node shows {}: it is behind, or hides the rest"
)
FEWER_ENTRIES_REMEDY: Final = "ask another node"

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions:
    """What to hold against the log.

    `first_index` and `last_index`, both included, say which records are opened; the structure is always checked as a whole.
    `at_block` is the block as of which the log is judged, the newest if None. `chain_id`, `code_hash` and `writers` are what the log
    is known to have, `seen` where it stood when it was last verified. `vouched` is False where evidence named the log, and nobody
    who knows it. `blobs` gives large fields that stand outside the records.
    `second` reads the same log from another node, which must show the same blocks: then their times are not one node's word.
    Units: `now_s` is Unix seconds; `max_age_s` is how old the newest block may be, None for any age.
    """

    auditor_keys: Sequence[AuditorKey] = ()
    messages: Sequence[Message] = ()
    blobs: Blobs = without_blobs
    first_index: int = 0
    last_index: int | None = None
    at_block: int | None = None
    chain_id: int | None = None
    code_hash: bytes | None = None
    writers: Sequence[Address] = ()
    seen: Standing | None = None
    vouched: bool = True
    now_s: float | None = None
    max_age_s: int | None = None
    second: LedgerReader | None = None


def verify_log(reader: LedgerReader, options: VerifyOptions, on_progress: Progress | None = None) -> Verdict:
    """Check a log from its creation to one block, in the memory of one page of events.

    Raises: ChainError where the node gives no answer that can be judged: another chain or contract, no such log, events left out;
    ReceiptFormatError for a message about another log.
    """
    return _LogVerification(reader, options, on_progress).verdict()


def default_max_age_s(chain_id: int) -> int | None:
    """How old the newest block of a chain may be before a node counts as behind; None where that says nothing."""
    return None if chain_id in IDLE_CHAINS else DEFAULT_MAX_AGE_S


class _LogVerification:
    """One run over one log."""

    def __init__(self, reader: LedgerReader, options: VerifyOptions, on_progress: Progress | None) -> None:
        self._reader = reader
        self._options = options
        self._on_progress = on_progress
        self._chain_id = reader.chain_id()
        if options.chain_id is not None and options.chain_id != self._chain_id:
            raise OtherChain(options.chain_id, self._chain_id)
        self._domain = Domain(chain_id=self._chain_id, contract=reader.contract)
        self._tally = Tally()
        self._promises = Promises(self._tally, reader.log_id, self._domain, options.messages)
        self._records = RecordChecks(
            self._tally,
            self._domain,
            reader.log_id,
            options.auditor_keys,
            (options.first_index, options.last_index),
            self._promises,
            options.blobs,
        )
        self._walk = LogWalk(self._tally, self._domain, reader.log_id)
        self._blocks = Blocks(self._tally, reader, options.second)
        self._authors = AuthorChecks(self._tally, reader, self._chain_id)
        self._spans: list[WriterSpan] = []
        self._completeness: Completeness | None = None
        self._passed: Standing | None = None

    def verdict(self) -> Verdict:
        reader, tally, options = self._reader, self._tally, self._options
        head = reader.latest_block() if options.at_block is None else reader.block(options.at_block)
        # 1 contract-code
        code_hash = reader.require_contract(block=head.number)
        if (
            options.code_hash is not None and code_hash != options.code_hash
        ):  # the address may be mistyped: it accuses nobody
            raise OtherCode(reader.contract, frozenset({Hash32(options.code_hash)}), code_hash)
        tally.held[Step.CONTRACT_CODE] += 1
        state = reader.log_state(head.number)
        created_at = reader.log_terms(head.number).created_at
        first_block = reader.creation_block()
        # 2 to 7, and 9 to 17 on each record on the way
        for event in reader.events(first_block, head.number, first_entry=0, end_entry=state.entries):
            time = self._blocks.time_of(event.position)
            if isinstance(event, LogCreated):
                self._begin(event, created_at)
            else:
                self._take(event, time, state)
        if self._on_progress is not None:
            self._on_progress(state.size, state.size)
        self._walk.finish(state)
        # 6 authorship, of the last entry
        self._authors.finish(self._walk.writer)
        self._records.finish(head.timestamp)
        if self._completeness is not None:
            self._completeness.finish(head.timestamp)
        # 8 receipts, with 13 where there is one to compare with
        erased = self._finish_promises(head, state)
        self._records.claims.tell(tally)
        if options.auditor_keys and not tally.held[Step.RESPONSE_BINDING]:
            tally.skip(Step.RESPONSE_BINDING, NO_RECEIPT)
        self._check_place(head, state)
        self._blocks.finish(head, state, self._chain_id)
        reader.require_same(head)
        return self._conclude(code_hash, state, head, first_block, erased)

    def _begin(self, event: LogCreated, created_at: int) -> None:
        terms = event.terms
        self._walk.create(event)
        self._promises.pass_head(0, 0, self._walk.head)
        self._note_standing()
        if self._completeness is None:
            self._completeness = Completeness(self._tally, terms.promise + terms.skew)
            self._records.begin(self._completeness.voids, terms.promise, terms.skew, created_at)
            self._spans.append(WriterSpan(writer=terms.writer, since_s=created_at))

    def _take(self, event: Entry, time: int, state: LogState) -> None:
        walk = self._walk
        before = walk.head
        if isinstance(event, BatchAppended):
            self._take_batch(event, time, state)
        else:
            walk.take(event)
            if isinstance(event, EpochOpened):
                self._records.open_epoch(event)
            elif isinstance(event, BatchCommitted):
                gap = Gap(NUMBERS_HIDDEN, ROOTS_ONLY.remedy)
                self._tally.block(Step.COMPLETENESS, gap, event.count)
                if self._options.auditor_keys:
                    self._tally.block(Step.DECRYPTION, ROOTS_ONLY, event.count)
            elif isinstance(event, NumbersVoided) and self._completeness is not None:
                self._records.void(self._completeness.void(event.first, event.last, time))
            elif isinstance(event, WriterRotated):
                self._rotate(event, time)
        self._authors.take(event, before, None if walk.terms is None else walk.terms.keeper)
        self._promises.pass_head(walk.entries, walk.size, walk.head)
        self._note_standing()

    def _take_batch(self, event: BatchAppended, time: int, state: LogState) -> None:
        records = self._walk.take_batch(event)
        headers = [sealed_header(record.sealed) for record, _ in records]
        if self._completeness is not None:
            self._completeness.take_batch(event.first_index, [header.admission_seq for header in headers], time)
        for position, ((record, leaf), header) in enumerate(zip(records, headers, strict=True)):
            index = event.first_index + position
            self._records.take(Placed(index, record.fields_root, record.sealed, header, leaf, event.epoch, time))
            if self._on_progress is not None and index % PROGRESS_RECORDS == 0:
                self._on_progress(index, state.size)

    def _rotate(self, event: WriterRotated, time: int) -> None:
        self._records.flush()
        if self._spans:
            self._spans[-1].until_s, self._spans[-1].last_admission = time, event.last_admission
        self._spans.append(WriterSpan(writer=event.writer, since_s=time, first_index=event.size))

    def _note_standing(self) -> None:
        seen = self._options.seen
        if seen is not None and self._walk.entries == seen.entries:
            self._passed = self._walk.standing

    def _finish_promises(self, head: Block, state: LogState) -> int:
        terms = self._walk.terms
        if terms is None:
            return 0
        return self._promises.finish(
            self._proven_writers(),
            self._records.claims,
            promise=terms.promise,
            skew=terms.skew,
            entries=state.entries,
            head_time=head.timestamp,
        )

    def _proven_writers(self) -> list[WriterSpan]:
        """The writers whose signatures bind the log: the first by the log's identifier, each later one by the keeper's signature."""
        if not self._walk.terms_hold:
            return []
        authorship = Step.AUTHORSHIP
        if not self._tally.failed(authorship) and not self._tally.is_blocked(authorship):
            return self._spans
        return [replace(self._spans[0], until_s=None, last_admission=None)]

    def _check_place(self, head: Block, state: LogState) -> None:
        tally, options, seen = self._tally, self._options, self._options.seen
        if not state.size:
            tally.block(Step.INDEX_CONTINUITY, EMPTY, 0)
        if seen is not None:
            # 5 heads: the log still passes through where it was
            if seen.entries > state.entries:
                gap = Gap(FEWER_ENTRIES.format(seen.entries, state.entries), FEWER_ENTRIES_REMEDY)
                tally.block(Step.HEADS, gap, 0)
            elif self._passed != seen:
                found = "none" if self._passed is None else to_hex(self._passed.head)
                expected = f"the head {to_hex(seen.head)}, which was verified before"
                tally.fail(HeadsError(f"entry {seen.entries - 1}", expected, found, Party.WRITER))
            else:
                tally.held[Step.HEADS] += 1
        strangers = [span.writer for span in self._spans[:1] if options.writers and span.writer not in options.writers]
        if not options.vouched:
            tally.block(Step.AUTHORSHIP, NOBODY, 0)
        if strangers:
            named = ", ".join(checksum_address(writer) for writer in options.writers)
            gap = Gap(OTHER_WRITER.format(checksum_address(strangers[0]), named), OTHER_WRITER_REMEDY)
            tally.block(Step.AUTHORSHIP, gap, 0)
        if options.at_block is None and options.now_s is not None:
            self._check_age(int(options.now_s) - head.timestamp)

    def _check_age(self, age_s: int) -> None:
        limit = self._options.max_age_s
        if age_s < -MAX_CLOCK_AHEAD_S:
            self._tally.block(Step.HEADS, Gap(FUTURE_BLOCK.format(-age_s), FUTURE_BLOCK_REMEDY), 0)
        elif limit is not None and age_s > limit:
            self._tally.block(Step.HEADS, Gap(OLD_BLOCK.format(age_s), OLD_BLOCK_REMEDY), 0)

    def _conclude(self, code_hash: bytes, state: LogState, head: Block, first_block: int, erased: int) -> Verdict:
        options, tally, terms = self._options, self._tally, self._walk.terms
        subject = LogSubject(
            chain_id=self._chain_id,
            contract=self._reader.contract,
            code_hash=code_hash,
            log_id=LogId(self._reader.log_id),
            writer=state.writer,
            writers=tuple(span.writer for span in self._spans),
            keeper=None if terms is None else terms.keeper,
            promise_s=0 if terms is None else terms.promise,
            size=state.size,
            entries=state.entries,
            head=state.head,
            batch_count=state.batch_count,
            voided=0 if self._completeness is None else self._completeness.given_up,
            erased=erased,
            first_block=first_block,
            head_block=BlockRef(number=head.number, hash=head.hash, timestamp=head.timestamp),
            age_s=0 if options.now_s is None else int(options.now_s) - head.timestamp,
            opened_from=options.first_index,
            opened_to=options.last_index,
            auditor_key_ids=tuple(key.key_id for key in options.auditor_keys),
        )
        signed = bool(tally.held[Step.AUTHORSHIP]) and not tally.is_blocked(Step.AUTHORSHIP)
        return tally.verdict(subject, grounded=signed and not tally.blames(Party.NODE))
