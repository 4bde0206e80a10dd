"""Where models come from, with the real inspection of what they are."""

from __future__ import annotations

import io
import json
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tallystick_platform.errors import UnknownModel
from tallystick_platform.formats.errors import FormatError, UnsafeArchive, UnsafeModel
from tallystick_platform.formats.packaged import PACKAGED
from tallystick_platform.registry import sources
from tallystick_platform.registry.conversion import Looks, converted
from tallystick_platform.registry.entries import ModelVersion, Stage, Visibility
from tallystick_platform.registry.errors import BadReference, DiskFull, SourceUnusable
from tallystick_platform.registry.folders import RESERVE_BYTES
from tallystick_platform.registry.intake import Arrival
from tallystick_platform.registry.sources import (
    Adapter,
    GgufFile,
    Source,
    Upstream,
    local_source,
    name_from,
    packaged_source,
    register,
)
from tests.support.journals import ALICE, BOB
from tests.support.model_files import small_gguf, write_model, zip_bytes
from tests.support.registries import Shelf, facts_of_test_folder

CONVERTER = """
import json, sys
from pathlib import Path
folder = Path(sys.argv[2]) / "converted"
print("a library talks")
print(json.dumps({"stage": "converting", "fraction": 0.5}))
print(json.dumps({"folder": str(folder)} if folder.is_dir() else {"error": "no model that we know"}))
"""


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf(tmp_path / "home", quota_bytes=10**9)
    shelf.registry.looks = Looks()
    return shelf


def bring(shelf: Shelf, source: Source, model: str | None = None, owner: object = None) -> ModelVersion:
    arrival = Arrival(
        model=model or source.name,
        owner=owner,  # type: ignore[arg-type]
        visibility=Visibility.PUBLIC,
        stage=Stage.PRODUCTION,
    )
    return register(shelf.registry, source, arrival)


def names_in(shelf: Shelf, version: ModelVersion) -> set[str]:
    folder = shelf.registry.path(version)
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_is_copied_with_what_its_files_say_of_it(shelf: Shelf, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "Tiny Llama v1")
    version = bring(shelf, local_source(folder))
    assert version.model.id == "Tiny-Llama-v1"
    assert version.format == "safetensors"
    assert version.size_bytes == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert version.source == {"kind": "folder", "path": str(folder)}
    assert folder.is_dir()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "modeling_tiny.py", "weights.pkl"])
def test_a_folder_with_code_in_it_is_refused_before_anything_is_copied(shelf: Shelf, tmp_path: Path, name: str) -> None:
    folder = write_model(tmp_path / "bad")
    (folder / name).write_bytes(b"\x80\x04.")
    with pytest.raises(UnsafeModel) as refused:
        bring(shelf, local_source(folder))
    assert refused.value.file == name
    assert shelf.left() == []


