"""The registry as the HTTP side asks it: in threads, for whoever holds a token. The operator's own address acts as the operator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import ParamSpec, TypeVar

import structlog

from tallystick.ids import Address
from tallystick_platform.errors import PlatformError
from tallystick_platform.registry.conversion import Progress
from tallystick_platform.registry.entries import ModelVersion, Stage, VersionFiles, Visibility
from tallystick_platform.registry.intake import Arrival
from tallystick_platform.registry.names import parse_model_id
from tallystick_platform.registry.registrations import Registration, Registrations
from tallystick_platform.registry.registry import Registry
from tallystick_platform.registry.sources import Source, register
from tallystick_platform.registry.upload_entries import Announcement, Part, Upload
from tallystick_platform.registry.uploads import Uploads

SWEEP_EVERY_S = 300.0

P = ParamSpec("P")
T = TypeVar("T")

_log = structlog.get_logger(__name__)


async def in_thread(work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Like asyncio.to_thread, but over only when the thread is: what it works on is not taken away under it."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *arguments, **options))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


class ModelDesk:
    """What can be done with models over HTTP. `served` says whether a worker has a version loaded."""

    def __init__(
        self,
        registry: Registry,
        uploads: Uploads,
        registrations: Registrations,
        *,
        operator: Address,
        served: Callable[[ModelVersion], bool] = lambda _: False,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._registry = registry
        self._uploads = uploads
        self.registrations = registrations
        self._operator = operator
        self.served = served
        self._changed = changed

    def viewer(self, address: Address) -> Address | None:
        """Whom the registry should take a caller for."""
        return None if address == self._operator else address

    async def offered(self, address: Address) -> Sequence[ModelVersion]:
        """Of every model that the caller may ask, the version that would answer."""
        return await asyncio.to_thread(self._registry.offered, self.viewer(address))

    async def find(self, reference: str, address: Address) -> ModelVersion:
        """A version at whatever stage. Raises: UnknownModel"""
        return await asyncio.to_thread(self._registry.find, reference, self.viewer(address))

    async def files(self, reference: str, address: Address) -> VersionFiles:
        """What a version was registered with. Raises: UnknownModel, NoFiles, FolderBroken"""
        return await in_thread(self._registry.files, reference, self.viewer(address))

    async def versions(self, model: str, address: Address) -> Sequence[ModelVersion]:
        """Every version of a model. Raises: UnknownModel"""
        return await asyncio.to_thread(self._registry.versions, model, self.viewer(address))

    async def promote(self, reference: str, address: Address) -> ModelVersion:
        """Raises: UnknownModel, NotTheOwner, SignatureRefused"""
        return await self._change(self._registry.promote, reference, self.viewer(address))

    async def retire(self, reference: str, address: Address) -> ModelVersion:
        """Raises: UnknownModel, NotTheOwner, InUse"""
        return await self._change(self._registry.retire, reference, self.viewer(address))

    async def remove(self, reference: str, address: Address) -> ModelVersion:
        """Raises: UnknownModel, NotTheOwner, InUse"""
        loaded = self.served(await self.find(reference, address))  # workers are asked in the event loop alone
        return await self._change(self._registry.remove, reference, self.viewer(address), served=lambda _: loaded)

    async def register(
        self,
        source: Source,
        *,
        name: str | None,
        address: Address,
        visibility: Visibility,
        licence: str | None,
        stage: Stage,
    ) -> Registration:
        """Bring a model in the background. Raises: BadReference, ModelTaken, Overloaded"""
        owner = self.viewer(address)
        model = parse_model_id(name or source.name)
        await asyncio.to_thread(self._registry.check_name, model, owner)
        arrival = Arrival(model=model, owner=owner, visibility=visibility, licence=licence, stage=stage)

        def bring(progress: Progress) -> ModelVersion:
            version = register(self._registry, source, arrival, progress)
            self._changed()
            return version

        return self.registrations.start(address, model, bring)

    async def open_upload(self, model: str, announced: Announcement, *, address: Address, token_id: str) -> Upload:
        """Raises: what `Uploads.open` does."""
        return await in_thread(self._uploads.open, model, announced, owner=address, token_id=token_id)

    async def upload(self, model: str, upload_id: str, address: Address, *, with_missing: bool = True) -> Upload:
        """Raises: UploadUnknown"""
        return await asyncio.to_thread(self._uploads.find, upload_id, address, model=model, with_missing=with_missing)

    async def uploads(self, model: str, address: Address) -> Sequence[Upload]:
        """The caller's uploads to a model, oldest first."""
        found = await asyncio.to_thread(self._uploads.list, address)
        return [upload for upload in found if upload.model.lower() == model.lower()]

    @asynccontextmanager
    async def part(self, model: str, upload_id: str, address: Address, name: str, number: int) -> AsyncIterator[Part]:
        """Room for one part; see `Uploads.part`. Write to it with `in_thread`. Raises: UploadUnknown, UploadRefused, DiskFull"""
        await self.upload(model, upload_id, address, with_missing=False)
        with ExitStack() as room:
            yield await in_thread(room.enter_context, self._uploads.part(upload_id, address, name, number))

    async def complete_upload(self, model: str, upload_id: str, address: Address) -> ModelVersion:
        """Raises: what `Uploads.complete` does."""
        await self.upload(model, upload_id, address, with_missing=False)
        return await self._change(self._uploads.complete, upload_id, address)

    async def give_up_upload(self, model: str, upload_id: str, address: Address) -> None:
        """Raises: UploadUnknown, UploadRefused"""
        await self.upload(model, upload_id, address, with_missing=False)
        await in_thread(self._uploads.give_up, upload_id, address)

    async def sweep_forever(self) -> None:
        """Give space back now and then, until it is cancelled."""
        while True:
            try:
                swept = await in_thread(lambda: self._registry.sweep() + self._uploads.sweep())
                if swept:
                    _log.info("models.swept", folders=swept)
            except (PlatformError, OSError) as error:
                _log.warning("models.not_swept", reason=str(error))
            await asyncio.sleep(SWEEP_EVERY_S)

    async def _change(self, work: Callable[P, ModelVersion], *arguments: P.args, **options: P.kwargs) -> ModelVersion:
        version = await in_thread(work, *arguments, **options)
        self._changed()
        return version
