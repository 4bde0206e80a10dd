"""Encoders with a head: labels for a text or a pair of texts, a score for a document, entities in a text.

What the numbers mean is what the transformers library's pipelines and sentence-transformers' cross-encoders make of them: the functions
that turn numbers into scores are theirs, as the model's configuration says.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Encoding

from tallystick_platform.engine.causal import library_tokenizer, load_library_model
from tallystick_platform.engine.headed import Headed
from tallystick_platform.engine.kind import Answer, Input
from tallystick_platform.engine.layout import longest_of
from tallystick_platform.engine.prompt import TextEncoder
from tallystick_platform.engine.states import Row
from tallystick_platform.errors import ModelUnusable, PromptTooLong
from tallystick_platform.protocol import Call
from tallystick_platform.tasks import CLASSIFICATION, classification, entities, rerank
from tallystick_platform.tasks.each import AS_MUCH_AS_FITS

Numbers = npt.NDArray[Any]
Function = Callable[[Numbers], Numbers]


def _softmax(numbers: Numbers) -> Numbers:
    shifted = np.exp(numbers - np.max(numbers, axis=-1, keepdims=True))
    result: Numbers = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


def _sigmoid(numbers: Numbers) -> Numbers:
    result: Numbers = 1.0 / (1.0 + np.exp(-numbers))
    return result


def _as_they_are(numbers: Numbers) -> Numbers:
    return numbers


class _Kind:
    """What the kinds with a head share: how texts are read, and how much shares a pass.

    `typed` says whether the model is told which tokens are of the second text of a pair.
    """

    def __init__(self, headed: Headed, texts: TextEncoder, *, typed: bool) -> None:
        self.headed, self.states = headed, headed.states
        self._texts, self._typed = texts, typed

    def room(self, group: Hashable) -> int:  # noqa: ARG002
        """Tokens of a pass."""
        return self.states.room

    def compute(self, inputs: Sequence[Input]) -> Iterator[Sequence[Numbers] | None]:
        """The model's numbers for each."""
        yield [one.numpy() for one in self.headed.numbers([one.data for one in inputs])]

    def encoding(self, text: str, pair: str | None, truncated: int | None) -> Encoding:
        """A text, or two, as tokens. Raises: PromptRejected, PromptTooLong."""
        longest = self.states.longest if truncated in (None, AS_MUCH_AS_FITS) else truncated
        found = self._texts.encode_row(text, pair, longest, cut=truncated is not None)
        if len(found.ids) > self.states.longest:
            raise PromptTooLong(limit=self.states.longest, found=len(found.ids))
        return found

    def input(self, found: Encoding, looked_at: int) -> Input:
        """The same for a pass."""
        row = Row(array("i", found.ids), array("i", found.type_ids) if self._typed else None)
        return Input(
            data=row,
            group=self.states.group(row),
            size=len(row),
            counts={"input_tokens": len(row)},
            looked_at=looked_at,
        )


class Classifier(_Kind):
    """Sequence classification; a cross-encoder where it has one label."""

    def __init__(self, headed: Headed, texts: TextEncoder, tokenizer: Any, config: Any) -> None:
        super().__init__(headed, texts, typed="token_type_ids" in tokenizer.model_input_names)
        self.labels = [str(config.id2label[at]) for at in range(config.num_labels)]
        self.function = _function(config.problem_type, config.num_labels)
        self.fit = _fit(config)

    def inputs(self, call: Call) -> Labelled | Scored:
        """Raises: msgspec.DecodeError."""
        if call.task == CLASSIFICATION.name:
            return Labelled(self, classification.decode_call(call.body))
        return Scored(self, rerank.decode_call(call.body))


class Labelled:
    """The inputs of a request for labels."""

    def __init__(self, kind: Classifier, asked: classification.ClassificationCall) -> None:
        self._kind, self._asked = kind, asked

    def __len__(self) -> int:
        return len(self._asked.texts)

    def read(self, at: int) -> Input:
        """A text, or a pair. Raises: PromptRejected, PromptTooLong."""
        texts = self._asked.texts[at]
        found = self._kind.encoding(
            texts[0], texts[1] if len(texts) > 1 else None, self._asked.how.truncate_prompt_tokens
        )
        return self._kind.input(found, sum(map(len, texts)))

    def answer(self, result: Numbers) -> Answer:
        """All labels with their scores."""
        scores = (_as_they_are if self._asked.how.raw_scores else self._kind.function)(result[0])
        return Answer(piece=msgspec.msgpack.encode(list(zip(self._kind.labels, scores.tolist(), strict=True))))