def test_a_link_out_of_the_folder_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "bad")
    (tmp_path / "secret.json").write_text("{}")
    (folder / "extra.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises((UnsafeModel, FormatError)):
        bring(shelf, local_source(folder))
    assert shelf.left() == []


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
@pytest.mark.parametrize("inside", ["", "tiny-1.0/"])
def test_an_archive_is_unpacked_with_or_without_a_folder_around_it(
    shelf: Shelf, tmp_path: Path, kind: str, inside: str
) -> None:
    folder = write_model(tmp_path / "made")
    path = tmp_path / f"tiny.{kind}"
    files = {inside + file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, file in files.items():
                archive.write(file, name)
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as tar:
            for name, file in files.items():
                tar.add(file, name)
    version = bring(shelf, local_source(path))
    assert version.model.id == "tiny"
    assert version.digest == bring(shelf, local_source(folder), "same").digest
    assert version.source == {"kind": "archive", "file": path.name}


def test_an_archive_that_leads_out_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    path = tmp_path / "bad.tar"
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo("../../escaped")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(UnsafeArchive):
        bring(shelf, local_source(path))
    assert shelf.left() == []
    assert not list(tmp_path.rglob("escaped"))


def test_a_gguf_file_is_converted_elsewhere_and_its_files_are_linked(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = write_model(shelf.models_dir / "converted")
    (tmp_path / "Tiny-Q8_0.gguf").write_bytes(small_gguf())
    script = tmp_path / "converter.py"
    script.write_text(CONVERTER)
    stages: list[str] = []

    def convert(model: str, models_dir: Path, progress: object) -> Path:
        return converted(
            model, models_dir, lambda stage, _: stages.append(stage), command=(sys.executable, str(script))
        )

    monkeypatch.setattr(sources, "converted", convert)
    version = bring(shelf, local_source(tmp_path / "Tiny-Q8_0.gguf"))
    assert (version.model.id, version.source) == ("tiny", {"kind": "gguf", "file": "Tiny-Q8_0.gguf"})
    assert stages == ["converting"]
    one = next(path for path in made.rglob("*") if path.is_file())
    assert (shelf.registry.path(version) / one.relative_to(made)).samefile(one)


@pytest.mark.parametrize("packed", [False, True])
def test_a_gguf_file_in_a_folder_is_converted_as_one_by_itself(shelf: Shelf, tmp_path: Path, packed: bool) -> None:
    made = write_model(shelf.models_dir / "converted")
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "Tiny-Q8_0.gguf").write_bytes(small_gguf())
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    source = folder
    if packed:
        source = tmp_path / "tiny.zip"
        source.write_bytes(zip_bytes(*((path.name, path.read_bytes()) for path in folder.iterdir())))
    shelf.registry.looks = Looks(convert=lambda *_: made)
    version = bring(shelf, local_source(source))
    assert (version.model.id, version.format, version.licence) == ("tiny", "safetensors", "mit")
    assert names_in(shelf, version) == {path.relative_to(made).as_posix() for path in made.rglob("*")}


def test_a_gguf_file_in_a_folder_that_cannot_be_converted_is_refused_without_the_servers_paths(
    shelf: Shelf, tmp_path: Path
) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "Tiny-Q8_0.gguf").write_bytes(small_gguf())

    def convert(model: str, models_dir: Path, progress: object) -> Path:
        raise SourceUnusable(source=model, reason=f"{model} is of an architecture that nobody knows")

    shelf.registry.looks = Looks(convert=convert)
    with pytest.raises(SourceUnusable) as refused:
        bring(shelf, local_source(folder))
    assert str(refused.value) == "Tiny-Q8_0.gguf: Tiny-Q8_0.gguf is of an architecture that nobody knows"
    assert shelf.left() == []


def test_weights_that_are_no_numbers_are_refused_when_they_are_registered(shelf: Shelf, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "broken")
    save_file({"a": np.array([1.0, np.nan], np.float32)}, folder / "model.safetensors")
    with pytest.raises(FormatError, match="not numbers"):
        bring(shelf, local_source(folder))
    assert shelf.left() == []


@pytest.mark.parametrize(("form", "read"), [("safetensors", 1), ("adapter", 1), ("onnx", 0), ("upstream", 0)])
def test_weights_are_read_where_they_are_safetensors(shelf: Shelf, form: str, read: int) -> None:
    seen: list[Path] = []
    shelf.registry.looks = Looks(facts=facts_of_test_folder, numbers=lambda folder, _: seen.append(folder))
    shelf.add(files={"config.json": json.dumps({"format": form}).encode(), "model.safetensors": b"weights"})
    assert len(seen) == read


def test_the_demos_licence_is_its_publishers(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(shelf.models_dir / "converted")
    (tmp_path / "packaged.gguf").write_bytes(small_gguf())
    monkeypatch.setattr(sources, "packaged_file", lambda model: tmp_path / "packaged.gguf")
    monkeypatch.setattr(sources, "converted", lambda *_: shelf.models_dir / "converted")
    version = bring(shelf, GgufFile(model="demo"))
    assert (version.source, version.licence) == ({"kind": "demo"}, PACKAGED["demo"].licence)


def test_the_packaged_encoder_is_registered_as_what_it_is(shelf: Shelf) -> None:
    shelf.registry.looks = Looks()
    version = bring(shelf, packaged_source("demo-embedding"))
    assert (version.model.id, version.task, version.format) == ("all-minilm-l6-v2", "embedding", "safetensors")
    assert (version.source, version.licence) == ({"kind": "demo-embedding"}, "apache-2.0")


def test_a_packaged_model_whose_package_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, shelf: Shelf) -> None:
    gone = {"demo-embedding": replace(PACKAGED["demo-embedding"], package="no_such_package")}
    monkeypatch.setattr("tallystick_platform.registry.conversion.PACKAGED", gone)
    with pytest.raises(SourceUnusable, match="no_such_package"):
        bring(shelf, packaged_source("demo-embedding"))


def test_a_gguf_file_that_lies_is_refused_before_it_is_converted(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + b"\xff" * 64)
    with pytest.raises(FormatError):
        bring(shelf, local_source(tmp_path / "bad.gguf"))
    assert shelf.left() == []


def test_a_conversion_that_fails_says_why(tmp_path: Path) -> None:
    script = tmp_path / "converter.py"
    script.write_text(CONVERTER)
    with pytest.raises(SourceUnusable, match="no model that we know"):
        converted("x.gguf", tmp_path, lambda *_: None, command=(sys.executable, str(script)))
    script.write_text("raise SystemExit(3)")
    with pytest.raises(SourceUnusable, match="ended with 3"):
        converted("x.gguf", tmp_path, lambda *_: None, command=(sys.executable, str(script)))


def test_a_scikit_learn_model_comes_through_skops(shelf: Shelf, tmp_path: Path) -> None:
    from sklearn.linear_model import LinearRegression
    from skops import io as skops

    path = tmp_path / "prices.skops"
    skops.dump(LinearRegression().fit(np.array([[0.0], [1.0]]), np.array([0.0, 2.0])), path)
    version = bring(shelf, local_source(path))
    assert (version.model.id, version.format, version.task) == ("prices", "skops", "classical")
    assert names_in(shelf, version) == {"model.skops"}


def test_an_onnx_file_is_a_model(shelf: Shelf, tmp_path: Path) -> None:
    from onnx import TensorProto, helper, save

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:])
    path = tmp_path / "relu.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    version = bring(shelf, local_source(path))
    assert (version.model.id, version.format) == ("relu", "onnx")
    assert names_in(shelf, version) == {"model.onnx"}


