"""The operator's command line: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tallystick.ids import checksum_address
from tallystick.keys import Wallet
from tallystick_platform.anchor.location import FILE_NAME, write_location
from tallystick_platform.cli import main
from tallystick_platform.cli.opening import opened
from tallystick_platform.store.tokens import TokenStore, token_hash
from tests.support.exchange import LOCATION
from tests.support.tiny_model import write_tiny_model

ADDRESS = checksum_address(Wallet(bytes(31) + b"\x05").address)
COMMANDS = (
    (),
    ("serve",),
    ("token",),
    ("token", "create"),
    ("token", "list"),
    ("token", "revoke"),
    ("config", "show"),
    ("journal", "check"),
    ("journal", "adopt"),
    ("log", "create"),
    ("log", "rotate"),
    ("doctor",),
    ("model",),
    ("model", "add"),
    ("model", "list"),
    ("model", "show"),
    ("model", "promote"),
    ("model", "retire"),
    ("model", "pin"),
    ("model", "unpin"),
    ("model", "remove"),
    ("model", "verify"),
    ("model", "upload"),
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MODE", "CHAIN_RPC", "CONTRACT", "LOG_ID", "MODEL"):
        monkeypatch.delenv(f"TALLYSTICK_{name}", raising=False)
    monkeypatch.setenv("TALLYSTICK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TALLYSTICK_PORT", "0")
    return tmp_path / "home"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def result_of(*arguments: str) -> object:
    ran = run(*arguments, "--json")
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_tells_and_shows_an_example(command: tuple[str, ...]) -> None:
    ran = run(*command, "--help")
    assert ran.exit_code == 0
    assert "Usage:" in ran.stdout
    if len(command) > 1 or command in {("serve",), ("doctor",)}:
        assert "tallystick-server" in ran.stdout.split("Options:")[1]
        assert "--json" in ran.stdout


def test_help_needs_neither_web_framework_nor_database_nor_torch() -> None:
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from tallystick_platform.cli import main\n"
        "assert CliRunner().invoke(main, ['serve', '--help']).exit_code == 0\n"
        "heavy = {'litestar', 'sqlalchemy', 'torch', 'uvicorn', 'pydantic', 'zmq'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_a_token_is_shown_once_and_kept_as_a_hash(home: Path) -> None:
    made = result_of("token", "create", "--name", "app", "--address", ADDRESS)
    assert re.fullmatch(r"tsk_[A-Za-z0-9_-]{43}", made["token"])
    assert made["address"] == ADDRESS
    assert made["token"] not in run("token", "list").stdout
    assert made["token"].encode() not in (home / "journal" / "journal.sqlite").read_bytes()
    with opened() as store:
        found = TokenStore(store.database, store.macs).find(token_hash(made["token"]))
    assert found.id == made["id"]


def test_a_token_stands_alone_on_the_first_line_of_its_text(home: Path) -> None:
    first, *_ = run("token", "create", "--name", "app", "--address", ADDRESS).stdout.splitlines()
    assert re.fullmatch(r"tsk_[A-Za-z0-9_-]{43}", first)


def test_tokens_are_listed_with_their_state(home: Path) -> None:
    kept = result_of("token", "create", "--name", "kept", "--address", ADDRESS)
    gone = result_of("token", "create", "--name", "gone", "--address", ADDRESS)
    short = result_of("token", "create", "--name", "short", "--address", ADDRESS, "--expires-days", "0.00000000001")
    assert result_of("token", "revoke", gone["id"])["revoked_at"] is not None
    states = {token["id"]: token["state"] for token in result_of("token", "list")}
    assert states == {kept["id"]: "active", gone["id"]: "revoked", short["id"]: "expired"}
    assert all("token" not in token for token in result_of("token", "list"))


def test_an_empty_list_is_an_empty_list(home: Path) -> None:
    assert result_of("token", "list") == []
    assert run("token", "list").stdout == "no tokens\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("token", "create", "--name", "x", "--address", "nonsense"),
        ("token", "create", "--name", "x", "--address", ADDRESS[:-1]),
        ("token", "create", "--name", "", "--address", ADDRESS),
        ("token", "create", "--name", "n" * 129, "--address", ADDRESS),
        ("token", "create", "--name", "x", "--address", ADDRESS, "--expires-days", "40000"),
        ("token", "create", "--name", "x", "--address", ADDRESS, "--expires-days", "nan"),
        ("token", "revoke", "no-such-token"),
        ("journal", "check"),
        ("journal", "adopt", "--margin", "5"),
        ("log", "rotate", "--writer", ADDRESS),
    ],
)
def test_what_cannot_be_done_exits_2_and_says_why(home: Path, arguments: tuple[str, ...]) -> None:
    ran = run(*arguments)
    assert ran.exit_code == 2
    assert ran.stdout == ""
    assert ran.stderr.startswith("error: ")
    in_json = run(*arguments, "--json")
    assert in_json.exit_code == 2
    assert json.loads(in_json.stdout)["error"]


@pytest.mark.parametrize("days", ["0", "-1", "soon"])
def test_a_token_does_not_expire_in_the_past(home: Path, days: str) -> None:
    assert run("token", "create", "--name", "x", "--address", ADDRESS, "--expires-days", days).exit_code == 2


def test_settings_are_shown_redacted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYSTICK_CHAIN_RPC", "https://user:pass@node.example/v3/secret-key")
    shown = result_of("config", "show")
    assert shown["TALLYSTICK_CHAIN_RPC"] == "https://node.example/[redacted]"
    text = run("config", "show").stdout
    assert "secret-key" not in text
    assert "TALLYSTICK_HOME" in text


def test_a_faulty_setting_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYSTICK_EPOCH_SECONDS", "soon")
    for command in (("config", "show"), ("serve",), ("token", "list")):
        ran = run(*command)
        assert ran.exit_code == 2
        assert "TALLYSTICK_EPOCH_SECONDS" in ran.stderr


def with_a_log(home: Path) -> None:
    write_location(home / FILE_NAME, LOCATION)


def test_a_whole_journal_checks_as_whole(home: Path) -> None:
    result_of("token", "create", "--name", "app", "--address", ADDRESS)
    with_a_log(home)
    found = result_of("journal", "check")
    assert (found["whole"], found["findings"]) == (True, [])
    assert found["checked"]["api_token"] == 1
    assert "the journal is whole" in run("journal", "check").stdout


def test_a_changed_row_is_named_and_exits_1(home: Path) -> None:
    result_of("token", "create", "--name", "app", "--address", ADDRESS)
    with_a_log(home)
    with sqlite3.connect(home / "journal" / "journal.sqlite") as database:
        database.execute("UPDATE api_token SET name = 'other'")
    ran = run("journal", "check", "--json")
    assert ran.exit_code == 1
    found = json.loads(ran.stdout)
    assert found["whole"] is False
    assert found["findings"][0]["table"] == "api_token"
    assert "api_token" in run("journal", "check").stdout


def test_the_doctor_finds_nothing_wrong_with_a_fresh_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYSTICK_MODEL", "constant")
    found = {each["what"]: each["mark"] for each in result_of("doctor")}
    assert found["settings"] == found["keys"] == found["journal"] == found["chain"] == found["model"] == "good"
    assert not (home / "keys").exists(), "an examination makes nothing"


def test_the_doctor_names_an_unreachable_node_and_exits_1(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYSTICK_CHAIN_RPC", "http://127.0.0.1:1")
    monkeypatch.setattr("tallystick.chain.rpc.time.sleep", lambda _: None)
    ran = run("doctor", "--json")
    assert ran.exit_code == 1
    found = {each["what"]: each for each in json.loads(ran.stdout)}
    assert found["chain"]["mark"] == "bad"
    assert found["settings"]["mark"] == "good"


def test_the_doctor_finds_fault_with_an_embedded_chain_in_production(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("MODE", "production"), ("CHAIN_RPC", "")):
        monkeypatch.setenv(f"TALLYSTICK_{name}", value)
    monkeypatch.setenv("TALLYSTICK_OPERATOR_KEY_FILE", str(home / "operator.key"))
    monkeypatch.setenv("TALLYSTICK_AUDITOR_PUBLIC_KEYS", str(home / "auditor.pub"))
    ran = run("doctor")
    assert ran.exit_code == 1
    assert re.search(
        r"^chain +bad +embedded, which nobody else can read: set TALLYSTICK_CHAIN_RPC", ran.stdout, re.MULTILINE
    )


def test_an_address_that_is_none_is_named_by_its_option(home: Path) -> None:
    ran = run("token", "create", "--name", "x", "--address", "0x12")
    assert ran.exit_code == 2
    assert "--address: is no address of 0x and 40 hex digits" in ran.stderr
    assert not (home / "keys").exists()


def test_a_version_is_shown_in_lines_without_a_dict(home: Path) -> None:
    (home.parent / "tiny").mkdir()
    write_tiny_model(home.parent / "tiny")
    assert run("model", "add", str(home.parent / "tiny")).exit_code == 0
    shown = run("model", "show", "tiny").stdout
    assert re.search(r"^source kind +folder$", shown, re.MULTILINE)
    assert "{" not in shown


def test_the_doctor_names_a_taken_port(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import closing

    from tallystick_platform.app.listening import bind

    with closing(bind("127.0.0.1", 0)) as listener:
        listener.listen()
        monkeypatch.setenv("TALLYSTICK_PORT", str(listener.getsockname()[1]))
        ran = run("doctor", "--json")
    found = {each["what"]: each for each in json.loads(ran.stdout)}
    assert found["api port"]["mark"] == "bad"
    assert "running server" in found["api port"]["detail"]


def test_the_doctor_names_a_faulty_setting(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYSTICK_MODE", "production")
    ran = run("doctor")
    assert ran.exit_code == 1
    assert "TALLYSTICK_" in ran.stdout or "production" in ran.stdout
