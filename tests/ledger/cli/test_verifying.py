import json
import re

import pytest

from tests.support.synthetic_log import ALICE, SyntheticLog
from tests.support.synthetic_server import served


def test_a_log_that_holds_ends_with_0_and_prints_thirteen_checks(run, node, key_file):
    result = run("verify", *node, "--auditor-key", key_file)
    assert result.exit_code == 0
    rows = re.findall(r"^ ?(\d+) [a-z-]+ +(?:pass|fail|skipped|not covered)", result.stdout, re.MULTILINE)
    assert rows == [str(number) for number in range(1, 14)]
    assert result.stdout.endswith("Not covered: 13 sender-proof. Skipped: 6 receipts.\n")
    assert result.stderr == ""


def test_without_a_key_it_ends_with_0_and_says_what_was_not_covered(run, node):
    result = run("verify", *node)
    assert result.exit_code == 0
    assert "7 decryption            not covered 5 records no auditor key was given" in result.stdout
    assert "Not covered: 7 decryption" in result.stdout.splitlines()[-1]


def test_everything_may_come_from_the_environment(run, environment):
    result = run("verify", "--json", env=environment)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["checks"][6]["held"] == 5


def test_json_is_one_document_with_outcome_subject_checks_and_exit_code(run, node, key_file):
    result = run("verify", *node, "--auditor-key", key_file, "--json")
    document = json.loads(result.stdout)
    assert (document["outcome"], document["exit_code"], result.exit_code) == ("proven", 0, 0)
    assert document["format"] == "tallystick/verdict/v1"
    assert document["subject"]["size"] == 5
    assert {check["status"] for check in document["checks"]} == {"pass", "skipped", "not covered"}


def test_a_log_that_does_not_hold_ends_with_1_and_names_record_step_expected_and_found(run, node, key_file):
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(1)
    log.append([log.request(ALICE, skip=1)])
    with served(log.node()) as url:
        arguments = ["verify", "--rpc", url, *node[2:], "--auditor-key", key_file, "--grace", "0"]
        text, document = run(*arguments), run(*arguments, "--json")
    assert text.exit_code == document.exit_code == 1
    assert "check 10 sequence-completeness: the log: admission_seq" in text.stdout
    assert "  expected every number once\n  found    2 missing\n" in text.stdout
    failure = json.loads(document.stdout)["failures"][0]
    assert (failure["check"], failure["found"]) == (10, "2 missing")


def test_a_range_opens_only_its_records(run, node, key_file):
    result = run("verify", *node, "--auditor-key", key_file, "--from", 1, "--to", 2, "--json")
    assert json.loads(result.stdout)["checks"][6]["held"] == 2


def test_the_log_may_be_judged_as_of_an_earlier_block(run, node):
    document = json.loads(run("verify", *node, "--at", 2, "--json").stdout)
    assert (document["subject"]["size"], document["subject"]["head_block"]["number"]) == (3, 2)


def test_a_bundle_is_checked_offline_even_with_the_log_options_in_the_environment_of_another_log(
    run, bundle_file, environment
):
    del environment["TALLYSTICK_RPC"]
    result = run("verify", bundle_file, env={**environment, "TALLYSTICK_LOG": "0x" + "99" * 32})
    assert result.exit_code == 0
    assert "offline: no chain node was asked" in result.stdout


def test_a_bundle_is_checked_against_a_node(run, bundle_file, url):
    result = run("verify", bundle_file, "--rpc", url)
    assert result.exit_code == 0
    assert "against block" in result.stdout


def test_one_changed_byte_of_a_bundle_ends_with_1_and_is_named(run, bundle_file):
    data = bundle_file.read_bytes()
    at = data.index(b'"sealed":"0x') + 200
    bundle_file.write_bytes(data[:at] + (b"1" if data[at : at + 1] != b"1" else b"2") + data[at + 1 :])
    result = run("verify", bundle_file)
    assert result.exit_code == 1
    assert "check 3 leaves: record 3" in result.stdout


