"""What all programs here share: where the server is, and how the outcome of a feature is told."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable

BASE_URL = os.environ["CLIENT_BASE_URL"]
API_KEY = os.environ["CLIENT_API_KEY"]
CHAT_MODEL = os.environ["CLIENT_CHAT_MODEL"]
EMBEDDING_MODEL = os.environ["CLIENT_EMBEDDING_MODEL"]
FOLDER = os.environ["CLIENT_FOLDER"]

QUESTION = "Name one thing that a ledger holds."
FOLLOW_UP = "And another one?"
BEGINNING = "A ledger is"
INPUTS = ["a ledger holds records", "a cat sat on a mat"]


def told(text: object) -> None:
    """Requires text: an empty answer is no answer."""
    if not isinstance(text, str) or not text.strip():
        raise AssertionError(f"no text: {text!r:.80}")


def streamed(pieces: list[str]) -> None:
    """Requires several pieces that make a text."""
    if len(pieces) < 2:
        raise AssertionError(f"{len(pieces)} pieces are no stream")
    told("".join(pieces))


def embedded(vectors: object) -> None:
    """Requires one vector for each of INPUTS, of one length, and not the same one twice."""
    found = [list(vector) for vector in vectors]  # type: ignore[union-attr]
    if len(found) != len(INPUTS) or len({len(vector) for vector in found}) != 1 or found[0] == found[1]:
        raise AssertionError(f"{len(found)} vectors of lengths {[len(vector) for vector in found]}")


def run(features: dict[str, Callable[[], None]]) -> None:
    """Try each feature, and print how it went."""
    for name, attempt in features.items():
        try:
            attempt()
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            outcome = {"feature": name, "ok": False, "detail": f"{type(error).__name__}: {error}"[:300]}
        else:
            outcome = {"feature": name, "ok": True, "detail": ""}
        print(json.dumps(outcome), flush=True)
