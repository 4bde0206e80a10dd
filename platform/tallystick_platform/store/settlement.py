"""The records that the journal itself writes, so that every admission ends in exactly one.

Each takes the would-be record of the admission (or the record that was offered) and says in `error` what is known, and no more.
`read_leftovers` finds the drafts that nobody in this process will finish.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from tallystick.errors import KeyFileError
from tallystick.ids import Address, Epoch, RecordId
from tallystick.record import HttpExchange, Record, RecordFault, RecordTime, Sender, State
from tallystick_platform.errors import DraftUnreadable, EpochKeyMissing
from tallystick_platform.store.database import WriterConnection
from tallystick_platform.store.drafts import decode_draft
from tallystick_platform.store.sealer import Sealer
from tallystick_platform.store.tables import ADMISSION

INTERRUPTED = RecordFault(
    code="interrupted",
    message="the process ended before the record of this request's outcome was committed; what was delivered is unknown",
)
DRAFT_LOST = RecordFault(
    code="interrupted",
    message="the process ended before this request's outcome was committed, and its draft does not open any more; "
    "what was asked and what was delivered is unknown",
)
ABANDONED = RecordFault(
    code="client_disconnected",
    message="the caller left before the request was started; nothing was computed or delivered",
)
REFUSED = RecordFault(
    code="journal_unavailable",
    message="the journal could not confirm this admission in time, so the request was refused; nothing was computed",
)
INVALID = RecordFault(code="record_invalid", message="the outcome of this request does not fit the record format")
UNRELEASED = RecordFault(
    code="journal_unavailable",
    message="the answer was computed but not delivered, because its record could not be stored",
)
RECEIPT_UNRELEASED = RecordFault(
    code="journal_unavailable",
    message="the answer was streamed as recorded, but its receipt was not delivered, because the record could not be stored",
)


def _ended(state: State, fault: RecordFault, draft: Record, now_us: int) -> Record:
    finished_at = max(now_us, draft.time.admitted_at, draft.time.started_at or 0)
    return replace(draft, state=state, error=fault, time=replace(draft.time, finished_at=finished_at))


interrupted = partial(_ended, State.INTERRUPTED, INTERRUPTED)
"""What stands after a crash: the draft, ended now."""
abandoned = partial(_ended, State.CANCELLED, ABANDONED)
"""The caller stopped waiting for an admission that became durable."""
refused = partial(_ended, State.FAILED, REFUSED)
"""An admission became durable although the commit reported a failure, and the caller was told so."""
invalid = partial(_ended, State.FAILED, INVALID)
"""The terminal record that was offered cannot be encoded."""


def without_contents(draft: Record) -> Record:
    """A draft without what was read out of its request; the request stays, for its hash was promised, and it fits a blob at any size."""
    return replace(draft, parameters={}, prompt=None, instructions=None)


def unreleased(offered: Record) -> Record:
    """A terminal record whose commit failed, so that its answer, or at least its receipt, was withheld.

    A streamed answer had been delivered and stays in the record; one that was not streamed never left and is taken out with its
    price and usage. A record of another outcome than `completed` told the truth already.
    """
    if offered.state != State.COMPLETED:
        return offered
    if offered.http.streamed:
        return replace(offered, state=State.FAILED, error=RECEIPT_UNRELEASED)
    return replace(
        offered,
        state=State.FAILED,
        error=UNRELEASED,
        response=None,
        usage=None,
        price=None,
        proof_of_compute=None,
    )


def from_admission_row(row: Mapping[str, Any], now_us: int) -> Record:
    """The least that can be recorded: an admission whose draft does not open.

    Without the request its hash cannot be what the admission says: whoever holds the admission can show that the writer lost it.
    """
    admitted_at = int(row["admitted_at"])
    return Record(
        id=RecordId(row["record_id"]),
        admission_seq=row["seq"],
        sender_seq=row["sender_seq"],
        task=row["task"],
        state=State.INTERRUPTED,
        error=DRAFT_LOST,
        time=RecordTime(admitted_at=admitted_at, started_at=None, finished_at=max(now_us, admitted_at)),
        http=HttpExchange(method=row["method"], path=row["path"], streamed=False),
        gpu=None,
        provider=None,
        price=None,
        model=None,
        parameters={},
        request=None,
        prompt=None,
        instructions=None,
        response=None,
        usage=None,
        sender=Sender(address=Address(row["sender"]), proof="token", token_id=row["token_id"], signature=None),
        proof_of_compute=None,
    )


_COLUMNS = tuple(column.name for column in ADMISSION.columns)
_DRAFTS = "SELECT admission_seq, epoch FROM draft ORDER BY admission_seq"
_CIPHERTEXT = "SELECT ciphertext FROM draft WHERE admission_seq = ?"
_ADMISSION = f"SELECT {', '.join(_COLUMNS)} FROM admission WHERE seq = ?"  # noqa: S608  names from the schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """The drafts that the database holds, by admission, and the would-be records of those without an owner."""

    epochs: dict[int, Epoch]
    orphans: dict[int, Record]
    unreadable: dict[int, Record]


def read_leftovers(connection: WriterConnection, sealer: Sealer, owned: Container[int], now_us: int) -> Leftovers:
    """Read every draft; open those whose admission is not in `owned`.

    A draft that does not open still ends in a record: the little that its admission row tells.
    """
    epochs = {seq: Epoch(epoch) for seq, epoch in connection.fetch(_DRAFTS)}
    orphans: dict[int, Record] = {}
    unreadable: dict[int, Record] = {}
    for seq, epoch in epochs.items():
        if seq in owned:
            continue
        ciphertext = connection.fetch(_CIPHERTEXT, (seq,))[0][0]
        try:
            orphans[seq] = decode_draft(sealer.reveal_draft(epoch, seq, ciphertext))
        except (DraftUnreadable, EpochKeyMissing, KeyFileError, ValueError):
            unreadable[seq] = from_admission_row(_admission(connection, seq), now_us)
    return Leftovers(epochs=epochs, orphans=orphans, unreadable=unreadable)


def has_record(connection: WriterConnection, seq: int) -> bool:
    """Whether an admission has its record."""
    return bool(connection.fetch("SELECT 1 FROM record WHERE admission_seq = ?", (seq,)))


def _admission(connection: WriterConnection, seq: int) -> dict[str, Any]:
    return dict(zip(_COLUMNS, connection.fetch(_ADMISSION, (seq,))[0], strict=True))
