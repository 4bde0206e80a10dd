"""Texts to vectors: an encoder of the transformers library, and how its outputs are pooled.

A folder in the layout of sentence-transformers says itself how its vectors are made (`modules.json`), and what is put before texts
(`config_sentence_transformers.json`); any other encoder's vectors are the mean of its outputs. They have unit length either way.

Documents are ranked by the cosine between their vectors and the query's.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tallystick_platform.engine.causal import load_library_model, read_json, read_text
from tallystick_platform.engine.kind import Answer, Input
from tallystick_platform.engine.model_store import MODULES_FILE
from tallystick_platform.engine.prompt import TextEncoder, checked_tokens
from tallystick_platform.engine.sampler import NotFinite
from tallystick_platform.engine.states import AFTER_PADDING, Row, States
from tallystick_platform.errors import ModelUnusable, PromptRejected, PromptTooLong
from tallystick_platform.protocol import Call
from tallystick_platform.tasks import EMBEDDING, embedding, rerank
from tallystick_platform.tasks.each import AS_MUCH_AS_FITS

ENGINE_NAME = "tallystick-encoder"
MAX_LAYOUT_BYTES = 1_048_576
DEFAULT_LONGEST = 512
OF_QUERIES, OF_DOCUMENTS = ("query",), ("document", "passage", "corpus")
"""What models call their prompts for either side of a search."""

Pool = Callable[[Tensor], Tensor]
"""Shapes: [tokens, width] to [width]."""


def _weighted_mean(states: Tensor) -> Tensor:
    """Later tokens weigh more."""
    weights = torch.arange(1, len(states) + 1, device=states.device, dtype=states.dtype)
    return (states * weights[:, None]).sum(0) / weights.sum()


POOLS: Mapping[str, Pool] = {
    "cls": lambda states: states[0],
    "max": lambda states: states.amax(0),
    "mean": lambda states: states.mean(0),
    "mean_sqrt_len_tokens": lambda states: states.sum(0) / len(states) ** 0.5,
    "weightedmean": _weighted_mean,
    "lasttoken": lambda states: states[-1],
}
"""By the names of sentence-transformers, in the order in which that joins several of them."""
_OLDER_NAMES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a folder says that vectors are made. `prompts` are put before texts, and pooled with them where `pools_prompt`."""

    pools: tuple[str, ...] = ("mean",)
    pools_prompt: bool = True
    lower_case: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str = ""
    longest: int | None = None

    def prompt_of(self, names: Sequence[str]) -> str:
        """The first of the prompts that is there, else the default one."""
        return next((self.prompts[name] for name in names if name in self.prompts), self.default_prompt)


@dataclass(frozen=True, slots=True)
class Pooled:
    """What one vector is made of: a row whose first `skip` tokens are not pooled, and how many numbers of it are wanted."""

    row: Row
    skip: int
    dimensions: int


