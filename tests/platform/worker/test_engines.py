import os

from tallystick_platform.engine.constant import ConstantEngine
from tallystick_platform.protocol import WorkerConfig
from tallystick_platform.worker.engines import MAX_ACTIVE, build_engine
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
    for told in (MAX_ACTIVE - 1, 20):
        engine = build_engine(config(tmp_path, max_requests=told), lambda stage, fraction: None)
        assert engine.max_requests == told
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


def test_the_operators_choice_of_waiting_stands(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    write_tiny_model(tmp_path / "tiny")
    build_engine(config(tmp_path), lambda stage, fraction: None)
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
