"""Sound that somebody sent: what is decoded, and what is refused before or while it is."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from tallystick_platform.engine import sound
from tallystick_platform.errors import PromptRejected
from tests.support.sounds import FORMS, RATE_HZ, tone, written

TOTAL_SAMPLES = slice(21, 26)
"""Of a FLAC file: 4 bits of something else, then the number of samples, 0 where it is not known."""


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_one_channel_at_the_rate_that_is_asked_for(form: str) -> None:
    data = written(tone(1.5, channels=1 if form == "webm" else 2), form)
    samples = np.concatenate(list(sound.samples_of(data, 16_000)))
    assert len(samples) == pytest.approx(24_000, abs=600)
    assert sound.duration_us(data) == pytest.approx(1_500_000, abs=40_000)
    spectrum = np.abs(np.fft.rfft(samples[:16_000]))
    assert int(spectrum.argmax()) == pytest.approx(440, abs=2)
    assert np.abs(samples).max() == pytest.approx(0.3, abs=0.05)


def test_what_is_told_of_a_length_is_the_number_of_samples_that_come() -> None:
    data = written(tone(1), "wav")
    samples = np.concatenate(list(sound.samples_of(data, RATE_HZ)))
    assert np.allclose(samples, tone(1)[:, 0], atol=1e-4)
    assert sound.duration_us(data) == 1_000_000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"sound",
        b"RIFF\0\0\0\0AVI ",
        b"#EXTM3U\nfile:///etc/passwd\n",
        b"RIFF\0\0\0\0WAVE" + bytes(100),
        b"fLaC" + bytes(100),
        b"OggS" + bytes(100),
        b"\x1aE\xdf\xa3" + bytes(100),
        b"ID3" + bytes(100),
        b"\xff\xfb" + bytes(100),
        written(tone(1), "flac")[:60],
        written(tone(1), "ogg")[:100],
        written(tone(0.0), "wav"),
    ],
    ids=lambda data: ascii(data[:12]),
)
def test_what_is_no_sound_is_refused(data: bytes) -> None:
    with pytest.raises(PromptRejected):
        sound.duration_us(data)


@pytest.mark.parametrize(("at", "number", "form"), [(22, 9, "<H"), (24, 3_999, "<I"), (24, 192_001, "<I")])
def test_a_header_beyond_the_bounds_is_refused_before_anything_is_decoded(at: int, number: int, form: str) -> None:
    data = bytearray(written(tone(0.1), "wav"))
    struct.pack_into(form, data, at, number)
    if at == 22:  # 9 channels: whole frames of them
        struct.pack_into("<H", data, 32, 18)
    with pytest.raises(PromptRejected, match=r"channels|samples a second"):
        sound.duration_us(bytes(data))


def hours_of_silence() -> bytes:
    data = written(np.zeros((16_000 * (sound.MAX_SECONDS + 60), 1), np.int16), "flac", 16_000)
    assert len(data) < 400_000
    return data


def test_hours_of_silence_in_a_small_file_are_refused_by_what_the_header_says() -> None:
    with pytest.raises(PromptRejected, match="says that it lasts 3660 seconds"):
        sound.duration_us(hours_of_silence())


def test_hours_of_silence_behind_a_header_that_says_nothing_are_refused_where_the_bound_is() -> None:
    data = bytearray(hours_of_silence())
    data[TOTAL_SAMPLES] = bytes([data[21] & 0xF0, 0, 0, 0, 0])
    with pytest.raises(PromptRejected, match="lasts longer than 3600 seconds"):
        sound.duration_us(bytes(data))