class Encoder:
    """A loaded encoder: a kind of the one-shot engine."""

    def __init__(self, states: States, texts: TextEncoder, layout: Layout, width: int) -> None:
        self.states = states
        self._texts, self._layout = texts, layout
        self._pools = [POOLS[name] for name in layout.pools]
        self.dimensions = width * len(self._pools)

    def inputs(self, call: Call) -> Texts | Compared:
        """Raises: msgspec.DecodeError."""
        if call.task == EMBEDDING.name:
            return Texts(self, embedding.decode_call(call.body))
        return Compared(self, rerank.decode_call(call.body))

    def room(self, group: Hashable) -> int:  # noqa: ARG002
        """Tokens of a pass."""
        return self.states.room

    def compute(self, inputs: Sequence[Input]) -> Iterator[Sequence[Tensor] | None]:
        """A vector for each."""
        yield self.vectors([one.data for one in inputs])

    def input(
        self, one: str | tuple[int | str, ...], dimensions: int, prompt: str | None, truncated: int | None
    ) -> Input:
        """A text, with what is put before it, as tokens; or the model's own tokens as they were given.

        Raises: PromptRejected, PromptTooLong.
        """
        before = ""
        if isinstance(one, str):
            before = self.prompt(prompt)
        elif one and isinstance(one[0], str):
            before, one = one[0], str(one[1])
        if isinstance(one, str):
            row = self._row(before + one, truncated)
        else:
            row = Row(array("i", [int(token) for token in one][: self._limit(truncated)]))
        checked_tokens(list(row.ids), self.states.vocabulary)
        if len(row) > self.states.longest:
            raise PromptTooLong(limit=self.states.longest, found=len(row))
        skip = 0 if self._layout.pools_prompt or not before else self._tokens_before(before)
        return Input(
            data=Pooled(row, min(skip, len(row) - 1), dimensions),
            group=self.states.group(row),
            size=len(row),
            counts={"input_tokens": len(row)},
            looked_at=1 + len(one),
        )

    def prompt(self, name: str | None) -> str:
        """What is put before a text. Raises: PromptRejected for a prompt that the model has not."""
        if name is None:
            return self._layout.default_prompt
        if name not in self._layout.prompts:
            named = ", ".join(sorted(self._layout.prompts)) or "none"
            raise PromptRejected(reason=f"the model has no prompt {name!a:.80}; its own are: {named}")
        return self._layout.prompts[name]

    def side(self, names: Sequence[str]) -> str:
        """What is put before a query, or before a document."""
        return self._layout.prompt_of(names)

    @torch.inference_mode()
    def vectors(self, rows: Sequence[Pooled]) -> list[Tensor]:
        """The first numbers of each row's vector at unit length. Shapes: [dimensions] float32 each.

        Requires: rows of one group. Raises: NotFinite; RuntimeError and IndexError where it cannot be computed.
        """
        states = self.states.of([one.row for one in rows])
        return [
            _unit(torch.cat([pool(found[one.skip :]) for pool in self._pools])[: one.dimensions])
            for one, found in zip(rows, states, strict=True)
        ]

    def _row(self, text: str, truncated: int | None) -> Row:
        text = text.lower() if self._layout.lower_case else text
        if truncated is None:
            return Row(array("i", self._texts.encode_text(text, self.states.longest)))
        return Row(array("i", self._texts.encode_row(text, longest=self._limit(truncated), cut=True).ids))

    def _limit(self, truncated: int | None) -> int | None:
        return self.states.longest if truncated == AS_MUCH_AS_FITS else truncated

    def _tokens_before(self, prompt: str) -> int:
        """Tokens in front of the text itself, the one that begins every row among them; the one that ends a row is none of them."""
        found = self._texts.encode_row(prompt)
        return len(found.ids) - (1 if found.special_tokens_mask[-1] else 0)


class Texts:
    """The inputs of a request for vectors."""

    def __init__(self, encoder: Encoder, asked: embedding.EmbeddingCall) -> None:
        self._encoder, self._asked = encoder, asked

    def __len__(self) -> int:
        return len(self._asked.inputs)

    def read(self, at: int) -> Input:
        """One of the texts. Raises: PromptRejected, PromptTooLong."""
        how = self._asked.how
        return self._encoder.input(self._asked.inputs[at], how.dimensions, how.prompt_name, how.truncate_prompt_tokens)

    def answer(self, result: Tensor) -> Answer:
        """A vector: little-endian float32."""
        return Answer(piece=result.numpy().astype("<f4").tobytes(), counts={"vectors": 1})


class Compared:
    """The inputs of a request for scores: the query, whose vector every other one needs, and the documents."""

    def __init__(self, encoder: Encoder, asked: rerank.RerankCall) -> None:
        self._encoder, self._asked = encoder, asked
        self._query: Tensor | None = None

    def __len__(self) -> int:
        return 1 + len(self._asked.documents)

    def read(self, at: int) -> Input:
        """The query, or a document. Raises: PromptRejected, PromptTooLong."""
        encoder, asked = self._encoder, self._asked
        if at == 0:
            return encoder.input((encoder.side(OF_QUERIES), asked.query), encoder.dimensions, None, None)
        before = encoder.side(OF_DOCUMENTS)
        return encoder.input(
            (before, asked.documents[at - 1]), encoder.dimensions, None, asked.how.truncate_prompt_tokens
        )

    def answer(self, result: Tensor) -> Answer | None:
        """The cosine of a document with the query."""
        if self._query is None:
            self._query = result.double()
            return None
        return Answer(piece=rerank.SCORE.pack(float(result.double() @ self._query)))


