import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from tallystick_platform.engine import model_store
from tallystick_platform.engine.conversion import convert_gguf
from tallystick_platform.engine.model_store import ensure_converted, model_name, packaged_file, resolve_model
from tallystick_platform.errors import ModelUnusable
from tallystick_platform.formats.packaged import PACKAGED
from tests.support.tiny_model import write_tiny_model


def ignore(stage, fraction):
    pass


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "Small-1.5B-Chat.Q4_1.gguf"
    path.write_bytes(b"GGUF")
    return path


def test_what_is_no_gguf_file_is_not_converted(source, tmp_path):
    with pytest.raises(ModelUnusable, match=r"Small-1\.5B-Chat\.Q4_1\.gguf is not a GGUF file"):
        convert_gguf(source, tmp_path, ignore)


@pytest.fixture
def conversions(monkeypatch):
    made = []

    def convert(source, target, progress):
        made.append(target)
        (target / "config.json").write_text("{}")

    monkeypatch.setattr(model_store, "convert_gguf", convert)
    return made


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct"),
        ("Qwen2.5-0.5B-IQ3_XXS.gguf", "qwen2.5-0.5b"),
        ("llama-f16.gguf", "llama"),
        ("plain.gguf", "plain"),
    ],
)
def test_a_models_name_is_its_files_without_quantisation(file, name):
    assert model_name(Path(file)) == name


def test_a_model_is_converted_once(source, tmp_path, conversions):
    first = ensure_converted(source, tmp_path / "models", ignore)
    assert ensure_converted(source, tmp_path / "models", ignore) == first
    assert len(conversions) == 1
    assert first.parent.name == "small-1.5b-chat"
    assert (first / "config.json").exists()


def test_another_file_of_the_same_name_is_another_model(source, tmp_path, conversions):
    first = ensure_converted(source, tmp_path / "models", ignore)
    source.write_bytes(b"GGUF2")
    assert ensure_converted(source, tmp_path / "models", ignore) != first


def test_many_at_once_convert_once(source, tmp_path, conversions):
    with ThreadPoolExecutor(4) as threads:
        found = set(threads.map(lambda _: ensure_converted(source, tmp_path / "models", ignore), range(4)))
    assert len(found) == 1
    assert len(conversions) == 1


def test_a_conversion_that_fails_leaves_nothing_under_the_models_name(source, tmp_path, monkeypatch):
    def fail(source, target, progress):
        (target / "half").write_text("x")
        raise ModelUnusable(reason="broken")

    monkeypatch.setattr(model_store, "convert_gguf", fail)
    with pytest.raises(ModelUnusable, match="broken"):
        ensure_converted(source, tmp_path / "models", ignore)
    assert [path.name for path in (tmp_path / "models" / "small-1.5b-chat").iterdir() if path.is_dir()] == []


def test_what_a_crash_left_is_removed(source, tmp_path, conversions):
    folder = ensure_converted(source, tmp_path / "models", ignore)
    folder.rename(folder.parent / f".partial-{folder.name}-abc")
    assert ensure_converted(source, tmp_path / "models", ignore) == folder
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == [folder.name]


def test_waiting_for_another_conversion_is_bounded(source, tmp_path, conversions, monkeypatch):
    folder = ensure_converted(source, tmp_path / "models", ignore)
    (folder / "config.json").unlink()
    folder.rmdir()
    monkeypatch.setattr(model_store, "LOCK_TIMEOUT_S", 0.01)
    with FileLock(folder.parent / f".{folder.name}.lock"), pytest.raises(ModelUnusable, match="another process"):
        ensure_converted(source, tmp_path / "models", ignore)


def test_a_folder_is_served_as_it_is(tmp_path):
    folder = write_tiny_model(tmp_path / "tiny")
    assert resolve_model(str(folder), tmp_path / "models", ignore) == folder


def test_a_gguf_file_is_converted(source, tmp_path, conversions):
    assert resolve_model(str(source), tmp_path / "models", ignore).is_dir()
    assert len(conversions) == 1
    loud = source.rename(source.with_suffix(".GGUF"))
    assert resolve_model(str(loud), tmp_path / "other", ignore).is_dir()


def test_a_gguf_file_alone_in_a_folder_is_converted(source, tmp_path, conversions):
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / source.name).write_bytes(source.read_bytes())
    assert resolve_model(str(alone), tmp_path / "models", ignore).is_dir()
    assert len(conversions) == 1
    (alone / "second.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelUnusable, match="neither 'demo' nor"):
        resolve_model(str(alone), tmp_path / "models", ignore)


def test_anything_else_is_refused(tmp_path):
    with pytest.raises(ModelUnusable, match="neither 'demo' nor"):
        resolve_model(str(tmp_path / "nothing"), tmp_path, ignore)


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    gone = replace(PACKAGED["demo"], package="no_such_package")
    monkeypatch.setattr(model_store, "PACKAGED", {"demo": gone})
    with pytest.raises(ModelUnusable, match="no_such_package"):
        packaged_file("demo")


@pytest.mark.parametrize(("model", "name"), [("demo", ".gguf"), ("demo-embedding", "modules.json")])
def test_a_package_is_found_and_not_imported(model, name):
    assert packaged_file(model).name.endswith(name)
    assert PACKAGED[model].package not in sys.modules


def test_a_packaged_encoder_is_served_from_where_it_lies(tmp_path):
    folder = resolve_model("demo-embedding", tmp_path, ignore)
    assert (folder / "model.safetensors").is_file()
    assert list(tmp_path.iterdir()) == []
