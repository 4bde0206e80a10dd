"""A client who wants an honest operator to look dishonest: no file of his, however made, proves anything against the log's writer."""

import json
from dataclasses import replace

import pytest

from tallystick.ids import to_hex
from tallystick.keys import AuditorKey, Wallet
from tallystick.receipts import sign_admission, sign_erasure, sign_head, sign_receipt
from tests.support.dishonest.auditors import ANSWERER, MAKER, WRITER
from tests.support.dishonest.clients import answer
from tests.support.dishonest.writers import begun
from tests.support.synthetic_log import AUDITOR, CHAIN_ID
from tests.support.synthetic_server import served

LIAR = Wallet(b"\x66" * 32)
LOG = begun()
RECORD, SEALED, RECEIPT = LOG.records[1], LOG.sealed[1], LOG.receipts[1]
ADMISSION = LOG.admission(RECORD)
CAME = answer(RECORD, receipt=RECEIPT, admission=ADMISSION, sealed=SEALED)
TEXT = CAME["choices"][0]["message"]["content"]


def changed(change):
    """The answer that came, after the client had his way with it."""
    document = json.loads(json.dumps(CAME))
    change(document)
    return document


def stream(*, done=True, cut=None):
    """The same answer as the text of a stream of events, perhaps cut short."""
    pieces = [TEXT[at : at + 20] for at in range(0, len(TEXT), 20)][:cut]
    events = [{"choices": [{"index": 0, "delta": {"content": one}, "finish_reason": None}]} for one in pieces]
    if cut is None:
        events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    events.append({"choices": [], "tallystick": CAME["tallystick"]})
    lines = [f"data: {json.dumps(event)}\n\n" for event in events] + (["data: [DONE]\n\n"] if done else [])
    return "".join(lines).encode()


