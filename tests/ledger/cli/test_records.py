import json
import stat

import pytest

from tallystick.bundle.reading import parse_bundle
from tests.support.synthetic_log import AUDITOR


def test_a_bundle_s_record_is_shown_readably(run, bundle_file, log):
    result = run("show", bundle_file)
    assert result.exit_code == 0
    assert "index 3\n" in result.stdout
    assert log.records[3].response.outputs[0].content["content"] in result.stdout
    assert "per_hour_micros 1250000" in result.stdout


def test_a_record_is_shown_by_its_index(run, node, key_file, log):
    document = json.loads(run("show", 4, *node, "--auditor-key", key_file, "--json").stdout)
    assert document["index"] == 4
    assert document["leaf"] == "0x" + log.sealed[4].leaf.hex()
    assert document["record"]["admission_seq"] == log.records[4].admission_seq


def test_a_disclosure_shows_the_fields_that_it_has(run, log, tmp_path):
    path = tmp_path / "some.json"
    path.write_bytes(log.disclosed_bundle(3, ["gpu", "price"]).to_bytes())
    document = json.loads(run("show", path, "--json").stdout)
    assert set(document["disclosed"]) == {"gpu", "price"}
    assert "record" not in document


def test_a_closed_bundle_is_opened_with_a_node_and_a_key_or_says_what_it_needs(run, log, url, key_file, tmp_path):
    path = tmp_path / "closed.json"
    path.write_bytes(log.bundle(3, secret=False).to_bytes())
    assert "--rpc and --auditor-key together" in run("show", path).stderr
    document = json.loads(run("show", path, "--rpc", url, "--auditor-key", key_file, "--json").stdout)
    assert document["record"]["admission_seq"] == log.records[3].admission_seq


def test_a_bundle_that_is_wrong_is_not_shown(run, bundle_file):
    data = bundle_file.read_bytes()
    at = data.index(b'"record_secret":"0x') + 20
    bundle_file.write_bytes(data[:at] + (b"1" if data[at : at + 1] != b"1" else b"2") + data[at + 1 :])
    for command in (["show"], ["disclose", "--fields", "gpu"]):
        result = run(*command, bundle_file)
        assert result.exit_code == 1
        assert result.stdout == ""
        assert "check 9 decryption" in result.stderr


@pytest.mark.parametrize(("index", "words"), [(99, "5 records"), (10**30, "5 records")])
def test_an_index_beyond_the_log_ends_with_2(run, node, key_file, index, words):
    result = run("show", index, *node, "--auditor-key", key_file)
    assert result.exit_code == 2
    assert words in result.stderr


def test_an_index_without_a_key_ends_with_2(run, node):
    assert "TALLYSTICK_AUDITOR_KEY" in run("show", 1, *node).stderr


def test_a_disclosure_verifies_holds_the_chosen_fields_and_no_secret(run, bundle_file, tmp_path):
    output = tmp_path / "disclosed.json"
    result = run("disclose", bundle_file, "--fields", "model, gpu,price,gpu", "-o", output)
    assert result.exit_code == 0
    bundle = parse_bundle(output.read_bytes())
    assert bundle.record_secret is None
    assert set(bundle.disclosed.fields) == {"model", "gpu", "price"}
    secret = json.loads(bundle_file.read_bytes())["record_secret"]
    assert secret not in output.read_text()
    assert "consistent with itself" in run("verify", output).stdout
    assert stat.S_IMODE(output.stat().st_mode) == 0o600


def test_a_disclosure_on_standard_output_is_the_bundle_and_nothing_else(run, bundle_file):
    result = run("disclose", bundle_file, "--fields", "price")
    assert set(parse_bundle(result.stdout_bytes).disclosed.fields) == {"price"}


def test_a_disclosure_can_be_narrowed_but_not_widened(run, bundle_file, tmp_path):
    wide, narrow = tmp_path / "wide.json", tmp_path / "narrow.json"
    run("disclose", bundle_file, "--fields", "gpu,price", "-o", wide)
    assert run("disclose", wide, "--fields", "price", "-o", narrow, "--json").exit_code == 0
    assert set(parse_bundle(narrow.read_bytes()).disclosed.fields) == {"price"}
    result = run("disclose", narrow, "--fields", "gpu,price")
    assert result.exit_code == 2
    assert "does not disclose gpu" in result.stderr


def test_an_unknown_field_is_a_usage_error_that_names_the_fields(run, bundle_file):
    for fields in ("colour", "", ","):
        result = run("disclose", bundle_file, "--fields", fields)
        assert result.exit_code == 2
        assert "admission_seq" in result.stderr


def test_an_output_that_exists_is_never_overwritten(run, bundle_file):
    before = bundle_file.read_bytes()
    result = run("disclose", bundle_file, "--fields", "price", "-o", bundle_file)
    assert result.exit_code == 2
    assert bundle_file.read_bytes() == before


def test_a_stranger_s_key_does_not_open_a_record(run, node, tmp_path):
    run("keys", "new", "auditor", "--out", tmp_path / "stranger")
    result = run("show", 1, *node, "--auditor-key", tmp_path / "stranger.key")
    assert result.exit_code == 2
    assert "was not wrapped for this auditor" in result.stderr
    assert AUDITOR.key_id.hex() not in result.stdout


@pytest.mark.usefixtures("trusted")
def test_a_record_of_a_trusted_log_is_shown_by_the_logs_name(run, url, key_file, log):
    arguments = ["--trust", "work", "--rpc", url, "--auditor-key", key_file]
    document = json.loads(run("show", 4, *arguments, "--json").stdout)
    assert document["leaf"] == "0x" + log.sealed[4].leaf.hex()
    assert "name another log than work" in run("show", 4, *arguments, "--log", "0x" + "99" * 32).stderr
