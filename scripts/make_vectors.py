"""Writes the test vectors of the ledger format, version 2, to tests/vectors/v2/ (or compares them: --check).

The vectors are frozen: this script must reproduce them byte for byte, and a difference is a defect of the code, never a reason to write
them anew. Everything follows from the fixed keys of tests/support/vectors/cast.py. Each invalid vector has exactly one fault, named,
and the kind of error that it must meet. The sealed bytes also depend on the pinned zstd: another one may compress differently, and
what it makes opens all the same.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ledger")]

from tests.support.vectors.bindings import binding_vectors  # noqa: E402
from tests.support.vectors.bundles import bundle_vectors  # noqa: E402
from tests.support.vectors.encoded_records import record_vectors  # noqa: E402
from tests.support.vectors.heads import head_vectors, packed_vectors  # noqa: E402
from tests.support.vectors.keys import key_vectors  # noqa: E402
from tests.support.vectors.receipts import receipt_vectors  # noqa: E402
from tests.support.vectors.seals import sealing_vectors  # noqa: E402
from tests.support.vectors.tasks import task_vectors  # noqa: E402
from tests.support.vectors.trees import leaf_vectors, tree_vectors  # noqa: E402
from tests.support.vectors.trust_files import trust_vectors  # noqa: E402

FOLDER = ROOT / "tests" / "vectors" / "v2"

FILES = {
    "record.json": record_vectors,
    "sealing.json": sealing_vectors,
    "leaf.json": leaf_vectors,
    "tree.json": tree_vectors,
    "head.json": head_vectors,
    "packed.json": packed_vectors,
    "key.json": key_vectors,
    "receipt.json": receipt_vectors,
    "bundle.json": bundle_vectors,
    "binding.json": binding_vectors,
    "tasks.json": task_vectors,
    "trust.json": trust_vectors,
}


def render() -> dict[str, str]:
    """Every file's text."""
    return {name: json.dumps(make(), indent=1, ensure_ascii=True) + "\n" for name, make in FILES.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the frozen files, write nothing")
    check: bool = parser.parse_args().check
    differing = []
    for name, text in render().items():
        path = FOLDER / name
        if check:
            if not path.exists() or path.read_text() != text:
                differing.append(name)
        else:
            path.write_text(text)
    if differing:
        print(f"these differ from the frozen vectors: {', '.join(differing)}", file=sys.stderr)
        return 1
    print("the vectors are as frozen" if check else f"written to {FOLDER}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
