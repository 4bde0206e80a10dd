"""An adapter as a whole model: merged into its base, as its worker merges it when it is loaded."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tallystick.manifest import hash_folder
from tallystick_platform.errors import ModelUnusable
from tallystick_platform.exporter.errors import ExportRefused
from tallystick_platform.exporter.source import carried, inspect_source, names
from tallystick_platform.exporter.spec import ExportSpec
from tallystick_platform.exporter.weights import INDEX_NAME

ADAPTERS_OWN = frozenset({"adapter_config.json", "tallystick-base.json"})
SHARD_SIZE = "5GB"
MERGED_NOTE = "the source is an adapter: it was merged into its base in 32 bits, which is what is compared and written"


@contextmanager
def merged(spec: ExportSpec) -> Iterator[ExportSpec]:
    """The export of a whole model: the same, or where the source is an adapter, that of its base with the adapter merged in.

    Both folders are held to their digests first. The merged model lies beside the target, and is gone afterwards.

    Raises: ExportRefused, FormatError, UnsafeModel, OSError.
    """
    if spec.base is None:
        yield spec
        return
    inspect_source(spec.source, spec.source_digest)
    inspect_source(spec.base, spec.base_digest)
    with tempfile.TemporaryDirectory(dir=spec.target.parent, prefix=f"{spec.target.name}.merged-") as scratch:
        whole = Path(scratch) / "model"
        _merge(spec.base, spec.source, whole)
        # GGUF files name the digest that was registered; copied files are held to what is copied.
        digest = hash_folder(whole).digest if spec.format == "safetensors" else spec.source_digest
        yield replace(spec, source=whole, source_digest=digest, base=None, base_digest=None)


def _merge(base: Path, adapter: Path, target: Path) -> None:
    import torch

    from tallystick_platform.engine.causal import library_model

    try:
        model = library_model(base, torch.float32, adapter)
    except ModelUnusable as error:
        raise ExportRefused(reason=f"the adapter cannot be merged into its base: {error.reason}") from error
    model.save_pretrained(target, max_shard_size=SHARD_SIZE)
    written = {*names(target), INDEX_NAME}
    for folder, left_out in ((base, written), (adapter, written | ADAPTERS_OWN)):
        for name in carried(names(folder)):
            if name not in left_out:
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / name, target / name)
