import json
import re
from dataclasses import replace

import pytest

from tallystick.bundle.evidence import sign_evidence
from tallystick.cli import verifying
from tallystick.errors import ChainError
from tallystick.keys import Wallet
from tests.support.synthetic_log import ALICE, GRACE_S, SyntheticLog
from tests.support.synthetic_server import served


def checks(result):
    return {check["number"]: check for check in json.loads(result.stdout)["checks"]}


# -- a log


def test_a_log_that_holds_ends_with_0_and_prints_seventeen_checks(run, node, key_file):
    result = run("verify", *node, "--auditor-key", key_file)
    assert result.exit_code == 0
    rows = re.findall(r"^ ?(\d+) [a-z-]+ +(?:pass|fail|in part|skipped|not covered)", result.stdout, re.MULTILINE)
    assert rows == [str(number) for number in range(1, 18)]
    assert result.stdout.splitlines()[-1] == (
        "Proven as of block 4: all that was asked for was checked and holds, in 14 checks."
        " Not covered: 17 sender-proof. Not asked for: 8, 13."
    )
    assert result.stderr == ""


def test_without_a_key_it_ends_with_0_and_says_what_was_not_asked_for(run, node):
    result = run("verify", *node)
    assert result.exit_code == 0
    assert result.stdout.endswith("Not asked for: 8 to 17.\n")
    assert " 9 decryption to 17 sender-proof: skipped\n" in result.stdout


def test_everything_may_come_from_the_environment(run, environment):
    result = run("verify", "--json", env=environment)
    assert result.exit_code == 0
    assert checks(result)[9]["held"] == 5


def test_json_is_one_document_with_outcome_subject_checks_and_exit_code(run, node, key_file):
    result = run("verify", *node, "--auditor-key", key_file, "--json")
    document = json.loads(result.stdout)
    assert (document["outcome"], document["exit_code"], result.exit_code) == ("proven", 0, 0)
    assert document["format"] == "tallystick/verdict/v2"
    assert (document["subject"]["size"], document["subject"]["entries"]) == (5, 4)
    assert (document["accused"], document["remedies"]) == ([], [])
    assert {check["status"] for check in document["checks"]} == {"pass", "skipped", "not covered"}


def test_a_log_that_does_not_hold_ends_with_1_and_names_record_step_expected_found_and_who(run, key_file):
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(1)
    log.append([log.request(ALICE, skip=1)])
    log.idle(GRACE_S + 1)
    with served(log.node()) as url:
        arguments = ["verify", "--rpc", url, "--contract", "0x" + "c0" * 20, "--log", "0x" + log.log_id.hex()]
        text, document = run(*arguments), run(*arguments, "--auditor-key", key_file, "--json")
    assert text.exit_code == document.exit_code == 1
    assert "check 7 completeness: the log: admission numbers" in text.stdout
    assert "  accuses  the log's writer\n" in text.stdout
    assert "Proven wrong: the log's writer (1 failure) contradicted itself, in 7 completeness." in text.stdout
    told = json.loads(document.stdout)
    assert told["accused"] == [{"party": "the log's writer", "failures": 2}]
    assert [failure["check"] for failure in told["failures"]] == [7, 14]


def test_a_range_opens_only_its_records(run, node, key_file):
    result = run("verify", *node, "--auditor-key", key_file, "--from", 1, "--to", 2, "--json")
    assert (result.exit_code, checks(result)[9]["held"]) == (0, 2)


def test_a_range_past_the_end_ends_with_2(run, node, key_file):
    result = run("verify", *node, "--auditor-key", key_file, "--from", 99)
    assert result.exit_code == 2
    assert "what would make the rest possible:\n  a range within the log" in result.stdout


def test_another_auditors_key_ends_with_2_and_says_what_would_help(run, node, tmp_path):
    run("keys", "new", "auditor", "--out", tmp_path / "other")
    result = run("verify", *node, "--auditor-key", tmp_path / "other.key", "--json")
    assert result.exit_code == 2
    assert any("wrapped for" in remedy for remedy in json.loads(result.stdout)["remedies"])


def test_the_log_may_be_judged_as_of_an_earlier_block(run, node):
    document = json.loads(run("verify", *node, "--at", 2, "--json").stdout)
    assert (document["subject"]["size"], document["subject"]["head_block"]["number"]) == (3, 2)


