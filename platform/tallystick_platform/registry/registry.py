"""The registered models: what each is, who may see it, which version answers.

Synchronous; the HTTP side calls what is slow in a thread. What the caller may not see does not exist for them: UnknownModel.
`viewer` is the caller's address, None the operator.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection

from tallystick.errors import ManifestError
from tallystick.ids import Address
from tallystick.manifest import SIGNATURE_NAME, Manifest, hash_folder
from tallystick_platform.clock import Clock
from tallystick_platform.errors import UnknownModel
from tallystick_platform.formats.errors import FormatError
from tallystick_platform.registry.entries import (
    Facts,
    Model,
    ModelVersion,
    Price,
    SignatureState,
    Stage,
    Verification,
    Visibility,
)
from tallystick_platform.registry.errors import (
    BadReference,
    ContentDiffers,
    FolderBroken,
    InUse,
    ModelTaken,
    RegistryFull,
    SignatureRefused,
    TaskDiffers,
    VersionExists,
)
from tallystick_platform.registry.facts import facts_of
from tallystick_platform.registry.folders import ModelFolders, Staged, protect, settle
from tallystick_platform.registry.keeping import Keeping, strip_uncovered
from tallystick_platform.registry.names import VERSION_CHARS, Reference, parse_model_id, parse_reference
from tallystick_platform.registry.rows import Rows, next_number
from tallystick_platform.registry.signatures import Signature, SignaturePolicy, Signatures
from tallystick_platform.store.database import Database
from tallystick_platform.store.row_macs import RowMacs

MAX_MODELS_PER_OWNER = 1_000
MAX_VERSIONS_PER_MODEL = 1_000
DEFAULT_QUOTA_BYTES = 64 * 1_073_741_824
BASE_FILE = "tallystick-base.json"
"""The file of an adapter's folder that names its base by digest: added here, so that the version's digest covers the base."""

Progress = Callable[[str, float], None]
"""Told what is being done, and how much of it, from 0 to 1."""


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
        facts: Callable[[Path], Facts] = facts_of,
    ) -> None:
        self.folders = folders
        self.signatures = signatures or Signatures(SignaturePolicy.WARN)
        self.quota_bytes = quota_bytes
        self._database = database
        self._rows = Rows(macs)
        self._clock = clock
        self.facts = facts
        self._keeping = Keeping(folders)

    # -- reading

    def list(self, viewer: Address | None) -> Sequence[Model]:
        """The models that the viewer may see, by name."""
        with self._database.reading() as connection:
            return self._rows.models(connection, viewer)

    def versions(self, model: str, viewer: Address | None) -> Sequence[ModelVersion]:
        """Every version of a model that the viewer may see, newest first. Raises: UnknownModel."""
        with self._database.reading() as connection:
            found = self._seen(connection, _parsed(model), viewer)
            return [
                version
                for version in self._rows.versions(connection, found)
                if found.owned_by(viewer) or version.stage is not Stage.STAGING
            ]

    def find(self, reference: str, viewer: Address | None) -> ModelVersion:
        """A version at whatever stage: the one named, or the newest that the viewer may see, in production first.

        Raises: UnknownModel.
        """
        parsed = _parsed(reference)
        with self._database.reading() as connection:
            return self._found(connection, parsed, viewer, retired=True)

    def resolve(self, reference: str, viewer: Address | None) -> ModelVersion:
        """The version that answers a request: the one named, else the newest in production, else the owner's newest in staging.

        Raises: UnknownModel, also for retired versions and for others' versions in staging.
        """
        parsed = _parsed(reference)
        with self._database.reading() as connection:
            return self._found(connection, parsed, viewer, retired=False)

    def all_versions(self) -> Sequence[ModelVersion]:
        """Every version of every model."""
        with self._database.reading() as connection:
            return self._rows.all_versions(connection)

    def path(self, version: ModelVersion) -> Path:
        """The folder of a version's files."""
        return self.folders.path(version.digest)

    def stored_bytes(self, owner: Address) -> int:
        """What an owner's versions take. Units: bytes."""
        with self._database.reading() as connection:
            return self._rows.stored_bytes(connection, owner)

    # -- writing

    def add(
        self,
        staged: Staged,
        *,
        model: str,
        owner: Address | None,
        visibility: Visibility,
        source: Mapping[str, object],
        licence: str | None = None,
        price: Price | None = None,
        stage: Stage = Stage.STAGING,
        pin: bool = False,
        base: str | None = None,
        facts: Facts | None = None,
        expected: Mapping[str, bytes] | None = None,
        progress: Progress = silent,
    ) -> ModelVersion:
        """Make a staged folder a version; it is visible when this returns, and not at all if it raises. See folders.py for the order.

        `facts` stands for what cannot be read from the files; `base` is the reference of an adapter's base; `expected` are the
        files' digests as somebody announced them.

        Raises: BadReference, ContentDiffers, ModelTaken, TaskDiffers, VersionExists, RegistryFull, SignatureRefused, FormatError,
        UnsafeModel, OSError
        """
        name = parse_model_id(model)
        manifest = _hashed(staged.folder, progress)
        if expected is not None:
            _compare(staged.folder, manifest, expected)
        progress("inspecting", 0.0)
        facts = facts or self.facts(staged.folder)
        with self._database.reading() as connection:
            self._admit(connection, self._named(connection, name, owner, visibility, facts), facts)
        signature = self.signatures.examine(staged.folder, manifest, model=name, apart_from=_apart(base))
        strip_uncovered(staged.folder)
        progress("storing", 0.0)
        settle(staged.folder)
        with self.folders.exclusive():
            version = self._publish(
                staged,
                manifest,
                signature,
                lambda connection: self._version(
                    connection,
                    self._named(connection, name, owner, visibility, facts),
                    manifest,
                    facts,
                    signature,
                    source=source,
                    licence=licence or facts.licence,
                    price=price,
                    stage=stage,
                    pinned=pin,
                    base=base,
                ),
            )
        progress("registered", 1.0)
        return version

    def check_name(self, model: str, owner: Address | None) -> None:
        """Whether this owner may add versions to this name. Raises: ModelTaken"""
        with self._database.reading() as connection:
            known = self._rows.model(connection, model.lower())
        if known is not None and not known.owned_by(owner):
            raise ModelTaken(model=model)

    def promote(self, reference: str, viewer: Address | None) -> ModelVersion:
        """Offer a version to everybody who may see the model. Raises: UnknownModel, SignatureRefused."""
        version = self._owned(reference, viewer)
        self.signatures.clear(version)
        return self._change(version, stage=Stage.PRODUCTION)

    def retire(self, reference: str, viewer: Address | None) -> ModelVersion:
        """Withdraw a version: it answers nothing new and stays on disk. Raises: UnknownModel, InUse."""
        version = self._owned(reference, viewer)
        if version.pinned:
            raise InUse(reference=version.reference, reason="it is pinned", remedy="unpin it first")
        return self._change(version, stage=Stage.RETIRED)

    def pin(self, reference: str, viewer: Address | None, *, pinned: bool) -> ModelVersion:
        """Keep a version loaded, or no longer. Raises: UnknownModel."""
        return self._change(self._owned(reference, viewer), pinned=pinned)

    def price(self, reference: str, viewer: Address | None, price: Price | None) -> ModelVersion:
        """Say what a version costs; None is the provider's price. Raises: UnknownModel."""
        return self._change(self._owned(reference, viewer), price=price)

    def remove(
        self, reference: str, viewer: Address | None, *, served: Callable[[ModelVersion], bool] = lambda _: False
    ) -> ModelVersion:
        """Forget a version and give its space back. `served` says whether a worker has it loaded.

        Raises: UnknownModel, InUse
        """
        version = self._owned(reference, viewer)
        with self.folders.stage() as trash, self.folders.exclusive():
            trash.announce(version.digest)
            with self._database.writing() as connection:
                version = self._found(connection, _parsed(version.reference), viewer, retired=True)
                self._check_unused(connection, version, served)
                self._rows.delete_version(connection, version)
                last = self._rows.with_digest(connection, version.digest) == 0
                unsigned = version.signature_digest and not self._rows.with_signature(
                    connection, version.signature_digest
                )
            if last:
                self.folders.withdraw(version.digest, trash)
                self._keeping.forget_manifest(version.digest)
            if unsigned and version.signature_digest:
                self._keeping.forget_signature(version.signature_digest)
        return version

    def verify(self, reference: str, viewer: Address | None, progress: Progress = silent) -> Verification:
        """Hash a version's files anew and check its signature. Raises: UnknownModel."""
        version = self.find(reference, viewer)
        found, reason = self._keeping.compare(version, lambda folder: _hashed(folder, progress))
        state, signer = SignatureState.NONE, version.signer
        if found is not None and version.signature_digest is not None:
            try:
                data = self._keeping.signature(version.signature_digest)
                checked = self.signatures.check(
                    self.path(version), data, found, model=version.reference, apart_from=_apart(version.base)
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

    def _publish(
        self,
        staged: Staged,
        manifest: Manifest,
        signature: Signature,
        version_of: Callable[[Connection], ModelVersion],
    ) -> ModelVersion:
        """Steps 3 and 4 of folders.py. Requires: `exclusive`. The row's transaction ends after the rename: its failure undoes both."""
        digest = manifest.digest
        staged.announce(digest)
        existed = self.folders.path(digest).is_dir()
        try:
            with self._database.writing() as connection:
                version = version_of(connection)
                self._keeping.keep(manifest, signature)
                protect(self.folders.publish(staged, digest))
        except BaseException:
            if not existed:
                self.folders.withdraw_unpublished(digest, staged)
            raise
        return version

    def _named(
        self, connection: Connection, name: str, owner: Address | None, visibility: Visibility, facts: Facts
    ) -> Model:
        """The model that a new version would belong to, as registered or as it would be."""
        known = self._rows.model(connection, name.lower())
        if known is None:
            return Model(id=name, owner=owner, visibility=visibility, task=facts.task, created_at=self._clock.now_us())
        if not known.owned_by(owner):
            raise ModelTaken(model=name)
        if known.task != facts.task:
            raise TaskDiffers(model=known.id, task=known.task, found=facts.task)
        return known

    def _admit(self, connection: Connection, model: Model, facts: Facts) -> None:
        """The bounds on what one owner may keep. Raises: RegistryFull."""
        if self._rows.model(connection, model.id.lower()) is None:
            if self._rows.owned(connection, model.owner) >= MAX_MODELS_PER_OWNER:
                raise RegistryFull(bound="models of one owner", limit=MAX_MODELS_PER_OWNER)
        elif len(self._rows.versions(connection, model)) >= MAX_VERSIONS_PER_MODEL:
            raise RegistryFull(bound="versions of one model", limit=MAX_VERSIONS_PER_MODEL)
        if model.owner is not None:
            stored = self._rows.stored_bytes(connection, model.owner)
            if stored + facts.size_bytes > self.quota_bytes:
                raise RegistryFull(bound="bytes that one owner may store", limit=self.quota_bytes)

    def _version(
        self,
        connection: Connection,
        model: Model,
        manifest: Manifest,
        facts: Facts,
        signature: Signature,
        *,
        source: Mapping[str, object],
        licence: str | None,
        price: Price | None,
        stage: Stage,
        pinned: bool,
        base: str | None,
    ) -> ModelVersion:
        """Insert the rows of a version. Raises: VersionExists."""
        self._admit(connection, model, facts)
        digest = manifest.digest
        if self._rows.model(connection, model.id.lower()) is None:
            self._rows.insert_model(connection, model)
        known = self._rows.versions(connection, model)
        for other in known:
            # A second content with the same twelve digits could be made on purpose; it would be the same name.
            if other.version == digest.hex()[:VERSION_CHARS]:
                raise VersionExists(reference=other.reference)
        version = ModelVersion(
            model=model,
            version=digest.hex()[:VERSION_CHARS],
            digest=digest,
            number=next_number(known),
            format=facts.format,
            architecture=facts.architecture,
            licence=licence,
            source=source,
            base=base,
            dtype=facts.dtype,
            parameters=facts.parameters,
            context_length=facts.context_length,
            size_bytes=manifest.size,
            signature=signature.state,
            signature_digest=signature.digest,
            signer=signature.signer,
            price=price,
            stage=stage,
            pinned=pinned,
            created_at=self._clock.now_us(),
        )
        self._rows.insert_version(connection, version)
        return version

    def _seen(self, connection: Connection, parsed: Reference, viewer: Address | None) -> Model:
        model = self._rows.model(connection, parsed.key)
        if model is None or not model.visible_to(viewer):
            raise UnknownModel(model=str(parsed))
        return model

    def _found(
        self, connection: Connection, parsed: Reference, viewer: Address | None, *, retired: bool
    ) -> ModelVersion:
        model = self._seen(connection, parsed, viewer)
        if parsed.version is None:
            candidates = self._rows.versions(connection, model)
        else:
            candidates = self._rows.starting_with(connection, model, parsed.version)
            if len(candidates) > 1:
                raise UnknownModel(model=f"{parsed} (which names {len(candidates)} versions)")
        owned = model.owned_by(viewer)
        for stage in (Stage.PRODUCTION, Stage.STAGING, Stage.RETIRED):
            if (stage is Stage.STAGING and not owned) or (stage is Stage.RETIRED and not retired):
                continue
            for version in candidates:
                if version.stage is stage:
                    return version
        raise UnknownModel(model=str(parsed))

    def _owned(self, reference: str, viewer: Address | None) -> ModelVersion:
        """A version that the viewer may change; to everybody else it does not exist."""
        version = self.find(reference, viewer)
        if not version.model.owned_by(viewer):
            raise UnknownModel(model=reference)
        return version

    def _change(self, version: ModelVersion, **changes: object) -> ModelVersion:
        with self._database.writing() as connection:
            now = self._found(connection, _parsed(version.reference), None, retired=True)
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
        if served(version):
            raise InUse(reference=version.reference, reason="a worker has it loaded", remedy="unload it first")


def _parsed(reference: str) -> Reference:
    """A reference that cannot be one names nothing."""
    try:
        return parse_reference(reference)
    except BadReference as error:
        raise UnknownModel(model=reference[:128]) from error


def _hashed(folder: Path, progress: Progress) -> Manifest:
    """The manifest of a folder. Raises: FormatError."""

    def tell(done: int, total: int) -> None:
        progress("hashing", done / total if total else 1.0)

    try:
        return hash_folder(folder, tell)
    except ManifestError as error:
        raise FormatError(path=error.path or folder, reason=error.reason) from error


def _compare(folder: Path, manifest: Manifest, expected: Mapping[str, bytes]) -> None:
    """Raises: ContentDiffers for the first file that is not what was announced."""
    found = {entry.name: entry.sha256 for entry in manifest.files}
    signature = folder / SIGNATURE_NAME
    if SIGNATURE_NAME in expected and signature.is_file():
        found[SIGNATURE_NAME] = hashlib.sha256(signature.read_bytes()).digest()
    for name, digest in expected.items():
        if found.get(name) != digest:
            raise ContentDiffers(file=name, expected=digest, found=found.get(name))


def _apart(base: str | None) -> frozenset[str]:
    return frozenset() if base is None else frozenset((BASE_FILE,))
