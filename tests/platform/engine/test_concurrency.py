"""How many requests are computed side by side, and what shows that they may share a pass."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from structlog.testing import capture_logs

from tallystick_platform.engine import concurrency
from tallystick_platform.engine.concurrency import (
    ACTIVE_ALONE,
    ACTIVE_PER_CORE,
    MAX_ACTIVE,
    active_requests,
    cache_tokens,
    find_concurrency,
)
from tallystick_platform.engine.independence import independent_rows, rows_of_product, whole_model_agrees
from tallystick_platform.engine.linear import Linear
from tallystick_platform.engine.llama import LlamaModel, load_llama
from tallystick_platform.engine.loading import load_forward
from tests.support.tiny_causal import write_tiny_causal
from tests.support.tiny_model import write_tiny_model

CPU = torch.device("cpu")


@pytest.fixture
def llama(tmp_path: Path) -> LlamaModel:
    return load_llama(write_tiny_model(tmp_path / "tiny"), torch.float32, CPU)


def disturbed_from(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Products that give other bits from so many rows on."""
    real = Linear._product
    monkeypatch.setattr(Linear, "_product", lambda self, at: real(self, at) * (1.001 if len(at) >= rows else 1))


def test_rows_of_the_model_are_independent_here(llama: LlamaModel) -> None:
    assert independent_rows(llama, 32) == 32
    assert independent_rows(llama, 1) == 1


@pytest.mark.parametrize("first", [3, 17, 32])
def test_as_many_rows_share_a_pass_as_were_found_to_be_independent(
    llama: LlamaModel, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    disturbed_from(first, monkeypatch)
    assert rows_of_product(llama.products()[0], 32) == first - 1
    assert independent_rows(llama, 32) == first - 1


def test_one_size_of_product_that_is_disturbed_is_enough(llama: LlamaModel, monkeypatch: pytest.MonkeyPatch) -> None:
    real, bad = Linear._product, llama.products()[-1].shape
    monkeypatch.setattr(
        Linear, "_product", lambda self, at: real(self, at) * (1.001 if self.shape == bad and len(at) == 5 else 1)
    )
    assert independent_rows(llama, 32) == 4


def test_every_size_of_product_is_tried_once(llama: LlamaModel) -> None:
    shapes = [product.shape for product in llama.products()]
    assert sorted(shapes) == [(48, 48), (48, 80), (80, 48), (160, 48), (265, 48)]


def test_whatever_lies_between_the_products_is_tried_on_the_whole_model(
    llama: LlamaModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert whole_model_agrees(llama, [2, 7])
    norm = llama._norm
    monkeypatch.setattr(llama, "_norm", lambda hidden, weight: norm(hidden, weight) + 1e-4 * (len(hidden) > 6))
    assert not whole_model_agrees(llama, [2, 7])
    assert independent_rows(llama, 6) == 6
    assert independent_rows(llama, 32) == 1


def test_active_requests_follow_cores_and_memory() -> None:
    plenty = 1_000_000
    assert active_requests(cores=1, cpu=True, tokens=plenty) == ACTIVE_PER_CORE
    assert active_requests(cores=64, cpu=True, tokens=plenty) == MAX_ACTIVE
    assert active_requests(cores=1, cpu=False, tokens=None) == MAX_ACTIVE
    assert active_requests(cores=64, cpu=True, tokens=5_000) == 4
    assert active_requests(cores=64, cpu=True, tokens=10) == 1


def test_caches_take_half_of_what_is_free_and_one_whole_context_at_least(llama: LlamaModel) -> None:
    each = llama.cache_bytes_per_token
    assert each == 2 * 2 * 2 * 8 * 4
    assert llama.new_cache(10).keys.nbytes * 2 == 10 * each
    assert cache_tokens(llama, 2_000 * each) == 1_000
    assert cache_tokens(llama, 0) == llama.context_length


@pytest.mark.parametrize("kind", ["qwen2", "gpt2", "mistral"])
def test_the_librarys_models_say_what_a_token_takes(tmp_path: Path, kind: str) -> None:
    forward = load_forward(write_tiny_causal(tmp_path / kind, kind), torch.float32, CPU)
    cache = forward.new_cache(8)
    forward.prefill(cache, [1, 2, 3])
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.states.layers)
    assert 0 < held <= 3 * forward.cache_bytes_per_token


def test_what_was_found_is_logged(llama: LlamaModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "available_bytes", lambda: 1 << 33)
    monkeypatch.setattr(concurrency, "available_cores", lambda: 2)
    disturbed_from(9, monkeypatch)
    with capture_logs() as logs:
        found = find_concurrency(llama)
    assert (found.active, found.rows, found.reproducibility) == (32, 8, "reproducible")
    assert [line["event"] for line in logs] == ["engine.rows_disturb_each_other", "engine.concurrency"]
    assert logs[0]["log_level"] == "warning"
    assert (logs[1]["active"], logs[1]["decoded_together"]) == (32, 8)
    assert found.scheduler(20).max_active == 20
    assert found.scheduler(40).max_waiting == 8


def test_where_rows_run_alone_fewer_requests_are_active(llama: LlamaModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "available_bytes", lambda: 1 << 33)
    monkeypatch.setattr(concurrency, "available_cores", lambda: 8)
    disturbed_from(2, monkeypatch)
    found = find_concurrency(llama)
    assert (found.active, found.rows) == (ACTIVE_ALONE, 1)
    assert find_concurrency(llama, wanted=20).active == 20
