"""Texts to vectors: an encoder of the transformers library, and how its outputs are pooled.

A folder in the layout of sentence-transformers says itself how its vectors are made (`modules.json`); any other encoder's are the mean
of its outputs. Vectors have unit length either way.

Inputs of one length are computed together where this machine shows that they do not change each other's bits. Kernels for very few tokens
sum in another order than those for more, so a pass never has fewer than `FEWEST_TOKENS`: a lone short input is computed several times
over.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import structlog
import torch
from torch import Tensor

from tallystick_platform.engine.causal import load_library_model, read_json, read_text
from tallystick_platform.engine.kind import Answer, Input
from tallystick_platform.engine.model_store import MODULES_FILE
from tallystick_platform.engine.prompt import TextEncoder, checked_tokens
from tallystick_platform.engine.sampler import NotFinite
from tallystick_platform.errors import ModelUnusable, PromptTooLong
from tallystick_platform.protocol import Call
from tallystick_platform.tasks.embedding import EmbeddingCall, decode_call

ENGINE_NAME = "tallystick-encoder"
MAX_LAYOUT_BYTES = 1_048_576
FEWEST_TOKENS = 16
PASS_TOKENS = 128
"""More tokens of short inputs in one pass gain nothing on a CPU."""
PROBED_LENGTHS = (1, 3, 8, 12, 21, 32, 64)

_log = structlog.get_logger(__name__)

Pool = Callable[[Tensor], Tensor]
"""Shapes: [rows, tokens, width] to [rows, width]."""


def _weighted_mean(states: Tensor) -> Tensor:
    """Later tokens weigh more."""
    weights = torch.arange(1, states.shape[1] + 1, device=states.device, dtype=states.dtype)
    return (states * weights[:, None]).sum(1) / weights.sum()


POOLS: Mapping[str, Pool] = {
    "cls": lambda states: states[:, 0],
    "max": lambda states: states.amax(1),
    "mean": lambda states: states.mean(1),
    "mean_sqrt_len_tokens": lambda states: states.sum(1) / states.shape[1] ** 0.5,
    "weightedmean": _weighted_mean,
    "lasttoken": lambda states: states[:, -1],
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
DEFAULT_LONGEST = 512
AFTER_PADDING = frozenset({"roberta", "xlm-roberta", "camembert", "mpnet", "xlm-roberta-xl", "xmod", "longformer"})
"""Families that number positions from behind the padding token's id, so that fewer are left for tokens."""