@pytest.mark.parametrize(("age", "code"), [(["--max-age", "600"], 2), (["--max-age", "none"], 0), ([], 0)])
def test_an_old_block_ends_with_2_where_its_age_says_something(run, node, age, code):
    assert run("verify", *node, *age).exit_code == code


def test_an_old_block_ends_with_2_by_itself_where_blocks_come_by_the_clock(run, node, monkeypatch):
    monkeypatch.setattr(verifying, "default_max_age_s", lambda chain_id: 600)
    result = run("verify", *node)
    assert result.exit_code == 2
    assert "--max-age SECONDS" in result.stdout


def test_a_signed_head_that_the_node_has_not_come_to_ends_with_2(run, log, node, tmp_path):
    path = tmp_path / "head.json"
    path.write_text(json.dumps(log.signed_head().to_json(), indent=2))
    assert run("verify", *node, "--head", path).exit_code == 0
    path.write_text(json.dumps(log.signed_head(entries=99).to_json()))
    result = run("verify", *node, "--head", path)
    assert result.exit_code == 2
    assert "ask another node" in result.stdout
    path.write_text(json.dumps(log.receipts[0].to_json()))
    assert "is not a signed head, but a signed receipt" in run("verify", *node, "--head", path).stderr


def test_erasures_are_read_one_or_many(run, key_file, tmp_path):
    log = SyntheticLog()
    log.open_epoch()
    log.append([log.request(), log.request()], vault=b"\x11" * 32)
    erasures = [log.erasure(index).to_json() for index in (0, 1)]
    many, one = tmp_path / "many.json", tmp_path / "one.json"
    many.write_text(json.dumps(erasures))
    one.write_text(json.dumps(erasures[0]))
    with served(log.node()) as url:
        arguments = ["verify", "--rpc", url, "--contract", "0x" + "c0" * 20, "--log", "0x" + log.log_id.hex()]
        arguments += ["--auditor-key", key_file]
        assert run(*arguments).exit_code == 2
        assert run(*arguments, "--erasures", one).exit_code == 2
        result = run(*arguments, "--erasures", many)
    assert result.exit_code == 0
    assert "2 records are erased, intact" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--chain-id", "1"], "chain"),
        (["--log", "0x" + "99" * 32], "has no log"),
        (["--contract", "0x" + "99" * 20], "could not check"),
    ],
)
def test_another_chain_log_or_contract_than_the_nodes_ends_with_2(run, node, arguments, message):
    result = run("verify", *node, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_another_chain_than_the_trusted_logs_ends_with_2(run, node, tmp_path):
    trust = ["--trust-file", str(tmp_path / "trust.toml")]
    assert run("trust", "add", "work", *node, *trust, "--yes").exit_code == 0
    result = run("verify", *node, *trust, "--chain-id", "1")
    assert result.exit_code == 2
    assert "work is a log of chain" in result.stderr


def test_another_writer_than_was_named_ends_with_2(run, node):
    assert run("verify", *node, "--writer", "0x" + "99" * 20).exit_code == 2


def test_a_node_that_cannot_be_reached_ends_with_2_and_says_so_in_json(run, node):
    result = run("verify", "--rpc", "http://127.0.0.1:9", *node[2:], "--json")
    assert result.exit_code == 2
    document = json.loads(result.stdout)
    assert document["outcome"] == "could not check"
    assert issubclass(ChainError, Exception)
    assert document["error"]["kind"] == "ChainUnavailable"
    assert "could not check: " in result.stderr


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
        ["--from", "1"],
        ["--to", "1"],
        ["--max-age", "soon"],
        ["--trust", "nothing"],
        ["--nonsense"],
    ],
)
def test_a_usage_error_ends_with_2(run, node, wrong):
    result = run("verify", *node, *wrong)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_the_same_node_is_no_second_one(run, node, url):
    result = run("verify", *node, "--second-rpc", url)
    assert result.exit_code == 2
    assert "names the same one" in result.stderr


def test_a_key_file_that_others_may_read_ends_with_2(run, node, key_file):
    key_file.chmod(0o644)
    result = run("verify", *node, "--auditor-key", key_file)
    assert result.exit_code == 2
    assert "chmod 600" in result.stderr


def test_a_key_file_of_another_kind_ends_with_2(run, node, tmp_path):
    run("keys", "new", "wallet", "--out", tmp_path / "w")
    result = run("verify", *node, "--auditor-key", tmp_path / "w.key")
    assert result.exit_code == 2
    assert "tallystick-auditor-key-v2" in result.stderr


