"""Holds a running server to its own description with schemathesis: `make schema-check`.

A server with the constant model is started in a folder of its own. Requests are made up from the description, fitting ones and others, and
every answer must be described. `positive_data_acceptance` is left out: a schema cannot say that a prompt must hold some text.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.service import Service  # noqa: E402

LIMIT_S = 180


def main() -> int:
    """The exit code of schemathesis, whose command is the first argument."""
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder) / "home").start()
        try:
            command = [sys.argv[1], "run", f"{service.base_url}/schema/openapi.json"]
            command += ["--header", f"Authorization: {service.headers['Authorization']}"]
            command += ["--checks", "all", "--exclude-checks", "positive_data_acceptance"]
            command += ["--phases", "coverage,fuzzing", "--max-time", str(LIMIT_S), "--request-timeout", "60"]
            return subprocess.run([*command, *sys.argv[2:]], cwd=folder, check=False).returncode
        finally:
            service.stop()


if __name__ == "__main__":
    sys.exit(main())