class Scored:
    """The inputs of a request for scores: the query with each document."""

    def __init__(self, kind: Classifier, asked: rerank.RerankCall) -> None:
        self._kind, self._asked = kind, asked

    def __len__(self) -> int:
        return len(self._asked.documents)

    def read(self, at: int) -> Input:
        """The query and a document. Raises: PromptRejected, PromptTooLong."""
        asked = self._asked
        found = self._kind.encoding(asked.query, asked.documents[at], asked.how.truncate_prompt_tokens)
        return self._kind.input(found, len(asked.query) + len(asked.documents[at]))

    def answer(self, result: Numbers) -> Answer:
        """How well the document fits the query."""
        scores = (_as_they_are if self._asked.how.raw_scores else self._kind.fit)(result[0])
        return Answer(piece=rerank.SCORE.pack(float(scores[0])))


class Tagger(_Kind):
    """Token classification. `pipeline` is the library's, which puts tokens together to entities."""

    def __init__(self, headed: Headed, texts: TextEncoder, pipeline: Any) -> None:
        super().__init__(headed, texts, typed=False)
        self.pipeline = pipeline

    def inputs(self, call: Call) -> Marked:
        """Raises: msgspec.DecodeError."""
        return Marked(self, entities.decode_call(call.body))


class Marked:
    """The inputs of a request for entities."""

    def __init__(self, kind: Tagger, asked: entities.EntitiesCall) -> None:
        self._kind, self._asked = kind, asked
        self._read: list[Encoding] = []
        self._answered = 0

    def __len__(self) -> int:
        return len(self._asked.texts)

    def read(self, at: int) -> Input:
        """A text. Raises: PromptRejected, PromptTooLong."""
        text = self._asked.texts[at]
        self._read.append(self._kind.encoding(text, None, self._asked.how.truncate_prompt_tokens))
        return self._kind.input(self._read[at], len(text))

    def answer(self, result: Numbers) -> Answer:
        """The entities of the next text."""
        from transformers.pipelines.token_classification import AggregationStrategy

        text, found = self._asked.texts[self._answered], self._read[self._answered]
        self._answered += 1
        marked = self._kind.pipeline.postprocess(
            [
                {
                    "logits": torch.from_numpy(result)[None],
                    "sentence": text,
                    "input_ids": np.array([found.ids]),
                    "offset_mapping": [found.offsets],
                    "special_tokens_mask": torch.tensor([found.special_tokens_mask]),
                }
            ],
            AggregationStrategy(self._asked.how.aggregation_strategy),
        )
        return Answer(piece=msgspec.msgpack.encode([_entity(one) for one in marked]))


def _entity(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "entity": found["entity_group"] if "entity_group" in found else found["entity"],
        "score": float(found["score"]),
        "start": int(found["start"]),
        "end": int(found["end"]),
        "word": str(found["word"]),
    }


def _function(problem: str | None, labels: int) -> Function:
    """What turns numbers into scores, by the library's own rule."""
    if problem == "regression":
        return _as_they_are
    return _sigmoid if problem == "multi_label_classification" or labels == 1 else _softmax


def _fit(config: Any) -> Function:
    """What turns a cross-encoder's number into a score, as its configuration says; sentence-transformers' own rule where it does not."""
    told = getattr(config, "sentence_transformers", None)
    named = told.get("activation_fn") if isinstance(told, dict) else None
    named = named or getattr(config, "sbert_ce_default_activation_function", None)
    if named is None:
        return _sigmoid if config.num_labels == 1 else _as_they_are
    functions: Mapping[str, Function] = {"Identity": _as_they_are, "Sigmoid": _sigmoid}
    kind = str(named).rpartition(".")[2]
    if kind not in functions:
        raise ModelUnusable(reason=f"its scores are made by {kind[:60]}, which is not computed here")
    return functions[kind]


def load_classifier(folder: Path, texts: TextEncoder, dtype: torch.dtype, device: torch.device) -> Classifier:
    """A model for sequence classification. Raises: ModelUnusable."""
    import transformers

    model = load_library_model(transformers.AutoModelForSequenceClassification, folder, dtype).to(device)
    tokenizer = library_tokenizer(folder)
    longest = longest_of(folder, model.config.get_text_config())
    return Classifier(Headed(model, longest, device, each_token=False), texts, tokenizer, model.config)


def load_tagger(folder: Path, texts: TextEncoder, dtype: torch.dtype, device: torch.device) -> Tagger:
    """A model for token classification. Raises: ModelUnusable."""
    import transformers

    model = load_library_model(transformers.AutoModelForTokenClassification, folder, dtype).to(device)
    pipeline = transformers.TokenClassificationPipeline(model=model, tokenizer=library_tokenizer(folder))  # type: ignore[no-untyped-call]
    longest = longest_of(folder, model.config.get_text_config())
    return Tagger(Headed(model, longest, device, each_token=True), texts, pipeline)
