"""The table "What a node could do" of docs/trust-model.md, through the command line; every bit: tests/ledger/verify."""

from dataclasses import replace

import pytest

from tallystick.keys import Wallet
from tests.support.dishonest.writers import begun, pass_the_promise
from tests.support.nodes import AlteringNode
from tests.support.synthetic_log import AUDITOR, CHAIN_ID, LOG, TERMS, SyntheticLog
from tests.support.synthetic_server import served


def grown():
    """A log of three batches, and a node that shows the first two only."""
    log = begun()
    log.append_requests(1)
    behind = log.node()
    log.append_requests(2)
    return log, behind


def test_node_1_leaves_entries_out(auditor):
    log, _ = grown()
    node = log.node()
    node.blocks[-1].events.clear()
    auditor.judge(log, node=node).leaves_open("EventsWithheld")


def test_node_2_shows_an_old_state_to_somebody_with_a_signed_head(auditor):
    log, behind = grown()
    head = auditor.write(log.signed_head())
    auditor.judge(log, "--head", head, node=behind).leaves_open("the node is behind, or hides", check="receipts")
    auditor.judge(log, "--head", head).finds_nothing()


def test_node_2_shows_an_old_state_to_somebody_who_asks_for_a_new_block(auditor):
    log, behind = grown()
    auditor.judge(log, "--max-age", 600, node=behind).leaves_open("a node that is behind", check="heads")


def test_node_2_shows_an_old_state_to_somebody_whose_trust_file_has_seen_more(auditor):
    log, behind = grown()
    with served(log.node()) as url:
        auditor.run("trust", "add", "acme", *auditor.log_options(url, log.log_id), "--yes", as_json=False)
        auditor.run("verify", "--trust", "acme", "--rpc", url).finds_nothing()
    with served(behind) as url:
        auditor.run("verify", "--trust", "acme", "--rpc", url).leaves_open("hides the rest", check="heads")


def invented():
    """A whole log under the terms of the real one, written by somebody who does not have its key."""
    log = SyntheticLog()
    log.writer = Wallet(b"\x66" * 32)  # signs, while the terms name another
    log.open_epoch([AUDITOR])
    log.append_requests(2)
    for block in log.blocks:
        block.state = replace(block.state, writer=TERMS.writer)
    return log


def test_node_3_invents_a_log(auditor):
    judged = auditor.judge(invented())
    judged.leaves_open("what was shown does not fit together, in 6 authorship")
    assert judged.failures[0]["accused"] == "the chain node"


def test_node_4_changes_a_byte(auditor):
    log, _ = grown()
    node = log.node()
    event = node.blocks[-1].events[0]
    data = str(event["data"])
    event["data"] = data[:-80] + ("0" if data[-80] != "0" else "1") + data[-79:]
    judged = auditor.judge(log, node=node)
    judged.leaves_open("The node contradicts itself or the signatures, and accuses nobody")
    assert "the chain node" in {failure["accused"] for failure in judged.failures}


def later(from_block):
    """Shows blocks as much later than they came."""

    def alter(method, params, answer):
        if method == "eth_getBlockByNumber" and answer and int(answer["number"], 16) >= from_block:
            return {**answer, "timestamp": hex(int(answer["timestamp"], 16) + 20_000)}
        return answer

    return alter


def test_node_5_lies_about_a_blocks_time(auditor):
    log, _ = grown()
    node = AlteringNode(log.node(), later(len(log.blocks) - 1))
    for options in ({}, {"kept": [log.receipts[-1]], "closed": True}):
        judged = auditor.judge(log, node=node, **options)
        assert judged.exit_code == 1
        assert "as one node shows it and nobody signs it" in judged.documents[0]["summary"]
        assert all(failure["rests_on_times"] for failure in judged.failures)
        for pair in ({"node": node, "second": log.node()}, {"node": log.node(), "second": node}):
            auditor.judge(log, **options, **pair).leaves_open("which the second node shows otherwise", check="heads")
        auditor.judge(log, second=log.node(), **options).finds_nothing()


def test_node_5_shows_an_old_state_under_a_new_time(auditor):
    log, _ = grown()
    cut = begun()
    cut.append_requests(1)
    pass_the_promise(cut)
    assert cut.log_id == log.log_id == LOG
    judged = auditor.judge(cut, kept=[log.receipts[-1]], closed=True)
    assert judged.exit_code == 1
    assert "ask a second node (--second-rpc) before you accuse anybody" in judged.documents[0]["summary"]
    head = auditor.write(log.signed_head())
    auditor.judge(cut, "--head", head, closed=True).leaves_open("the node is behind, or hides", check="receipts")
    judged = auditor.judge(cut, kept=[log.receipts[-1]], closed=True, second=log.node())
    judged.leaves_open("the second node", check="heads")


def test_node_5_hides_what_is_newest_and_shows_the_true_blocks(auditor):
    log, _ = grown()
    pass_the_promise(log)
    hiding = log.node()
    before = hiding.blocks[-3].state
    for block in hiding.blocks[-2:]:
        block.state = before
        block.events = []
    judged = auditor.judge(log, kept=[log.receipts[-1]], closed=True, node=hiding)
    assert judged.exit_code == 1
    assert "ask a second node (--second-rpc) before you accuse anybody" in judged.documents[0]["summary"]
    judged = auditor.judge(log, kept=[log.receipts[-1]], closed=True, node=hiding, second=log.node())
    judged.leaves_open("at which the second node shows the log in another state", check="heads")


def test_node_5_agrees_with_a_second_one_and_the_writer_is_late(auditor):
    log, _ = grown()
    admission = log.admission(log.request())
    pass_the_promise(log)
    judged = auditor.judge(log, kept=[admission], closed=True, second=log.node())
    judged.proves("receipts", saying="none in the log")
    assert "second node" not in judged.documents[0]["summary"]


def test_node_5_stands_beside_a_second_one_that_cannot_be_asked(auditor):
    log, _ = grown()
    other = log.node()
    other.chain_id = CHAIN_ID + 1
    auditor.judge(log, second=other).leaves_open("which the second node does not show", check="heads")
    head = log.bundle(1).to_bytes()
    auditor.judge_file(head, "--second-rpc", "http://127.0.0.1:9", log=log).leaves_open("a bundle asks one node")
    auditor.judge_file(head, "--second-rpc", "http://127.0.0.1:9").leaves_open("--rpc names the first")


def test_node_6_is_of_another_chain(auditor):
    log, _ = grown()
    node = log.node()
    node.chain_id = CHAIN_ID + 1
    auditor.judge(log, node=node).leaves_open("what was shown does not fit together")
    auditor.judge(log, "--chain-id", CHAIN_ID, node=node).leaves_open("OtherChain")


@pytest.mark.parametrize("answer", [None, [], {}, "0x", 7, "<html>", "0x" + "00" * 32])
def test_node_7_answers_anything(auditor, answer):
    log, _ = grown()

    def alter(method, params, right):
        return answer if method in {"eth_getLogs", "eth_getTransactionByHash"} else right

    judged = auditor.judge(log, node=AlteringNode(log.node(), alter))
    assert judged.exit_code == 2
    assert judged.accused == set()
