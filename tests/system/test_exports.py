"""An export as a user meets it, with the real exporter: killed in the middle of the export and of a download, pulled, and verified."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tallystick.ids import to_hex
from tallystick.manifest import hash_folder
from tests.support.service import Service, tallystick, tallystick_server, wait_for
from tests.support.tiny_model import write_tiny_model

pytestmark = [pytest.mark.system, pytest.mark.model, pytest.mark.faults, pytest.mark.xdist_group("system")]

ROOT = Path(__file__).parents[2]
EXPORT_LIMIT_S = 120
FILE = "model.safetensors"
WIDE = {"hidden_size": 384, "intermediate_size": 4_096, "num_attention_heads": 48, "num_key_value_heads": 8}
"""About 40 MB: more than a connection's buffers hold."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("home")
    running = Service(home=home).start()
    source = write_tiny_model(home.parent / "tiny", **WIDE)
    added = tallystick_server(running, "model", "add", str(source), "--name", "acme/tiny", "--production", "--json")
    assert added.returncode == 0, added.stdout + added.stderr
    yield running
    running.stop()


def ask(service: Service) -> dict[str, Any]:
    reply = httpx.post(
        f"{service.base_url}/v1/models/acme/tiny/exports",
        headers=service.headers,
        json={"format": "safetensors"},
        timeout=30,
    )
    assert reply.status_code == 202, reply.text
    return dict(reply.json())


def state_of(service: Service, export: dict[str, Any], *states: str, limit_s: float = EXPORT_LIMIT_S) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = service.get(f"/v1/exports/{export['id']}").json()
        return found if found["state"] in states else None

    return dict(wait_for(look, limit_s, f"export {' or '.join(states)}; log:\n{service.log_tail()}"))


@pytest.fixture(scope="module")
def killed(service: Service) -> tuple[dict[str, Any], dict[str, Any]]:
    """An export as it was before the server was killed in the middle of it, and as it ended after the restart."""
    export = ask(service)
    before = state_of(service, export, "running")
    service.kill()
    service.start()
    return before, state_of(service, export, "finished", "failed")


def outcome(service: Service, record_id: str) -> str:
    return str(service.get(f"/v1/records/{record_id}").json()["outcome"])


