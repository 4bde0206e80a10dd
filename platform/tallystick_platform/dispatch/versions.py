"""What a fleet keeps in its books: the versions that are loaded, those being loaded, those that failed, and who waits."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from tallystick_platform import errors
from tallystick_platform.dispatch.catalog import Servable
from tallystick_platform.dispatch.place import Place

SERVED_TASKS = frozenset({"chat"})
SERVED_FORMATS = frozenset({"safetensors", "adapter"})

Key = tuple[str, bytes]  # model id and digest: the same files under two names are served under each


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedVersion:
    """One loaded version, for whoever asks. Units: bytes, as estimated before it was loaded; requests under way."""

    servable: Servable
    serving: bool
    requests: int
    needed_bytes: int


@dataclass(slots=True, kw_only=True)
class Version:
    """A loaded version. `claims` are the requests that may use it; `used_s` is when the last of them began or ended."""

    servable: Servable
    place: Place
    needed_bytes: int
    used_s: float
    claims: int = 0

    @property
    def requests(self) -> int:
        """Requests that may use it: a cancelled one counts until its worker has confirmed the end."""
        link = self.place.link
        return max(self.claims, 0 if link is None else link.load)


@dataclass(slots=True, kw_only=True)
class Failure:
    """Why a version could not be loaded, and until when it is not tried again."""

    reason: str
    until_s: float


@dataclass(slots=True, kw_only=True)
class Books:
    """What the fleet knows. `waiting` counts the requests that wait for each version."""

    versions: dict[Key, Version] = field(default_factory=dict)
    by_place: dict[str, Version] = field(default_factory=dict)
    loads: dict[Key, asyncio.Task[None]] = field(default_factory=dict)
    failures: dict[Key, Failure] = field(default_factory=dict)
    waiting: dict[Key, int] = field(default_factory=dict)


def refuse_unservable(servable: Servable) -> None:
    """Raises: NotServable for a task or a format that no engine here computes."""
    for what, found, served in (
        ("task", servable.task, SERVED_TASKS),
        ("format", servable.format, SERVED_FORMATS),
    ):
        if found not in served:
            reason = f"its {what} is {found}, and workers here compute {' and '.join(sorted(served))}"
            raise errors.NotServable(model=servable.reference, reason=reason)


def key_of(servable: Servable) -> Key:
    """Under what a version stands in the books."""
    return (servable.model_id, servable.digest)
