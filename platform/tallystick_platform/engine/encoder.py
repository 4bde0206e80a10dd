"""Texts to vectors of unit length: an encoder of the transformers library, its outputs pooled as its folder says (`layout`).

Documents are ranked by the cosine between their vectors and the query's.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tallystick_platform.engine.causal import MAX_CONFIG_BYTES, load_library_model, read_json
from tallystick_platform.engine.kind import Answer, Input
from tallystick_platform.engine.layout import POOLS, Dense, Layout, longest_of, read_dense, read_layout
from tallystick_platform.engine.prompt import TextEncoder, checked_tokens
from tallystick_platform.engine.sampler import NotFinite
from tallystick_platform.engine.states import Row, States
from tallystick_platform.errors import ModelUnusable, PromptRejected, PromptTooLong
from tallystick_platform.protocol import Call
from tallystick_platform.tasks import EMBEDDING, embedding, rerank
from tallystick_platform.tasks.each import AS_MUCH_AS_FITS

ENGINE_NAME = "tallystick-encoder"
_HALVES = {"t5": "T5EncoderModel", "mt5": "MT5EncoderModel"}
"""Families with a decoder, of which vectors take the encoder alone."""
OF_QUERIES, OF_DOCUMENTS = ("query",), ("document", "passage", "corpus")
"""What models call their prompts for either side of a search."""


@dataclass(frozen=True, slots=True)
class Pooled:
    """What one vector is made of: a row whose first `skip` tokens are not pooled, and how many numbers of it are wanted."""

    row: Row
    skip: int
    dimensions: int


class Encoder:
    """A loaded encoder: a kind of the one-shot engine."""

    def __init__(
        self, states: States, texts: TextEncoder, layout: Layout, width: int, dense: Sequence[Dense] = ()
    ) -> None:
        self.states = states
        self._texts, self._layout, self._dense = texts, layout, dense
        self._pools = [POOLS[name] for name in layout.pools]
        self.dimensions = len(dense[-1].weight) if dense else width * len(self._pools)

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
            _unit(self._vector(found[one.skip :])[: one.dimensions]) for one, found in zip(rows, states, strict=True)
        ]

    def _vector(self, states: Tensor) -> Tensor:
        """The vector of a row, by itself, so that no kernel sees how many there are."""
        vector = torch.cat([pool(states) for pool in self._pools])
        for dense in self._dense:
            vector = dense(vector)
        return vector

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

    layout = read_layout(folder)
    family = read_json(folder / "config.json", MAX_CONFIG_BYTES).get("model_type")
    kind = getattr(transformers, _HALVES[family]) if family in _HALVES else transformers.AutoModel
    model = load_library_model(kind, folder, dtype, unused=("pooler.",)).to(device)
    if getattr(model.config, "is_encoder_decoder", False):
        raise ModelUnusable(reason="it is an encoder and a decoder, not an encoder alone")
    config = model.config.get_text_config()
    states = States(model, longest_of(folder, config, layout.longest), device)
    dense = [read_dense(folder, place, dtype, device) for place in layout.dense]
    return Encoder(states, texts, layout, int(config.hidden_size), dense)
