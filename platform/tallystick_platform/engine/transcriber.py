"""Sound to text: a Whisper model of the transformers library, which hears thirty seconds at a time.

Each window begins where the last whole sentence of the one before ended, by the model's own tokens of time. It is computed by itself, so
that a transcript never depends on what else is transcribed. A sound is decoded as its windows need it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch
from tokenizers import Tokenizer
from torch import Tensor

from tallystick_platform.engine.causal import load_library_model
from tallystick_platform.engine.kind import Answer, Input
from tallystick_platform.engine.prompt import TextEncoder
from tallystick_platform.engine.sampler import NotFinite
from tallystick_platform.engine.sound import Samples, duration_us
from tallystick_platform.engine.turns import in_turns
from tallystick_platform.engine.windows import MS_PER_S, RATE_HZ, Windows, parts_of
from tallystick_platform.errors import ModelUnusable, PromptRejected, PromptTooLong, kind_of
from tallystick_platform.protocol import Call
from tallystick_platform.tasks.transcription import (
    DETECTED,
    Segment,
    Transcribing,
    Transcript,
    TranscriptionCall,
    decode_call,
)

ENGINE_NAME = "tallystick-transcriber"
INPUT_SIZE = 256
"""Of the size of a step: two sounds are transcribed in turns."""
NO_SPEECH = 0.6
UNLIKELY = -1.0
"""A window is passed over where nobody seems to speak and what was heard all the same is less likely than this. Source: openai/whisper."""
DIGITS = 4  # of a probability; those behind them differ with the number of threads
ENGLISH = "en"


@dataclass(slots=True)
class Heard:
    """What was heard so far. `texts` are the segments' as the model wrote them."""

    language: str
    duration_us: int
    texts: list[str] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a window stands in its sound, and what goes before it. Units: `start` samples."""

    number: int
    start: int
    prompt: tuple[int, ...]


class _Turns:
    """Stops nothing. After each token others have their turn, whose draws change nothing here."""

    def __init__(self, turn: Callable[[], None]) -> None:
        self._turn = turn

    def __call__(self, ids: Tensor, _scores: object, **_: object) -> Tensor:
        state = torch.get_rng_state()
        self._turn()
        torch.set_rng_state(state)
        return torch.zeros(len(ids), dtype=torch.bool, device=ids.device)


class Transcriber:
    """Implements `Kind` for Whisper."""

    def __init__(self, model: Any, extractor: Any, tokenizer: Tokenizer, *, device: torch.device) -> None:
        self._model, self._extractor, self._tokenizer = model, extractor, tokenizer
        self._texts = TextEncoder(tokenizer)
        self._device = device
        self._settings = settings = model.generation_config
        self._first_time = settings.no_timestamps_token_id + 1
        self._no_speech = settings.no_timestamps_token_id - 1
        named = getattr(settings, "lang_to_id", None) or {}
        self._languages = {text.strip("<|>"): at for text, at in named.items()} if settings.is_multilingual else {}
        self._names = {at: name for name, at in self._languages.items()}
        self.longest_prompt = model.config.max_target_positions // 2 - 1

    def inputs(self, call: Call) -> Sounds:
        """Raises: msgspec.DecodeError."""
        return Sounds(self, decode_call(call.body))

    def room(self, _group: Hashable) -> int:
        """Each is computed alone."""
        return 0

    def compute(self, inputs: Sequence[Input]) -> Iterator[Sequence[Heard] | None]:
        """One window after another, a token at a time."""
        sound, how, prompt, duration = inputs[0].data
        return in_turns(lambda turn: [self._heard(sound, how, prompt, duration, turn)])

    def _heard(
        self, sound: bytes, how: Transcribing, prompt: tuple[int, ...], duration: int, turn: Callable[[], None]
    ) -> Heard:
        heard = Heard(language=how.language, duration_us=duration)
        for number, (window, start) in enumerate(windows := Windows(sound)):
            states = self._encoded(self._features(window))
            turn()
            place = Place(number=number, start=start, prompt=prompt if not number else ())
            windows.advance(self._hear(heard, states, window, place, how, turn))
        return heard

    def prompt(self, text: str) -> tuple[int, ...]:
        """The tokens of a text that goes before the first window's. Raises: PromptRejected."""
        if not text.strip():
            return ()
        found = self._texts.encode_text(f" {text.strip()}", self.longest_prompt)
        tokens = tuple(token for token in found if token < self._settings.eos_token_id)
        if len(tokens) > self.longest_prompt:
            raise PromptTooLong(limit=self.longest_prompt, found=len(tokens))
        return tokens

    def check_language(self, name: str) -> None:
        """Raises: PromptRejected for a language that the model was not made for."""
        if name != DETECTED and name not in (self._languages or {ENGLISH: 0}):
            raise PromptRejected(reason=f"the model does not know the language {name!a:.20}")

    def _features(self, window: Samples) -> Tensor:
        found = self._extractor(window, sampling_rate=RATE_HZ, return_tensors="pt").input_features
        features: Tensor = found.to(self._device, self._model.dtype)
        return features

    @torch.inference_mode()
    def _encoded(self, features: Tensor) -> Any:
        return self._model.model.encoder(features)

    @torch.inference_mode()
    def _hear(
        self,
        heard: Heard,
        states: Any,
        window: Samples,
        place: Place,
        how: Transcribing,
        turn: Callable[[], None],
    ) -> int:
        """Add what is said in a window; gives how many samples further the next one begins."""
        begin = torch.tensor([[self._settings.decoder_start_token_id]], device=self._device)
        logits = self._model(encoder_outputs=states, decoder_input_ids=begin).logits[0, -1].float()
        no_speech = float(logits.softmax(-1)[self._no_speech])
        if heard.language == DETECTED:
            heard.language = self._detected(logits)
        tokens, likely = self._drawn(states, heard.language, how, place, turn)
        heard.tokens += len(tokens)
        if no_speech > NO_SPEECH and likely < UNLIKELY:
            return len(window)
        parts, whole = parts_of(tokens, self._first_time, len(window))
        offset_ms = place.start * MS_PER_S // RATE_HZ
        for first, last, said in parts:
            text = self._text(said)
            if not text.strip():
                continue
            heard.texts.append(text)
            segment = Segment(
                start_ms=offset_ms + first,
                end_ms=min(offset_ms + last, heard.duration_us // MS_PER_S),
                text=" ".join(text.split()),
                seek=place.start * 100 // RATE_HZ,
                tokens=tuple(said),
                avg_logprob=round(likely, DIGITS),
                no_speech_prob=round(no_speech, DIGITS),
            )
            heard.segments.append(segment)
        return len(window) if whole else min(parts[-1][1] * RATE_HZ // MS_PER_S, len(window))

    def _detected(self, logits: Tensor) -> str:
        if not self._names:
            return ENGLISH
        ids = sorted(self._names)
        name: str = self._names[ids[int(logits[ids].argmax())]]
        return name

    def _drawn(
        self, states: Any, language: str, how: Transcribing, place: Place, turn: Callable[[], None]
    ) -> tuple[list[int], float]:
        """The tokens of a window, and the mean of their logarithmic probabilities."""
        torch.manual_seed((how.seed + place.number) % 2**63)  # only drawn from where the temperature is above 0
        spoken = {"language": language, "task": "transcribe"} if self._languages else {}
        before = [self._settings.prev_sot_token_id, *place.prompt] if place.prompt else None
        found = self._model.generate(
            input_features=None,
            encoder_outputs=states,
            return_timestamps=True,
            force_unique_generate_call=True,
            return_dict_in_generate=True,
            output_scores=True,
            temperature=how.temperature,
            prompt_ids=None if before is None else torch.tensor(before, device=self._device),
            stopping_criteria=[_Turns(turn)],
            **spoken,
        )
        count = len(found.scores)
        tokens = found.sequences[0, -count:].tolist()
        likely = sum(
            float(row[0].float().log_softmax(-1)[token]) for row, token in zip(found.scores, tokens, strict=True)
        )
        if not math.isfinite(likely):
            raise NotFinite("the model's numbers are not finite")
        return [token for token in tokens if token != self._settings.eos_token_id], likely / count

    def _text(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode([token for token in tokens if token < self._settings.eos_token_id])


class Sounds:
    """The one sound of a request."""

    def __init__(self, transcriber: Transcriber, asked: TranscriptionCall) -> None:
        self._transcriber, self._asked = transcriber, asked

    def __len__(self) -> int:
        return 1

    def read(self, _at: int) -> Input:
        """All of it is decoded once before any is transcribed. Raises: PromptRejected."""
        sound, how = self._asked.sound, self._asked.how
        self._transcriber.check_language(how.language)
        prompt, lasts = self._transcriber.prompt(how.prompt), duration_us(sound)
        return Input(
            data=(sound, how, prompt, lasts),
            group=0,
            size=INPUT_SIZE,
            counts={"audio_us": lasts},
            looked_at=len(sound),
        )

    def answer(self, result: Heard) -> Answer:
        """What the format that was asked for delivers."""
        return Answer(piece=_written(result, self._asked.how), counts={"output_tokens": result.tokens})


def _written(heard: Heard, how: Transcribing) -> str | bytes:
    text = "".join(heard.texts).strip()
    if how.response_format in ("json", "text"):
        return text
    if how.response_format != "verbose_json":
        captions = (Segment(start_ms=one.start_ms, end_ms=one.end_ms, text=one.text) for one in heard.segments)
        return msgspec.msgpack.encode(Transcript(segments=tuple(captions)))
    return msgspec.msgpack.encode(
        Transcript(
            segments=tuple(heard.segments),
            text=text,
            language=heard.language,
            duration_ms=heard.duration_us // MS_PER_S,
        )
    )


def load_transcriber(folder: Path, tokenizer: Tokenizer, dtype: torch.dtype, device: torch.device) -> Transcriber:
    """A Whisper model's folder. Raises: ModelUnusable."""
    import transformers

    model = load_library_model(transformers.WhisperForConditionalGeneration, folder, dtype, unused=("proj_out.",))
    settings = model.generation_config
    for name in ("no_timestamps_token_id", "decoder_start_token_id", "eos_token_id", "is_multilingual"):
        if getattr(settings, name, None) is None:
            raise ModelUnusable(reason=f"its generation_config.json lacks {name}, without which it gives no times")
    settings.prev_sot_token_id = getattr(settings, "prev_sot_token_id", None) or settings.no_timestamps_token_id - 2
    try:
        extractor = transformers.WhisperFeatureExtractor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise ModelUnusable(reason=f"preprocessor_config.json cannot be read: {kind_of(error)}") from error
    return Transcriber(model.to(device), extractor, tokenizer, device=device)
