import json
import stat
from dataclasses import replace

import pytest

from tallystick.keys import Wallet
from tests.support.synthetic_log import SyntheticLog
from tests.support.synthetic_server import served


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr("tallystick.cli.trusting._on_terminal", lambda: True)


def listed(run):
    return json.loads(run("trust", "list", "--json").stdout)["logs"]


def test_a_script_adds_a_log_only_with_yes(run, node, trust_file, log):
    result = run("trust", "add", "work", *node)
    assert result.exit_code == 2
    assert "--yes in a script" in result.stderr
    assert not trust_file.exists()
    assert run("trust", "add", "work", *node, "--yes", "--how", "a  letter").exit_code == 0
    (entry,) = listed(run)
    assert (entry["name"], entry["log_id"], entry["how"]) == ("work", "0x" + log.log_id.hex(), "a letter")
    assert entry["writers"] == [entry["writers"][0]]
    assert stat.S_IMODE(trust_file.stat().st_mode) == 0o600


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(("typed", "code", "count"), [("y\n", 0, 1), ("n\n", 2, 0)])
def test_a_terminal_is_shown_the_log_and_asked(run, node, typed, code, count):
    result = run("trust", "add", "work", *node, typed=typed)
    assert result.exit_code == code
    for part in (
        "chain      73571",
        "contract   0xC0C0",
        "code hash  0x",
        "log        0x",
        "writer     0x",
        "keeper     0x",
    ):
        assert part in result.stderr
    assert len(listed(run)) == count


@pytest.mark.usefixtures("trusted")
def test_a_name_or_a_log_is_there_once(run, node):
    assert "is there already" in run("trust", "add", "work", *node, "--yes").stderr
    assert "is there already, as work" in run("trust", "add", "other", *node, "--yes").stderr


@pytest.mark.usefixtures("trusted")
def test_a_log_is_listed_and_removed(run):
    assert "0 records" not in run("trust", "list").stdout
    assert run("trust", "list").stdout.startswith("work\n")
    assert run("trust", "remove", "work").exit_code == 0
    assert "no log is trusted" in run("trust", "list").stdout
    assert run("trust", "remove", "work").exit_code == 2


def test_a_file_that_is_no_trust_file_ends_with_2(run, trust_file):
    trust_file.parent.mkdir()
    trust_file.write_text("nonsense")
    assert run("trust", "list").exit_code == 2


def test_terms_that_do_not_lead_to_the_log_are_refused(run, node, log):
    other = log.node()
    event = other.blocks[0].events[0]
    event["data"] = event["data"][:-2] + "3d"  # another skew
    with served(other) as url:
        result = run("trust", "add", "work", "--rpc", url, *node[2:], "--yes")
    assert result.exit_code == 2
    assert "terms that lead to the log" in result.stderr
    assert listed(run) == []


@pytest.mark.usefixtures("trusted")
def test_a_proven_log_is_remembered_with_its_head_and_its_writers(run, url):
    assert listed(run)[0]["seen"] is None
    assert run("verify", "--trust", "work", "--rpc", url).exit_code == 0
    seen = listed(run)[0]["seen"]
    assert (seen["entries"], seen["size"]) == (4, 5)


@pytest.mark.usefixtures("trusted")
def test_a_verification_as_of_an_old_block_is_not_remembered(run, url):
    assert run("verify", "--trust", "work", "--rpc", url, "--at", 2).exit_code == 0
    assert listed(run)[0]["seen"] is None


@pytest.fixture
def grown(run, node):
    """A log that was trusted and verified, and has grown since under another writer."""
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(2)
    with served(log.node()) as url:
        arguments = ["--rpc", url, *node[2:]]
        assert run("trust", "add", "work", *arguments, "--yes").exit_code == 0
        assert run("verify", *arguments).exit_code == 0
    log.rotate_writer(Wallet(b"\x07" * 32))
    log.open_epoch()
    log.append_requests(1)
    return log


def test_a_log_that_went_on_is_proven_and_its_new_writer_remembered(run, grown, tmp_path):
    with served(grown.node()) as url:
        assert run("verify", "--trust", "work", "--rpc", url).exit_code == 0
    (entry,) = listed(run)
    assert (len(entry["writers"]), entry["seen"]["entries"]) == (2, 5)
    path = tmp_path / "evidence.json"
    path.write_bytes(grown.bundle(2).to_bytes())
    assert run("verify", path).exit_code == 0


def test_a_log_that_no_longer_passes_through_what_was_verified_ends_with_1(run, grown):
    del grown
    other = SyntheticLog()
    other.open_epoch()
    other.append_requests(1)
    other.append_requests(2)
    with served(other.node()) as url:
        result = run("verify", "--trust", "work", "--rpc", url)
    assert result.exit_code == 1
    assert "check 5 heads: entry 1" in result.stdout
    assert "which was verified before" in result.stdout


def test_a_node_that_shows_less_than_was_verified_ends_with_2(run, grown):
    node = grown.node()
    node.blocks = [replace(block) for block in node.blocks[:2]]
    with served(node) as url:
        result = run("verify", "--trust", "work", "--rpc", url)
    assert result.exit_code == 2


def test_trust_names_the_log_so_that_other_options_may_not(run, grown, node):
    with served(grown.node()) as url:
        result = run("verify", "--trust", "work", "--rpc", url, *node[2:4], "--log", "0x" + "99" * 32)
    assert result.exit_code == 2
    assert "name another log than work" in result.stderr
