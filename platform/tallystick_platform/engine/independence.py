"""How many requests may share one forward pass here: as many rows as this machine shows to be independent to the last bit.

Two looks at load, both on the weights that will serve. What computes a product is chosen by its size and its number of rows, so every size
of product is tried at *every* number of rows that may be served; layers repeat the same few sizes, so this takes a fraction of a step
for each number. Everything between the products treats rows one by one, by the same code whatever their number; that is tried on the whole
model at two rows, at all of them, and at an odd number between, where blocks of rows do not come out even.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tallystick_platform.engine.linear import Linear
from tallystick_platform.engine.llama import KvCache, LlamaModel

PROMPT_SIZES = (1, 5, 11, 16)


@torch.inference_mode()
def independent_rows(llama: LlamaModel, most: int) -> int:
    """The largest number of rows up to `most` that may be computed together; 1 where a row's bits depend on its neighbours."""
    rows = min((rows_of_product(product, most) for product in llama.products()), default=most)
    sizes = {2, rows // 2 + 1 - rows // 2 % 2, rows} - {0, 1}
    return rows if whole_model_agrees(llama, sorted(count for count in sizes if count <= rows)) else 1


def rows_of_product(product: Linear, most: int) -> int:
    """The largest number of rows for which it and all smaller ones give each row the bits that it has alone."""
    columns = product.shape[1]
    rows = torch.randn(most, columns, generator=torch.Generator().manual_seed(columns))
    alone = torch.cat([product(rows[at : at + 1]) for at in range(most)])
    for count in range(2, most + 1):
        if not torch.equal(product(rows[:count]), alone[:count]):
            return count - 1
    return most


def whole_model_agrees(llama: LlamaModel, counts: Sequence[int]) -> bool:
    """Whether requests of different lengths get the same logits from a step of their own as from one with so many requests."""
    longest = llama.shape.context_length - 1
    prompts = [
        [(7 * size + 3 * at) % llama.shape.vocabulary for at in range(min(size, longest))] for size in PROMPT_SIZES
    ]
    caches = []
    for prompt in prompts:
        caches.append(llama.new_cache(len(prompt) + 1))
        llama.prefill(caches[-1], prompt)
    tokens = [(11 * at + 1) % llama.shape.vocabulary for at in range(len(caches))]

    def copy(cache: KvCache) -> KvCache:  # each look starts from the same prompt
        fresh = llama.new_cache(cache.capacity)
        fresh.keys.copy_(cache.keys)
        fresh.values.copy_(cache.values)
        fresh.length = cache.length
        return fresh

    alone = [llama.decode([copy(cache)], [token])[0] for cache, token in zip(caches, tokens, strict=True)]
    for count in counts:
        order = [row % len(caches) for row in range(count)]
        beside = llama.decode([copy(caches[at]) for at in order], [tokens[at] for at in order])
        if not all(torch.equal(row, alone[at]) for row, at in zip(beside, order, strict=True)):
            return False
    return True
