"""The registered models: what each is, who may see it, which version answers.

Synchronous; the HTTP side calls what is slow in a thread. What the caller may not see does not exist for them: UnknownModel.
`viewer` is the caller's address, None the operator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection

from tallystick.ids import Address
from tallystick_platform.clock import Clock
from tallystick_platform.registry.conversion import Looks, Progress
from tallystick_platform.registry.entries import (
    UPSTREAM_FORMAT,
    Model,
    ModelVersion,
    Price,
    SignatureState,
    Stage,
    Verification,
    VersionFiles,
)
from tallystick_platform.registry.errors import (
    FolderBroken,
    InUse,
    ModelTaken,
    NoFiles,
    NotTheOwner,
    SignatureRefused,
)
from tallystick_platform.registry.folders import ModelFolders, Staged
from tallystick_platform.registry.intake import Arrival, Intake, apart_from, hashed
from tallystick_platform.registry.keeping import Keeping
from tallystick_platform.registry.lookup import Lookup, parsed
from tallystick_platform.registry.names import parse_model_id
from tallystick_platform.registry.rows import Rows
from tallystick_platform.registry.signatures import SignaturePolicy, Signatures
from tallystick_platform.settings import Settings
from tallystick_platform.store.database import Database
from tallystick_platform.store.jobs import is_exported
from tallystick_platform.store.row_macs import RowMacs

DEFAULT_QUOTA_BYTES = 64 * 1_073_741_824


def silent(_stage: str, _fraction: float) -> None:
    """Progress that nobody watches."""


class Registry:
    """Models and versions over a database and the folders of a home. `quota_bytes` bounds what one owner may store."""

    def __init__(
        self,
        database: Database,
        macs: RowMacs,
        folders: ModelFolders,
        clock: Clock,
        *,
        signatures: Signatures | None = None,
        quota_bytes: int = DEFAULT_QUOTA_BYTES,
        looks: Looks | None = None,
    ) -> None:
        self.folders = folders
        self.quota_bytes = quota_bytes
        self.signatures = signatures or Signatures(SignaturePolicy.WARN)
        self._database = database
        self._rows = Rows(macs)
        self.looks = looks or Looks()
        self._lookup = Lookup(self._rows)
        self._keeping = Keeping(folders)
        self._intake = Intake(database, self._rows, folders, clock, self._keeping, quota_bytes=quota_bytes)

    # -- reading

    def list(self, viewer: Address | None) -> Sequence[Model]:
        """The models that the viewer may see, by name."""
        with self._database.reading() as connection:
            return self._rows.models(connection, viewer)

    def offered(self, viewer: Address | None) -> Sequence[ModelVersion]:
        """Of every model that would answer the viewer, the version that does."""
        with self._database.reading() as connection:
            return self._lookup.offered(connection, viewer)

    def versions(self, model: str, viewer: Address | None) -> Sequence[ModelVersion]:
        """Every version of a model that the viewer may see, newest first. Raises: UnknownModel."""
        with self._database.reading() as connection:
            found = self._lookup.model(connection, parsed(model), viewer)
            return [
                version
                for version in self._rows.versions(connection, found)
                if found.owned_by(viewer) or version.stage is not Stage.STAGING
            ]

    def find(self, reference: str, viewer: Address | None) -> ModelVersion:
        """A version at whatever stage: the one named, or the newest that the viewer may see, in production first.

        Raises: UnknownModel.
        """
        with self._database.reading() as connection:
            return self._lookup.version(connection, parsed(reference), viewer, retired=True)

    def owned(self, reference: str, viewer: Address | None) -> ModelVersion:
        """A version at whatever stage that the viewer may change. Raises: UnknownModel, NotTheOwner"""
        version = self.find(reference, viewer)
        if not version.model.owned_by(viewer):
            raise NotTheOwner(model=reference)
        return version

    def resolve(self, reference: str, viewer: Address | None) -> ModelVersion:
        """The version that answers a request: the one named, else the newest in production, else the owner's newest in staging.

        Raises: UnknownModel, also for retired versions and for others' versions in staging.
        """
        with self._database.reading() as connection:
            return self._lookup.version(connection, parsed(reference), viewer, retired=False)

    def all_versions(self) -> Sequence[ModelVersion]:
        """Every version of every model."""
        with self._database.reading() as connection:
            return self._rows.all_versions(connection)

    def path(self, version: ModelVersion) -> Path:
        """The folder of a version's files."""
        return self.folders.path(version.digest)

    def files(self, reference: str, viewer: Address | None) -> VersionFiles:
        """The files of a version at whatever stage. Raises: UnknownModel; NoFiles where there are none to give away; FolderBroken"""
        version = self.find(reference, viewer)
        if version.format == UPSTREAM_FORMAT:
            raise NoFiles(reference=version.reference)
        return self._keeping.files(version)

    def stored_bytes(self, owner: Address) -> int:
        """What an owner's versions take. Units: bytes."""
        with self._database.reading() as connection:
            return self._rows.stored_bytes(connection, owner)

    # -- writing

    def add(self, staged: Staged, arrival: Arrival, progress: Progress = silent) -> ModelVersion:
        """Make a staged folder a version; it is visible when this returns, and not at all if it raises. See folders.py for the order.

        Raises: BadReference, ContentDiffers, ModelTaken, TaskDiffers, VersionExists, RegistryFull, SignatureRefused, FormatError,
        UnsafeModel, SourceUnusable (a GGUF file that cannot be converted), DiskFull, OSError
        """
        parse_model_id(arrival.model)
        return self._intake.take(staged, arrival, signatures=self.signatures, looks=self.looks, progress=progress)

    def check_name(self, model: str, owner: Address | None) -> None:
        """Whether this owner may add versions to this name. Raises: ModelTaken"""
        with self._database.reading() as connection:
            known = self._rows.model(connection, model.lower())
        if known is not None and not known.owned_by(owner):
            raise ModelTaken(model=model)

    def promote(self, reference: str, viewer: Address | None) -> ModelVersion:
        """Offer a version to everybody who may see the model. Raises: UnknownModel, NotTheOwner, SignatureRefused."""
        version = self.owned(reference, viewer)
        self.signatures.clear(version)
        return self._change(version, stage=Stage.PRODUCTION)

    def retire(self, reference: str, viewer: Address | None) -> ModelVersion:
        """Withdraw a version: it answers nothing new and stays on disk. Raises: UnknownModel, NotTheOwner, InUse."""
        version = self.owned(reference, viewer)
        if version.pinned:
            raise InUse(reference=version.reference, reason="it is pinned", remedy="unpin it first")
        return self._change(version, stage=Stage.RETIRED)

    def pin(self, reference: str, viewer: Address | None, *, pinned: bool) -> ModelVersion:
        """Keep a version loaded, or no longer. Raises: UnknownModel, NotTheOwner."""
        return self._change(self.owned(reference, viewer), pinned=pinned)

    def price(self, reference: str, viewer: Address | None, price: Price | None) -> ModelVersion:
        """Say what a version costs; None is the provider's price. Raises: UnknownModel, NotTheOwner."""
        return self._change(self.owned(reference, viewer), price=price)

    def remove(
        self, reference: str, viewer: Address | None, *, served: Callable[[ModelVersion], bool] = lambda _: False
    ) -> ModelVersion:
        """Forget a version and give its space back. `served` says whether a worker has it loaded.

        Raises: UnknownModel, NotTheOwner, InUse
        """
        version = self.owned(reference, viewer)
        with self.folders.stage() as trash, self.folders.exclusive():
            trash.announce(version.digest)
            with self._database.writing() as connection:
                version = self._lookup.version(connection, parsed(version.reference), viewer, retired=True)
                self._check_unused(connection, version, served)
                self._rows.delete_version(connection, version)
                last = self._rows.with_digest(connection, version.digest) == 0
                unsigned = version.signature_digest and not self._rows.with_signature(
                    connection, version.signature_digest
                )
            if last:
                self.folders.withdraw(version.digest, trash)
                self._keeping.manifest_path(version.digest).unlink(missing_ok=True)
            if unsigned and version.signature_digest:
                self._keeping.signature_path(version.signature_digest).unlink(missing_ok=True)
        return version

    def verify(self, reference: str, viewer: Address | None, progress: Progress = silent) -> Verification:
        """Hash a version's files anew and check its signature. Raises: UnknownModel."""
        version = self.find(reference, viewer)
        found, reason = self._keeping.compare(version, lambda folder: hashed(folder, progress))
        state, signer = SignatureState.NONE, version.signer
        if found is not None and version.signature_digest is not None:
            try:
                data = self._keeping.signature(version.signature_digest)
                checked = self.signatures.check(
                    self.path(version), data, found, model=version.reference, apart_from=apart_from(version.base)
                )
                state, signer = checked.state, checked.signer
            except (SignatureRefused, FolderBroken) as error:
                reason = reason or str(error)
        return Verification(
            ok=reason is None,
            reference=version.reference,
            expected=version.digest,
            found=None if found is None else found.digest,
            reason=reason,
            signature=state,
            signer=signer,
        )

    def sweep(self) -> int:
        """Give back the space of what was never finished; says how many folders. Called at every start."""

        def known(digest: bytes) -> bool:
            with self._database.reading() as connection:
                return self._rows.with_digest(connection, digest) > 0

        return self.folders.sweep(known)

    # -- inside

    def _change(self, version: ModelVersion, **changes: object) -> ModelVersion:
        with self._database.writing() as connection:
            now = self._lookup.version(connection, parsed(version.reference), None, retired=True)
            changed = replace(now, **changes)  # type: ignore[arg-type]  # the callers above name columns
            self._rows.update_version(connection, changed)
        return changed

    def _check_unused(
        self, connection: Connection, version: ModelVersion, served: Callable[[ModelVersion], bool]
    ) -> None:
        needing = self._rows.based_on(connection, version.reference)
        if version.pinned:
            raise InUse(reference=version.reference, reason="it is pinned", remedy="unpin it first")
        if version.stage is Stage.PRODUCTION:
            raise InUse(reference=version.reference, reason="it is in production", remedy="retire it first")
        if needing:
            shown = ", ".join(needing[:3])
            raise InUse(reference=version.reference, reason=f"{shown} is based on it", remedy="remove that first")
        if is_exported(connection, version.model.id, version.version):
            remedy = "wait until it has ended, or cancel it"
            raise InUse(reference=version.reference, reason="an export of it is under way", remedy=remedy)
        if served(version):
            raise InUse(reference=version.reference, reason="a worker has it loaded", remedy="unload it first")


def open_registry(settings: Settings, database: Database, macs: RowMacs, clock: Clock) -> Registry:
    """Nothing is swept or changed by opening. Raises: SettingsError where a signer's key is none."""
    return Registry(
        database,
        macs,
        ModelFolders(settings.paths.models_dir),
        clock,
        signatures=Signatures(SignaturePolicy(settings.model_signatures), settings.model_signers),
        quota_bytes=settings.model_quota_bytes,
    )
