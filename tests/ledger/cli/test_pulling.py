import json
import subprocess
import sys
from pathlib import Path

import pytest

from tallystick.keys import write_secret_file
from tests.support.export_server import EXPORT_RECORD_ID, RECORD_ID, ExportServer, serving

ROOT = Path(__file__).parents[3]
FILES = {"config.json": b"{}", "model.safetensors": b"weights" * 100}


@pytest.fixture
def export():
    with serving(ExportServer(files=dict(FILES), token="a-token")) as export:
        yield export


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "token.txt"
    write_secret_file(path, "a-token")
    return path


@pytest.fixture
def client_file(export, tmp_path):
    path = tmp_path / "client.json"
    base_url = export.url.partition("/v1/")[0]
    write_secret_file(
        path, json.dumps({"base_url": base_url, "token": "a-token", "private_key": "0x", "address": "0x"})
    )
    return path


def test_an_export_is_fetched_with_a_token_file(run, export, token_file, tmp_path):
    result = run("pull", export.url, tmp_path / "out", "--token-file", token_file)
    assert result.exit_code == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == FILES
    assert f"2 files, digest {export.document()['manifest_digest']}" in result.stdout
    assert f"made by record {EXPORT_RECORD_ID}" in result.stdout
    assert f"fetched as {RECORD_ID}" in result.stdout


def test_the_token_file_may_come_from_the_environment(run, export, token_file, tmp_path):
    result = run("pull", export.url, tmp_path / "out", env={"TALLYSTICK_TOKEN_FILE": str(token_file)})
    assert result.exit_code == 0


def test_an_id_alone_is_fetched_from_the_clients_server(run, export, client_file, tmp_path):
    result = run("pull", "e1", tmp_path / "out", "--client", client_file, "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["manifest_digest"] == export.document()["manifest_digest"]
    assert (document["files"], document["bytes"], document["received_bytes"]) == (2, 702, 702)


def test_a_clients_token_goes_to_its_own_server_alone(run, client_file, tmp_path):
    result = run("pull", "http://127.0.0.2:1/v1/exports/e1", tmp_path / "out", "--client", client_file)
    assert result.exit_code == 2
    assert "lies elsewhere" in result.stderr


def test_a_token_on_an_open_way_is_warned_of(run, token_file, tmp_path, monkeypatch):
    from tallystick.cli import pulling

    class Fetched(Exception):
        pass

    def fetch(*_):
        raise Fetched

    monkeypatch.setattr(pulling, "fetch", fetch)
    result = run("pull", "http://host.example/v1/exports/e1", tmp_path / "out", "--token-file", token_file)
    assert "is not https" in result.stderr


def test_content_that_is_not_what_was_listed_ends_with_1(run, export, token_file, tmp_path):
    export.sent["config.json"] = b"[]"
    result = run("pull", export.url, tmp_path / "out", "--token-file", token_file)
    assert result.exit_code == 1
    assert "proven wrong: check 18 model-digest: model file config.json" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["e1"], "needs --client"),
        (["{url}"], "not fetched: {url}: HTTP 401"),
        (["{url}x", "--token-file", "{token}"], "HTTP 404"),
        (["{url}", "--token-file", "{token}", "--client", "{client}"], "give one of them"),
        (["{url}", "--client", "{token}"], "is not a client file"),
        (["http://[/x/y", "--client", "{client}"], "is no address"),
        (["{url}", "--client", "{odd_client}"], "is not a client file"),
    ],
)
def test_what_cannot_be_fetched_ends_with_2_and_says_why(
    run, export, token_file, client_file, tmp_path, arguments, message
):
    odd = tmp_path / "odd.json"
    write_secret_file(odd, json.dumps({"base_url": 7, "token": "a"}))
    filled = [text.format(url=export.url, token=token_file, client=client_file, odd_client=odd) for text in arguments]
    result = run("pull", filled[0], tmp_path / "out", *filled[1:])
    assert result.exit_code == 2
    assert message.format(url=export.url) in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_script_is_the_command(export, token_file, tmp_path):
    command = [sys.executable, str(ROOT / "scripts" / "pull_model.py"), export.url, str(tmp_path / "out")]
    result = subprocess.run(
        [*command, "--token-file", str(token_file)], env={"PYTHONPATH": str(ROOT / "ledger")}, check=False, timeout=60
    )
    assert result.returncode == 0
    assert (tmp_path / "out" / "config.json").read_bytes() == b"{}"


@pytest.mark.parametrize(
    ("arguments", "address"),
    [
        (
            ["acme/tiny@0123456789ab", "--original", "--client", "{client}"],
            "{base}/v1/models/acme/tiny@0123456789ab/files",
        ),
        (["{base}/v1/models/tiny", "--original"], "{base}/v1/models/tiny/files"),
        (["{base}/v1/models/tiny/files", "--original"], "{base}/v1/models/tiny/files"),
        (["{base}/v1/models/tiny/files"], "{base}/v1/models/tiny/files"),
    ],
)
def test_a_models_own_files_are_fetched_from_their_list(
    run, export, client_file, tmp_path, monkeypatch, arguments, address
):
    from tallystick.cli import pulling

    asked = []
    monkeypatch.setattr(pulling, "fetch", lambda server, *_: asked.append(server.url) or sys.exit(0))
    base = export.url.partition("/v1/")[0]
    filled = [text.format(base=base, client=client_file) for text in arguments]
    run("pull", filled[0], tmp_path / "out", *filled[1:])
    assert asked == [address.format(base=base)]


def test_a_models_name_without_original_is_no_exports_id(run, client_file, tmp_path):
    result = run("pull", "acme/tiny", tmp_path / "out", "--client", client_file)
    assert result.exit_code == 2
    assert "--original" in result.stderr
