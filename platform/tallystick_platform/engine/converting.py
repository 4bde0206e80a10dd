"""`python -m tallystick_platform.engine.converting MODEL MODELS_DIR`: a model that must be converted first, in a process of its own.

Who registers models never loads torch. One JSON object a line on standard output: `{"stage", "fraction"}` while it goes on, then
`{"folder"}` or `{"error"}`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tallystick_platform.engine.model_store import resolve_model
from tallystick_platform.errors import ModelUnusable

ARGUMENTS = 2


def main(arguments: list[str]) -> int:
    """Convert, or find what was converted before; the exit code is 0 or 1."""
    if len(arguments) != ARGUMENTS:
        _say(error="it takes a model and the folder of converted models")
        return 1
    model, models_dir = arguments
    try:
        folder = resolve_model(model, Path(models_dir), lambda stage, done: _say(stage=stage, fraction=done))
    except (ModelUnusable, OSError) as error:
        _say(error=str(error))
        return 1
    _say(folder=str(folder))
    return 0


def _say(**members: object) -> None:
    sys.stdout.write(json.dumps(members) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
