"""Tensors of a folder, read by name, in 32 bits where that is asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tallystick_platform.exporter import weights
from tallystick_platform.exporter.errors import ExportFailed, ExportRefused
from tallystick_platform.exporter.weights import Weights


def folder_with(tmp_path: Path, **tensors: torch.Tensor) -> Weights:
    save_file(tensors, tmp_path / "model.safetensors")
    return Weights.of_model(tmp_path)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("rows_bytes", [1, 100, 1_000_000])
def test_numbers_are_those_of_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: torch.dtype, rows_bytes: int
) -> None:
    monkeypatch.setattr(weights, "ROWS_BYTES", rows_bytes)
    value = torch.randn(7, 3, 2, generator=torch.Generator().manual_seed(1)).to(kind)
    value[0, 0] = torch.tensor([float("inf"), -0.0])
    found = folder_with(tmp_path, a=value)
    assert np.array_equal(found.floats("a"), value.float().numpy())
    assert np.array_equal(found.floats("a", 2, 3), value[2:5].float().numpy())


def test_scalars_and_empty_tensors_have_their_shapes(tmp_path: Path) -> None:
    found = folder_with(tmp_path, scalar=torch.tensor(2.5), empty=torch.zeros(0, 4))
    assert found.floats("scalar").shape == ()
    assert found.floats("scalar") == 2.5
    assert found.floats("empty").shape == (0, 4)


@pytest.mark.parametrize("kind", [torch.int8, torch.int64, torch.bool, torch.float8_e4m3fn])
def test_types_that_are_no_plain_numbers_are_refused_by_name(tmp_path: Path, kind: torch.dtype) -> None:
    found = folder_with(tmp_path, a=torch.ones(4).to(kind))
    with pytest.raises(ExportRefused, match="no plain number"):
        found.floats("a")
    assert len(found.read_rows("a", 0, 4)) == 4 * kind.itemsize


def test_a_file_that_shrank_meanwhile_is_named(tmp_path: Path) -> None:
    found = folder_with(tmp_path, a=torch.ones(100))
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ExportFailed, match=r"model\.safetensors ends inside"):
        found.floats("a")


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportRefused, match="no numbered parts"):
        Weights.of_model(tmp_path)


def test_more_tensors_than_the_bound_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "MAX_TENSORS", 2)
    folder_with(tmp_path, a=torch.ones(1), b=torch.ones(1))
    with pytest.raises(ExportRefused, match="more than 2 tensors"):
        folder_with(tmp_path, a=torch.ones(1), b=torch.ones(1), c=torch.ones(1))
