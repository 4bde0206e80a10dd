"""Models from a hub: the protocol spoken by the hub's own library, over a server on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick_platform.registry.entries import ModelVersion, Visibility
from tallystick_platform.registry.errors import DiskFull, SourceUnusable
from tallystick_platform.registry.folders import RESERVE_BYTES
from tallystick_platform.registry.hub import HubModel, parse_hub, wanted_files
from tallystick_platform.registry.intake import Arrival
from tallystick_platform.registry.sources import register
from tests.support.hub_server import Hub, Repository, serving_hub
from tests.support.registries import FILES, Shelf

EXTRA = {
    "README.md": b"# Tiny\n",
    "pytorch_model.bin": b"\x80\x04pickle",
    "modeling_tiny.py": b"import os\n",
    "onnx/model.onnx": b"x",
    ".gitattributes": b"*.safetensors lfs\n",
}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving_hub(acme__tiny=Repository(files=FILES | EXTRA, large=("model.safetensors",))) as hub:
        yield hub


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def bring(shelf: Shelf, hub: Hub, revision: str = "main", repo_id: str = "acme/tiny") -> ModelVersion:
    cache = shelf.models_dir.parent / "cache"
    source = HubModel(repo_id=repo_id, revision=revision, endpoint=hub.endpoint, cache_dir=cache)
    return register(shelf.registry, source, Arrival(model=source.name, owner=None, visibility=Visibility.PUBLIC))


def names_of(shelf: Shelf, version: ModelVersion) -> set[str]:
    folder = shelf.registry.path(version)
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_repository_becomes_a_version_whose_source_names_the_commit(shelf: Shelf, hub: Hub) -> None:
    version = bring(shelf, hub)
    assert version.model.id == "acme/tiny"
    assert version.source == {
        "kind": "hub",
        "repo_id": "acme/tiny",
        "revision": "main",
        "commit": hub.repositories["acme/tiny"].commit,
        "endpoint": hub.endpoint,
    }
    assert (shelf.registry.path(version) / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_only_files_of_safe_formats_are_asked_for(shelf: Shelf, hub: Hub) -> None:
    version = bring(shelf, hub)
    assert names_of(shelf, version) == {*FILES, "README.md"}
    assert not {"pytorch_model.bin", "modeling_tiny.py", "onnx/model.onnx"} & set(hub.downloads())


def test_nothing_is_downloaded_twice(shelf: Shelf, hub: Hub) -> None:
    version = bring(shelf, hub)
    shelf.registry.remove(version.reference, None)
    hub.requests.clear()
    assert bring(shelf, hub).digest == version.digest
    assert hub.downloads() == []


def test_a_download_that_was_cut_is_resumed(shelf: Shelf, tmp_path: Path) -> None:
    files = FILES | {"model.safetensors": bytes(range(256)) * 64}
    with serving_hub(acme__tiny=Repository(files=files, large=("model.safetensors",))) as hub:
        hub.cut["model.safetensors"] = 1_000
        try:
            version = bring(shelf, hub)
        except SourceUnusable:
            assert shelf.left() == []
            version = bring(shelf, hub)
    assert (shelf.registry.path(version) / "model.safetensors").read_bytes() == files["model.safetensors"]


def test_offline_the_cache_is_used_and_the_hub_is_not_asked(
    shelf: Shelf, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = bring(shelf, hub)
    shelf.registry.remove(version.reference, None)
    hub.requests.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    again = bring(shelf, hub)
    assert (again.digest, again.source["commit"]) == (version.digest, hub.repositories["acme/tiny"].commit)
    assert hub.requests == []


def test_offline_what_is_not_cached_is_refused(shelf: Shelf, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SourceUnusable, match="offline"):
        bring(shelf, hub)


@pytest.mark.parametrize(("repo_id", "revision"), [("acme/none", "main"), ("acme/tiny", "v9")])
def test_a_repository_or_revision_that_is_not_there_is_refused(
    shelf: Shelf, hub: Hub, repo_id: str, revision: str
) -> None:
    with pytest.raises(SourceUnusable, match="there is no such") as refused:
        bring(shelf, hub, revision, repo_id)
    assert hub.endpoint not in str(refused.value)
    assert shelf.left() == []


def test_a_repository_with_pickled_weights_alone_is_refused_with_the_way_to_convert(shelf: Shelf) -> None:
    files = {"config.json": b"{}", "pytorch_model.bin": b"\x80\x04"}
    with serving_hub(acme__tiny=Repository(files=files)) as hub, pytest.raises(SourceUnusable) as refused:
        bring(shelf, hub)
    assert "safe_serialization=True" in str(refused.value)
    assert hub.downloads() == []


def test_the_free_space_is_looked_at_before_anything_is_downloaded(tmp_path: Path, hub: Hub) -> None:
    shelf = Shelf(tmp_path, free_bytes=lambda _: RESERVE_BYTES + 10)
    with pytest.raises(DiskFull):
        bring(shelf, hub)
    assert hub.downloads() == []


def test_the_operators_token_is_not_sent_for_somebody_else(
    shelf: Shelf, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    bring(shelf, hub)
    assert hub.tokens == set()


@pytest.mark.parametrize("text", ["hf:", "hf:a/b/c", "hf:../x", "hf:a/b@../x", "hf:a b", "hf:a/b@"])
def test_what_cannot_be_a_repository_is_never_asked_for(shelf: Shelf, hub: Hub, text: str) -> None:
    source = parse_hub(text, endpoint=hub.endpoint)
    if text == "hf:a/b@":
        assert source.revision == "main"
        return
    with shelf.folders.stage() as staged, pytest.raises(SourceUnusable):
        source.bring(staged, shelf.registry, None, lambda *_: None)
    assert hub.requests == []


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["model.safetensors", "config.json", "onnx/model.onnx"], ["config.json", "model.safetensors"]),
        (["onnx/model.onnx", "config.json"], ["config.json", "onnx/model.onnx"]),
        (["model.skops"], ["model.skops"]),
        (["1_Pooling/config.json", "model.safetensors"], ["1_Pooling/config.json", "model.safetensors"]),
        (["original/consolidated.safetensors", "x.pth"], []),
        (["weights.gguf"], []),
        ([], []),
    ],
)
def test_of_a_repository_the_files_of_one_model_are_taken(names: list[str], wanted: list[str]) -> None:
    assert wanted_files(names) == wanted
