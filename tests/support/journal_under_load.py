"""A process that writes a journal as fast as it can and says what it was told, until it is killed. Usage: HOME."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tallystick.ids import Address
from tallystick.keys import AuditorKey
from tallystick_platform.clock import SystemClock
from tallystick_platform.store.journal import Journal
from tests.support.journals import ALICE, BOB, TOKEN_ID, Setting, completed, would_be

CALLERS = 16


def say(line: str) -> None:
    """One line, handed to the operating system before anything else happens."""
    os.write(1, line.encode() + b"\n")


async def ask(journal: Journal, clock: SystemClock, sender: Address) -> None:
    """Requests without end; every tenth is never recorded."""
    count = 0
    while True:
        count += 1
        ticket = await journal.admit(would_be(clock, sender=sender), token_id=TOKEN_ID)
        say(f"admitted {ticket.record.id.hex()} {ticket.record.admission_seq}")
        if count % 10:
            entry = await journal.commit(completed(ticket.record, clock))
            say(f"recorded {entry.record_id.hex()} {entry.index} {entry.leaf.hex()}")


async def main(home: Path) -> None:
    """Recover, then work until killed."""
    clock = SystemClock()
    setting = Setting(home, clock=clock, auditor=AuditorKey(b"\x01" * 32))
    journal = setting.journal(setting.database())
    await journal.start()
    journal.release()
    say(f"recovered {await journal.recover()}")
    await asyncio.gather(*(ask(journal, clock, ALICE if caller % 2 else BOB) for caller in range(CALLERS)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
