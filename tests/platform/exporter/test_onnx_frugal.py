"""Weights in parts are the weights."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from tallystick_platform.exporter.onnx import frugal, quantising
from tallystick_platform.exporter.onnx.frugal import Spill, StreamedTensor, forget


def streamed(source: torch.Tensor) -> StreamedTensor:
    lazy = ir.LazyTensor(
        lambda: ir.tensor(source.float().contiguous().numpy()), ir.DataType.FLOAT, ir.Shape(source.shape), name="weight"
    )
    return StreamedTensor(source, lazy)


@settings(deadline=None, max_examples=30)
@given(
    rows=st.integers(0, 9),
    columns=st.integers(1, 9),
    turned=st.booleans(),
    part=st.integers(1, 40),
    dtype=st.sampled_from([torch.bfloat16, torch.float16, torch.float32]),
)
def test_a_matrix_written_in_parts_is_the_widened_matrix(
    rows: int, columns: int, turned: bool, part: int, dtype: torch.dtype
) -> None:
    source = torch.randn((columns, rows) if turned else (rows, columns), generator=torch.Generator().manual_seed(1))
    source = (source.T if turned else source).to(dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frugal, "PART_NUMBERS", part)
        file = io.BytesIO()
        streamed(source).tofile(file)
    assert file.getvalue() == source.float().contiguous().numpy().tobytes()


def test_a_single_number_is_written_too() -> None:
    file = io.BytesIO()
    streamed(torch.tensor(1.5, dtype=torch.bfloat16)).tofile(file)
    assert file.getvalue() == np.float32(1.5).tobytes()


def test_columns_are_those_of_the_widened_matrix() -> None:
    source = torch.randn((5, 8), generator=torch.Generator().manual_seed(2)).bfloat16().T
    assert np.array_equal(streamed(source).columns(1, 4), source.float()[:, 1:4].numpy())


def test_what_is_spilled_reads_back(tmp_path: Path) -> None:
    spill = Spill(tmp_path / "weights")
    arrays = [
        np.arange(7, dtype=np.uint8),
        np.ones((2, 3), dtype=np.float32),
        np.arange(4, dtype=np.uint8).reshape(2, 2).T,
    ]
    kept = [spill.keep(array, str(number)) for number, array in enumerate(arrays)]
    for array, tensor in zip(arrays, kept, strict=True):
        assert np.array_equal(tensor.numpy(), array)


def test_forgotten_pages_of_a_file_read_again_the_same(tmp_path: Path) -> None:
    whole = torch.randn((512, 512), generator=torch.Generator().manual_seed(3))
    save_file({"weight": whole}, tmp_path / "model.safetensors")
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        mapped = file.get_tensor("weight")
        forget(mapped)
        assert torch.equal(mapped, whole)


def test_memory_that_is_no_file_s_keeps_its_numbers() -> None:
    held = torch.randn((512, 512), generator=torch.Generator().manual_seed(4))
    before = held.clone()
    forget(held)
    assert torch.equal(held, before)


@pytest.mark.parametrize("bits", [4, 8])
def test_a_matrix_quantised_in_parts_has_the_bytes_of_the_whole(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    source = torch.randn((96, 50), generator=torch.Generator().manual_seed(5)).bfloat16()
    whole = quantising.quantised(ir.tensor(source.float().numpy()), bits, 32)
    monkeypatch.setattr(quantising, "COLUMNS_AT_ONCE", 7)
    parts = quantising.quantised(streamed(source), bits, 32)
    for left, right in zip(whole, parts, strict=True):
        assert np.array_equal(left, right)
