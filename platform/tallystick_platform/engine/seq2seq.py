"""Texts to texts by an encoder and a decoder: T5, Marian, NLLB, and others of the transformers library, by its own `generate`.

Nothing is drawn: the most probable token each time, or the best of several beams, as the request or the model's own files say.

Texts of one length share a call, with so many rows in it, filled up with copies, as that length always has: so a text's numbers are
the same whoever is beside it. That it does not matter in which row it stands is tried on the machine at load.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import msgspec
import structlog
import torch

from tallystick_platform.engine.causal import library_tokenizer, load_library_model
from tallystick_platform.engine.kind import Answer, Input
from tallystick_platform.engine.prompt import CHARS_PER_TOKEN
from tallystick_platform.engine.states import sample_rows
from tallystick_platform.engine.turns import in_turns
from tallystick_platform.errors import PromptRejected, PromptTooLong
from tallystick_platform.protocol import Call
from tallystick_platform.tasks import translation
from tallystick_platform.tasks.each import AS_MUCH_AS_FITS
from tallystick_platform.tasks.translation import DEFAULTS, Written

ENGINE_NAME = "tallystick-seq2seq"
MOST_ROWS, ROW_TOKENS = 16, 256
"""Of the texts of one call. Beams count as rows."""
DEFAULT_LONGEST = 512
MAX_LONGEST = 1_048_576  # tokenizers without a bound name a far larger number
MAX_NAMED = 12
"""Languages that a refusal names."""
PROBED_LENGTHS = (3, 12, 40)
_DIRECTION = re.compile(r"translation_(?P<source>\w+?)_to_(?P<target>\w+)")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """A text as tokens, how it is to be written, and the token that its translation has to begin with, if any."""

    ids: array[int]
    how: translation.Writing
    first: int | None


class Translator:
    """A loaded model: a kind of the one-shot engine. `independent` is false where rows of one call were seen to change each other."""

    def __init__(self, model: Any, tokenizer: Any, device: torch.device) -> None:
        self._model, self._tokenizer, self._device = model, tokenizer, device
        self._own_source = getattr(tokenizer, "src_lang", None)
        self._controls = frozenset(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
        config, own = model.config, model.generation_config
        positions = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
        self.most_tokens = int(positions or DEFAULT_LONGEST)
        told = [tokenizer.model_max_length, positions]
        self.longest = min((one for one in told if type(one) is int and 0 < one < MAX_LONGEST), default=DEFAULT_LONGEST)
        named = {name: getattr(own, name, None) for name in DEFAULTS}
        named["max_tokens"] = own.max_new_tokens or own.max_length
        self.defaults: dict[str, Any] = {
            **DEFAULTS,
            **{name: value for name, value in named.items() if value is not None},
        }
        self.defaults["max_tokens"] = min(self.defaults["max_tokens"], self.most_tokens)
        self.independent = True
        self._directions = {
            (found["source"], found["target"]): str(params.get("prefix", ""))
            for name, params in (getattr(config, "task_specific_params", None) or {}).items()
            if (found := _DIRECTION.fullmatch(name)) and isinstance(params, dict)
        }

    def rows(self, beams: int, length: int = 1) -> int:
        """How many texts of this length share a call."""
        return max(1, min(MOST_ROWS // beams, ROW_TOKENS // length)) if self.independent else 1

    def inputs(self, call: Call) -> Sources:
        """Raises: msgspec.DecodeError."""
        return Sources(self, translation.decode_call(call.body))

    def room(self, group: Hashable) -> int:
        """Tokens of a call: those of so many texts."""
        length, how, _ = group  # type: ignore[misc]  # as `Sources` makes it
        return int(length * self.rows(how.num_beams, length))  # type: ignore[has-type]

    def compute(self, inputs: Sequence[Input]) -> Iterator[Sequence[tuple[Written, int]] | None]:
        """A text for each, with the number of its tokens."""
        return in_turns(lambda turn: self._written([one.data for one in inputs], turn))

    @torch.inference_mode()
    def _written(self, sources: Sequence[Source], turn: Callable[[], None]) -> list[tuple[Written, int]]:
        how, length = sources[0].how, len(sources[0].ids)
        rows = self.rows(how.num_beams, length)
        ids = torch.tensor([list(one.ids) for one in islice(cycle(sources), rows)], device=self._device)
        given: dict[str, Any] = {} if sources[0].first is None else {"forced_bos_token_id": sources[0].first}
        found = self._model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=how.max_tokens,
            num_beams=how.num_beams,
            length_penalty=how.length_penalty,
            early_stopping=how.early_stopping,
            repetition_penalty=how.repetition_penalty,
            no_repeat_ngram_size=how.no_repeat_ngram_size,
            stopping_criteria=[_Turns(turn)],
            **given,
        )
        return [self._text(row[1:].tolist()) for row in found[: len(sources)]]

    def _text(self, ids: list[int]) -> tuple[Written, int]:
        """A text out of the tokens behind the one that every text begins with."""
        ends = self._model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        end = next((at for at, token in enumerate(ids) if token in ends), None)
        kept = ids if end is None else ids[: end + 1]
        text = self._tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return Written(text, "length" if end is None else "stop"), len(kept)

    def source(self, text: str, how: translation.Writing) -> Source:
        """A text as tokens, with whatever tells the model its languages. Raises: PromptRejected, PromptTooLong."""
        before, first = self._languages(how.source_language, how.target_language)
        cut = how.truncate_prompt_tokens
        limit = self.longest if cut in (None, AS_MUCH_AS_FITS) else cut
        if cut is None and len(text) > CHARS_PER_TOKEN * self.longest:
            found = len(self._ids(before + text[: CHARS_PER_TOKEN * self.longest], None))
            if found > 2 * self.longest:
                raise PromptTooLong(limit=self.longest, found=found)
        ids = self._ids(
            before + (text if cut is None else text[: CHARS_PER_TOKEN * limit]), None if cut is None else limit
        )
        if len(ids) > self.longest:
            raise PromptTooLong(limit=self.longest, found=len(ids))
        return Source(array("i", ids), how, first)

    def _ids(self, text: str, limit: int | None) -> list[int]:
        """The tokens of a text. Raises: PromptRejected for what spells a control token and is taken for it by the tokenizer."""
        given = {} if limit is None else {"truncation": True, "max_length": limit}
        told = {"split_special_tokens": True, "verbose": False}
        if not self._controls.isdisjoint(self._tokenizer(text, add_special_tokens=False, **told).input_ids):
            raise PromptRejected(reason="the text holds control tokens of this model, which would be taken for such")
        ids: list[int] = self._tokenizer(text, **told, **given).input_ids
        return ids

    def _languages(self, source: str | None, target: str | None) -> tuple[str, int | None]:
        """What stands before a text, and the token that its translation begins with. Raises: PromptRejected."""
        tokenizer = self._tokenizer
        if codes := _codes(tokenizer):
            _among("target_language", target, codes)
            if source is not None:
                _among("source_language", source, codes)
            tokenizer.src_lang = source or self._own_source
            return "", codes[str(target)]
        if marks := getattr(tokenizer, "supported_language_codes", None):
            known = {mark.strip("><"): mark for mark in marks}
            _among("target_language", target, known)
            _among_own("source_language", source, getattr(tokenizer, "source_lang", None))
            return f"{known[str(target)]} ", None
        if self._directions and (source, target) != (None, None):
            named = {f"{one} to {other}": before for (one, other), before in self._directions.items()}
            _among("source_language and target_language", f"{source} to {target}", named)
            return named[f"{source} to {target}"], None
        _among_own("source_language", source, getattr(tokenizer, "source_lang", None))
        _among_own("target_language", target, getattr(tokenizer, "target_lang", None))
        return "", None

    def probe(self) -> bool:
        """Find out whether it matters in which row of a call a text stands."""
        self.independent = all(map(self._keeps_rows, PROBED_LENGTHS))
        if not self.independent:
            _log.warning("engine.rows_disturb_each_other", decoded_together=1)
        return self.independent

    @torch.inference_mode()
    def _keeps_rows(self, length: int) -> bool:
        rows = self.rows(1, length)
        ids = torch.tensor(
            [list(row.ids) for row in sample_rows(self._model, [length] * rows, length)], device=self._device
        )
        together = self._first_logits(ids)
        return all(
            torch.equal(together[at], self._first_logits(ids[at : at + 1].repeat(rows, 1))[0]) for at in range(rows)
        )

    def _first_logits(self, ids: torch.Tensor) -> torch.Tensor:
        starts = ids[:, :3].clone()
        found: torch.Tensor = self._model(
            input_ids=ids, attention_mask=torch.ones_like(ids), decoder_input_ids=starts
        ).logits
        return found


class Sources:
    """The inputs of a request for texts."""

    def __init__(self, kind: Translator, asked: translation.TranslationCall) -> None:
        self._kind, self._asked = kind, asked

    def __len__(self) -> int:
        return len(self._asked.texts)

    def read(self, at: int) -> Input:
        """A text. Raises: PromptRejected, PromptTooLong."""
        text, how = self._asked.texts[at], self._asked.how
        found = self._kind.source(text, how)
        length = len(found.ids)
        return Input(
            data=found,
            group=(length, how, found.first),
            size=length,
            counts={"input_tokens": length},
            looked_at=1 + len(text),
        )

    def answer(self, result: tuple[Written, int]) -> Answer:
        """What was written."""
        written, tokens = result
        return Answer(piece=msgspec.msgpack.encode(written), counts={"output_tokens": tokens})


class _Turns:
    """Asked by the library after each token."""

    def __init__(self, turn: Callable[[], None]) -> None:
        self._turn = turn

    def __call__(self, input_ids: torch.Tensor, _scores: Any, **_: Any) -> torch.Tensor:
        """No row is at its end for this reason."""
        self._turn()
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


def _codes(tokenizer: Any) -> Mapping[str, int]:
    """The codes of languages that a multilingual model's translations begin with; none for any other model."""
    if hasattr(tokenizer, "lang_code_to_id"):
        return dict(tokenizer.lang_code_to_id)
    if hasattr(tokenizer, "src_lang"):
        return {str(code): tokenizer.convert_tokens_to_ids(str(code)) for code in tokenizer.extra_special_tokens}
    return {}


def _among(param: str, asked: str | None, known: Mapping[str, Any]) -> None:
    """Raises: PromptRejected."""
    if asked not in known:
        named = ", ".join(list(known)[:MAX_NAMED]) + (", ..." if len(known) > MAX_NAMED else "")
        found = "is not named" if asked is None else f"is {asked!a:.60}"
        raise PromptRejected(reason=f"{param} {found}, and the model knows: {named}")


def _among_own(param: str, asked: str | None, own: str | None) -> None:
    """Raises: PromptRejected for another language than the model's one."""
    if asked is not None and asked != own:
        known = "none that can be named" if own is None else f"{own} alone"
        raise PromptRejected(reason=f"{param} is {asked!a:.60}, and the model knows {known}")


def load_translator(folder: Path, dtype: torch.dtype, device: torch.device) -> Translator:
    """A folder with an encoder and a decoder. Raises: ModelUnusable."""
    import transformers

    model = load_library_model(transformers.AutoModelForSeq2SeqLM, folder, dtype).to(device)
    return Translator(model, library_tokenizer(folder), device)
