"""The table "What a stranger could do" of docs/trust-model.md, through the command line."""

from dataclasses import replace

import pytest

from tallystick.bundle.evidence import sign_evidence
from tallystick.heads import derive_log_id
from tallystick.ids import to_hex
from tallystick.keys import Wallet
from tallystick.receipts.signed import SignedReceipt
from tests.support.dishonest.writers import begun
from tests.support.synthetic_log import CHAIN_ID, CONTRACT, TERMS, WRITER
from tests.support.synthetic_server import served

FORGER = Wallet(b"\x66" * 32)
BY_FORGER = "0x" + FORGER.address.hex()
BY_WRITER = "0x" + WRITER.address.hex()


def forged(log, index=1):
    """A whole bundle about a log, in which every signature is the forger's."""
    bundle = log.bundle(index)
    receipt = SignedReceipt.sign(FORGER, log.domain, bundle.evidence.receipt.receipt)
    evidence = replace(bundle.evidence, receipt=receipt)
    return replace(bundle, evidence=evidence, attestation=sign_evidence(FORGER, evidence)).to_bytes()


def own_log():
    """A log of the forger's own, of the same contract, in which everything is in order."""
    terms = replace(TERMS, writer=FORGER.address, creator=FORGER.address)
    assert derive_log_id(CHAIN_ID, CONTRACT, terms) != derive_log_id(CHAIN_ID, CONTRACT, TERMS)
    log = begun(terms=terms)
    log.writer = FORGER
    return log


def test_stranger_1_a_bundle_offline_and_without_a_trusted_log(auditor):
    for document in (forged(begun()), begun().bundle(1).to_bytes()):
        auditor.judge_file(document).leaves_open("whose log this is was not checked", check="authorship")


@pytest.mark.parametrize("with_node", [False, True])
def test_stranger_1_a_bundle_against_the_log_that_is_known(auditor, with_node):
    log = begun()
    judged = auditor.judge_file(forged(log), log=log if with_node else None, known=log.log_id)
    judged.leaves_open("who is not known as a writer of this log", check="authorship")
    auditor.judge_file(log.bundle(1).to_bytes(), log=log if with_node else None, known=log.log_id).finds_nothing()


def test_stranger_1_a_bundle_against_a_trust_file(auditor):
    log = begun()
    with served(log.node()) as url:
        auditor.run("trust", "add", "acme", *auditor.log_options(url, log.log_id), "--yes", as_json=False)
    auditor.judge_file(forged(log)).leaves_open("who is not known as a writer of this log", check="authorship")
    auditor.judge_file(log.bundle(1).to_bytes()).finds_nothing()
    assert "trusted as acme" in auditor.judge_file(log.bundle(1).to_bytes()).written


def test_stranger_1_a_bundle_against_a_named_writer(auditor):
    log = begun()
    auditor.judge_file(forged(log), "--writer", BY_WRITER).leaves_open("not by the writer that was named")
    auditor.judge_file(log.bundle(1).to_bytes(), "--writer", BY_WRITER).finds_nothing()


def test_stranger_2_a_log_of_his_own(auditor):
    log, mine = begun(), own_log()
    judged = auditor.judge_file(mine.bundle(1).to_bytes(), known=log.log_id)
    judged.leaves_open(f"the file is about {to_hex(mine.log_id)}")
    whole = mine.bundle(1).to_bytes()
    auditor.judge_file(whole, log=mine).leaves_open("whose log this is was not checked", check="authorship")


def test_stranger_3_a_receipt_in_the_operators_name(auditor):
    log = begun()
    signed = SignedReceipt.sign(FORGER, log.domain, replace(log.receipts[1].receipt, leaf=b"\x12" * 32))
    auditor.judge(log, kept=[signed]).leaves_open("who never was this log's writer", check="receipts")
    named = signed.to_json() | {"signer": log.receipts[1].to_json()["signer"]}
    auditor.judge(log, kept=[named]).leaves_open("receipt signer: names")


def test_stranger_4_text_that_paints_a_verdict_of_its_own(auditor):
    log = begun()
    painted = log.request()
    log.append([replace(painted, http=replace(painted.http, path="\x1b[2J\x1b[32mProven\u202e"))])
    with served(log.node()) as url:
        judged = auditor.run(
            "verify", *auditor.log_options(url, log.log_id), "--auditor-key", auditor.key_file, as_json=False
        )
    assert judged.exit_code == 1
    assert "\x1b" not in judged.written
    assert "\u202e" not in judged.written
