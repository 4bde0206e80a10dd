"""The windows that a sound is heard in, and where a window's segments begin and end by the model's own tokens of time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tallystick_platform.engine.sound import Samples, samples_of

RATE_HZ = 16_000
WINDOW_SECONDS = 30
WINDOW_SAMPLES = WINDOW_SECONDS * RATE_HZ
TICK_MS = 20
"""Of a token of time."""
MS_PER_S = 1_000


class Windows:
    """The windows of a sound, each with the sample that it begins with. `advance` says where the next one does."""

    def __init__(self, sound: bytes) -> None:
        self._pieces = samples_of(sound, RATE_HZ)
        self._held: Samples = np.zeros(0, np.float32)
        self._start = 0

    def __iter__(self) -> Iterator[tuple[Samples, int]]:
        while True:
            waiting, length = [self._held], len(self._held)
            while length < WINDOW_SAMPLES and (piece := next(self._pieces, None)) is not None:
                waiting.append(piece)
                length += len(piece)
            self._held = np.concatenate(waiting)
            if not length:
                return
            yield self._held[:WINDOW_SAMPLES], self._start

    def advance(self, samples: int) -> None:
        """So many samples are done with."""
        self._held = self._held[samples:]
        self._start += samples


def parts_of(tokens: Sequence[int], first_time: int, samples: int) -> tuple[list[tuple[int, int, list[int]]], bool]:
    """The segments of a window: from when to when in milliseconds, and their tokens. Whether the window was heard to its end.

    Two tokens of time in a row stand between segments; what follows the last two is heard again in the next window. `first_time` is the
    token of the window's beginning.
    """
    times = [token >= first_time for token in tokens]
    cuts = [at for at in range(1, len(tokens)) if times[at - 1] and times[at]]
    whole = times[-2:] == [False, True] or not cuts
    if whole:
        cuts.append(len(tokens))
    found = []
    for begin, end in zip([0, *cuts], cuts, strict=False):
        part = list(tokens[begin:end])
        stamps = [(token - first_time) * TICK_MS for token in part if token >= first_time]
        last = stamps[-1] if len(stamps) > 1 else samples * MS_PER_S // RATE_HZ
        found.append((stamps[0] if stamps else 0, last, part))
    return found, whole or found[-1][1] <= 0
