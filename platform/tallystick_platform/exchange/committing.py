"""The commit of a record that ends a request: from here on the journal owes it, even if the caller gets an error.

Where the outcome is known at the admission, both are made in one step.
"""

from __future__ import annotations

from tallystick.errors import TallystickError
from tallystick.record import Record
from tallystick_platform import errors
from tallystick_platform.exchange.faults import AnswerWithheld
from tallystick_platform.exchange.parts import Parts
from tallystick_platform.store.entries import JournalEntry, Ticket

RETRY_AFTER_S = 5  # where the journal does not say


async def committed(parts: Parts, record: Record, ticket: Ticket) -> JournalEntry:
    """Make the record of an admission durable and count it.

    Raises: AnswerWithheld: nothing that waits for this record may be released.
    """
    try:
        entry = await parts.journal.commit(record)
    except errors.JournalUnavailable as error:
        raise AnswerWithheld(
            record_id=record.id, reason=str(error), retry_after_s=error.retry_after_s, ticket=ticket
        ) from error
    except (errors.PlatformError, TallystickError) as error:  # the journal still owes the record, and says why there
        parts.log_defect(error, record.id)
        raise AnswerWithheld(
            record_id=record.id,
            reason="the outcome could not be recorded as it was",
            retry_after_s=RETRY_AFTER_S,
            ticket=ticket,
        ) from error
    parts.count(record)
    return entry


async def recorded_at_once(parts: Parts, record: Record, token_id: str) -> tuple[Ticket, JournalEntry]:
    """Make an admission and its record durable in one, and count it.

    Raises: AnswerWithheld where that is not known to have come about; what else the journal raises, and then nothing stands.
    """
    try:
        ticket, entry = await parts.journal.record_at_once(record, token_id=token_id)
    except errors.JournalUnavailable as error:
        raise AnswerWithheld(
            record_id=record.id, reason=str(error), retry_after_s=error.retry_after_s, ticket=None
        ) from error
    parts.count(record)
    return ticket, entry