def _unit(vector: Tensor) -> Tensor:
    length = vector.double().norm()
    if not torch.isfinite(length) or length == 0:
        raise NotFinite("the encoder's numbers are not finite, or all of them are zero")
    unit: Tensor = (vector.double() / length).float().cpu()
    return unit


def load_encoder(folder: Path, texts: TextEncoder, dtype: torch.dtype, device: torch.device) -> Encoder:
    """An encoder's folder. Raises: ModelUnusable."""
    import transformers

    layout = _layout(folder)
    model = load_library_model(transformers.AutoModel, folder, dtype, unused=("pooler.",)).to(device)
    if getattr(model.config, "is_encoder_decoder", False):
        raise ModelUnusable(reason="it is an encoder and a decoder, not an encoder alone")
    config = model.config.get_text_config()
    states = States(model, longest_of(folder, config, layout.longest), device)
    return Encoder(states, texts, layout, int(config.hidden_size))


def _layout(folder: Path) -> Layout:
    """How vectors are made. Raises: ModelUnusable for what is not computed here."""
    if not (folder / MODULES_FILE).is_file():
        return Layout()
    try:
        modules = json.loads(read_text(folder / MODULES_FILE, MAX_LAYOUT_BYTES))
        kinds = [(str(module["type"]).rpartition(".")[2], str(module["path"])) for module in modules]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise ModelUnusable(reason=f"{MODULES_FILE} does not list the modules") from error
    pooling: dict[str, Any] = {"pooling_mode": "mean"}
    for at, (kind, place) in enumerate(kinds):
        if kind == "Pooling" and at == 1:
            pooling = _optional(folder, f"{place}/config.json")
        elif (kind, at, place) != ("Transformer", 0, "") and kind != "Normalize":
            raise ModelUnusable(reason=f"{MODULES_FILE} has {kind[:60]} in place {at}, which is not computed here")
    settings = _optional(folder, "sentence_bert_config.json")
    prompts, default = _prompts(_optional(folder, "config_sentence_transformers.json"))
    longest = settings.get("max_seq_length")
    return Layout(
        pools=tuple(_pools(pooling)),
        pools_prompt=pooling.get("include_prompt") is not False,
        lower_case=settings.get("do_lower_case") is True,
        prompts=prompts,
        default_prompt=default,
        longest=longest if type(longest) is int else None,
    )


def _prompts(config: Mapping[str, Any]) -> tuple[dict[str, str], str]:
    """The prompts by their names, and the one that is put before a text unasked. Raises: ModelUnusable for a default that is not there."""
    found = config.get("prompts")
    prompts = {str(name): str(text) for name, text in found.items()} if isinstance(found, dict) else {}
    name = config.get("default_prompt_name")
    if name is not None and name not in prompts:
        raise ModelUnusable(reason="its default prompt is none of its prompts")
    return prompts, "" if name is None else prompts[name]


def _pools(config: Mapping[str, Any]) -> list[str]:
    """The names in a pooling module's configuration, in either of its two spellings. Raises: ModelUnusable."""
    named = config.get("pooling_mode")
    found = (
        named
        if isinstance(named, list)
        else [named]
        if named
        else [name for key, name in _OLDER_NAMES.items() if config.get(key)]
    )
    if not found or any(name not in POOLS for name in found):
        raise ModelUnusable(reason="its pooling is not computed here")
    return [name for name in POOLS if name in found]


def longest_of(folder: Path, config: Any, stated: int | None = None) -> int:
    """Tokens of one input: the least of what the folder, its tokenizer and the model's learned positions say."""
    positions = getattr(config, "max_position_embeddings", None)
    if isinstance(positions, int) and config.model_type in AFTER_PADDING:
        positions -= (config.pad_token_id or 0) + 1
    told = [stated, _optional(folder, "tokenizer_config.json").get("model_max_length"), positions]
    return min((each for each in told if type(each) is int and each > 0), default=DEFAULT_LONGEST)


def _optional(folder: Path, name: str) -> dict[str, Any]:
    """A configuration, empty where there is no such file. Raises: ModelUnusable, for a file outside of the folder too."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ModelUnusable(reason=f"{MODULES_FILE} names a place outside of the folder")
    return read_json(path, MAX_LAYOUT_BYTES) if path.is_file() else {}
