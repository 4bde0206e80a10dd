"""Rows of tokens to an encoder's last hidden states, the same to the last bit whichever rows share a pass.

    packed    rows of any length one after another in one long row, in which each attends to itself alone
    stacked   rows of one length, for encoders whose attention cannot be told so

Nothing is padded: a mask would make a row's numbers depend on its neighbours'. But kernels sum in another order for few rows than for
many, so a pass has one of a few sizes, filled up with rows that nobody reads, and all these sizes are tried on the machine at load.
"""

from __future__ import annotations

import inspect
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle, groupby, islice
from typing import Any

import structlog
import torch
from torch import Tensor, nn

SIZES = (*range(16, 32, 8), *range(32, 64, 16), *range(64, 256, 32), *range(256, 512, 64), *range(512, 1_025, 128))
"""Tokens of a packed pass, or texts that a head looks at. A longer row is a pass of its own."""
PASS_NUMBERS = SIZES[-1] * 384
"""Of the states of a packed pass: a wider encoder is busy enough with fewer tokens, and takes longer for each."""
FEWEST = SIZES[0]
STACKED_TOKENS = 128
"""More tokens of short rows in one stacked pass gain nothing on a CPU."""
PROBED_LENGTHS = (1, 3, 8, 12, 21, 32, 64, 130)
LONGEST_TRIED = 512
TOLERANCE = 1e-3
"""What packing may change against the library's own pass, of numbers around 1: far more than rounding, far less than a mistake."""
AFTER_PADDING = frozenset({"roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "xmod", "mpnet", "longformer"})
"""Families that number positions from behind the padding token's id, so that fewer are left for tokens."""
_PACKED, _PLAIN = "tallystick_packed", "sdpa"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """The tokens of one input. `types` tell the texts of a pair apart, None where there is one."""

    ids: array[int]
    types: array[int] | None = None

    def __len__(self) -> int:
        return len(self.ids)


class States:
    """A loaded encoder without its head. `independent` is false where rows of one pass were seen to change each other."""

    def __init__(self, model: Any, longest: int, device: torch.device) -> None:
        self._model, self._device = model, device
        self._takes = frozenset(inspect.signature(model.forward).parameters)
        config = model.config.get_text_config()
        self._first = (config.pad_token_id or 0) + 1 if config.model_type in AFTER_PADDING else 0
        self.longest = longest
        self.vocabulary = int(model.get_input_embeddings().weight.shape[0])
        self._sizes = [size for size in SIZES if size * int(config.hidden_size) <= PASS_NUMBERS] or [FEWEST]
        self.independent = True
        self.packed = self._packs()

    @property
    def room(self) -> int:
        """Tokens that share a pass."""
        return (self._sizes[-1] if self.packed else STACKED_TOKENS) if self.independent else 0

    def group(self, row: Row) -> int | None:
        """What the rows of a pass have in common: their length, where they are stacked."""
        return None if self.packed else len(row)

    @torch.inference_mode()
    def of(self, rows: Sequence[Row]) -> list[Tensor]:
        """The states of each. Shapes: [tokens, width] each. Requires: rows of one group."""
        return self._in_one_row(rows) if self.packed else self._side_by_side(rows)

    def _side_by_side(self, rows: Sequence[Row]) -> list[Tensor]:
        least = -(-FEWEST // len(rows[0]))
        filled = list(islice(cycle(rows), max(len(rows), least)))
        ids = torch.tensor([list(row.ids) for row in filled], device=self._device)
        types = torch.tensor([list(row.types or [0] * len(row)) for row in filled], device=self._device)
        return list(self._pass(ids, types, attention_mask=torch.ones_like(ids))[: len(rows)])

    def _in_one_row(self, rows: Sequence[Row]) -> list[Tensor]:
        order = sorted(range(len(rows)), key=lambda at: len(rows[at]))
        filled = [rows[at] for at in order]
        filled += _filler(filled[0], filled_size(sum(map(len, filled))) - sum(map(len, filled)))
        lengths = [len(row) for row in filled]
        ids = torch.tensor([[token for row in filled for token in row.ids]], device=self._device)
        types = torch.tensor([[one for row in filled for one in row.types or [0] * len(row)]], device=self._device)
        positions = torch.cat([torch.arange(self._first, self._first + length) for length in lengths])[None]
        states = self._pass(ids, types, position_ids=positions.to(self._device), row_lengths=lengths)[0]
        found = torch.split(states, lengths)
        return [found[order.index(at)] for at in range(len(rows))]

    def _pass(self, ids: Tensor, types: Tensor, **given: Any) -> Tensor:
        if "token_type_ids" in self._takes and getattr(self._model.config, "type_vocab_size", 2) > 1:
            given["token_type_ids"] = types
        states: Tensor = self._model(input_ids=ids, **given).last_hidden_state
        return states

    def _packs(self) -> bool:
        """Whether the encoder can be told to attend within rows, and then says what the library's own pass says."""
        if "position_ids" not in self._takes:
            return False
        rows = sample_rows(self._model, (3, 1, 12, 12, 21, LONGEST_TRIED), self.longest)
        with torch.inference_mode():
            expected = [self._side_by_side([row])[0] for row in rows]
            try:
                _register()
                self._model.set_attn_implementation(_PACKED)
                found = self._in_one_row(rows)
                right = all(
                    torch.allclose(*pair, atol=TOLERANCE, rtol=TOLERANCE) for pair in zip(found, expected, strict=True)
                )
            except Exception as error:  # noqa: BLE001  # the library raises nothing narrower over what a family does not take
                _log.info("engine.rows_not_packed", reason=str(error)[:200])
                right = False
        if not right:
            self.unpack()
        return right

    def unpack(self) -> None:
        """Attend as the library does."""
        self.packed = False
        self._model.set_attn_implementation(_PLAIN if getattr(self._model, "_supports_sdpa", False) else "eager")

    def probe(self, *beside: nn.Module) -> bool:
        """Find out whether rows may share a pass: every size of product, those of a head `beside` too, and the whole encoder."""
        products = (one for part in (self._model, *beside) for one in part.modules() if isinstance(one, nn.Linear))
        counts = self._sizes if self.packed else range(FEWEST, STACKED_TOKENS + 1)
        sorts = {tuple(product.weight.shape): product for product in products}
        self.independent = all(_keeps_rows(product, counts) for product in sorts.values()) and self._keeps_states()
        if not self.independent:
            _log.warning("engine.rows_disturb_each_other", decoded_together=1)
        return self.independent

    def _keeps_states(self) -> bool:
        rows = sample_rows(self._model, PROBED_LENGTHS, self.longest)
        groups = [rows + rows[:4]] if self.packed else [[row] * max(1, STACKED_TOKENS // len(row)) for row in rows]
        alone = {id(row): self.of([row])[0] for row in rows}
        return all(
            torch.equal(found, alone[id(row)])
            for group in groups
            for part in (group, group[: len(group) // 2 + 1])
            for found, row in zip(self.of(part), part, strict=True)
        )


def sample_rows(model: Any, lengths: Sequence[int], longest: int) -> list[Row]:
    """Rows of such lengths, but for longer ones than the model reads, without padding."""
    padding = model.config.get_text_config().pad_token_id
    known = [token for token in range(model.get_input_embeddings().weight.shape[0]) if token != padding]
    return [
        Row(array("i", [known[(7 * at + 3 * place + 1) % len(known)] for place in range(min(length, longest))]))
        for at, length in enumerate(lengths)
    ]


def filled_size(size: int) -> int:
    """The size that a pass of so much has, filled up."""
    return next((one for one in SIZES if one >= size), size)


def _filler(row: Row, size: int) -> Iterator[Row]:
    """Rows of so many tokens in all, none longer than one that is there."""
    for at in range(0, size, len(row)):
        cut = min(len(row), size - at)
        yield Row(row.ids[:cut], None if row.types is None else row.types[:cut])


@torch.inference_mode()
def _keeps_rows(product: nn.Linear, counts: Sequence[int]) -> bool:
    weight = product.weight
    rows = torch.randn(counts[-1], weight.shape[1], generator=torch.Generator().manual_seed(weight.shape[1])).to(weight)
    alone = torch.cat([product(rows[at : at + FEWEST]) for at in range(0, counts[-1], FEWEST)])
    return all(torch.equal(product(rows[:count]), alone[:count]) for count in counts)


def _register() -> None:
    """Tell the library of an attention within rows; it takes no mask."""
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(_PACKED, _attend_within_rows)
    ALL_MASK_ATTENTION_FUNCTIONS.register(_PACKED, lambda *_, **__: None)


def _attend_within_rows(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _attention_mask: Tensor | None,
    *,
    row_lengths: Sequence[int],
    scaling: float | None = None,
    sliding_window: int | None = None,
    **_rest: Any,
) -> tuple[Tensor, None]:
    """Shapes: [1, heads, tokens, width] to [1, tokens, heads, width]. Rows of one length that stand side by side are one product."""
    if sliding_window is not None and max(row_lengths) > sliding_window // 2:
        raise ValueError("a row is longer than the window that it attends to")
    heads, width, causal = query.shape[1], query.shape[3], bool(getattr(module, "is_causal", False))
    runs = [(length, sum(1 for _ in run)) for length, run in groupby(row_lengths)]
    ends = accumulate(length * count for length, count in runs)
    found = query.new_empty(1, query.shape[2], heads, width)
    for (length, count), end in zip(runs, ends, strict=True):
        begin = end - length * count
        q, k, v = (
            one[0, :, begin:end].reshape(-1, count, length, one.shape[3]).transpose(0, 1) for one in (query, key, value)
        )
        attended = nn.functional.scaled_dot_product_attention(
            q, k, v, scale=scaling, is_causal=causal, enable_gqa=q.shape[1] != k.shape[1]
        )
        found[0, begin:end] = attended.transpose(1, 2).flatten(0, 1)
    return found, None