def test_a_killed_export_goes_on_and_has_one_end(
    service: Service, killed: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    before, after = killed
    assert (after["state"], after["error"]) == ("finished", None)
    assert (after["record"], before["ended_by"]) == (before["record"], None)
    assert outcome(service, after["record"]) == "accepted"
    assert outcome(service, after["ended_by"]) == "completed"
    assert after["parity"]["passed"]
    assert not list((service.home / "exports" / "staging").iterdir())


def test_a_download_that_a_kill_cut_off_is_recorded_and_goes_on(
    service: Service, killed: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    export = killed[1]
    path = f"/v1/exports/{export['id']}/files/{FILE}"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
        connection.connect(("127.0.0.1", service.port))
        token = service.headers["Authorization"]
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\n\r\n".encode())
        with connection.makefile("rb") as stream:
            head = b"".join(iter(stream.readline, b"\r\n")).decode().lower()
            got = stream.read(500_000)
        service.kill()
    service.start()
    record_id = head.partition("x-tallystick-record: ")[2].partition("\r\n")[0]
    etag = head.partition("etag: ")[2].partition("\r\n")[0]
    assert outcome(service, record_id) == "interrupted"
    headers = service.headers | {"Range": f"bytes={len(got)}-", "If-Range": etag}
    rest = httpx.get(service.base_url + path, headers=headers, timeout=60)
    assert rest.status_code == 206
    assert f'"{hashlib.sha256(got + rest.content).hexdigest()}"' == etag


def test_a_pulled_export_is_what_the_record_and_the_log_say(
    service: Service, killed: tuple[dict[str, Any], dict[str, Any]], tmp_path: Path
) -> None:
    export, target = killed[1], tmp_path / "model"
    client = str(service.home / "keys" / "client.json")
    pulled = tallystick("pull", export["id"], str(target), "--client", client, "--json")
    assert pulled.returncode == 0, pulled.stdout + pulled.stderr
    assert to_hex(hash_folder(target).digest) == export["manifest_digest"]
    assert (target / "model.sig").exists()
    service.wait_anchored()
    assert {outcome(service, record) for record in json.loads(pulled.stdout)["records"]} == {"completed"}
    bundle = tmp_path / "bundle.json"
    bundle.write_bytes(service.get(f"/v1/records/{export['ended_by']}/proof").content)
    checked = tallystick("verify", str(bundle), *service.trusted(), "--model", str(target))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    whole = service.verify()
    assert whole.returncode == 0, whole.stdout + whole.stderr


def test_over_http_alone_an_answer_is_shown_to_come_from_the_files_and_the_export_from_them(
    service: Service, killed: tuple[dict[str, Any], dict[str, Any]], tmp_path: Path
) -> None:
    client = str(service.home / "keys" / "client.json")
    answer = service.chat(model="acme/tiny", max_tokens=4).json()["tallystick"]["record_id"]
    for command in (["--original", "acme/tiny", "original"], [killed[1]["id"], "exported"]):
        pulled = tallystick("pull", *command[:-1], str(tmp_path / command[-1]), "--client", client)
        assert pulled.returncode == 0, pulled.stdout + pulled.stderr
    service.wait_anchored()
    for name, record in (("answer.json", answer), ("export.json", killed[1]["ended_by"])):
        (tmp_path / name).write_bytes(service.get(f"/v1/records/{record}/proof").content)

    def verified(folder: str, *options: str) -> tuple[int, str]:
        arguments = ["--model", str(tmp_path / folder), *options, *service.trusted()]
        found = tallystick("verify", str(tmp_path / "answer.json"), *arguments)
        return found.returncode, " ".join((found.stdout + found.stderr).split())

    code, said = verified("original", "--replay")
    assert (code, "these are the very files that the record names" in said) == (0, True), said
    code, said = verified("exported", "--export", str(tmp_path / "export.json"))
    assert (code, "they were exported from those" in said) == (0, True), said
    code, said = verified("exported")
    assert (code, "derived from the model that answered" in said) == (2, True), said


def test_a_version_is_not_removed_under_its_export(service: Service) -> None:
    export = ask(service)
    state_of(service, export, "running")
    retired = tallystick_server(service, "model", "retire", "acme/tiny")
    assert retired.returncode == 0, retired.stderr
    removed = tallystick_server(service, "model", "remove", "acme/tiny")
    assert removed.returncode != 0
    assert "an export of it is under way" in removed.stderr + removed.stdout
    promoted = tallystick_server(service, "model", "promote", "acme/tiny")
    assert promoted.returncode == 0, promoted.stderr
    assert state_of(service, export, "finished", "failed")["state"] == "finished"


def test_the_script_exports_and_fetches(service: Service, tmp_path: Path) -> None:
    client = str(service.home / "keys" / "client.json")
    command = [sys.executable, str(ROOT / "scripts" / "export_model.py"), "acme/tiny", str(tmp_path / "model")]
    asked = subprocess.run(
        [*command, "--format", "safetensors", "--client", client],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert (tmp_path / "model" / FILE).exists()
    refused = subprocess.run(
        [*command, "--format", "gguf", "--quantization", "Q3", "--client", client],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert (refused.returncode, "Q4_1" in refused.stderr) == (2, True), refused.stderr


def test_an_orderly_stop_in_the_middle_keeps_the_job(service: Service) -> None:
    export = ask(service)
    before = state_of(service, export, "running")
    assert service.stop() == 0
    service.start()
    assert outcome(service, before["record"]) == "accepted"
    ended = state_of(service, export, "finished", "failed")
    assert (ended["state"], outcome(service, ended["ended_by"])) == ("finished", "completed")
