import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tallystick.cli import evidence_files, output
from tallystick.cli import program as module
from tallystick.cli.program import COMMANDS, program, release

ROOT = Path(__file__).parents[3]
WITH_EXAMPLES = [["verify"], ["show"], ["disclose"], ["trust", "add"], ["fetch"], ["pull"], ["keys", "new"]]


def test_the_version_is_printed(run):
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"tallystick {release()}\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_ends_with_0(run, command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: tallystick")


@pytest.mark.parametrize(
    "command",
    [
        ["verify"],
        ["show"],
        ["disclose"],
        ["trust", "add"],
        ["trust", "list"],
        ["fetch"],
        ["pull"],
        ["keys", "new"],
        ["doctor"],
    ],
)
def test_every_command_can_print_json(run, command):
    assert "--json" in run(*command, "--help").stdout


@pytest.mark.parametrize(
    "command", [["verify"], ["show"], ["disclose"], ["trust", "add"], ["fetch"], ["pull"], ["keys", "new"]]
)
def test_help_has_examples(run, command):
    assert f"tallystick {' '.join(command)} " in run(*command, "--help").stdout.partition("Examples:")[2]


def test_an_unknown_command_ends_with_2(run):
    assert run("frobnicate").exit_code == 2


@pytest.mark.parametrize("failure", [RuntimeError("a defect"), KeyboardInterrupt(), click.ClickException("no")])
def test_nothing_but_a_proof_ends_with_1(run, monkeypatch, failure):
    @click.command()
    def broken():
        raise failure

    monkeypatch.setattr(module, "import_module", lambda _: type("m", (), {"doctor": broken}))
    assert run("doctor").exit_code == 2


def test_a_reader_that_went_away_ends_with_2_and_no_complaint(bundle_file):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "ledger")}
    reading, writing = os.pipe()
    os.close(reading)
    script = "from tallystick.cli import main; main()"
    command = [sys.executable, "-c", script, "verify", str(bundle_file)]
    result = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, env=environment, timeout=60, check=False)
    os.close(writing)
    assert result.returncode == 2
    assert result.stderr == b""


def test_the_script_is_the_command(bundle_file, log):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "ledger")}
    known = ["--writer", "0x" + log.writer.address.hex()]
    command = [sys.executable, str(ROOT / "scripts" / "verify_ledger.py"), str(bundle_file), *known, "--json"]
    result = subprocess.run(command, capture_output=True, env=environment, timeout=60, check=False)
    assert result.returncode == 0
    assert json.loads(result.stdout)["outcome"] == "proven"


def test_the_progress_bar_is_drawn_on_a_terminal_only(capsys):
    with output.progress("verifying") as tell:
        assert tell is None
    assert capsys.readouterr() == ("", "")


def test_the_progress_bar_goes_to_standard_error(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with output.progress("verifying") as tell:
        tell(1, 2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "verifying" in captured.err


def test_a_file_beyond_the_bound_is_refused(run, tmp_path, monkeypatch):
    monkeypatch.setattr(evidence_files, "MAX_FILE_BYTES", 10)
    path = tmp_path / "large"
    path.write_bytes(b"x" * 11)
    result = run("verify", path)
    assert result.exit_code == 2
    assert "longer than 10 bytes" in result.stderr


def test_the_program_is_what_the_distribution_installs():
    from tallystick.cli import main

    with pytest.raises(SystemExit) as left:
        program.main(["--version"])
    assert left.value.code == 0
    assert callable(main)


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify", "--json"],
        ["verify", "absent.json", "--json"],
        ["verify", "--nothing", "--json"],
        ["show", "1" * 300, "--json"],
        ["show", "1" * 5_000, "--json"],
        ["frobnicate", "--json"],
    ],
)
def test_whatever_cannot_be_done_is_one_json_document_too(run, arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert json.loads(result.stdout)["outcome"] == "could not check"
    assert "defect" not in result.stderr


@pytest.mark.parametrize("failure", [RuntimeError("a defect"), KeyboardInterrupt(), click.Abort()])
def test_a_defect_or_a_stop_is_one_json_document_too(run, monkeypatch, failure):
    @click.command()
    @click.option("--json", is_flag=True)
    def broken(**_):
        raise failure

    monkeypatch.setattr(module, "import_module", lambda _: type("m", (), {"doctor": broken}))
    assert json.loads(run("doctor", "--json").stdout)["outcome"] == "could not check"


@pytest.mark.parametrize("url", ["http://[bad", "http://a..b:8545", "http://localhost:1/\u00e4"])
def test_an_address_that_is_none_cannot_be_asked(run, node, url):
    result = run("verify", "--rpc", url, *node[2:], "--json")
    assert (result.exit_code, json.loads(result.stdout)["error"]["kind"]) == (2, "ChainUnavailable")
