"""`make bench`: every measured bar of the project, as ratios in one run.

Each part is a script of scripts/bench/ that prints lines of `name: figure (bar: ...) ok|MISSED`; this one runs them in turn
in processes of their own and exits 1 if a bar was missed. `--short` runs smaller sizes for CI.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

PARTS = (
    "audit_overhead.py",
    "gas.py",
    "verification.py",
    "tokens_ratio.py",
    "export_safetensors.py",
    "export_parity.py",
    "download.py",
)
PART_LIMIT_S = 1800


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="smaller sizes, for CI")
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=f"which parts (default: {' '.join(PARTS)})")
    arguments = parser.parse_args()
    missed: list[str] = []
    for part in arguments.parts:
        print(f"== {part}", flush=True)
        command = [sys.executable, str(Path(__file__).parent / "bench" / part)]
        if arguments.short:
            command.append("--short")
        if subprocess.run(command, check=False, timeout=PART_LIMIT_S).returncode != 0:
            missed.append(part)
    print("every bar held" if not missed else f"missed or failed: {', '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
