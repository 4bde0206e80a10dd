"""A row of a product is the same to the last bit, alone and beside others."""

from __future__ import annotations

import pytest
import torch

from tallystick_platform.engine.linear import Linear

SHAPES = [(960, 576), (576, 576), (576, 1536), (64, 1024), (64, 1025), (32, 4096), (8, 31)]


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize(("outputs", "columns"), SHAPES)
def test_a_lone_row_has_the_bits_that_it_has_beside_others(outputs: int, columns: int) -> None:
    linear, rows = Linear(random(outputs, columns)), random(32, columns)
    alone = torch.cat([linear(rows[at : at + 1]) for at in range(32)])
    for count in (2, 3, 8, 31, 32):
        assert torch.equal(linear(rows[:count]), alone[:count])


def test_a_product_that_adds_a_lone_row_up_in_another_order_gets_it_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    linear = Linear(random(4, 6))
    sizes: list[int] = []
    real = linear._product

    def product(self: Linear, rows: torch.Tensor) -> torch.Tensor:
        sizes.append(len(rows))
        return real(rows)

    monkeypatch.setattr(Linear, "_product", product)
    linear.pads_lone_rows = True
    rows = random(2, 6)
    assert torch.equal(linear(rows[:1]), real(rows)[:1])
    assert linear(rows).shape == (2, 4)
    assert sizes == [2, 2]


def test_the_trial_tells_whether_a_lone_row_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Linear._product
    monkeypatch.setattr(Linear, "_product", lambda self, rows: real(self, rows) + (len(rows) == 1))
    assert Linear(random(4, 6)).pads_lone_rows
    monkeypatch.setattr(Linear, "_product", real)
    assert not Linear(random(4, 6)).pads_lone_rows
