"""How an arriving folder is looked at: its headers, its numbers, and the conversion of what must be converted first.

That is done by a process of its own: this one never loads torch.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tallystick_platform.formats.folder import inspect_folder
from tallystick_platform.formats.packaged import PACKAGED
from tallystick_platform.formats.report import Facts
from tallystick_platform.formats.soundness import check_numbers
from tallystick_platform.registry.errors import SourceUnusable

MODULE = "tallystick_platform.engine.converting"
MAX_LINE_CHARS = 65_536

Progress = Callable[[str, float], None]
"""Told what is being done, and how much of it, from 0 to 1."""


def converted(
    model: str,
    models_dir: Path,
    progress: Progress,
    *,
    command: Sequence[str] = (sys.executable, "-m", MODULE),
) -> Path:
    """The folder of a converted model: `demo` or a GGUF file. Made once, then remembered.

    Raises: SourceUnusable
    """
    folder = reason = None
    with subprocess.Popen(
        [*command, model, str(models_dir)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TQDM_DISABLE": "1"},  # the library's own bars; progress comes as JSON
    ) as process:
        assert process.stdout is not None  # noqa: S101  asked for in the line above
        try:
            while line := process.stdout.readline(MAX_LINE_CHARS):
                said = _read(line)
                if "stage" in said:
                    progress(str(said["stage"]), float(str(said.get("fraction", 0.0))))
                folder, reason = said.get("folder", folder), said.get("error", reason)
        except BaseException:
            process.terminate()
            raise
    if folder is None or process.returncode != 0:
        raise SourceUnusable(source=model, reason=str(reason or f"the conversion ended with {process.returncode}"))
    return Path(str(folder))


def packaged_file(model: str) -> Path:
    """The file of a packaged model. Raises: SourceUnusable"""
    found = PACKAGED[model].find()
    if found is None:
        raise SourceUnusable(source=model, reason=f"the package {PACKAGED[model].package} is not installed")
    return found


def _read(line: str) -> dict[str, object]:
    try:
        said = json.loads(line)
    except ValueError:
        return {}  # a library that prints
    return said if isinstance(said, dict) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """The ways in which an arriving folder is looked at: its headers, its numbers, and a GGUF file's conversion."""

    facts: Callable[[Path], Facts] = inspect_folder
    numbers: Callable[[Path, Progress], None] = check_numbers
    convert: Callable[[str, Path, Progress], Path] = converted