def adapter_folder(place: Path) -> Path:
    from tests.support.model_files import safetensors_bytes, tensor

    place.mkdir()
    config = {"peft_type": "LORA", "base_model_name_or_path": "somewhere/base", "r": 1, "task_type": "CAUSAL_LM"}
    (place / "adapter_config.json").write_text(json.dumps(config))
    header = {"base_model.model.a.lora_A.weight": tensor(0, 8, "F32", [2])}
    (place / "adapter_model.safetensors").write_bytes(safetensors_bytes(header, bytes(8)))
    return place


def test_an_adapters_digest_covers_its_base(shelf: Shelf, tmp_path: Path) -> None:
    first = bring(shelf, local_source(write_model(tmp_path / "first")))
    second = bring(shelf, local_source(write_model(tmp_path / "second", **{"notes.txt": b"another"})))
    folder = adapter_folder(tmp_path / "lora")
    on_first = bring(shelf, Adapter(path=folder, base="first"), "lora1")
    on_second = bring(shelf, Adapter(path=folder, base=second.reference), "lora2")
    assert (on_first.base, on_second.base) == (first.reference, second.reference)
    assert on_first.digest != on_second.digest
    assert on_first.format == "adapter"
    named = json.loads((shelf.registry.path(on_first) / "tallystick-base.json").read_text())
    assert named == {"base_digest": first.digest.hex()}


