"""The banner: everything is in it but the token, and its curl line works in a shell."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

from tallystick_platform.app.banner import Ready, as_json, as_text, curl_line

READY = Ready(
    base_url="http://127.0.0.1:8000",
    schema_url="http://127.0.0.1:8000/schema",
    rpc_url="http://127.0.0.1:8545",
    contract="0x" + "11" * 20,
    log_id="0x" + "22" * 32,
    writer="0x" + "33" * 20,
    mode="development",
    model="some/model",
    keys_dir="/somewhere/keys",
    client_file="/somewhere/keys/client.json",
)


def run_in_shell(line: str, **environment: str) -> list[str]:
    """The arguments that curl would get."""
    script = 'curl() { printf "%s\\0" "$@"; }\n' + line
    ran = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, env=environment or None)
    return ran.stdout.split("\0")[:-1]


def test_the_curl_line_reads_the_token_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / 'it\'s a "home" folder' / "client.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"base_url": "x", "token": "tsk_abc-_1", "private_key": "0x0", "address": "0x0"}))
    line = curl_line(replace(READY, client_file=str(path)))
    assert "tsk_" not in line
    arguments = run_in_shell(line)
    assert "http://127.0.0.1:8000/v1/chat/completions" in arguments
    assert "Authorization: Bearer tsk_abc-_1" in arguments
    body = json.loads(arguments[arguments.index("-d") + 1])
    assert body["model"] == "some/model"
    assert body["messages"][0]["role"] == "user"


def test_without_a_client_file_the_shell_brings_the_token() -> None:
    arguments = run_in_shell(
        curl_line(replace(READY, client_file=None)), TALLYSTICK_TOKEN="tsk_mine", PATH="/bin:/usr/bin"
    )
    assert "Authorization: Bearer tsk_mine" in arguments


def test_people_read_where_everything_is() -> None:
    text = as_text(READY)
    for part in (
        READY.base_url,
        READY.schema_url,
        READY.rpc_url,
        READY.contract,
        READY.log_id,
        READY.keys_dir,
        "curl -s ",
    ):
        assert part in text
    assert f"--contract {READY.contract} --log {READY.log_id} --auditor-key /somewhere/keys/auditor.key" in text


def test_programs_read_the_same_on_one_line() -> None:
    line = as_json(READY)
    assert "\n" not in line
    found = json.loads(line)
    assert found["ready"] is True
    assert found["log_id"] == READY.log_id
    assert found["curl"] == curl_line(READY)
