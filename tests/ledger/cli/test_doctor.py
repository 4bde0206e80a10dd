import json

import pytest

from tallystick.cli import doctor as module
from tallystick.cli.doctor import MAX_BLOCK_AGE_S, State
from tallystick.verify.whole_log import MAX_CLOCK_AHEAD_S


def states(result):
    return {finding["what"]: finding["state"] for finding in json.loads(result.stdout)["findings"]}


def test_nothing_is_missing_with_node_contract_log_and_key(run, environment):
    result = run("doctor", "--json", env=environment)
    assert result.exit_code == 0
    found = states(result)
    assert all(
        found[what] == "ok" for what in ("chain node", "contract", "log", "epochs", "auditor key", "cryptography")
    )


def test_without_anything_it_says_what_could_be_given_and_ends_with_0(run):
    result = run("doctor")
    assert result.exit_code == 0
    assert "TALLYSTICK_RPC" in result.stdout
    assert result.stdout.endswith("nothing is missing\n")


def test_a_node_that_cannot_be_reached_is_missing(run):
    result = run("doctor", "--rpc", "http://127.0.0.1:9", "--json")
    assert result.exit_code == 2
    assert states(result)["chain node"] == "missing"


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"TALLYSTICK_CONTRACT": None}, "contract"),
        ({"TALLYSTICK_LOG": None}, "log"),
        ({"TALLYSTICK_LOG": "0x" + "99" * 32}, "log"),
        ({"TALLYSTICK_AUDITOR_KEY": "/nowhere/auditor.key"}, "auditor key"),
    ],
)
def test_what_is_missing_is_named(run, environment, changed, what):
    result = run("doctor", "--json", env={**environment, **changed})
    assert result.exit_code == 2
    assert states(result)[what] == "missing"


def test_a_key_for_which_no_epoch_was_wrapped_is_named(run, environment, tmp_path):
    run("keys", "new", "auditor", "--out", tmp_path / "late")
    result = run("doctor", "--json", env={**environment, "TALLYSTICK_AUDITOR_KEY": str(tmp_path / "late.key")})
    assert states(result)["epochs"] == "missing"


def test_a_package_that_is_not_there_is_named_with_what_to_run(monkeypatch):
    monkeypatch.setattr(module, "PACKAGES", {"no-such-package": "no_such_package"})
    first = next(module._packages())
    assert first.state is State.MISSING
    assert "pip install no-such-package" in first.detail


@pytest.mark.parametrize(
    ("age_s", "state"),
    [
        (0, State.OK),
        (-MAX_CLOCK_AHEAD_S, State.OK),
        (-MAX_CLOCK_AHEAD_S - 1, State.MISSING),
        (MAX_BLOCK_AGE_S, State.OK),
        (MAX_BLOCK_AGE_S + 1, State.NOTE),
    ],
)
def test_the_clock_is_held_against_the_newest_block(age_s, state):
    assert module._clock(1_000_000, 1_000_000 + age_s).state is state


@pytest.mark.parametrize(
    ("entries", "torch", "state"),
    [(["engine"], object(), "ok"), (["engine"], None, "note"), ([], object(), "note")],
)
def test_whether_a_model_can_be_run_again_is_told_and_never_missing(run, monkeypatch, entries, torch, state):
    monkeypatch.setattr(module, "entry_points", lambda group: entries)
    monkeypatch.setattr(module, "find_spec", lambda name: torch)
    result = run("doctor", "--json")
    assert result.exit_code == 0
    assert states(result)["replay"] == state


def test_whether_the_log_is_trusted_is_told(run, environment, node, trust_file):
    assert states(run("doctor", "--json", env=environment))["trust file"] == "note"
    assert run("trust", "add", "work", *node, "--yes").exit_code == 0
    result = run("doctor", "--trust", "work", "--rpc", node[1])
    assert result.exit_code == 0
    assert "1 log is trusted, this one as work" in result.stdout
    trust_file.write_text("nonsense")
    result = run("doctor", "--json", env=environment)
    assert (result.exit_code, states(result)["trust file"]) == (2, "missing")
