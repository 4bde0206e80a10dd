"""The auditor's tools, installed from the wheel into an environment that has nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service import Service

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("system"), pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "litestar", "sqlmodel", "sqlalchemy", "web3", "eth_tester", "zmq")


def run(*command: str | Path, code: int = 0) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    result = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, env=environment
    )
    assert result.returncode == code, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def auditor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean environment's bin folder, with the base install from a wheel."""
    place = tmp_path_factory.mktemp("auditor")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", place / "wheels", ROOT)
    (wheel,) = (place / "wheels").glob("tallystick-*.whl")
    run(sys.executable, "-m", "venv", place / "env")
    run(place / "env/bin/python", "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel)
    return place / "env/bin"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = Service(home=tmp_path_factory.mktemp("home")).start()
    running.chat("for the auditor")
    running.wait_anchored()
    yield running
    running.stop()


def test_the_base_install_brings_none_of_the_service(auditor: Path) -> None:
    look = f"import importlib.util as u; print([m for m in {HEAVY!r} if u.find_spec(m)])"
    assert run(auditor / "python", "-c", look).strip() == "[]"


def test_the_clean_environment_verifies_a_log_from_the_chain_and_a_key(auditor: Path, service: Service) -> None:
    key = service.home / "keys" / "auditor.key"
    verdict = json.loads(run(auditor / "tallystick", "verify", *service.node(), "--auditor-key", key, "--json"))
    status = {check["name"]: check["status"] for check in verdict["checks"]}
    assert status["contract-code"] == status["decryption"] == status["field-commitments"] == "pass"


def test_the_clean_environment_verifies_a_bundle_offline(auditor: Path, service: Service, tmp_path: Path) -> None:
    record_id = service.get("/v1/records").json()["data"][0]["record_id"]
    bundle = tmp_path / "bundle.json"
    bundle.write_bytes(service.get(f"/v1/records/{record_id}/proof").content)
    run(auditor / "tallystick", "verify", bundle, "--log", service.ledger()["log_id"])


def test_every_command_of_the_clean_environment_has_help(auditor: Path) -> None:
    for command in ("verify", "trust", "fetch", "show", "disclose", "keys", "doctor"):
        assert "Usage" in run(auditor / "tallystick", command, "--help")