class Encoder:
    """A loaded encoder. `independent` is false where rows of one pass were seen to change each other."""

    def __init__(
        self,
        model: Any,
        texts: TextEncoder,
        *,
        pools: Sequence[str],
        lower_case: bool,
        longest: int,
        device: torch.device,
    ) -> None:
        self._model, self._texts = model, texts
        self._pools = [POOLS[name] for name in pools]
        self._lower_case = lower_case
        self._device = device
        self.longest = longest
        self.vocabulary = int(model.get_input_embeddings().weight.shape[0])
        self.dimensions = int(model.config.get_text_config().hidden_size) * len(self._pools)
        self.independent = True

    def inputs(self, call: Call) -> Texts:
        """Raises: msgspec.DecodeError."""
        return Texts(self, decode_call(call.body))

    def compute(self, inputs: Sequence[Input]) -> Iterator[Sequence[bytes] | None]:
        """A vector for each."""
        yield self.vectors([one.data[0] for one in inputs], [one.data[1] for one in inputs])

    def tokens(self, one: str | Sequence[int]) -> list[int]:
        """A text's tokens with those that the tokenizer puts around it, or the model's own tokens as they were given.

        Raises: PromptRejected, PromptTooLong.
        """
        if isinstance(one, str):
            one = self._texts.encode_text(one.lower() if self._lower_case else one, self.longest)
        found = checked_tokens(list(one), self.vocabulary)
        if len(found) > self.longest:
            raise PromptTooLong(limit=self.longest, found=len(found))
        return found

    def room(self, group: Hashable) -> int:  # noqa: ARG002
        """Tokens of a pass."""
        return PASS_TOKENS if self.independent else 0

    def vectors(self, rows: Sequence[Sequence[int]], dimensions: Sequence[int]) -> list[bytes]:
        """The first `dimensions` numbers of each row's vector at unit length, little-endian float32.

        Requires: rows of one length. Raises: NotFinite; RuntimeError and IndexError where it cannot be computed.
        """
        return [_unit(vector[:size]) for vector, size in zip(self.pooled(rows), dimensions, strict=True)]

    @torch.inference_mode()
    def pooled(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Shapes: [rows, dimensions] float32."""
        least = -(-FEWEST_TOKENS // len(rows[0]))
        ids = torch.tensor([list(row) for row in islice(cycle(rows), max(len(rows), least))], device=self._device)
        states = self._model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[: len(rows)]
        return torch.cat([pool(states) for pool in self._pools], dim=1).float().cpu()

    def probe(self) -> bool:
        """Find out whether rows may share a pass: every size of product at every number of tokens, and the whole model at some lengths."""
        self.independent = all(map(_keeps_rows, self._products())) and all(map(self._keeps_inputs, PROBED_LENGTHS))
        if not self.independent:
            _log.warning("engine.rows_disturb_each_other", decoded_together=1)
        return self.independent

    def _products(self) -> list[torch.nn.Linear]:
        products = (module for module in self._model.modules() if isinstance(module, torch.nn.Linear))
        return list({tuple(product.weight.shape): product for product in products}.values())

    def _keeps_inputs(self, length: int) -> bool:
        if length > self.longest:
            return True
        most = max(1, PASS_TOKENS // length)
        rows = [[(7 * row + 3 * at + 1) % self.vocabulary for at in range(length)] for row in range(most)]
        alone = [self.pooled([row])[0] for row in rows[:2]]
        return all(
            torch.equal(found, expected)
            for count in {most // 2 + 1, most}
            for found, expected in zip(self.pooled(rows[:count]), alone, strict=False)
        )


class Texts:
    """The inputs of a request for vectors. Those of one length may share a pass: padding would make a row's numbers depend on others."""

    def __init__(self, encoder: Encoder, asked: EmbeddingCall) -> None:
        self._encoder, self._asked = encoder, asked

    def __len__(self) -> int:
        return len(self._asked.inputs)

    def read(self, at: int) -> Input:
        """One text, or the model's own tokens. Raises: PromptRejected, PromptTooLong."""
        one = self._asked.inputs[at]
        row = array("i", self._encoder.tokens(one))
        return Input(
            data=(row, self._asked.dimensions),
            group=len(row),
            size=len(row),
            counts={"input_tokens": len(row)},
            looked_at=1 + len(one),
        )

    def answer(self, result: bytes) -> Answer:
        """A vector as it is."""
        return Answer(piece=result, counts={"vectors": 1})


@torch.inference_mode()
def _keeps_rows(product: torch.nn.Linear) -> bool:
    weight = product.weight
    rows = torch.randn(PASS_TOKENS, weight.shape[1], generator=torch.Generator().manual_seed(weight.shape[1])).to(
        weight
    )
    alone = torch.cat([product(rows[at : at + FEWEST_TOKENS]) for at in range(0, PASS_TOKENS, FEWEST_TOKENS)])
    counts = range(FEWEST_TOKENS, PASS_TOKENS + 1)
    return all(torch.equal(product(rows[:count]), alone[:count]) for count in counts)


def _unit(vector: Tensor) -> bytes:
    length = vector.double().norm()
    if not torch.isfinite(length) or length == 0:
        raise NotFinite("the encoder's numbers are not finite, or all of them are zero")
    data: bytes = (vector.double() / length).float().numpy().astype("<f4").tobytes()
    return data


def load_encoder(folder: Path, texts: TextEncoder, dtype: torch.dtype, device: torch.device) -> Encoder:
    """An encoder's folder. Raises: ModelUnusable."""
    import transformers

    pools, settings = _layout(folder)
    model = load_library_model(transformers.AutoModel, folder, dtype, unused=("pooler.",)).to(device)
    if getattr(model.config, "is_encoder_decoder", False):
        raise ModelUnusable(reason="it is an encoder and a decoder, not an encoder alone")
    longest = _longest(folder, settings, model.config.get_text_config())
    lower_case = settings.get("do_lower_case") is True
    return Encoder(model, texts, pools=pools, lower_case=lower_case, longest=longest, device=device)


def _layout(folder: Path) -> tuple[list[str], dict[str, Any]]:
    """How vectors are pooled, and what else the folder says of its texts. Raises: ModelUnusable for what is not computed here."""
    if not (folder / MODULES_FILE).is_file():
        return ["mean"], {}
    try:
        modules = json.loads(read_text(folder / MODULES_FILE, MAX_LAYOUT_BYTES))
        kinds = [(str(module["type"]).rpartition(".")[2], str(module["path"])) for module in modules]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise ModelUnusable(reason=f"{MODULES_FILE} does not list the modules") from error
    pools = ["mean"]
    for at, (kind, place) in enumerate(kinds):
        if kind == "Pooling" and at == 1:
            pools = _pools(_optional(folder, f"{place}/config.json"))
        elif (kind, at, place) != ("Transformer", 0, "") and kind != "Normalize":
            raise ModelUnusable(reason=f"{MODULES_FILE} has {kind[:60]} in place {at}, which is not computed here")
    if _optional(folder, "config_sentence_transformers.json").get("default_prompt_name"):
        raise ModelUnusable(reason="it puts a prompt of its own before every text, which is not done here")
    return pools, _optional(folder, "sentence_bert_config.json")


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
    if not found or any(name not in POOLS for name in found) or config.get("include_prompt") is False:
        raise ModelUnusable(reason="its pooling is not computed here")
    return [name for name in POOLS if name in found]


def _longest(folder: Path, settings: Mapping[str, Any], config: Any) -> int:
    """Tokens of one input: the least of what the folder, its tokenizer and the model's learned positions say."""
    positions = getattr(config, "max_position_embeddings", None)
    if isinstance(positions, int) and config.model_type in AFTER_PADDING:
        positions -= (config.pad_token_id or 0) + 1
    told = [
        settings.get("max_seq_length"),
        _optional(folder, "tokenizer_config.json").get("model_max_length"),
        positions,
    ]
    return min((each for each in told if type(each) is int and each > 0), default=DEFAULT_LONGEST)


def _optional(folder: Path, name: str) -> dict[str, Any]:
    """A configuration, empty where there is no such file. Raises: ModelUnusable, for a file outside of the folder too."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ModelUnusable(reason=f"{MODULES_FILE} names a place outside of the folder")
    return read_json(path, MAX_LAYOUT_BYTES) if path.is_file() else {}
