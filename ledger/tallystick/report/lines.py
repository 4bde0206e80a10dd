"""Parts of an answer that a person reads as lines: a label, the rank of a document, something found in a text, what is said and when, a
token with its probability; and predictions, as a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SCORE_DIGITS = 4
MAX_ROWS = 100
"""A longer table is cut on the terminal, and says so; `--json` shows it whole."""
PREDICTED = {"predictions", "classes", "probabilities"}


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
    if names == {"token", "bytes", "logprob", "top_logprobs"}:
        others = part["top_logprobs"] if isinstance(part["top_logprobs"], list) else []
        listed = [(one.get("token"), one.get("logprob")) for one in others if isinstance(one, Mapping)]
        return _token(part["token"], part["logprob"], listed)
    if {"start_ms", "end_ms"} <= names and not {"text", "word"}.isdisjoint(names):
        return f"{_clock(part['start_ms'])} - {_clock(part['end_ms'])}  {part.get('text', part.get('word'))}"
    return None


def tokens_of(shown: object) -> list[str]:
    """The lines of the tokens of a completion; none for anything else."""
    if not isinstance(shown, Mapping) or not {"tokens", "token_logprobs", "top_logprobs"} <= shown.keys():
        return []
    columns = [shown[name] for name in ("tokens", "token_logprobs", "top_logprobs")]
    if not all(isinstance(column, list) for column in columns):
        return []
    return [
        _token(token, logprob, list(top.items()) if isinstance(top, Mapping) else [])
        for token, logprob, top in zip(*columns, strict=False)
    ]


def table_of(answer: object) -> list[str]:
    """The lines of a table of predictions, with the probability of each class where they were asked for; none for anything else."""
    if not isinstance(answer, Mapping) or not isinstance(answer.get("predictions"), list) or answer.keys() - PREDICTED:
        return []
    found, classes, likely = answer["predictions"], answer.get("classes"), answer.get("probabilities")
    rows = [[str(one)] for one in found[:MAX_ROWS]]
    if isinstance(likely, list) and len(likely) == len(found) and all(isinstance(row, list) for row in likely):
        rows = [[*row, *map(_number, more)] for row, more in zip(rows, likely, strict=False)]
        rows.insert(0, ["prediction", *map(str, classes if isinstance(classes, list) else range(len(likely[0])))])
    widths = [max(map(len, column)) for column in zip(*rows, strict=False)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return lines if len(found) <= MAX_ROWS else [*lines, f"and {len(found) - MAX_ROWS} more rows"]


def _token(token: object, logprob: object, others: Sequence[tuple[object, object]]) -> str:
    beside = ", ".join(f"{one!r} {_number(value)}" for one, value in others if one != token)
    return f"{_number(logprob) if logprob is not None else '-'}  {token!r}" + (f"  beside {beside}" if beside else "")


def _number(value: object) -> str:
    return f"{value:.{SCORE_DIGITS}f}" if isinstance(value, float) else str(value)


def _score(part: Mapping[str, object]) -> str:
    return _number(part["score"])


def _clock(ms: object) -> str:
    seconds, ms = divmod(ms if isinstance(ms, int) else 0, 1_000)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}.{ms:03}"
