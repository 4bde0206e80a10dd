import os

import pytest

from tallystick_platform.engine.constant import ConstantEngine
from tallystick_platform.engine.weights_digest import compute
from tallystick_platform.errors import ModelUnusable
from tallystick_platform.protocol import VersionConfig, WorkerConfig
from tallystick_platform.worker.engines import build_engine
from tests.support.tiny_model import write_tiny_model


def config(tmp_path, **changes):
    values = {
        "endpoint": "",
        "worker_id": "w",
        "engine": "torch",
        "model": str(tmp_path / "tiny"),
        "models_dir": str(tmp_path / "models"),
        "max_requests": 20,
    }
    return WorkerConfig(**{**values, **changes})


def test_the_constant_engine_needs_no_model(tmp_path):
    engine = build_engine(config(tmp_path, engine="constant", max_requests=3), lambda stage, fraction: None)
    assert isinstance(engine, ConstantEngine)
    assert engine.max_requests == 3


def test_a_worker_holds_as_many_requests_as_it_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    write_tiny_model(tmp_path / "tiny")
    for told in (3, 40):
        engine = build_engine(config(tmp_path, max_requests=told), lambda stage, fraction: None)
        assert engine.max_requests == told
        assert 1 <= engine.max_active <= told
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


def test_the_operators_choice_of_waiting_stands(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    write_tiny_model(tmp_path / "tiny")
    build_engine(config(tmp_path), lambda stage, fraction: None)
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def version_of(folder, **changes):
    digest = compute(folder).digest.hex()
    values = {"model_id": "Acme/tiny", "version": digest[:12], "folder": str(folder), "digest": digest, "task": "chat"}
    return VersionConfig(**{**values, **changes})


def test_a_registered_version_is_served_under_its_name(tmp_path):
    version = version_of(write_tiny_model(tmp_path / "tiny"))
    engine = build_engine(config(tmp_path, model="ignored", version=version), lambda stage, fraction: None)
    assert (engine.model.id, engine.model.version) == ("Acme/tiny", version.version)
    assert engine.model.weights_digest.hex() == version.digest
    assert engine.folder == tmp_path / "tiny"


@pytest.mark.parametrize("engine", ["torch", "constant"])
def test_changed_files_are_not_served(tmp_path, engine):
    version = version_of(write_tiny_model(tmp_path / "tiny"))
    (tmp_path / "tiny" / "generation_config.json").write_text("{}")
    with pytest.raises(ModelUnusable, match=f"not {version.digest} as registered"):
        build_engine(config(tmp_path, engine=engine, version=version), lambda stage, fraction: None)
