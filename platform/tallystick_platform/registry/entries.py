"""What the registry knows of a model and of each of its versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tallystick.ids import Address
from tallystick.manifest import Manifest

UPSTREAM_FORMAT = "upstream"
"""The format of a version that another provider serves: its folder holds a description of where, and no weights."""


class Stage(StrEnum):
    """How far a version is: tried by its owner, offered to everybody who may see the model, or withdrawn."""

    STAGING = "staging"
    PRODUCTION = "production"
    RETIRED = "retired"


class Visibility(StrEnum):
    """Who may see a model: everybody with a token, or its owner. The operator sees all."""

    PUBLIC = "public"
    PRIVATE = "private"


class SignatureState(StrEnum):
    """What is known of a version's signature: there is none, nobody's key was there to check it, or it is a known signer's."""

    NONE = "none"
    UNCHECKED = "unchecked"
    VERIFIED = "verified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a version costs on this device set, instead of the provider's price. Units: millionths of the currency."""

    per_hour_micros: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model's name. No owner: the operator's. Units: microseconds UTC."""

    id: str
    owner: Address | None
    visibility: Visibility
    task: str
    created_at: int

    def visible_to(self, viewer: Address | None) -> bool:
        """Whether `viewer` may know that it exists; None is the operator."""
        return viewer is None or self.visibility is Visibility.PUBLIC or self.owned_by(viewer)

    def owned_by(self, viewer: Address | None) -> bool:
        """Whether `viewer` may change it; None is the operator."""
        return viewer is None or self.owner == viewer


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """One immutable content of a model, named by the digest of its files. Units: microseconds UTC, bytes, tokens.

    `number` counts a model's versions from 1 in the order in which they came; `base` is the reference of the model that an
    adapter belongs to; `source` says where the files came from.
    """

    model: Model
    version: str
    digest: bytes
    number: int
    format: str
    architecture: str | None
    licence: str | None
    source: Mapping[str, object]
    base: str | None
    dtype: str | None
    parameters: int | None
    context_length: int | None
    size_bytes: int
    signature: SignatureState
    signature_digest: bytes | None
    signer: str | None
    price: Price | None
    stage: Stage
    pinned: bool
    created_at: int

    @property
    def reference(self) -> str:
        """The name by which a request pins this very content."""
        return f"{self.model.id}@{self.version}"

    @property
    def task(self) -> str:
        """What the model is for."""
        return self.model.task


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """A version's files against what the registry says of them; `differing` names files, where they can be told."""

    ok: bool
    reference: str
    expected: bytes
    found: bytes | None
    reason: str | None
    signature: SignatureState
    signer: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionFiles:
    """A version's files as they were registered, and where they lie; its signature, where it has one, lies apart from them."""

    version: ModelVersion
    manifest: Manifest
    folder: Path
    signature: Path | None
