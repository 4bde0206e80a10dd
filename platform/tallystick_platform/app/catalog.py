"""The registry as the dispatcher asks it: what a name means to one who asks, remembered for less than a second."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from tallystick.ids import Address
from tallystick_platform.clock import Clock
from tallystick_platform.dispatch import Servable
from tallystick_platform.errors import PlatformError, UnknownModel
from tallystick_platform.registry.entries import ModelVersion, Stage, Visibility
from tallystick_platform.registry.registry import Registry

REMEMBER_NS = 900_000_000  # what another process promotes or retires counts within a second
MAX_REMEMBERED = 4_096
MAX_REFERENCE_CHARS = 192  # longer ones name nothing, and are not kept

Remembered = tuple[int, Servable | PlatformError]


class RegistryCatalog:
    """Implements `dispatch.Catalog`. Used from the event loop: a few rows are read, once a second per name and viewer.

    A caller with the operator's own address is the operator.
    """

    def __init__(self, registry: Registry, operator: Address, clock: Clock) -> None:
        self._registry = registry
        self._operator = operator
        self._clock = clock
        self._remembered: OrderedDict[tuple[str, Address | None], Remembered] = OrderedDict()

    def resolve(self, reference: str, viewer: Address | None) -> Servable:
        """The version that answers. Raises: UnknownModel; SignatureRefused where the policy asks for a signature that it lacks."""
        if viewer == self._operator:
            viewer = None
        key, now_ns = (reference, viewer), self._clock.monotonic_ns()
        remembered = self._remembered  # another thread may forget them all meanwhile
        known = remembered.get(key)
        if known is None or now_ns - known[0] >= REMEMBER_NS:
            known = (now_ns, self._look_up(reference, viewer))
            remembered[key] = known
            remembered.move_to_end(key)
            if len(remembered) > MAX_REMEMBERED:
                remembered.popitem(last=False)
        if isinstance(known[1], PlatformError):
            raise known[1].with_traceback(None)  # raised again and again, it would grow
        return known[1]

    def pinned(self) -> Sequence[Servable]:
        """The versions to be loaded from the start; what may not be loaded is left to be refused when it is asked for."""
        found = []
        for version in self._registry.all_versions():
            if version.pinned and version.stage is not Stage.RETIRED:
                servable = self._look_up(version.reference, None)
                if isinstance(servable, Servable):
                    found.append(servable)
        return found

    def forget(self) -> None:
        """Ask the registry anew: something was changed in this process. Called from any thread."""
        self._remembered = OrderedDict()

    def _look_up(self, reference: str, viewer: Address | None) -> Servable | PlatformError:
        if len(reference) > MAX_REFERENCE_CHARS:
            return UnknownModel(model=reference[:MAX_REFERENCE_CHARS])
        try:
            version = self._registry.resolve(reference, viewer)
            self._registry.signatures.clear(version)
            return self._servable(version)
        except PlatformError as error:
            return error

    def _servable(self, version: ModelVersion) -> Servable:
        base = None if version.base is None else self._registry.find(version.base, None)
        price = version.price
        return Servable(
            model_id=version.model.id,
            version=version.version,
            digest=version.digest,
            folder=self._registry.path(version),
            task=version.task,
            format=version.format,
            pinned=version.pinned,
            public=version.model.visibility is Visibility.PUBLIC and version.stage is Stage.PRODUCTION,
            price_per_hour_micros=None if price is None else price.per_hour_micros,
            currency=None if price is None else price.currency,
            base_folder=None if base is None else self._registry.path(base),
            base_digest=None if base is None else base.digest,
        )
