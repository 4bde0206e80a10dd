"""A backup of the whole state folder is put back, and the writer is changed, on the real service and by the real commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tallystick.bundle.reading import parse_bundle
from tallystick.errors import OpenError
from tallystick.ids import checksum_address
from tallystick.keys import Wallet, write_secret_file
from tallystick.sealing import open_sealed
from tests.support.service import Service, tallystick_server

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("system"), pytest.mark.timeout(300)]


def answered(service: Service) -> dict[str, object]:
    reply = service.chat()
    assert reply.status_code == 200, reply.text
    return dict(reply.json()["tallystick"])


def served(service: Service, requests: int) -> list[dict[str, object]]:
    """Start, answer, anchor, stop."""
    service.start()
    proofs = [answered(service) for _ in range(requests)]
    service.wait_anchored()
    service.stop()
    return proofs


def put_back(service: Service, backup: Path) -> None:
    """The journal and the keys as they were; the chain is somewhere else, and goes on."""
    for name in ("journal", "keys"):
        shutil.rmtree(service.home / name)
        shutil.copytree(backup / name, service.home / name)


def opens(service: Service, proof: dict[str, object], secret: object) -> bool:
    """Whether a secret opens the record that the service proves."""
    evidence = parse_bundle(service.get(f"/v1/records/{proof['record_id']}/proof").content).evidence
    try:
        open_sealed(
            evidence.sealed,
            log_id=evidence.log_id,
            index=evidence.index,
            epoch=evidence.epoch,
            fields_root=evidence.fields_root,
            secret=bytes.fromhex(str(secret)[2:]),
        )
    except OpenError:
        return False
    return True


def ran(service: Service, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = tallystick_server(service, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def verified(service: Service) -> dict[str, object]:
    result = service.verify(*service.trusted())
    assert result.returncode == 0, result.stdout + result.stderr
    return dict(json.loads(result.stdout))


def test_a_restored_backup_signs_nothing_until_it_is_adopted_and_then_verifies(tmp_path: Path) -> None:
    service = Service(home=tmp_path / "home")
    served(service, 2)
    shutil.copytree(service.home, tmp_path / "backup")
    lost = served(service, 3)
    put_back(service, tmp_path / "backup")
    checked = tallystick_server(service, "journal", "check")
    assert checked.returncode == 1
    assert "5 records, as on the chain" in checked.stdout

    service.start_unready()
    try:
        refused = service.chat(model="constant")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "admission_closed")
        assert "tallystick-server journal adopt" in refused.json()["error"]["message"]
        assert "x-tallystick-admission" not in refused.headers
    finally:
        service.stop()

    ran(service, "journal", "adopt")
    service.start()
    try:
        fresh = answered(service)
        service.wait_anchored()
        assert fresh["index"] == 5
        assert opens(service, fresh, fresh["record_secret"])
        assert not any(opens(service, fresh, proof["record_secret"]) for proof in lost)
        verified(service)
    finally:
        service.stop()
    ran(service, "journal", "check")


def test_another_writer_goes_on_with_the_same_journal(tmp_path: Path) -> None:
    service = Service(home=tmp_path / "home")
    served(service, 2)
    heir = Wallet(os.urandom(32))
    write_secret_file(tmp_path / "heir.key", heir.to_text())
    ran(service, "log", "rotate", "--writer", checksum_address(heir.address))
    before = str(service.home / "keys" / "operator.key")
    service.environment = {"TALLYSTICK_OPERATOR_KEY_FILE": str(tmp_path / "heir.key")}
    ran(service, "journal", "adopt", "--previous-key", before)
    service.start()
    try:
        proof = answered(service)
        service.wait_anchored()
        assert (proof["index"], proof["admission_seq"]) == (2, 3)
        assert proof["receipt"]["signer"] == checksum_address(heir.address)
        verified(service)
    finally:
        service.stop()
    ran(service, "journal", "check")
