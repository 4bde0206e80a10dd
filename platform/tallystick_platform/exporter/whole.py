"""Models that are no language models, loaded whole by the library and run on the input that it keeps for such cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tallystick_platform.exporter.parity import Logits
from tallystick_platform.exporter.streamed import quiet, release
from tallystick_platform.formats.json_text import read_json_object


class NotRun(Exception):
    """The library has no class for this folder, or the class no input of its own."""


def architecture(folder: Path) -> str | None:
    """The first class that config.json names. Raises: FormatError."""
    path = folder / "config.json"
    named = read_json_object(path).get("architectures") if path.is_file() else None
    return str(named[0]) if isinstance(named, list) and named else None


def output(folder: Path, named: str | None) -> Logits:
    """What a model answers to the library's own test input, in 32 bits; its first result. Raises: NotRun."""
    quiet()
    import torch
    import transformers

    if named is None:
        raise NotRun("the source names no model class")
    kind: Any = getattr(transformers, named, None)
    if not isinstance(kind, type) or not issubclass(kind, transformers.PreTrainedModel):
        raise NotRun(f"the library has no model {named!a}")
    torch.manual_seed(0)  # a head that the files lack is random, and the same for both
    try:
        model: Any = kind.from_pretrained(folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False)
        model.eval()
        with torch.inference_mode():
            found: Logits = model(**model.dummy_inputs)[0].float().numpy().copy()
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError, OSError) as error:
        raise NotRun(f"{named} did not take the library's own input: {type(error).__name__}") from error
    finally:
        model = None
        release()
    return found