def test_an_adapter_needs_a_base_that_its_owner_may_see(shelf: Shelf, tmp_path: Path) -> None:
    folder = adapter_folder(tmp_path / "lora")
    hidden = register(
        shelf.registry,
        local_source(write_model(tmp_path / "hidden")),
        Arrival(model="hidden", owner=ALICE, visibility=Visibility.PRIVATE),
    )
    for base in (hidden.reference, "nobody/knows"):
        with pytest.raises(UnknownModel):
            bring(shelf, Adapter(path=folder, base=base), "lora", BOB)
    on_hidden = bring(shelf, Adapter(path=folder, base="hidden"), "lora", ALICE)
    with pytest.raises(SourceUnusable, match="weights of its own"):
        bring(shelf, Adapter(path=folder, base=on_hidden.reference), "lora-on-lora", ALICE)


def test_an_upstream_is_named_by_its_description(shelf: Shelf) -> None:
    one = Upstream(base_url="https://other.example/v1/", model="big", key_variable="OTHER_KEY")
    version = bring(shelf, one, "other")
    assert (version.format, version.size_bytes > 0) == ("upstream", True)
    same = bring(shelf, Upstream(base_url="https://other.example/v1", model="big", key_variable="OTHER_KEY"), "same")
    different = bring(shelf, Upstream(base_url="https://other.example/v2", model="big"), "different")
    assert version.digest == same.digest != different.digest


@pytest.mark.parametrize(
    ("url", "variable"),
    [
        ("ftp://host/v1", None),
        ("https://user:key@host/v1", None),
        ("https://host/v1?key=1", None),
        ("https:///v1", None),
        ("https://" + "x" * 3_000, None),
        ("https://host/v1", "sk-1234"),
    ],
)
def test_an_upstream_never_holds_a_key(shelf: Shelf, url: str, variable: str | None) -> None:
    with pytest.raises(SourceUnusable) as refused:
        bring(shelf, Upstream(base_url=url, model="big", key_variable=variable), "other")
    assert "key@" not in str(refused.value)


def test_a_disk_without_room_refuses_before_copying(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "home", free_bytes=lambda _: RESERVE_BYTES + 1)
    shelf.registry.looks = Looks()
    with pytest.raises(DiskFull):
        bring(shelf, local_source(write_model(tmp_path / "tiny")))
    assert shelf.left() == []


@pytest.mark.parametrize("path", ["none", "weights.bin", "weights.pt"])
def test_what_is_no_source_is_refused(tmp_path: Path, path: str) -> None:
    if path != "none":
        (tmp_path / path).write_bytes(b"x")
    with pytest.raises(SourceUnusable):
        local_source(tmp_path / path)
    with pytest.raises(SourceUnusable, match="folder"):
        local_source(tmp_path / path, base="x")


def test_the_demo_keeps_the_name_that_its_worker_gives_it() -> None:
    assert GgufFile(model="demo").name == "smollm2-135m-instruct"
    assert GgufFile(model="/x/SmolLM2-135M-Instruct-Q4_1.gguf").name == "smollm2-135m-instruct"


@pytest.mark.parametrize(
    ("text", "name"),
    [("my model", "my-model"), ("..", "model"), ("a..b", "a.b"), ("é", "model"), ("x" * 200, "x" * 96)],
)
def test_any_file_gives_a_name_that_can_be_one(text: str, name: str) -> None:
    assert name_from(text) == name


def test_a_name_that_cannot_be_one_is_refused_before_anything_is_brought(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(BadReference):
        bring(shelf, local_source(write_model(tmp_path / "tiny")), "a/b/c")


def test_the_packaged_transcriber_is_registered_as_what_it_was_converted_to(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(shelf.models_dir / "converted")
    monkeypatch.setattr(sources, "converted", lambda *_: shelf.models_dir / "converted")
    version = bring(shelf, packaged_source("demo-transcription"))
    assert version.model.id == "whisper-tiny.en"
    assert (version.source, version.licence) == ({"kind": "demo-transcription"}, "mit")
