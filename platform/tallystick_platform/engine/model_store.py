"""From what the operator named to a model folder on this disk. A conversion happens once, in one piece, for everybody."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from tallystick_platform.engine.conversion import (
    REVISION,
    Progress,
    convert_gguf,
    convert_packaged_whisper,
    file_sha256,
)
from tallystick_platform.errors import ModelUnusable
from tallystick_platform.formats.packaged import DEMO_TRANSCRIPTION, PACKAGED

LOCK_TIMEOUT_S = 600.0  # another process may be converting; a big model takes minutes
INDEX_FILE = "model_index.json"  # of a pipeline, in the layout of diffusers
MODULES_FILE = "modules.json"  # of an encoder, in the layout of sentence-transformers
_PARTIAL = ".partial-"
_QUANTISATION = re.compile(r"[.-](i?q[0-9]\w*|b?f16|f32)$", re.IGNORECASE)


def resolve_model(model: str, models_dir: Path, progress: Progress) -> Path:
    """The folder to serve: a packaged model by its name, a GGUF file once converted (alone in a folder or not), or a folder as it is.

    Raises: ModelUnusable.
    """
    path = packaged_file(model) if model in PACKAGED else Path(model).expanduser()
    if path.name == MODULES_FILE:
        return path.parent
    if model == DEMO_TRANSCRIPTION:
        return ensure_converted(path, models_dir, progress, PACKAGED[model].name, convert_packaged_whisper)
    if path.suffix.lower() == ".gguf" and path.is_file():
        return ensure_converted(path, models_dir, progress)
    if any((path / name).is_file() for name in ("config.json", INDEX_FILE)):
        return path
    inside = sorted(path.glob("*.gguf")) if path.is_dir() else []
    if len(inside) == 1:
        return ensure_converted(inside[0], models_dir, progress)
    names = " nor ".join(map(repr, PACKAGED))
    raise ModelUnusable(
        reason=f"what was named is neither {names} nor a folder with a config.json or one .gguf file nor such a file"
    )


def packaged_file(model: str) -> Path:
    """The file of a packaged model: its weights, or what says how an encoder is laid out. Raises: ModelUnusable."""
    found = PACKAGED[model].find()
    if found is None:
        raise ModelUnusable(
            reason=f"the package {PACKAGED[model].package} with the demonstration model is not installed"
        )
    return found


def model_name(source: Path) -> str:
    """The public name of a GGUF file's model: the file's, without suffix and quantisation, in lower case."""
    return _QUANTISATION.sub("", source.name.removesuffix(".gguf")).lower()


def ensure_converted(
    source: Path,
    models_dir: Path,
    progress: Progress,
    name: str | None = None,
    convert: Callable[[Path, Path, Progress], object] | None = None,
) -> Path:
    """The converted folder of a file, made now if it is not there. Without `name` and `convert` it is a GGUF file's.

    A crash leaves a partial folder that the next holder of the lock removes; the final name only ever names whole models.
    Raises: ModelUnusable.
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    folder = models_dir / (name or model_name(source)) / f"{file_sha256(source)[:16]}-{REVISION}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(exist_ok=True)
    progress("waiting until no other process converts this model", 0.0)
    try:
        with FileLock(folder.parent / f".{folder.name}.lock", timeout=LOCK_TIMEOUT_S):
            if folder.is_dir():
                return folder
            for left in folder.parent.glob(f"{_PARTIAL}{folder.name}-*"):
                shutil.rmtree(left, ignore_errors=True)
            partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{_PARTIAL}{folder.name}-"))
            try:
                (convert or convert_gguf)(source, partial, progress)
                partial.rename(folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except Timeout as error:
        raise ModelUnusable(reason=f"another process converts {source.name} for over {LOCK_TIMEOUT_S:g} s") from error
    return folder
