"""The tokens of an answer as they are shown to who asked for them: text, bytes, probability, and what else was probable."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from tallystick_platform.protocol import Alternative, TokenEntry

LEAST_LOGPROB = -9999.0  # for what cannot come at all: JSON has no infinity


@dataclass(frozen=True, slots=True)
class TokenNames:
    """How the tokens of a model are shown: by their bytes, special ones by their names."""

    table: Sequence[bytes]
    special: Mapping[int, str]

    def of(self, token: int) -> tuple[str, bytes]:
        """Text and bytes. U+FFFD stands for what is no whole character by itself."""
        if token in self.special:
            return self.special[token], self.special[token].encode()
        data = self.table[token] if token < len(self.table) else b""
        return data.decode(errors="replace"), data

    def entry(self, logits: Tensor | None, token: int, top: int) -> TokenEntry:
        """A token in its place, with the `top` most probable ones there, before anything that a request changes of it.

        Shapes: logits [vocabulary]; None where nothing stands before.
        """
        text, data = self.of(token)
        if logits is None:
            return TokenEntry(text, data, None)
        exact = logits.double()
        logprobs = exact - exact.logsumexp(dim=0)
        values, ids = logprobs.topk(min(top, logprobs.shape[0]))
        alternatives = tuple(
            Alternative(*self.of(one), max(value, LEAST_LOGPROB))
            for one, value in zip(ids.tolist(), values.tolist(), strict=True)
        )
        return TokenEntry(text, data, max(float(logprobs[token]), LEAST_LOGPROB), alternatives)


class ShownTokens:
    """Hands out the tokens of a text as the text is: one leaves with the first letter of it, and with a stop string's none.

    Units: characters.
    """

    __slots__ = ("_decoded", "_held", "_released")

    def __init__(self) -> None:
        self._held: deque[tuple[int, TokenEntry]] = deque()
        self._decoded = self._released = 0

    def add(self, entry: TokenEntry, length: int) -> None:
        """A token that made so much text whole."""
        self._held.append((self._decoded, entry))
        self._decoded += length

    def take(self, length: int) -> list[TokenEntry]:
        """The tokens of the next so much text that is decided."""
        self._released += length
        found = []
        while self._held and self._held[0][0] < self._released:
            found.append(self._held.popleft()[1])
        return found

    def rest(self) -> list[TokenEntry]:
        """Whatever is left, once all text is."""
        found = [entry for _, entry in self._held]
        self._held.clear()
        return found
