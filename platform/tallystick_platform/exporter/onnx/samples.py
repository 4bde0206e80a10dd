"""What encoders and whisper are given on both sides: fixed sentences and a fixed sound. Language models read `parity.TEXT`."""

from __future__ import annotations

from typing import Any, Final

SENTENCES: Final = (
    "The stick was split into two halves.",
    "Both halves of the wood bear the same notches.",
    "The miller owes the shepherd eleven sheep.",
    "A debt of eleven sheep has to be paid by the miller before midsummer, or his mill is forfeit.",
    "It rains.",
    "Heavy rain is expected in the north tomorrow morning.",
    "Neither side can change the count alone.",
    "The cat sleeps on the warm stove.",
)
MAX_SENTENCE_TOKENS: Final = 64
MEL_FRAMES: Final = 3_000  # thirty seconds, what whisper hears at once


def sound(bins: int) -> Any:
    """A log-mel spectrogram of no sound in particular: waves over the bins that drift in time. Shapes: [1, bins, frames]."""
    import numpy as np

    times, heights = np.arange(MEL_FRAMES) / MEL_FRAMES, np.arange(bins) / bins
    sound = sum(np.sin(2 * np.pi * (9 * k * times[None, :] + (k + 1) * heights[:, None])) / k for k in (1, 2, 3))
    return np.asarray(sound, dtype=np.float32)[None] * np.float32(0.4)
