"""Check 6: the transactions behind a log are signed by who may make them.

Wraps are made with public keys, so anybody can invent a log that is whole in itself. But each call names the head that it follows, so the
signature of one transaction covers the whole log before it: that of the last entry, by the writer, and of each new writer, by the keeper.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tallystick.chain.authorship import NotAuthored, TransactionWithheld, signer_of
from tallystick.chain.events import LedgerEntry, WriterRotated
from tallystick.chain.reader import LedgerReader
from tallystick.errors import AuthorshipError, VerificationError
from tallystick.ids import Address, Head, checksum_address
from tallystick.verify.log_walk import Entry
from tallystick.verify.tally import Tally
from tallystick.verify.verdict import Gap, Step

WITHHELD_REMEDY: Final = "a node that keeps transactions: ask another one"


def author_of(reader: LedgerReader, chain_id: int, previous_head: Head, event: LedgerEntry) -> Address:
    """Who signed the transaction of an entry.

    Raises: TransactionWithheld, NotAuthored; ChainError.
    """
    author = signer_of(
        reader.transport,
        chain_id=chain_id,
        contract=reader.contract,
        log_id=reader.log_id,
        previous_head=previous_head,
        event=event,
    )
    return author.signer


@contextmanager
def counted(tally: Tally, place: str = "") -> Iterator[None]:
    """Count why an author is not known, or is not who may be, instead of raising it."""
    try:
        yield
    except TransactionWithheld as error:
        tally.block(Step.AUTHORSHIP, Gap(f"whose transaction is not to be had ({error})", WITHHELD_REMEDY))
    except NotAuthored as error:
        tally.fail(AuthorshipError(place + error.where, error.expected, error.found))
    except VerificationError as failure:
        tally.fail(failure)


class AuthorChecks:
    """Follows the entries of a log, and checks who signed each new writer at once and the last entry at the end."""

    def __init__(self, tally: Tally, reader: LedgerReader, chain_id: int) -> None:
        self._tally = tally
        self._reader = reader
        self._chain_id = chain_id
        self._last: tuple[Entry, Head] | None = None

    def take(self, event: Entry, previous_head: Head, keeper: Address | None) -> None:
        """Take the next entry."""
        if isinstance(event, WriterRotated):
            self._last = None
            if keeper is not None:
                self.check(event, previous_head, keeper, "the log's keeper")
        else:
            self._last = event, previous_head

    def finish(self, writer: Address | None) -> None:
        """Check the last entry."""
        if self._last is not None and writer is not None:
            self.check(*self._last, writer, "the log's writer")

    def check(self, event: Entry, previous_head: Head, author: Address, role: str) -> None:
        """Check one entry's transaction."""
        where = f"entry {event.entry}"
        with counted(self._tally, f"{where}: "):
            found = author_of(self._reader, self._chain_id, previous_head, event)
            if found != author:
                expected = f"a transaction of {role} {checksum_address(author)}"
                raise AuthorshipError(where, expected, f"one of {checksum_address(found)}")
            self._tally.held[Step.AUTHORSHIP] += 1
