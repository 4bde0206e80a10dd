"""The packaged language model, converted once for all test runs into a cache outside the repository."""

from __future__ import annotations

import os
from pathlib import Path

from tallystick_platform.engine.model_store import resolve_model
from tallystick_platform.formats.packaged import DEMO


def models_dir() -> Path:
    """Where converted models are kept between runs."""
    cache = os.environ.get("TALLYSTICK_TEST_CACHE")
    return (Path(cache) if cache else Path.home() / ".cache" / "tallystick-test") / "models"


def real_model() -> Path:
    """The converted folder."""
    return resolve_model(DEMO, models_dir(), lambda stage, fraction: None)
