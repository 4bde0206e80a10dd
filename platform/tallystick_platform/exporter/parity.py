"""Whether an exported model computes what its source computes: the same texts through both, and what is compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tallystick_platform.exporter.errors import ExportFailed
from tallystick_platform.exporter.spec import ParityReport

if TYPE_CHECKING:
    from tallystick_platform.exporter.streamed import RunningModel

Logits = npt.NDArray[np.float32]

PROMPT = "The capital of France is a city that"
TEXT = (
    "In the early morning the harbour was quiet. Two men loaded boxes of fish onto a small truck while a boy counted them "
    "aloud and wrote the number in a notebook. Every box was weighed, marked with a date, and covered with ice. When the "
    "sun came up the truck left for the market, where the first customers were already waiting. The price of a box depends "
    "on the weather: after a storm there is little fish, and people pay twice as much. In summer the boats stay out for "
    "three days, and in winter they return before dark. A good captain knows the wind, the water and the people who work "
    "for him. He keeps a record of each journey, because the memory of one man is short and the sea does not forgive a "
    "mistake that is made again."
)
MAX_TEXT_TOKENS = 192  # all logits of one text are held at once: 37 MB for a vocabulary of 49,152
MIN_TEXT_TOKENS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityInput:
    """The tokens that both models see."""

    prompt: tuple[int, ...]
    text: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one model made of the input. Shapes: `text_logits` (len(text), vocabulary)."""

    name: str
    text_logits: Logits
    greedy: tuple[int, ...]


def parity_input(source: Path, vocabulary: int, context: int, tokens: int) -> ParityInput:
    """The fixed texts in the source's own tokens; without a tokenizer.json, a fixed walk over the vocabulary.

    Raises: ExportFailed where the context is too short for the prompt and the tokens to be compared.
    """
    path = source / "tokenizer.json"
    if path.is_file():
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(path))
        prompt, text = (tuple(tokenizer.encode(one, add_special_tokens=False).ids) for one in (PROMPT, TEXT))
    else:
        prompt, text = (tuple(37 * step % vocabulary for step in range(1, count)) for count in (10, MAX_TEXT_TOKENS))
    text = text[: min(MAX_TEXT_TOKENS, context)]
    if len(prompt) + tokens > context or len(text) < MIN_TEXT_TOKENS or max(prompt + text) >= vocabulary:
        reason = f"a context of {context} and {vocabulary} words are too few to compare {tokens} tokens after a prompt"
        raise ExportFailed(reason=reason)
    return ParityInput(prompt=prompt, text=text)


def measure(run: RunningModel, given: ParityInput, tokens: int) -> Measured:
    """Run a model over the input and let it go on by itself."""
    return Measured(
        name=run.name,
        text_logits=run.logits(given.text),
        greedy=tuple(run.greedy(given.prompt, tokens)),
    )


def follow(run: RunningModel, given: ParityInput, expected: Sequence[int]) -> Measured:
    """Run a model over the input and let it say the next token at each step of another one's continuation.

    Up to the first token that differs both saw the same text, so as many leading tokens agree as if it had gone on by
    itself, and one pass shows it.
    """
    logits = run.logits([*given.prompt, *expected[:-1]])
    said = tuple(int(token) for token in logits[len(given.prompt) - 1 :].argmax(axis=-1))
    del logits
    return Measured(name=run.name, text_logits=run.logits(given.text), greedy=said)


def compared(
    reference: Measured,
    candidate: Measured,
    given: ParityInput,
    bound: Mapping[str, float],
    notes: tuple[str, ...] = (),
) -> ParityReport:
    """The report over both. A candidate of another shape has no difference and so passes no bound on it."""
    return ParityReport(
        reference=reference.name,
        runtime=candidate.name,
        bound=bound,
        max_logit_difference=largest_difference(reference.text_logits, candidate.text_logits),
        greedy_tokens=len(reference.greedy),
        greedy_equal=leading_equal(reference.greedy, candidate.greedy),
        perplexity_reference=perplexity(reference.text_logits, given.text),
        perplexity=perplexity(candidate.text_logits, given.text),
        notes=notes,
    )


def leading_equal(expected: Sequence[int], found: Sequence[int]) -> int:
    """How many tokens agree before the first that does not."""
    count = 0
    for left, right in zip(expected, found, strict=False):
        if left != right:
            break
        count += 1
    return count


def largest_difference(expected: Logits, found: Logits) -> float | None:
    """The largest absolute difference; None for other shapes, and not a number where either holds none."""
    if expected.shape != found.shape:
        return None
    # Python's own max would lose what is not a number wherever it does not come first.
    rows = [float(np.abs(left - right).max()) for left, right in zip(expected, found, strict=True)]
    return float(np.max(rows)) if rows else None


def perplexity(logits: Logits, ids: Sequence[int]) -> float:
    """How surprised a model is by a text, each token given those before it. Source: exp of the mean negative log-likelihood."""
    total = 0.0
    for row, target in zip(logits[:-1], ids[1:], strict=True):
        wide = row.astype(np.float64)
        top = wide.max()
        total += top + math.log(np.exp(wide - top).sum()) - wide[target]
    return math.exp(min(total / (len(ids) - 1), 700.0))
