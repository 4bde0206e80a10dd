"""Exports of adapters: whole models, which compute what the adapter's worker computes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tallystick.manifest import hash_folder
from tallystick_platform.engine.causal import library_model
from tallystick_platform.exporter.errors import ExportRefused
from tallystick_platform.exporter.merging import MERGED_NOTE
from tallystick_platform.exporter.run import run
from tallystick_platform.exporter.spec import ExportSpec, Format
from tests.support.exports import silent, spec_for
from tests.support.tiny_causal import write_tiny_adapter, write_tiny_causal


@pytest.fixture
def spec(tmp_path: Path) -> ExportSpec:
    base = write_tiny_causal(tmp_path / "base", "qwen2")
    adapter = write_tiny_adapter(tmp_path / "adapter", base)
    (adapter / "LICENSE").write_text("the adapter's")
    (tmp_path / "staging").mkdir()
    target = tmp_path / "staging" / "target"
    return spec_for(adapter, target, base=base, base_digest=hash_folder(base).digest, parity_tokens=4)


def test_the_weights_are_those_that_the_worker_computes_with(spec: ExportSpec) -> None:
    assert spec.base is not None
    result = run(spec, silent)
    expected = library_model(spec.base, torch.float32, spec.source).state_dict()
    written = load_file(spec.target / "model.safetensors")
    assert written.keys() <= expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in written.items())
    assert (result.parity.passed, MERGED_NOTE in result.parity.notes) == (True, True)
    assert (spec.target / "LICENSE").read_text() == "the adapter's"
    assert (spec.target / "chat_template.jinja").read_text() == (spec.base / "chat_template.jinja").read_text()
    assert not (spec.target / "adapter_config.json").exists()


@pytest.mark.parametrize("form", ["safetensors", "gguf"])
def test_the_export_names_the_adapter_and_its_base_and_leaves_nothing_beside_it(spec: ExportSpec, form: Format) -> None:
    result = run(replace(spec, format=form), silent)
    assert result.parity.passed
    said = json.loads((spec.target / "provenance.json").read_text())
    assert (said["source_digest"], said["base_digest"]) == (
        spec.source_digest.hex(),
        hash_folder(spec.base).digest.hex(),
    )
    assert [path.name for path in spec.target.parent.iterdir()] == ["target"]


@pytest.mark.parametrize("changed", ["source_digest", "base_digest"])
def test_other_files_than_were_named_are_refused(spec: ExportSpec, changed: str) -> None:
    with pytest.raises(ExportRefused, match="is not the one that was named"):
        run(replace(spec, **{changed: bytes(32)}), silent)
    assert [path.name for path in spec.target.parent.iterdir()] == ["target"]
    assert not list(spec.target.iterdir())


def test_an_adapter_of_a_kind_that_does_not_merge_is_refused_by_name(spec: ExportSpec) -> None:
    config = json.loads((spec.source / "adapter_config.json").read_text())
    (spec.source / "adapter_config.json").write_text(json.dumps(config | {"target_modules": ["no_such_layer"]}))
    with pytest.raises(ExportRefused, match="cannot be merged into its base"):
        run(replace(spec, source_digest=hash_folder(spec.source).digest), silent)


def test_a_spec_with_a_base_is_read_as_it_was_written(spec: ExportSpec) -> None:
    assert ExportSpec.from_json(spec.to_json()) == spec
    with pytest.raises(ExportRefused, match="by its folder and its digest"):
        replace(spec, base_digest=None)