# -- a bundle


def test_a_bundle_that_nobody_vouches_for_ends_with_2_offline_and_with_a_node(run, bundle_file, url):
    for arguments in ([], ["--rpc", url]):
        result = run("verify", bundle_file, *arguments)
        assert result.exit_code == 2
        assert "consistent with itself; whose log this is was not checked" in result.stdout
        assert "tallystick trust add" in result.stdout


@pytest.mark.usefixtures("trusted")
def test_a_bundle_of_a_trusted_log_ends_with_0_found_by_its_log_or_by_name(run, bundle_file, url):
    for arguments in ([], ["--trust", "work"], ["--rpc", url]):
        result = run("verify", bundle_file, *arguments)
        assert result.exit_code == 0
        assert "vouched for: trusted as work" in result.stdout


def test_a_bundle_of_a_log_or_writer_that_was_named_ends_with_0(run, bundle_file, node, log):
    assert run("verify", bundle_file, *node[2:]).exit_code == 0
    assert run("verify", bundle_file, "--writer", "0x" + log.writer.address.hex()).exit_code == 0
    assert run("verify", bundle_file, "--writer", "0x" + "99" * 20).exit_code == 2
    assert run("verify", bundle_file, *node[2:], "--chain-id", "1").exit_code == 2


def test_a_writer_that_was_named_must_have_signed_though_the_log_is_known(run, bundle_file, node, log):
    for known in (node, node[2:]):  # with the chain, and offline
        assert run("verify", bundle_file, *known, "--writer", "0x" + log.writer.address.hex()).exit_code == 0
        result = run("verify", bundle_file, *known, "--writer", "0x" + "99" * 20)
        assert result.exit_code == 2
        assert "not by the writer that was named" in result.stdout


def test_a_trusted_log_is_not_the_one_that_the_evidence_is_about(run, bundle_file, node):
    other = SyntheticLog(terms=replace(SyntheticLog().terms, salt=b"\x01" * 32))
    other.open_epoch()
    with served(other.node()) as url:
        added = run("trust", "add", "other", "--rpc", url, *node[2:4], "--log", "0x" + other.log_id.hex(), "--yes")
    assert added.exit_code == 0
    assert run("verify", bundle_file).exit_code == 2
    assert "is another log" in run("verify", bundle_file, "--trust", "other").stderr


def test_a_log_in_the_environment_that_is_another_vouches_for_nothing_and_is_no_error(run, bundle_file, environment):
    del environment["TALLYSTICK_RPC"]
    result = run("verify", bundle_file, env={**environment, "TALLYSTICK_LOG": "0x" + "99" * 32})
    assert result.exit_code == 2
    assert "offline: no chain node was asked" in result.stdout


@pytest.mark.parametrize(
    "formatted",
    [
        lambda data: data + b"\n",
        lambda data: json.dumps(json.loads(data), indent=4).encode(),
        lambda data: json.dumps(json.loads(data), indent=1).encode().replace(b"\n", b"\r\n"),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: json.dumps(dict(reversed(json.loads(data).items()))).encode(),
    ],
    ids=["newline", "indented", "CRLF", "BOM", "reordered"],
)
@pytest.mark.usefixtures("trusted")
def test_a_bundle_is_read_in_any_formatting(run, bundle_file, formatted):
    bundle_file.write_bytes(formatted(bundle_file.read_bytes()))
    assert run("verify", bundle_file).exit_code == 0


