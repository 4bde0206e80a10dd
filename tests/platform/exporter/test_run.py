"""A whole export: what lies in the target afterwards, or that nothing does."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from model_signing import verifying

from tallystick.manifest import hash_folder
from tallystick_platform.engine import weights_digest
from tallystick_platform.errors import PlatformError
from tallystick_platform.exporter import copying, safetensors
from tallystick_platform.exporter.errors import ExportCancelled, ExportFailed, ExportRefused, ParityFailed
from tallystick_platform.exporter.gguf.writing import Tensor
from tallystick_platform.exporter.run import run
from tallystick_platform.exporter.spec import ParityReport
from tallystick_platform.formats.errors import FormatError, UnsafeModel
from tallystick_platform.formats.folder import inspect_folder
from tests.support.exports import silent, spec_for, write_signing_key, write_source


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_source(tmp_path / "source")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


def contents(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_the_result_is_what_lies_in_the_folder(source: Path, target: Path) -> None:
    result = run(spec_for(source, target), silent)
    manifest = hash_folder(target)
    assert result.files == manifest.files
    assert result.digest == manifest.digest == weights_digest.compute(target).digest


@pytest.mark.parametrize("form", ["safetensors", "gguf"])
def test_plain_weights_under_a_leftover_quantisation_are_exported_as_what_they_are(
    source: Path, target: Path, form: str
) -> None:
    config = json.loads((source / "config.json").read_text())
    left = {**config, "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
    (source / "config.json").write_text(json.dumps(left))
    spec = spec_for(source, target, format=form)
    result = run(spec, silent)
    assert any("the entry was removed" in note for note in result.parity.notes)
    assert "the entry was removed" in (target / "README.md").read_text()
    assert json.loads((target / "provenance.json").read_text())["source_digest"] == spec.source_digest.hex()
    if form == "safetensors":
        assert json.loads((target / "config.json").read_text()) == config
    assert json.loads((source / "config.json").read_text()) == left
    assert sorted(contents(target.parent)) == [source.name, target.name]


def test_a_leftover_quantisation_does_not_excuse_another_digest(source: Path, target: Path) -> None:
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, "quantization_config": {"load_in_4bit": True}}))
    with pytest.raises(ExportRefused):
        run(spec_for(source, target, source_digest=bytes(32)), silent)
    assert contents(target) == []


def test_card_provenance_and_parity_are_written(source: Path, target: Path) -> None:
    spec = spec_for(source, target)
    run(spec, silent)
    provenance = json.loads((target / "provenance.json").read_text())
    assert provenance["source_digest"] == spec.source_digest.hex()
    assert provenance["command"] == spec.command
    assert provenance["licence"] == "Apache-2.0"
    assert {"torch", "transformers", "tallystick"} <= provenance["tools"].keys()
    parity = json.loads((target / "parity.json").read_text())
    assert parity["passed"] is True
    assert parity["greedy_equal"] == parity["greedy_tokens"] == spec.parity_tokens
    card = (target / "README.md").read_text()
    assert spec.source_digest.hex() in card
    assert 'license: "apache-2.0"' in card


def test_the_same_export_has_the_same_digest(source: Path, target: Path, tmp_path: Path) -> None:
    first, second = run(spec_for(source, target), silent), run(spec_for(source, tmp_path / "second"), silent)
    assert first.digest == second.digest


def test_a_signed_export_verifies_with_model_signing_and_a_changed_byte_does_not(
    source: Path, target: Path, tmp_path: Path
) -> None:
    private, public = write_signing_key(tmp_path)
    result = run(spec_for(source, target, signing_key=private), silent)
    assert result.digest == hash_folder(target).digest
    verifier: Any = verifying.Config().use_elliptic_key_verifier(public_key=public)
    verifier.verify(target, target / "model.sig")
    path = target / "config.json"
    path.write_text(path.read_text() + " ")
    with pytest.raises(ValueError, match=r"config\.json"):
        verifier.verify(target, target / "model.sig")


def test_the_signature_is_not_part_of_the_digest(source: Path, target: Path, tmp_path: Path) -> None:
    private, _ = write_signing_key(tmp_path)
    signed = run(spec_for(source, target, signing_key=private), silent)
    assert signed.digest == run(spec_for(source, tmp_path / "second"), silent).digest
    assert (target / "model.sig").is_file()


@pytest.mark.parametrize("text", ["", "no key", "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"])
def test_a_key_that_cannot_sign_is_refused_before_anything_is_written(
    source: Path, target: Path, tmp_path: Path, text: str
) -> None:
    key = tmp_path / "bad.pem"
    key.write_text(text)
    stages: list[str] = []
    with pytest.raises(ExportRefused, match=r"bad\.pem"):
        run(spec_for(source, target, signing_key=key), lambda stage, _fraction: stages.append(stage))
    assert stages == ["inspecting the source"]
    assert contents(target) == []


def test_an_export_beyond_its_bound_leaves_nothing(source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def differs(*_: object) -> ParityReport:
        bound = {"greedy_agreement": 1.0}
        return ParityReport(reference="a", runtime="b", bound=bound, greedy_tokens=50, greedy_equal=49)

    monkeypatch.setattr(safetensors, "run_both", differs)
    with pytest.raises(ParityFailed, match=r"greedy_agreement is 0\.98, bound 1") as raised:
        run(spec_for(source, target), silent)
    assert raised.value.report.greedy_equal == 49
    assert contents(target) == []


@pytest.mark.parametrize("after", [0, 1, 4])
def test_a_full_disk_leaves_nothing_and_is_said(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    whole, calls = copying.write_all, []

    def full(descriptor: int, data: memoryview | bytes) -> None:
        calls.append(len(data))
        if len(calls) > after:
            whole(descriptor, bytes(data[: len(data) // 2]))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        whole(descriptor, data)

    monkeypatch.setattr(copying, "write_all", full)
    with pytest.raises(ExportFailed, match="the disk is full"):
        run(spec_for(source, target), silent)
    assert contents(target) == []


@pytest.mark.parametrize("stage", ["writing", "running the source", "running the export", "describing"])
def test_a_cancelled_export_leaves_nothing(source: Path, target: Path, stage: str) -> None:
    def cancelling(now: str, _fraction: float) -> None:
        if now == stage:
            raise ExportCancelled

    with pytest.raises(ExportCancelled):
        run(spec_for(source, target), cancelling)
    assert contents(target) == []


def test_a_target_that_holds_something_is_left_alone(source: Path, target: Path) -> None:
    target.mkdir()
    (target / "mine.txt").write_text("keep")
    with pytest.raises(ExportRefused, match="not empty"):
        run(spec_for(source, target), silent)
    assert (target / "mine.txt").read_text() == "keep"


def test_a_target_within_the_source_is_refused(source: Path) -> None:
    with pytest.raises(ExportRefused, match="lie in one another"):
        run(spec_for(source, source / "out"), silent)
    assert not (source / "out").exists()


def test_a_target_that_is_a_link_is_refused(source: Path, target: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ExportRefused, match="not a folder"):
        run(spec_for(source, target), silent)
    assert contents(tmp_path / "elsewhere") == []


def test_a_source_that_is_not_there_is_refused(source: Path, target: Path, tmp_path: Path) -> None:
    spec = replace(spec_for(source, target), source=tmp_path / "nowhere")
    with pytest.raises(ExportRefused, match="not a folder"):
        run(spec, silent)


@pytest.mark.parametrize("format_", ["safetensors", "gguf"])
def test_a_folder_of_another_digest_is_refused(source: Path, target: Path, format_: str) -> None:
    with pytest.raises(ExportRefused, match="not the one that was named"):
        run(spec_for(source, target, format=format_, source_digest=bytes(32)), silent)
    assert contents(target) == []


@pytest.mark.parametrize("name", ["pytorch_model.bin", "modeling_evil.py"])
def test_a_source_with_something_that_could_run_is_refused(source: Path, target: Path, name: str) -> None:
    (source / name).write_bytes(b"\x80\x04}.")
    with pytest.raises(UnsafeModel, match=name):
        run(spec_for(source, target), silent)
    assert contents(target) == []


def test_a_source_with_a_link_out_of_it_is_refused(source: Path, target: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}")
    spec = spec_for(source, target)
    (source / "vocab.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(PlatformError):
        run(spec, silent)
    assert contents(target) == []


def test_a_source_with_a_lying_header_is_refused(source: Path, target: Path) -> None:
    path = source / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes((2**60).to_bytes(8, "little") + data[8:])
    with pytest.raises(FormatError):
        run(spec_for(source, target), silent)
    assert contents(target) == []


def test_a_folder_that_cannot_be_read_is_an_export_error(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(source / "model.safetensors"))

    monkeypatch.setattr(copying, "write_all", broken)
    with pytest.raises(ExportFailed, match=r"^the export failed: model\.safetensors: Input/output error$"):
        run(spec_for(source, target), silent)


@pytest.mark.parametrize("format_", ["safetensors", "gguf"])
def test_an_export_is_itself_a_model_that_is_taken(source: Path, target: Path, format_: str) -> None:
    (source / "README.md").write_text("---\nlicense: mit\n---\nThe source's own card.")
    run(spec_for(source, target, format=format_), silent)
    report = inspect_folder(target)
    assert (report.format, report.task) == (format_, "chat")
    assert report.licence is not None


def test_a_full_disk_in_the_middle_of_a_gguf_file_leaves_nothing(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: object, file: Any) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Tensor, "tofile", full)
    with pytest.raises(ExportFailed, match="the disk is full"):
        run(spec_for(source, target, format="gguf"), silent)
    assert contents(target) == []
