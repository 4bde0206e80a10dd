"""Sound that somebody sent, decoded within bounds: what it is, how long it lasts, and its samples.

Nothing is decoded before its header was held to the bounds, and what is decoded is counted, since a header may lie. The form is told by
the first bytes, and the library is told which reader to take: some of its others fetch what a file refers to.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from tallystick_platform.errors import PromptRejected

MAX_SECONDS = 3_600
MAX_CHANNELS = 8
MIN_RATE_HZ = 4_000
MAX_RATE_HZ = 192_000
US_PER_S = 1_000_000
FULL_SCALE = 32_768  # of 16 bits
FORMS = "wav, mp3, flac, ogg or webm"

Samples = NDArray[np.float32]


def form_of(data: bytes) -> str:
    """Which reader takes it. Raises: PromptRejected."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "wav"
    if data[:3] == b"ID3" or (data[:1] == b"\xff" and data[1:2] >= b"\xe0"):
        return "mp3"
    for begin, form in ((b"fLaC", "flac"), (b"OggS", "ogg"), (b"\x1aE\xdf\xa3", "matroska")):
        if data.startswith(begin):
            return form
    raise PromptRejected(reason=f"the file is no {FORMS}")


def duration_us(data: bytes) -> int:
    """How long it lasts, once all of it was decoded and nothing kept. Units: microseconds.

    Raises: PromptRejected where it cannot be decoded, or is beyond the bounds.
    """
    samples, rate = 0, 1
    for frame in _frames(data):
        samples, rate = samples + frame.samples, frame.sample_rate
    if not samples:
        raise PromptRejected(reason="the file holds no sound")
    return samples * US_PER_S // rate


def samples_of(data: bytes, rate_hz: int) -> Iterator[Samples]:
    """One channel at a rate of so many samples a second, piece by piece; channels are mixed.

    Raises: PromptRejected.
    """
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate_hz)  # as openai/whisper has it
    for frame in _frames(data):
        frame.pts = None  # gaps in a file's own clock are not filled
        yield from (_array(one) for one in resampler.resample(frame))
    yield from (_array(one) for one in resampler.resample(None))


def _array(frame: Any) -> Samples:
    found: Samples = frame.to_ndarray()[0].astype(np.float32) / FULL_SCALE
    return found


def _frames(data: bytes) -> Iterator[Any]:
    form = form_of(data)
    try:
        with av.open(io.BytesIO(data), mode="r", format=form) as container:
            if not container.streams.audio:
                raise PromptRejected(reason="the file holds no sound")
            stream = container.streams.audio[0]
            rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
            _check(rate, channels, (container.duration or 0) / av.time_base)
            room = MAX_SECONDS * rate
            stream.codec_context.thread_count = 1
            for frame in container.decode(stream):
                if (frame.sample_rate, frame.layout.nb_channels) != (rate, channels):
                    raise PromptRejected(reason="the file changes its rate or its channels half way")
                room -= frame.samples
                if room < 0:
                    raise PromptRejected(reason=f"the file lasts longer than {MAX_SECONDS} seconds")
                yield frame
    except (av.FFmpegError, ValueError, OverflowError, MemoryError) as error:
        raise PromptRejected(reason=f"the file cannot be decoded as {form}") from error


def _check(rate: int, channels: int, seconds: float) -> None:
    """The bounds of what a header says. Raises: PromptRejected."""
    if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
        raise PromptRejected(reason=f"the file has {rate} samples a second; {MIN_RATE_HZ} to {MAX_RATE_HZ} are taken")
    if not 1 <= channels <= MAX_CHANNELS:
        raise PromptRejected(reason=f"the file has {channels} channels; 1 to {MAX_CHANNELS} are taken")
    if seconds > MAX_SECONDS:
        raise PromptRejected(reason=f"the file says that it lasts {seconds:.0f} seconds; {MAX_SECONDS} are taken")