@pytest.mark.usefixtures("trusted")
def test_a_strangers_forged_bundle_proves_nothing_and_accuses_nobody(run, log, tmp_path):
    path = tmp_path / "forged.json"
    bundle = log.bundle(3, receipt=False)
    forged = replace(bundle, attestation=sign_evidence(Wallet(b"\x66" * 32), bundle.evidence))
    path.write_bytes(forged.to_bytes())
    result = run("verify", path, "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["accused"] == []


@pytest.mark.usefixtures("trusted")
def test_one_changed_byte_of_a_sealed_record_ends_with_1_and_is_named(run, bundle_file):
    data = bundle_file.read_bytes()
    at = data.index(b'"sealed":"0x') + 200
    bundle_file.write_bytes(data[:at] + (b"1" if data[at : at + 1] != b"1" else b"2") + data[at + 1 :])
    result = run("verify", bundle_file)
    assert result.exit_code == 1
    assert "check 4 roots: batch 1, record 3" in result.stdout
    assert "the file's maker" in result.stdout


@pytest.mark.parametrize("content", [b"", b"{}", b"\x00\xff", b"# a page about bundles\n", b'{"format": "x"}'])
def test_a_file_that_is_nothing_known_ends_with_2(run, tmp_path, content):
    path = tmp_path / "other"
    path.write_bytes(content)
    result = run("verify", path)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_a_malformed_bundle_ends_with_2_and_names_the_member(run, bundle_file):
    document = json.loads(bundle_file.read_bytes())
    document["evidence"]["index"] = "three"
    bundle_file.write_text(json.dumps(document))
    result = run("verify", bundle_file, "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["path"] == "evidence.index"


def test_a_file_that_is_not_there_ends_with_2(run, tmp_path):
    assert run("verify", tmp_path / "none.json").exit_code == 2


def test_options_for_a_log_are_refused_with_a_file(run, bundle_file, key_file):
    assert "--auditor-key is for a log" in run("verify", bundle_file, "--auditor-key", key_file).stderr
    assert "the file is about" in run("verify", bundle_file, "--log", "0x" + "99" * 32).stderr


# -- first use


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr("tallystick.cli.trusting._on_terminal", lambda: True)


@pytest.mark.usefixtures("terminal")
def test_on_a_terminal_the_first_use_is_shown_and_asked_for_once(run, bundle_file, log):
    result = run("verify", bundle_file, typed="y\n")
    assert result.exit_code == 0
    assert f"log        0x{log.log_id.hex()}" in result.stderr
    assert "Do you know from elsewhere" in result.stderr
    again = run("verify", bundle_file)
    assert (again.exit_code, again.stderr) == (0, "")


@pytest.mark.usefixtures("terminal")
def test_on_a_terminal_a_no_trusts_nothing(run, bundle_file, trust_file):
    assert run("verify", bundle_file, typed="n\n").exit_code == 2
    assert not trust_file.exists()


# -- receipts and answers


def receipt_forms(log):
    signed, admission = log.receipts[1].to_json(), log.admission(log.records[1]).to_json()
    return [
        signed,
        {"record_id": "x", "receipt": signed},
        {"object": "model.export", "tallystick": {"receipt": signed}},
        json.loads(log.bundle(1).to_bytes()),
        admission,
        {"admission": admission},
    ]


@pytest.mark.parametrize("form", range(6))
def test_a_receipt_is_read_in_every_form_in_which_a_client_may_have_kept_it(run, log, node, key_file, tmp_path, form):
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps(receipt_forms(log)[form]))
    result = run("verify", *node, "--auditor-key", key_file, "--receipt", path, "--json")
    assert result.exit_code == 0
    assert checks(result)[8]["held"] == 1


@pytest.mark.parametrize("form", [0, 4])
def test_a_receipt_is_recognised_and_offline_says_what_is_missing(run, log, tmp_path, form):
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps(receipt_forms(log)[form], indent=2) + "\n")
    result = run("verify", path)
    assert result.exit_code == 2
    assert "whose log this is was not checked" in result.stdout
    assert "--rpc" in result.stdout


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("form", [0, 4])
def test_a_receipt_is_held_against_the_log_with_a_node(run, log, url, tmp_path, form):
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps(receipt_forms(log)[form], indent=2) + "\n")
    result = run("verify", path, "--rpc", url, "--json")
    assert result.exit_code == 0
    assert checks(result)[8]["held"] == 1


def test_a_receipt_of_a_log_that_nobody_knows_is_not_proven_by_its_own_log(run, log, url, tmp_path):
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps(log.receipts[1].to_json()))
    assert run("verify", path, "--rpc", url).exit_code == 2


def test_a_receipt_that_was_changed_is_malformed_and_accuses_nobody(run, log, node, tmp_path):
    path = tmp_path / "receipt.json"
    signed = log.receipts[1].to_json()
    signed["receipt"]["index"] = 2
    path.write_text(json.dumps(signed))
    result = run("verify", *node, "--receipt", path)
    assert result.exit_code == 2
    assert "receipt signer: names" in result.stderr


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"receipt": 5}', '{"domain": {}, "admission": {}}'])
def test_a_file_that_is_no_receipt_ends_with_2(run, node, tmp_path, content):
    path = tmp_path / "receipt.json"
    path.write_text(content)
    assert run("verify", *node, "--receipt", path).exit_code == 2