FORMS = {
    "compact": json.dumps(CAME, separators=(",", ":")).encode(),
    "indented": json.dumps(CAME, indent=4).encode() + b"\n\n",
    "sorted, CRLF, BOM": b"\xef\xbb\xbf" + json.dumps(CAME, indent=1, sort_keys=True).replace("\n", "\r\n").encode(),
    "not escaped": json.dumps(CAME, ensure_ascii=False).encode(),
    "with null members": json.dumps(
        changed(lambda one: one["choices"][0]["message"].update(refusal=None, tool_calls=None, audio=None))
    ).encode(),
    "without usage": json.dumps({name: value for name, value in CAME.items() if name != "usage"}).encode(),
    "stream": stream(),
    "stream, CRLF": stream().replace(b"\n", b"\r\n"),
    "stream, last line cut": stream().rstrip(b"\n"),
    "stream, without its end": stream(done=False),
    "proofs alone": json.dumps(CAME["tallystick"]).encode(),
    "receipt alone": json.dumps(RECEIPT.to_json(), indent=3).encode(),
    "admission alone": json.dumps(ADMISSION.to_json(), sort_keys=True).encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_another_formatting_accuses_nobody_and_proves_the_same(auditor, form):
    auditor.judge_file(FORMS[form], log=LOG, known=LOG.log_id).finds_nothing()


def test_a_bundle_in_another_formatting_proves_the_same(auditor):
    document = json.loads(LOG.bundle(1).to_bytes())
    for form in (json.dumps(document, indent=2), "\ufeff" + json.dumps(document, indent=2).replace("\n", "\r\n")):
        auditor.judge_file(form.encode(), log=LOG, known=LOG.log_id).finds_nothing()


@pytest.mark.parametrize("data", [stream(cut=3), stream(cut=1, done=False), stream(cut=0)])
def test_a_stream_cut_short_is_not_compared(auditor, data):
    judged = auditor.judge_file(data, log=LOG, known=LOG.log_id)
    judged.leaves_open("of a stream that broke off", check="response-binding")


def test_a_stream_that_ends_inside_an_event_is_no_answer(auditor):
    auditor.judge_file(stream()[:-60], log=LOG, known=LOG.log_id).leaves_open("could not check")


EDITS = {
    "text": lambda one: one["choices"][0]["message"].update(content=TEXT + " And more."),
    "no text": lambda one: one["choices"][0]["message"].update(content=None),
    "finish reason": lambda one: one["choices"][0].update(finish_reason="length"),
    "a tool call": lambda one: one["choices"][0]["message"].update(
        tool_calls=[{"id": "1", "function": {"name": "pay", "arguments": "{}"}}]
    ),
    "another choice": lambda one: one["choices"].append(one["choices"][0] | {"index": 1}),
    "another secret": lambda one: one["tallystick"].update(record_secret="0x" + "11" * 32),
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("with_node", [False, True])
def test_an_edited_answer_accuses_whoever_sent_or_edited_it_and_never_the_writer(auditor, edit, with_node):
    judged = auditor.judge_file(changed(EDITS[edit]), log=LOG if with_node else None, known=LOG.log_id)
    judged.proves("response-binding", against=ANSWERER, saying="the saved answer of record 1")


SIGNED = {
    "index": lambda one: one["tallystick"]["receipt"]["receipt"].update(index=0),
    "leaf": lambda one: one["tallystick"]["receipt"]["receipt"].update(leaf="0x" + "22" * 32),
    "response hash": lambda one: one["tallystick"]["receipt"]["receipt"].update(response_hash="0x" + "22" * 32),
    "deadline": lambda one: one["tallystick"]["receipt"]["receipt"].update(anchor_by=1),
    "signature": lambda one: one["tallystick"]["receipt"].update(signature="0x" + "22" * 64 + "1b"),
    "chain": lambda one: one["tallystick"]["receipt"]["domain"].update(chain_id=CHAIN_ID + 1),
    "number": lambda one: one["tallystick"]["admission"]["admission"].update(admission_seq=1),
    "admission's deadline": lambda one: one["tallystick"]["admission"]["admission"].update(record_by=1),
}


@pytest.mark.parametrize("edit", SIGNED)
def test_an_edited_receipt_or_admission_is_not_the_writers(auditor, edit):
    document = changed(SIGNED[edit])
    for judged in (auditor.judge_file(document, log=LOG, known=LOG.log_id), auditor.judge(LOG, kept=[document])):
        assert judged.exit_code == 2, judged.told
        assert judged.accused == set()


def test_a_receipt_renamed_to_its_new_signer_is_a_strangers(auditor):
    receipt = replace(RECEIPT.receipt, leaf=b"\x22" * 32)
    moved = replace(RECEIPT, receipt=receipt)  # the signature now leads to somebody, whose key nobody has
    auditor.judge(LOG, kept=[moved]).leaves_open("who never was this log's writer", check="receipts")
    auditor.judge_file(moved, log=LOG, known=LOG.log_id).leaves_open("who never was this log's writer")


def by_a_liar():
    return {
        "receipt": sign_receipt(LIAR, LOG.domain, replace(RECEIPT.receipt, leaf=b"\x22" * 32)),
        "admission": sign_admission(LIAR, LOG.domain, replace(ADMISSION.admission, admission_seq=99, record_by=1)),
        "head": sign_head(LIAR, LOG.domain, replace(LOG.signed_head().head, head=b"\x22" * 32)),
        "erasure": sign_erasure(LIAR, LOG.domain, LOG.erasure(1).erasure),
    }


@pytest.mark.parametrize("kind", by_a_liar())
def test_what_somebody_else_signed_in_the_writers_place_proves_nothing(auditor, kind):
    signed = by_a_liar()[kind]
    option = {"head": "--head", "erasure": "--erasures"}.get(kind, "--receipt")
    auditor.judge(LOG, option, auditor.write(signed)).leaves_open("who never was this log's writer", check="receipts")
    offline = auditor.judge_file(signed, known=LOG.log_id)
    assert offline.exit_code == 2
    assert WRITER not in offline.accused


def test_two_receipts_by_a_liar_contradict_the_liar_and_not_the_writer(auditor):
    one = sign_receipt(LIAR, LOG.domain, replace(RECEIPT.receipt, leaf=b"\x22" * 32))
    other = sign_receipt(LIAR, LOG.domain, replace(RECEIPT.receipt, leaf=b"\x23" * 32))
    judged = auditor.judge(LOG, kept=[one, other])
    assert judged.exit_code == 2
    assert WRITER not in judged.accused


def members(document, path=()):
    """The paths to every value of a document."""
    if isinstance(document, dict):
        for name, value in document.items():
            yield from members(value, (*path, name))
    elif isinstance(document, list):
        for at, value in enumerate(document):
            yield from members(value, (*path, at))
    elif document is not None:
        yield path


BUNDLE = json.loads(LOG.bundle(1).to_bytes())
PLACES = list(members(BUNDLE))


def edited(path):
    """The bundle with one value of it changed by one digit."""
    document = json.loads(json.dumps(BUNDLE))
    inner = document
    for name in path[:-1]:
        inner = inner[name]
    value = inner[path[-1]]
    if isinstance(value, int):
        inner[path[-1]] = value + 1
    else:
        inner[path[-1]] = value[:-1] + ("0" if value[-1] != "0" else "1")
    return document


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(map(str, path)))
@pytest.mark.parametrize("with_node", [False, True])
def test_an_edited_bundle_proves_nothing_against_the_writer(auditor, path, with_node):
    judged = auditor.judge_file(edited(path), log=LOG if with_node else None, known=LOG.log_id)
    assert judged.exit_code in {1, 2}, judged.told
    assert judged.accused <= {MAKER}, judged.told


def test_an_auditors_second_key_proves_nothing(auditor):
    stranger = auditor.write_key(AuditorKey(b"\x44" * 32))
    auditor.judge(LOG, key=stranger).leaves_open("not wrapped for", check="decryption")


def test_messages_of_another_log_of_the_same_writer_prove_nothing_about_this_one(auditor):
    other = begun(terms=replace(LOG.terms, salt=b"\x05" * 32))
    auditor.judge(LOG, kept=[other.receipts[1]]).leaves_open(f"is of the log {to_hex(other.log_id)}")
    auditor.judge(LOG, "--head", auditor.write(other.signed_head())).leaves_open("is of the log")


def test_a_key_file_and_a_log_in_the_place_of_a_file_accuse_nobody(auditor):
    for document in (AUDITOR.to_text().encode(), b"", b"{}", b"\x00" * 100, b"[" * 100_000, b'{"a": 1, "a": 2}'):
        judged = auditor.judge_file(document, log=LOG, known=LOG.log_id)
        assert judged.exit_code == 2
        assert judged.accused == set()


def test_a_trusted_log_that_was_verified_further_than_the_node_shows_accuses_nobody(auditor):
    with served(LOG.node()) as url:
        auditor.run("trust", "add", "acme", *auditor.log_options(url, LOG.log_id), "--yes", as_json=False)
        auditor.run("verify", "--trust", "acme", "--rpc", url).finds_nothing()
    behind = LOG.node()
    del behind.blocks[-1:]
    with served(behind) as url:
        judged = auditor.run("verify", "--trust", "acme", "--rpc", url)
    assert judged.exit_code == 2
    assert judged.accused == set()
