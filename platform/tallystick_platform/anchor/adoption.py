"""Taking a log over: a journal that is behind its chain, because it was restored from a backup, goes on behind what the chain holds.

1. **Compare.** What the journal knows must be the beginning of what the chain holds: the head after its last entry is the one there. Two
   journals that wrote the same log apart from each other are not brought together; that is refused.
2. **Read.** Every entry beyond is read and checked: entry, head, root, and leaf by leaf where this journal has the record too.
3. **Decide.** The numbers that nobody knows are those from 1 up to the new floor that have no record on the chain or here and are not void.
   The floor is above both counters by a margin: more than the lost service can have admitted without anchoring it.
4. **Write.** Exports that the lost journal has ended are ended here too. Then one transaction: the entries of the other journal, the void
   numbers to be declared, the counters. Drafts go: each was either recorded by the lost journal or its number is void. The open epoch is
   closed, so that nothing more is sealed under its key.

The next start anchors the void numbers first, opens a new epoch, and goes on. Before step 4 nothing was changed, so a crash or a refusal
costs nothing; a crash in it, before the commit, is mended by running it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tallystick.chain.events import LogCreated
from tallystick.chain.reader import LedgerReader
from tallystick.chain.views import LogState
from tallystick.heads import MAX_NUMBER
from tallystick.ids import Index, checksum_address
from tallystick_platform.anchor.errors import (
    AdoptionRefused,
    HeadMismatch,
    NothingToAdopt,
    OtherLog,
    WriterChanged,
)
from tallystick_platform.anchor.foreign import EpochKeys, ForeignEntries, Found
from tallystick_platform.anchor.landing import find_landing, search_from
from tallystick_platform.clock import Clock
from tallystick_platform.ledger_chain.client import LedgerClient
from tallystick_platform.settings import Settings
from tallystick_platform.store.adoption import AdoptionStore, Span, Taking, gaps
from tallystick_platform.store.batches import Batches
from tallystick_platform.store.jobs import UNFINISHED, JobFault, JobState, JobStore
from tallystick_platform.store.journal import MAX_OPEN_ADMISSIONS
from tallystick_platform.store.rows import Epoch, Void

ENDED_ELSEWHERE = JobFault(
    code="interrupted", message="this job ended before the server was restored from a backup; its record says how"
)


def adoption_margin(settings: Settings) -> int:
    """More numbers than a service with these settings can have given out without anchoring their records.

    The gate lets no more than `max_unanchored_records` wait; what does not pass the gate (the ends of long work) is bounded by the
    admissions that a journal keeps open.
    """
    return settings.max_unanchored_records + MAX_OPEN_ADMISSIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """What an adoption did. Indices go on from `size`, numbers above `floor`.

    `ended` are exports that the lost journal has ended; `open_exports` those that go on here although records could not be opened which
    may have ended them too.
    """

    entries: int
    records: int
    ended: int
    open_exports: int
    size: Index
    floor: int
    voids: Sequence[Span]

    @property
    def void_numbers(self) -> int:
        """How many numbers are declared void."""
        return sum(last - first + 1 for first, last in self.voids)


class Adoption:
    """Takes one log over. Requires: the journal's lock, so that no service runs over it."""

    def __init__(
        self,
        *,
        batches: Batches,
        store: AdoptionStore,
        reader: LedgerReader,
        sender: LedgerClient,
        clock: Clock,
        confirmations: int,
        jobs: JobStore,
        keys: EpochKeys,
    ) -> None:
        self._batches = batches
        self._store = store
        self._jobs = jobs
        self._keys = keys
        self._reader = reader
        self._sender = sender
        self._clock = clock
        self._confirmations = confirmations

    def run(self, *, margin: int, restored: bool = False) -> Adopted:
        """Take the log over. `restored`: also where the chain holds nothing more, since what was not anchored yet is lost too.

        Raises: NothingToAdopt, AdoptionRefused, HeadMismatch, OtherLog, WriterChanged, LandingNotFound, ChainError, StoreError
        """
        state, latest = self._reader.log_state(), self._reader.latest_block().number
        self._compare(state, restored=restored)
        found = self._read(state, latest)
        self._require_deep(found, latest)
        # A change of the writer alone says nothing of a loss: where nothing else is new, every number is known.
        taking = self._decide(found, margin if found.foreign or found.settled or restored else 0)
        ended = self._end_jobs(found)
        self._store.take(taking, self._clock.now_us())
        return Adopted(
            entries=len(taking.foreign) + len(taking.rotations),
            records=len(taking.records),
            ended=ended,
            open_exports=len(self._jobs.unfinished()) if found.unopened else 0,
            size=taking.size,
            floor=taking.floor,
            voids=taking.voids,
        )

    def _compare(self, state: LogState, *, restored: bool) -> None:
        """Step 1, as far as the contract's own state tells."""
        if state.writer != self._sender.address:
            ours = checksum_address(self._sender.address)
            raise WriterChanged(expected=ours, found=checksum_address(state.writer))
        if not self._batches.begins_here():
            raise OtherLog
        entries = self._batches.tip().entries
        if state.entries <= entries:
            expected = self._batches.head_at(state.entries)
            if expected != state.head:
                raise HeadMismatch(entries=state.entries, expected=expected, found=state.head)
            if not restored:
                raise NothingToAdopt(entries=state.entries)

    def _read(self, state: LogState, latest: int) -> Found:
        """Step 2, and the rest of step 1."""
        tip = self._batches.tip()
        entries = ForeignEntries(store=self._store, reader=self._reader, sender=self._sender, keys=self._keys, tip=tip)
        if tip.entries >= state.entries:
            return entries.found
        created = self._reader.creation_block()
        for event in self._reader.events(created, latest, first_entry=0, end_entry=state.entries):
            if isinstance(event, LogCreated):
                continue
            if event.entry == tip.entries - 1 and event.head != tip.head:
                raise HeadMismatch(entries=tip.entries, expected=tip.head, found=event.head)
            if event.entry >= tip.entries:
                entries.take(event)
        found = entries.found
        if found.tip.head != state.head:
            raise HeadMismatch(entries=state.entries, expected=found.tip.head, found=state.head)
        for row in self._batches.unfinished():  # of this journal, brought to the chain by the lost one
            search = partial(search_from, self._reader, self._batches, row)
            found.settled.append((row, find_landing(self._reader, self._sender, row, search)))
        return found

    def _require_deep(self, found: Found, latest: int) -> None:
        """What is taken over is taken for good, since this journal could not send it again."""
        blocks = [mined.block_number for _, mined in found.foreign]
        blocks += [rotation.block_number for rotation in found.rotations]
        missing = max(blocks, default=latest) + self._confirmations - latest
        if blocks and missing > 0:
            raise AdoptionRefused(reason=f"the newest entry is not final yet: try again {missing} blocks later")

    def _decide(self, found: Found, margin: int) -> Taking:
        """Step 3."""
        next_seq, next_index = self._store.next_numbers()
        self._require_sendable(found)
        known = self._store.known_numbers(found.known)
        bounds = [rotation.rotation.last_admission for rotation in found.rotations]
        highest = max([next_seq - 1, self._store.highest_bound(), *bounds, *(last for _, last in known[-1:])])
        floor = highest + margin
        if floor > MAX_NUMBER:
            raise AdoptionRefused(reason=f"no admission numbers are left above {floor}")
        voids = list(gaps(known, floor))
        voided = [last for _, last in voids] + [row.last for row, _ in found.foreign if isinstance(row, Void)]
        return Taking(
            settled=found.settled,
            foreign=found.foreign,
            rotations=found.rotations,
            records=found.records,
            voids=voids,
            size=Index(max(found.tip.size, next_index)),
            floor=floor,
            void=max([self._store.highest_void(), *voided]),
        )

    def _end_jobs(self, found: Found) -> int:
        """Accepted work has one end. Repeated after a crash, it finds nothing left to do."""
        ended = [job for job in self._jobs.unfinished() if job.record_id in found.ends]
        for job in ended:
            changes = {"state": JobState.FAILED, "error": ENDED_ELSEWHERE, "stage": None}
            where = {"ended_by": found.ends[job.record_id], "finished_at": self._clock.now_us()}
            self._jobs.change(job.id, UNFINISHED, **changes, **where)
        return len(ended)

    def _require_sendable(self, found: Found) -> None:
        """Records that are here and not on the chain go there next, so the log must still take them under their epoch."""
        settled = {row.number for row, _ in found.settled if isinstance(row, Epoch)}
        to_open = {epoch.number for epoch in self._store.waiting_epochs() if epoch.number not in settled}
        open_now = {found.tip.epoch} if found.tip.epoch_open else set()
        for epoch in self._store.epochs_from(found.tip.size):
            if epoch not in to_open | open_now:
                reason = f"records here were sealed under epoch {epoch}, which is closed on the chain: two journals wrote this log apart"
                raise AdoptionRefused(reason=reason)