def saved_answer(log, index, **changes):
    record, sealed = log.records[index], log.sealed[index]
    message = record.response.outputs[0].content
    answer = {
        "id": "x",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": message["content"]}, "finish_reason": "stop"}
        ],
        "tallystick": {
            "receipt": log.receipts[index].to_json(),
            "admission": log.admission(record).to_json(),
            "record_secret": "0x" + sealed.secret.hex(),
            "request_salt": "0x" + record.request.salt.hex(),
        },
    }
    answer["choices"][0]["message"].update(changes)
    return answer


@pytest.mark.usefixtures("trusted")
def test_a_saved_answer_is_what_its_receipt_was_signed_for(run, log, url, tmp_path):
    path = tmp_path / "answer.json"
    path.write_text(json.dumps(saved_answer(log, 1), indent=1))
    result = run("verify", path, "--json")
    assert result.exit_code == 2
    assert checks(result)[13]["held"] == 1
    assert run("verify", path, "--rpc", url).exit_code == 0


@pytest.mark.usefixtures("trusted")
def test_a_saved_answer_that_was_changed_is_not_what_was_signed(run, log, tmp_path):
    path = tmp_path / "answer.json"
    path.write_text(json.dumps(saved_answer(log, 1, content="something else")))
    result = run("verify", path, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["accused"] == [
        {"party": "whoever sent this answer, or changed it since", "failures": 1}
    ]


@pytest.mark.usefixtures("trusted")
def test_a_saved_answer_held_against_its_log_is_one_json_document(run, log, url, tmp_path):
    path = tmp_path / "answer.json"
    path.write_text(json.dumps(saved_answer(log, 1)))
    document = json.loads(run("verify", path, "--rpc", url, "--json").stdout)
    assert (document["subject"]["kind"], document["exit_code"]) == ("log", 0)
    assert document["answer"]["subject"]["kind"] == "receipt"


@pytest.mark.usefixtures("trusted")
def test_the_last_line_of_two_verdicts_is_the_one_that_decides(run, log, url, tmp_path):
    path = tmp_path / "answer.json"
    path.write_text(json.dumps(saved_answer(log, 1, content="something else")))
    result = run("verify", path, "--rpc", url)
    assert result.exit_code == 1
    pages = [line for line in result.stdout.splitlines() if line.startswith("Proven")]
    assert pages[0].startswith("Proven as of block")
    assert pages[-1].startswith("Proven wrong: ")
    assert result.stdout.splitlines()[-1] == pages[-1]


@pytest.fixture
def answer_file(log, tmp_path):
    path = tmp_path / "answer.json"
    path.write_text(json.dumps(saved_answer(log, 1)))
    return path


@pytest.fixture
def body_file(log, tmp_path):
    path = tmp_path / "body.json"
    path.write_bytes(log.records[1].request.body)
    return path


@pytest.mark.usefixtures("trusted")
def test_the_request_that_was_sent_is_what_receipt_and_admission_were_signed_for(run, answer_file, body_file):
    result = run("verify", answer_file, "--request", body_file, "--json")
    assert checks(result)[12]["held"] == 2


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    "wrong", [["--request-target", "/v1/other"], ["--request-type", "text/plain"], ["--request-type", ""], None]
)
def test_another_request_than_the_one_that_was_signed_for_is_named_and_accuses_nobody(
    run, answer_file, body_file, wrong
):
    if wrong is None:
        body_file.write_bytes(body_file.read_bytes() + b" ")
    result = run("verify", answer_file, "--request", body_file, *(wrong or []), "--json")
    assert result.exit_code == 2
    document = json.loads(result.stdout)
    assert document["accused"] == []
    reasons = document["checks"][11]["reasons"]
    assert [reason["text"].partition(":")[0] for reason in reasons] == [
        "that is not what the receipt was signed for",
        "that is not what the admission was signed for",
    ]


def test_a_request_cannot_be_compared_without_its_salt(run, answer_file, body_file):
    answer = json.loads(answer_file.read_text())
    del answer["tallystick"]["request_salt"]
    answer_file.write_text(json.dumps(answer))
    result = run("verify", answer_file, "--request", body_file, "--json")
    assert (result.exit_code, checks(result)[12]["reasons"][0]["blocks"]) == (2, True)


def test_a_request_is_for_a_saved_answer(run, node, bundle_file, body_file):
    for arguments in (node, [bundle_file]):
        assert "--request is for a saved answer" in run("verify", *arguments, "--request", body_file).stderr
