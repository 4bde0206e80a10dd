"""Text to speech: a VITS model of the transformers library, which speaks a sentence at a time, and the files that its sound is written to.

The noise that a voice is made of is drawn from the request's seed, for each sentence anew, so that neither neighbours nor the length of a
text change how a sentence sounds.
"""

from __future__ import annotations

import io
import re
import wave
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from numpy.typing import NDArray

from tallystick_platform.engine.causal import load_library_model
from tallystick_platform.engine.kind import Answer, Input
from tallystick_platform.engine.sampler import NotFinite
from tallystick_platform.errors import ModelUnusable, PromptRejected, kind_of
from tallystick_platform.protocol import Call
from tallystick_platform.tasks.speech import Format, Speaking, SpeechCall, decode_call

ENGINE_NAME = "tallystick-speaker"
ONE_VOICE = "default"
MAX_SENTENCE_CHARS = 400
MAX_SOUND_SECONDS = 300
"""Of one answer: at 48,000 samples a second 28 million bytes, which a frame holds."""
PAUSE_SECONDS = 0.2
INPUT_SIZE = 256
FULL_SCALE = 32_767  # of 16 bits
_SENTENCE_ENDS = re.compile(r"(?<=[.!?;:\n])\s+")

Sound = NDArray[np.int16]


class Speaker:
    """Implements `Kind` for VITS."""

    def __init__(self, model: Any, tokenizer: Any, *, device: torch.device) -> None:
        self._model, self._tokenizer, self._device = model, tokenizer, device
        self.rate_hz = int(model.config.sampling_rate)
        speakers = int(model.config.num_speakers)
        self.voices = [ONE_VOICE] if speakers <= 1 else [str(number) for number in range(speakers)]
        self.schema = {
            "inputs": [
                {"name": "input", "type": "string"},
                {"name": "voice", "type": "string", "enum": self.voices},
                {"name": "speed", "type": "number", "minimum": 0.25, "maximum": 4},
                {"name": "seed", "type": "integer"},
            ],
            "outputs": [{"name": "sound", "type": "audio", "rate_hz": self.rate_hz}],
        }

    def inputs(self, call: Call) -> Texts:
        """Raises: msgspec.DecodeError."""
        return Texts(self, decode_call(call.body))

    def room(self, _group: Hashable) -> int:
        """Each is computed alone."""
        return 0

    def compute(self, inputs: Sequence[Input]) -> Iterator[Sequence[bytes] | None]:
        """One sentence after another, with a short silence between them. Raises: PromptRejected."""
        (one,) = inputs
        sentences, how = one.data
        pause = np.zeros(int(PAUSE_SECONDS * self.rate_hz), np.int16)
        spoken: list[Sound] = []
        for tokens in sentences:
            spoken += [self._spoken(tokens, how), pause]
            if sum(map(len, spoken)) > MAX_SOUND_SECONDS * self.rate_hz:
                raise PromptRejected(reason=f"the text takes longer to say than {MAX_SOUND_SECONDS} seconds")
            yield None
        yield [written(np.concatenate(spoken[:-1]), self.rate_hz, how.response_format)]

    def tokens(self, text: str) -> list[int]:
        """A sentence as the model's own signs; none where it knows none of them."""
        found: list[int] = self._tokenizer(text).input_ids
        return found

    @torch.inference_mode()
    def _spoken(self, tokens: list[int], how: Speaking) -> Sound:
        torch.manual_seed(how.seed % 2**63)
        self._model.speaking_rate = self._model.config.speaking_rate * how.speed
        voice = None if self.voices == [ONE_VOICE] else self.voices.index(how.voice)
        ids = torch.tensor([tokens], device=self._device)
        found = self._model(ids, speaker_id=voice).waveform[0].float().cpu().numpy()
        if not np.isfinite(found).all():
            raise NotFinite("the model's numbers are not finite")
        sound: Sound = (found.clip(-1, 1) * FULL_SCALE).round().astype(np.int16)
        return sound


class Texts:
    """The one text of a request."""

    def __init__(self, speaker: Speaker, asked: SpeechCall) -> None:
        self._speaker, self._asked = speaker, asked

    def __len__(self) -> int:
        return 1

    def read(self, _at: int) -> Input:
        """The text in sentences. Raises: PromptRejected where the model knows none of its signs."""
        text = self._asked.text
        found = [self._speaker.tokens(sentence) for sentence in sentences_of(text)]
        sentences = [tokens for tokens in found if len(tokens) > 1]  # a blank stands around every sign
        if not sentences:
            raise PromptRejected(reason="the text holds no sign that this voice can speak")
        return Input(
            data=(sentences, self._asked.how),
            group=0,
            size=INPUT_SIZE,
            counts={"input_characters": len(text)},
            looked_at=len(text),
        )

    def answer(self, result: bytes) -> Answer:
        """The sound as a file."""
        return Answer(piece=result)


def sentences_of(text: str) -> list[str]:
    """A text where its sentences end, and between words where one of them is long."""
    found = []
    for sentence in _SENTENCE_ENDS.split(text.strip()):
        rest = sentence
        while len(rest) > MAX_SENTENCE_CHARS:
            at = rest.rfind(" ", 1, MAX_SENTENCE_CHARS)
            at = at if at > 0 else MAX_SENTENCE_CHARS
            found.append(rest[:at])
            rest = rest[at:].lstrip()
        found.append(rest)
    return [one for one in found if one.strip()]


def written(sound: Sound, rate_hz: int, form: Format) -> bytes:
    """Samples of one channel as a file."""
    file = io.BytesIO()
    if form == "wav":
        with wave.open(file, "wb") as target:
            target.setnchannels(1)
            target.setsampwidth(2)
            target.setframerate(rate_hz)
            target.writeframes(sound.astype("<i2").tobytes())
        return file.getvalue()
    with av.open(file, "w", format=form, options={"fflags": "+bitexact"}) as container:
        stream: Any = container.add_stream("libmp3lame" if form == "mp3" else "flac", rate=rate_hz)
        stream.codec_context.layout = "mono"
        stream.codec_context.format = "s16p" if form == "mp3" else "s16"
        frame = av.AudioFrame.from_ndarray(sound[None], format=stream.codec_context.format.name, layout="mono")
        frame.sample_rate = rate_hz
        for one in (frame, None):
            container.mux(stream.encode(one))
    return file.getvalue()


def load_speaker(folder: Path, dtype: torch.dtype, device: torch.device) -> Speaker:
    """A VITS model's folder. Raises: ModelUnusable."""
    import transformers

    try:
        tokenizer: Any = transformers.VitsTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise ModelUnusable(reason=f"its tokenizer cannot be read: {kind_of(error)}") from error
    if tokenizer.phonemize or tokenizer.is_uroman:
        reason = "its texts must be made into phonemes or Roman letters first, by programs that are not here"
        raise ModelUnusable(reason=reason)
    return Speaker(load_library_model(transformers.VitsModel, folder, dtype).to(device), tokenizer, device=device)
