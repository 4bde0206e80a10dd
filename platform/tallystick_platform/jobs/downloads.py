"""Handing out a model's files, an export's or a registered version's: admitted, counted, and recorded with what was really handed over.

A chunk is read while the one before it is on its way, so that one download holds two, whatever the file's size.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tallystick.ids import Address
from tallystick_platform.auth import Principal
from tallystick_platform.clock import Clock
from tallystick_platform.errors import Overloaded
from tallystick_platform.exchange.exchange import Exchange
from tallystick_platform.exchange.line import Admitted, Line
from tallystick_platform.exchange.records import Delivered, Event
from tallystick_platform.exchange.request import HttpFacts
from tallystick_platform.jobs.errors import DownloadStalled, FileChanged
from tallystick_platform.jobs.facts import ExportFacts, download_output
from tallystick_platform.jobs.published import ARCHIVE_NAME, Archive, Published
from tallystick_platform.store.jobs import StoredFile

STALL_LIMIT_S = 120.0
"""For one chunk: a client that takes less than about 9 KB a second is sent away, and can go on later where it stopped."""
MAX_DOWNLOADS = 64
MAX_DOWNLOADS_PER_SENDER = 16
RETRY_AFTER_S = 5
READER_THREADS = 4

Start = Callable[[Admitted], Awaitable[None]]
Send = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Which bytes of which file, or of the archive of all. `span` as in Content-Range where it is not the whole. Units: bytes."""

    of: Published
    name: str
    file: StoredFile | None
    offset: int
    length: int
    span: str | None


class Downloads:
    """Every download of the service. `limit_s` bounds one as a whole: its admission must have its record within the log's promise."""

    def __init__(self, *, exchange: Exchange, facts: ExportFacts, clock: Clock, limit_s: float) -> None:
        self._exchange = exchange
        self._limit_s = limit_s
        self._facts = facts
        self._clock = clock
        self._readers = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="download")
        self._by_sender: Counter[Address] = Counter()

    def close(self) -> None:
        """Give back what is held. Requires: no download is under way."""
        self._readers.shutdown()

    @contextmanager
    def place(self, sender: Address) -> Iterator[None]:
        """Room for one more download. Raises: Overloaded."""
        for bound, limit, found in (
            ("downloads of this sender", MAX_DOWNLOADS_PER_SENDER, self._by_sender[sender]),
            ("downloads at once", MAX_DOWNLOADS, self._by_sender.total()),
        ):
            if found >= limit:
                raise Overloaded(bound=bound, limit=limit, retry_after_s=RETRY_AFTER_S)
        self._by_sender[sender] += 1
        try:
            yield
        finally:
            self._by_sender[sender] -= 1
            if not self._by_sender[sender]:
                del self._by_sender[sender]

    def line(self, principal: Principal, part: Part, http: HttpFacts, start: Start, send: Send) -> Line:
        """The line of one download. `start` sends what comes before the first byte."""
        of = part.of
        chunks = Archive(of).chunks() if part.file is None else of.chunks(part.file, part.offset, part.length)
        work = Delivery(
            part=part,
            event=self._facts.download(of, part.name, part.span),
            chunks=chunks,
            start=start,
            send=send,
            clock=self._clock,
            readers=self._readers,
        )
        return self._exchange.line(principal=principal, http=http, work=work, timeout_s=self._limit_s)


@dataclass(slots=True, kw_only=True)
class Delivery:
    """One download on its way: implements `Work`."""

    part: Part
    event: Event
    chunks: Iterator[bytes]
    start: Start
    send: Send
    clock: Clock
    readers: ThreadPoolExecutor
    started_at: int | None = None
    sent: int = 0

    async def prepare(self) -> Event:
        """Nothing is to be claimed."""
        return self.event

    def close(self) -> None:
        """Nothing was."""

    async def carry_out(self, admitted: Admitted) -> None:
        """Send it, chunk by chunk; what the transport took is counted."""
        self.started_at = self.clock.now_us()
        reading = self._read()
        try:
            chunk = await asyncio.shield(
                reading
            )  # before the headers: a file that is gone is an error, not a cut answer
            await self.start(admitted)
            while chunk:
                reading = self._read()
                await self._hand_over(chunk)
                chunk = await asyncio.shield(reading)
        finally:
            await self._close(reading)

    def delivered(self, _failure: BaseException | None) -> Delivered:
        """How many bytes were handed over, and of what."""
        part = self.part
        output = download_output(
            sha256=None if part.file is None else part.file.sha256,
            manifest_digest=part.of.digest,
            sent_bytes=self.sent,
        )
        return Delivered(outputs=(output,) if self.sent or not part.length else (), started_at=self.started_at)

    def _read(self) -> asyncio.Future[bytes]:
        return asyncio.get_running_loop().run_in_executor(self.readers, next, self.chunks, b"")

    async def _hand_over(self, chunk: bytes) -> None:
        try:
            async with asyncio.timeout(STALL_LIMIT_S):
                await self.send(chunk)
        except TimeoutError as error:
            raise DownloadStalled(limit_s=STALL_LIMIT_S) from error
        self.sent += len(chunk)

    async def _close(self, reading: asyncio.Future[bytes]) -> None:
        """Close the file; a thread may still be reading from it."""
        await asyncio.wait([reading])
        with suppress(FileChanged, OSError):
            reading.result()
        close = getattr(self.chunks, "close", None)
        if close is not None:
            close()


def part_of(of: Published, name: str) -> Part:
    """The whole of one file, the signature too.

    Raises: UnknownFile
    """
    file = of.file(name)
    return Part(of=of, name=name, file=file, offset=0, length=file.size, span=None)


def archive_of(of: Published) -> Part:
    """All files as one tar."""
    return Part(of=of, name=ARCHIVE_NAME, file=None, offset=0, length=Archive(of).size, span=None)
