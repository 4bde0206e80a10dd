"""The commit of a terminal record: from here on the journal owes it, whatever the caller sees."""

from __future__ import annotations

from tallystick.errors import TallystickError
from tallystick.record import Record
from tallystick_platform import errors
from tallystick_platform.exchange.faults import AnswerWithheld
from tallystick_platform.exchange.parts import Parts
from tallystick_platform.store.entries import JournalEntry

RETRY_AFTER_S = 5  # where the journal does not say


async def committed(parts: Parts, record: Record) -> JournalEntry:
    """Make a record durable and count it.

    Raises: AnswerWithheld: nothing that waits for this record may be released.
    """
    try:
        entry = await parts.journal.commit(record)
    except errors.JournalUnavailable as error:
        raise AnswerWithheld(record_id=record.id, reason=str(error), retry_after_s=error.retry_after_s) from error
    except (errors.PlatformError, TallystickError) as error:  # the journal still owes the record, and says why there
        parts.log_defect(error, record.id)
        raise AnswerWithheld(
            record_id=record.id, reason="the outcome could not be recorded as it was", retry_after_s=RETRY_AFTER_S
        ) from error
    parts.count(record)
    return entry
