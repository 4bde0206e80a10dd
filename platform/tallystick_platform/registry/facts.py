"""What a folder's inspection says, as the registry keeps it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tallystick_platform.formats.folder import inspect_folder
from tallystick_platform.formats.soundness import check_numbers
from tallystick_platform.registry.conversion import Progress, converted
from tallystick_platform.registry.entries import Facts


def facts_of(folder: Path) -> Facts:
    """Inspect a folder. Raises: FormatError, UnsafeModel."""
    report = inspect_folder(folder)
    return Facts(
        format=report.format.value,
        task=report.task.value,
        architecture=report.architecture,
        licence=report.licence,
        dtype=report.dtype,
        parameters=report.parameters,
        context_length=report.context_length,
        size_bytes=report.size_bytes,
        warnings=report.warnings,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """The ways in which an arriving folder is looked at: its headers, its numbers, and a GGUF file's conversion."""

    facts: Callable[[Path], Facts] = facts_of
    numbers: Callable[[Path, Progress], None] = check_numbers
    convert: Callable[[str, Path, Progress], Path] = converted
