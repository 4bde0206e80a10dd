"""Keeping files of requests for their owners, within bounds, and handing them out again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tallystick.hashing import keccak256
from tallystick.ids import Address
from tallystick_platform.clock import Clock
from tallystick_platform.jobs.batch_lines import ERRORS, OUTPUT
from tallystick_platform.jobs.live import US_PER_S
from tallystick_platform.jobs.work import KEEP_S
from tallystick_platform.jobs.work_errors import TooManyFiles, UnknownKeptFile
from tallystick_platform.registry.desk import in_thread
from tallystick_platform.store.kept_files import FileStore, KeptFile

MAX_FILES_PER_OWNER: Final = 256
MAX_BYTES_PER_OWNER: Final = 512 * 1_048_576
INPUT: Final = "batch"
PURPOSES: Final = (INPUT, OUTPUT, ERRORS)
ID_BYTES: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFiles:
    """Every file of the service. `random(n)` gives n unpredictable bytes."""

    store: FileStore
    clock: Clock
    random: Callable[[int], bytes]

    async def keep(self, owner: Address, name: str, content: bytes) -> KeptFile:
        """Keep a file of requests; durable on return.

        Raises: TooManyFiles
        """
        held = await in_thread(lambda: self.store.held(owner))
        if held.files >= MAX_FILES_PER_OWNER:
            raise TooManyFiles(bound="files", limit=MAX_FILES_PER_OWNER)
        if held.size_bytes + len(content) > MAX_BYTES_PER_OWNER:
            raise TooManyFiles(bound="bytes in files", limit=MAX_BYTES_PER_OWNER)
        now_us = self.clock.now_us()
        file = KeptFile(
            id=f"file-{self.random(ID_BYTES).hex()}",
            number=0,
            owner=owner,
            purpose=INPUT,
            name=name,
            size_bytes=len(content),
            digest=keccak256(content),
            created_at=now_us,
            keep_until=now_us + KEEP_S * US_PER_S,
        )
        return await in_thread(lambda: self.store.insert(file, content))

    async def find(self, owner: Address, file_id: str) -> KeptFile:
        """A file of an owner. Raises: UnknownKeptFile, RowTampered"""
        found = await in_thread(lambda: self.store.get(file_id, owner))
        if found is None:
            raise UnknownKeptFile
        return found

    async def page(
        self, owner: Address, purpose: str | None, *, after: str | None, limit: int
    ) -> tuple[Sequence[KeptFile], bool]:
        """An owner's files, newest first, and whether there are more. Raises: UnknownKeptFile, RowTampered"""
        below = None if after is None else (await self.find(owner, after)).number
        found = await in_thread(lambda: self.store.files(owner, purpose, below=below, limit=limit + 1))
        return found[:limit], len(found) > limit

    async def content(self, file: KeptFile) -> bytes:
        """What a file holds. Raises: UnknownKeptFile, RowTampered"""
        content = await in_thread(lambda: self.store.content(file))
        if content is None:
            raise UnknownKeptFile
        return content

    async def remove(self, owner: Address, file_id: str) -> KeptFile:
        """Forget a file. Raises: UnknownKeptFile, RowTampered"""
        file = await self.find(owner, file_id)
        await in_thread(lambda: self.store.remove(file_id))
        return file
