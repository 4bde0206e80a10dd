"""The safetensors export: the same bytes, in files of a bounded size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tallystick.manifest import hash_folder
from tallystick_platform.exporter import whole
from tallystick_platform.exporter.errors import ExportFailed, ExportRefused
from tallystick_platform.exporter.safetensors import export_safetensors, plan_shards, write_safetensors
from tallystick_platform.exporter.spec import MIN_SHARD_BYTES
from tallystick_platform.exporter.weights import INDEX_NAME, Weights
from tallystick_platform.exporter.whole import NotRun
from tallystick_platform.formats.errors import FormatError
from tests.support.exports import silent, spec_for, write_source
from tests.support.onnx_models import write_mamba


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_source(tmp_path / "source")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for file in folder.glob("*.safetensors"):
        loaded = load_file(file)
        assert not found.keys() & loaded.keys()
        found |= loaded
    return found


def test_a_model_that_fits_is_copied_as_it_is(source: Path, target: Path) -> None:
    entries = write_safetensors(spec_for(source, target), silent)
    assert {entry.name: entry for entry in entries} == {entry.name: entry for entry in hash_folder(source).files}
    assert hash_folder(target) == hash_folder(source)


def test_the_files_returned_are_the_files_written(source: Path, target: Path) -> None:
    entries = write_safetensors(spec_for(source, target, shard_bytes=MIN_SHARD_BYTES), silent)
    assert sorted(entries, key=lambda entry: entry.name) == list(hash_folder(target).files)


def test_a_large_model_is_cut_into_files_that_the_library_loads(source: Path, target: Path) -> None:
    write_safetensors(spec_for(source, target, shard_bytes=16_384), silent)
    before, after = tensors(source), tensors(target)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    files = sorted(target.glob("model-*.safetensors"))
    assert [file.name for file in files] == [
        f"model-{number:05d}-of-{len(files):05d}.safetensors" for number in range(1, len(files) + 1)
    ]
    loaded = transformers.AutoModelForCausalLM.from_pretrained(target, dtype=torch.bfloat16)
    assert torch.equal(loaded.model.norm.weight, before["model.norm.weight"])


def test_files_hold_no_more_than_was_asked_but_for_one_large_tensor(source: Path, target: Path) -> None:
    write_safetensors(spec_for(source, target, shard_bytes=MIN_SHARD_BYTES), silent)
    for file in target.glob("model-*.safetensors"):
        with safe_open(file, "pt") as opened:
            names = list(opened.keys())
            size = sum(opened.get_tensor(name).nbytes for name in names)
        assert size <= MIN_SHARD_BYTES or len(names) == 1


def test_the_index_names_each_tensor_and_the_size_of_all(source: Path, target: Path) -> None:
    write_safetensors(spec_for(source, target, shard_bytes=16_384), silent)
    index = json.loads((target / INDEX_NAME).read_text())
    loaded = tensors(source)
    assert index["metadata"]["total_size"] == sum(value.nbytes for value in loaded.values())
    assert index["weight_map"].keys() == loaded.keys()
    assert all((target / file).is_file() for file in index["weight_map"].values())


def test_files_that_are_cut_already_are_cut_anew(source: Path, target: Path, tmp_path: Path) -> None:
    write_safetensors(spec_for(source, target, shard_bytes=32_768), silent)
    again = tmp_path / "again"
    again.mkdir()
    write_safetensors(spec_for(target, again, shard_bytes=16_384), silent)
    before, after = tensors(source), tensors(again)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert json.loads((again / INDEX_NAME).read_text())["weight_map"].keys() == before.keys()


def test_tensors_begin_at_a_multiple_of_their_type(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "mixed"
    source.mkdir()
    names = {"a": torch.uint8, "b": torch.float32, "c": torch.bfloat16, "d": torch.float64}
    save_file({name: torch.ones(1111, dtype=kind) for name, kind in names.items()}, source / "model.safetensors")
    weights = Weights.of(source, ("model.safetensors",))
    shards = plan_shards(weights.places, shard_bytes=1_000_000)
    assert shards == {"model.safetensors": ("d", "b", "c", "a")}
    spec = spec_for(source, target, shard_bytes=MIN_SHARD_BYTES)
    write_safetensors(spec, silent)
    assert all(torch.equal(tensors(target)[name], value) for name, value in tensors(source).items())


def test_scalars_and_empty_tensors_are_carried(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "odd"
    source.mkdir()
    save_file(
        {"scalar": torch.tensor(3.5), "empty": torch.zeros(0, 4), "large": torch.ones(5000)},
        source / "model.safetensors",
    )
    write_safetensors(spec_for(source, target, shard_bytes=MIN_SHARD_BYTES), silent)
    found = tensors(target)
    assert found["scalar"] == 3.5
    assert found["empty"].shape == (0, 4)


def test_what_a_loader_needs_goes_along_and_nothing_else(source: Path, target: Path) -> None:
    for name in ("generation_config.json", "LICENSE", "NOTICE.txt", "README.md", "merges.txt", "weights.dat"):
        (source / name).write_text("{}")
    write_safetensors(spec_for(source, target), silent)
    found = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert {"generation_config.json", "LICENSE", "NOTICE.txt", "chat_template.jinja", "merges.txt"} <= found
    assert "source/README.md" in found
    assert not {"README.md", "weights.dat"} & found


def test_a_folder_that_is_not_the_one_named_is_refused(source: Path, target: Path) -> None:
    spec = spec_for(source, target)
    (source / "config.json").write_text((source / "config.json").read_text() + " ")
    with pytest.raises(ExportRefused, match="not the one that was named"):
        write_safetensors(spec, silent)


def test_a_file_that_is_not_carried_still_counts_for_the_digest(source: Path, target: Path) -> None:
    (source / "weights.dat").write_bytes(b"x")
    spec = spec_for(source, target)
    write_safetensors(spec, silent)
    (source / "weights.dat").write_bytes(b"y")
    with pytest.raises(ExportRefused, match="not the one that was named"):
        write_safetensors(spec_for(source, target / "deep", source_digest=spec.source_digest), silent)


def test_a_truncated_source_is_named(source: Path, target: Path) -> None:
    path = source / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FormatError, match="truncated"):
        write_safetensors(spec_for(source, target, shard_bytes=MIN_SHARD_BYTES), silent)


def test_two_files_with_the_same_tensor_are_refused(source: Path, target: Path) -> None:
    weights = load_file(source / "model.safetensors")
    (source / "model.safetensors").unlink()
    for number in (1, 2):
        save_file(weights, source / f"model-0000{number}-of-00002.safetensors")
    with pytest.raises(ExportRefused, match="lies in model-00001"):
        write_safetensors(spec_for(source, target, shard_bytes=MIN_SHARD_BYTES), silent)


def test_a_source_without_safetensors_is_refused(tmp_path: Path, target: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text("{}")
    with pytest.raises(ExportRefused, match="no safetensors"):
        write_safetensors(spec_for(tmp_path / "empty", target), silent)


def test_a_quantization_is_refused(source: Path, target: Path) -> None:
    with pytest.raises(ExportRefused, match="no quantization"):
        export_safetensors(spec_for(source, target, quantization="Q8_0"), silent)


def test_the_export_runs_and_differs_in_nothing(source: Path, target: Path) -> None:
    report, _ = export_safetensors(spec_for(source, target, shard_bytes=16_384), silent)
    assert report.passed
    assert report.max_logit_difference == 0.0
    assert (report.greedy_tokens, report.greedy_equal) == (12, 12)
    assert report.perplexity == report.perplexity_reference


def test_a_write_that_went_wrong_is_found_when_it_is_read_back(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tallystick_platform.exporter import copying

    whole = copying.write_all

    def flipped(descriptor: int, data: memoryview | bytes) -> None:
        whole(descriptor, bytes([data[0] ^ 1]) + bytes(data[1:]))

    monkeypatch.setattr(copying, "write_all", flipped)
    with pytest.raises(ExportFailed, match="not what lies in the source"):
        write_safetensors(spec_for(source, target), silent)


@pytest.mark.parametrize("kind", ["BertModel", "BertForSequenceClassification", "WhisperForConditionalGeneration"])
def test_another_kind_of_model_runs_on_the_librarys_own_input(tmp_path: Path, target: Path, kind: str) -> None:
    source = tmp_path / "source"
    small: dict[str, Any] = {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config: Any = transformers.BertConfig(**small, intermediate_size=16)
    if kind.startswith("Whisper"):
        config = transformers.WhisperConfig(
            vocab_size=64, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, num_mel_bins=8, max_source_positions=30,
            decoder_start_token_id=1, pad_token_id=0, bos_token_id=1, eos_token_id=2, begin_suppress_tokens=None,
        )  # fmt: skip
    getattr(transformers, kind)(config).save_pretrained(source)
    report, _ = export_safetensors(spec_for(source, target), silent)
    assert report.passed
    assert report.max_logit_difference == 0.0
    assert kind in report.runtime or any("not run" in note for note in report.notes)
    assert kind.startswith("Whisper") or not any("not run" in note for note in report.notes)


def test_what_the_library_cannot_run_is_compared_by_its_bytes_and_says_so(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_text('{"architectures": ["NobodysModel"]}')
    save_file({"a": torch.ones(3)}, source / "model.safetensors")
    report, _ = export_safetensors(spec_for(source, target), silent)
    assert report.passed
    assert any("not run" in note and "NobodysModel" in note for note in report.notes)


def test_a_model_that_runs_from_its_source_alone_is_not_exported(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_source(folder: Path, _named: str) -> Any:
        if folder == target:
            raise NotRun("broken")
        return np.zeros((1, 2), np.float32)

    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_text('{"architectures": ["BertModel"]}')
    save_file({"a": torch.ones(3)}, source / "model.safetensors")
    monkeypatch.setattr(whole, "output", only_source)
    with pytest.raises(ExportFailed, match="the export does not: broken"):
        export_safetensors(spec_for(source, target), silent)


def test_progress_only_goes_up(source: Path, target: Path) -> None:
    seen: list[float] = []
    export_safetensors(spec_for(source, target, shard_bytes=16_384), lambda _stage, fraction: seen.append(fraction))
    assert seen == sorted(seen)
    assert 0.0 <= seen[0] <= seen[-1] <= 1.0


def test_a_model_whose_layers_use_each_others_weights_is_run_whole_and_without_a_cache(
    tmp_path: Path, target: Path
) -> None:
    source = write_mamba(tmp_path / "source")
    report, _ = export_safetensors(spec_for(source, target), silent)
    assert report.passed
    assert (report.max_logit_difference, report.greedy_equal) == (0.0, 12)
    assert "loaded whole" in report.runtime
