"""Parts of an answer that a person reads as one line: a label, the rank of a document, something found in a text, what is said and when."""

from __future__ import annotations

from collections.abc import Mapping

SCORE_DIGITS = 4


def line_of(part: object) -> str | None:
    """The line; None for anything else."""
    if not isinstance(part, Mapping):
        return None
    names = part.keys()
    if names == {"label", "score"}:
        return f"{_score(part)}  {part['label']}"
    if names == {"index", "score"}:
        return f"{_score(part)}  document {part['index']}"
    if names == {"entity", "score", "start", "end", "word"}:
        return f"{_score(part)}  {part['entity']}  {part['word']}  ({part['start']} to {part['end']})"
    if {"start_ms", "end_ms"} <= names and not {"text", "word"}.isdisjoint(names):
        return f"{_clock(part['start_ms'])} - {_clock(part['end_ms'])}  {part.get('text', part.get('word'))}"
    return None


def _score(part: Mapping[str, object]) -> str:
    score = part["score"]
    return f"{score:.{SCORE_DIGITS}f}" if isinstance(score, float) else str(score)


def _clock(ms: object) -> str:
    seconds, ms = divmod(ms if isinstance(ms, int) else 0, 1_000)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}.{ms:03}"
