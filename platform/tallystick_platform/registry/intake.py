"""How a staged folder becomes a version: hashed, inspected, held against the bounds and the policy, published, written down.

The order, and what a crash at each step means, stands in folders.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import Connection

from tallystick.errors import ManifestError
from tallystick.ids import Address
from tallystick.manifest import SIGNATURE_NAME, Manifest, hash_folder
from tallystick_platform.clock import Clock
from tallystick_platform.formats.errors import FormatError
from tallystick_platform.formats.report import Facts, ModelFormat
from tallystick_platform.registry.conversion import Looks, Progress
from tallystick_platform.registry.copying import files_below, link_files
from tallystick_platform.registry.entries import Model, ModelVersion, Price, Stage, Visibility
from tallystick_platform.registry.errors import (
    ContentDiffers,
    ModelTaken,
    RegistryFull,
    SourceUnusable,
    TaskDiffers,
    VersionExists,
)
from tallystick_platform.registry.folders import ModelFolders, Staged, protect, remove_tree, settle
from tallystick_platform.registry.keeping import Keeping, strip_uncovered
from tallystick_platform.registry.lookup import Lookup, parsed
from tallystick_platform.registry.names import VERSION_CHARS
from tallystick_platform.registry.rows import Rows, next_number
from tallystick_platform.registry.signatures import Signature, Signatures
from tallystick_platform.store.database import Database

MAX_MODELS_PER_OWNER = 1_000
MAX_VERSIONS_PER_MODEL = 1_000
WIDENED = 4  # four bits a weight become sixteen
BASE_FILE = "tallystick-base.json"
"""The file of an adapter's folder that names its base by digest: added here, so that the version's digest covers the base."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What is said of a model that arrives. `base` is the reference of an adapter's base.

    `facts` stands for what its files cannot say; `expected` are the files' digests as somebody announced them.
    """

    model: str
    owner: Address | None
    visibility: Visibility
    source: Mapping[str, object] = field(default_factory=dict)
    licence: str | None = None
    price: Price | None = None
    stage: Stage = Stage.STAGING
    pin: bool = False
    base: str | None = None
    facts: Facts | None = None
    expected: Mapping[str, bytes] | None = None


class Intake:
    """Takes models in. `quota_bytes` bounds what one owner may store."""

    def __init__(
        self, database: Database, rows: Rows, folders: ModelFolders, clock: Clock, keeping: Keeping, *, quota_bytes: int
    ) -> None:
        self._quota_bytes = quota_bytes
        self._database = database
        self._rows = rows
        self._lookup = Lookup(rows)
        self._folders = folders
        self._clock = clock
        self._keeping = keeping

    def take(
        self,
        staged: Staged,
        arrival: Arrival,
        *,
        signatures: Signatures,
        looks: Looks,
        progress: Progress,
    ) -> ModelVersion:
        """The whole way. Raises: what `Registry.add` does"""
        manifest = hashed(staged.folder, progress)
        if arrival.expected is not None:
            _compare(staged.folder, manifest, arrival.expected)
        progress("inspecting", 0.0)
        facts = arrival.facts or looks.facts(staged.folder)
        if facts.format == ModelFormat.GGUF.value:
            arrival = replace(arrival, licence=arrival.licence or facts.licence)
            self._convert(staged, looks, progress)
            manifest, facts = hashed(staged.folder, progress), looks.facts(staged.folder)
        with self._database.reading() as connection:
            self._admit(connection, self._named(connection, arrival, facts), facts)
        signature = signatures.examine(
            staged.folder, manifest, model=arrival.model, apart_from=apart_from(arrival.base)
        )
        if facts.format in {ModelFormat.SAFETENSORS.value, ModelFormat.ADAPTER.value}:
            looks.numbers(staged.folder, progress)
        strip_uncovered(staged.folder)
        progress("storing", 0.0)
        settle(staged.folder)
        with self._folders.exclusive():
            version = self._publish(staged, arrival, manifest, facts, signature)
        progress("registered", 1.0)
        return version

    def _convert(self, staged: Staged, looks: Looks, progress: Progress) -> None:
        """Put what a folder's GGUF file is converted to in its place, as for such a file that comes by itself.

        Raises: SourceUnusable, DiskFull, OSError
        """
        (file,) = (path for path in staged.folder.rglob("*") if path.suffix.lower() == ".gguf")
        self._folders.need(WIDENED * file.stat().st_size)
        try:
            folder = looks.convert(str(file), self._folders.store.parent, progress)
        except SourceUnusable as error:  # the file's name is its owner's; where it lies is not
            raise SourceUnusable(source=file.name, reason=error.reason.replace(str(file), file.name)) from error
        for entry in staged.folder.iterdir():
            if entry.is_dir():
                remove_tree(entry)
            else:
                entry.unlink()
        link_files(files_below(folder), staged.folder)

    def _publish(
        self, staged: Staged, arrival: Arrival, manifest: Manifest, facts: Facts, signature: Signature
    ) -> ModelVersion:
        """Steps 3 and 4 of folders.py. Requires: `exclusive`. The row's transaction ends after the rename: its failure undoes both."""
        digest = manifest.digest
        staged.announce(digest)
        existed = self._folders.path(digest).is_dir()
        try:
            with self._database.writing() as connection:
                version = self._record(connection, arrival, manifest, facts, signature)
                self._keeping.keep(manifest, signature)
                protect(self._folders.publish(staged, digest))
        except BaseException:
            if not existed:
                self._folders.withdraw_unpublished(digest, staged)
            raise
        return version

    def _record(
        self, connection: Connection, arrival: Arrival, manifest: Manifest, facts: Facts, signature: Signature
    ) -> ModelVersion:
        """Insert the rows of a version. Raises: VersionExists; UnknownModel where its base was removed meanwhile"""
        digest = manifest.digest
        model = self._named(connection, arrival, facts)
        self._admit(connection, model, facts)
        if arrival.base is not None:
            self._lookup.version(connection, parsed(arrival.base), None, retired=True)
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
            licence=arrival.licence or facts.licence,
            source=arrival.source,
            base=arrival.base,
            dtype=facts.dtype,
            parameters=facts.parameters,
            context_length=facts.context_length,
            size_bytes=manifest.size,
            signature=signature.state,
            signature_digest=signature.digest,
            signer=signature.signer,
            price=arrival.price,
            stage=arrival.stage,
            pinned=arrival.pin,
            created_at=self._clock.now_us(),
        )
        self._rows.insert_version(connection, version)
        return version

    def _named(self, connection: Connection, arrival: Arrival, facts: Facts) -> Model:
        """The model that a new version would belong to, as registered or as it would be. Raises: ModelTaken, TaskDiffers"""
        known = self._rows.model(connection, arrival.model.lower())
        if known is None:
            return Model(
                id=arrival.model,
                owner=arrival.owner,
                visibility=arrival.visibility,
                task=facts.task,
                created_at=self._clock.now_us(),
            )
        if not known.owned_by(arrival.owner):
            raise ModelTaken(model=arrival.model)
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
            if stored + facts.size_bytes > self._quota_bytes:
                raise RegistryFull(bound="bytes that one owner may store", limit=self._quota_bytes)


def hashed(folder: Path, progress: Progress) -> Manifest:
    """The manifest of a folder. Raises: FormatError."""

    def tell(done: int, total: int) -> None:
        progress("hashing", done / total if total else 1.0)

    try:
        return hash_folder(folder, tell)
    except ManifestError as error:
        raise FormatError(path=error.path or folder, reason=error.reason) from error


def apart_from(base: str | None) -> frozenset[str]:
    """The files of a version that its signer never saw."""
    return frozenset() if base is None else frozenset((BASE_FILE,))


def _compare(folder: Path, manifest: Manifest, expected: Mapping[str, bytes]) -> None:
    """Raises: ContentDiffers for the first file that is not what was announced."""
    found = {entry.name: entry.sha256 for entry in manifest.files}
    signature = folder / SIGNATURE_NAME
    if SIGNATURE_NAME in expected and signature.is_file():
        found[SIGNATURE_NAME] = hashlib.sha256(signature.read_bytes()).digest()
    for name, digest in expected.items():
        if found.get(name) != digest:
            raise ContentDiffers(file=name, expected=digest, found=found.get(name))