def test_a_bundle_that_is_not_in_its_canonical_form_ends_with_1_and_names_the_member(run, bundle_file):
    bundle_file.write_bytes(bundle_file.read_bytes() + b"\n")
    result = run("verify", bundle_file, "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert (document["outcome"], document["error"]["path"]) == ("proven wrong", "file")
    assert "canonical" in result.stderr


@pytest.mark.parametrize("content", [b"", b"{}", b"\x00\xff", b"# a page about bundles\n"])
def test_a_file_that_is_no_bundle_ends_with_2(run, tmp_path, content):
    path = tmp_path / "other"
    path.write_bytes(content)
    result = run("verify", path)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_a_file_that_is_not_there_ends_with_2(run, tmp_path):
    assert run("verify", tmp_path / "none.json").exit_code == 2


def test_a_node_that_cannot_be_reached_ends_with_2_and_says_so_in_json(run, node):
    result = run("verify", "--rpc", "http://127.0.0.1:9", *node[2:], "--json")
    assert result.exit_code == 2
    document = json.loads(result.stdout)
    assert document["outcome"] == "could not check"
    assert document["error"]["kind"] == "ChainUnavailable"
    assert "could not check: chain node http://127.0.0.1:9" in result.stderr


def test_a_log_that_the_contract_does_not_have_ends_with_2(run, node):
    assert run("verify", *node[:4], "--log", "0x" + "99" * 32).exit_code == 2


def test_what_is_missing_is_named_with_its_variable(run):
    result = run("verify")
    assert result.exit_code == 2
    assert "--rpc (or TALLYSTICK_RPC), --contract (or TALLYSTICK_CONTRACT), --log (or TALLYSTICK_LOG)" in result.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ["--contract", "0x12"],
        ["--log", "zz"],
        ["--from", "-1"],
        ["--from", "3", "--to", "2"],
        ["--grace", "soon"],
        ["--nonsense"],
    ],
)
def test_a_usage_error_ends_with_2(run, node, wrong):
    result = run("verify", *node, *wrong)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_options_for_a_log_are_refused_with_a_bundle(run, bundle_file, key_file, node):
    assert "--auditor-key is for a log" in run("verify", bundle_file, "--auditor-key", key_file).stderr
    assert "the bundle is about" in run("verify", bundle_file, "--log", "0x" + "99" * 32).stderr
    assert run("verify", bundle_file, *node).exit_code == 0


def test_a_key_file_that_others_may_read_ends_with_2(run, node, key_file):
    key_file.chmod(0o644)
    result = run("verify", *node, "--auditor-key", key_file)
    assert result.exit_code == 2
    assert "chmod 600" in result.stderr


def test_a_key_file_of_another_kind_ends_with_2(run, node, tmp_path):
    run("keys", "new", "wallet", "--out", tmp_path / "w")
    result = run("verify", *node, "--auditor-key", tmp_path / "w.key")
    assert result.exit_code == 2
    assert "tallystick-auditor-key-v1" in result.stderr


def receipt_forms(log):
    signed = log.receipts[1].to_json()
    return [
        signed,
        {"record_id": "x", "receipt": signed},
        {"choices": [], "tallystick": {"receipt": signed}},
        json.loads(log.bundle(1).to_bytes()),
        log.admission(log.records[1]).to_json(),
        {"admission": log.admission(log.records[1]).to_json()},
    ]


@pytest.mark.parametrize("form", range(6))
def test_a_receipt_is_read_in_every_form_in_which_a_client_may_have_kept_it(run, log, node, key_file, tmp_path, form):
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps(receipt_forms(log)[form], separators=(",", ":")))
    result = run("verify", *node, "--auditor-key", key_file, "--receipt", path, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["checks"][5]["held"] == 1


def test_a_receipt_that_was_changed_ends_with_1(run, log, node, tmp_path):
    path = tmp_path / "receipt.json"
    signed = log.receipts[1].to_json()
    signed["receipt"]["index"] = 2
    path.write_text(json.dumps(signed))
    result = run("verify", *node, "--receipt", path)
    assert result.exit_code == 1
    assert "check 6 receipts" in result.stderr


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"receipt": 5}', '{"domain": {}, "admission": {}}'])
def test_a_file_that_is_no_receipt_ends_with_2(run, node, tmp_path, content):
    path = tmp_path / "receipt.json"
    path.write_text(content)
    assert run("verify", *node, "--receipt", path).exit_code == 2
