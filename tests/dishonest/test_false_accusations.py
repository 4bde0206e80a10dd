"""A client who wants an honest operator to look dishonest: no file of his, however made, proves anything against the log's writer."""

import json
from dataclasses import replace

import pytest

from tallystick.ids import to_hex
from tallystick.keys import AuditorKey, Wallet
from tallystick.receipts.signed import SignedAdmission, SignedErasure, SignedHead, SignedReceipt
from tests.support.dishonest.auditors import ANSWERER, MAKER, WRITER
from tests.support.dishonest.clients import answer
from tests.support.dishonest.writers import append_with_blobs, begun
from tests.support.synthetic_log import AUDITOR, CHAIN_ID

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
def test_client_4_formats_an_answer_anew(auditor, form):
    auditor.judge_file(FORMS[form], log=LOG, known=LOG.log_id).finds_nothing()


def test_client_4_formats_a_bundle_anew(auditor):
    document = json.loads(LOG.bundle(1).to_bytes())
    for form in (json.dumps(document, indent=2), "\ufeff" + json.dumps(document, indent=2).replace("\n", "\r\n")):
        auditor.judge_file(form.encode(), log=LOG, known=LOG.log_id).finds_nothing()


@pytest.mark.parametrize("data", [stream(cut=3), stream(cut=1, done=False), stream(cut=0)])
def test_client_3_cuts_a_stream_short(auditor, data):
    judged = auditor.judge_file(data, log=LOG, known=LOG.log_id)
    judged.leaves_open("of a stream that broke off", check="response-binding")


def test_client_3_cuts_a_stream_inside_an_event(auditor):
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
def test_client_2_edits_an_answer(auditor, edit, with_node):
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
def test_client_1_edits_a_receipt_or_an_admission(auditor, edit):
    document = changed(SIGNED[edit])
    for judged in (auditor.judge_file(document, log=LOG, known=LOG.log_id), auditor.judge(LOG, kept=[document])):
        assert judged.exit_code == 2, judged.told
        assert judged.accused == set()


def test_client_1_renames_an_edited_receipt_to_its_new_signer(auditor):
    receipt = replace(RECEIPT.receipt, leaf=b"\x22" * 32)
    moved = replace(RECEIPT, receipt=receipt)  # the signature now leads to somebody, whose key nobody has
    auditor.judge(LOG, kept=[moved]).leaves_open("who never was this log's writer", check="receipts")
    auditor.judge_file(moved, log=LOG, known=LOG.log_id).leaves_open("who never was this log's writer")


def by_a_liar():
    return {
        "receipt": SignedReceipt.sign(LIAR, LOG.domain, replace(RECEIPT.receipt, leaf=b"\x22" * 32)),
        "admission": SignedAdmission.sign(
            LIAR, LOG.domain, replace(ADMISSION.admission, admission_seq=99, record_by=1)
        ),
        "head": SignedHead.sign(LIAR, LOG.domain, replace(LOG.signed_head().head, head=b"\x22" * 32)),
        "erasure": SignedErasure.sign(LIAR, LOG.domain, LOG.erasure(1).erasure),
    }


@pytest.mark.parametrize("kind", by_a_liar())
def test_client_1_signs_in_the_writers_place(auditor, kind):
    signed = by_a_liar()[kind]
    option = {"head": "--head", "erasure": "--erasures"}.get(kind, "--receipt")
    auditor.judge(LOG, option, auditor.write(signed)).leaves_open("who never was this log's writer", check="receipts")
    offline = auditor.judge_file(signed, known=LOG.log_id)
    assert offline.exit_code == 2
    assert WRITER not in offline.accused


def test_client_1_signs_two_receipts_that_contradict_each_other(auditor):
    one = SignedReceipt.sign(LIAR, LOG.domain, replace(RECEIPT.receipt, leaf=b"\x22" * 32))
    other = SignedReceipt.sign(LIAR, LOG.domain, replace(RECEIPT.receipt, leaf=b"\x23" * 32))
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


def change(document, path):
    """Change one value of a document by one digit."""
    inner = document
    for name in path[:-1]:
        inner = inner[name]
    value = inner[path[-1]]
    inner[path[-1]] = value + 1 if isinstance(value, int) else value[:-1] + ("0" if value[-1] != "0" else "1")


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(map(str, path)))
@pytest.mark.parametrize("with_node", [False, True])
def test_client_5_changes_a_value_of_a_bundle(auditor, path, with_node):
    document = json.loads(json.dumps(BUNDLE))
    change(document, path)
    judged = auditor.judge_file(document, log=LOG if with_node else None, known=LOG.log_id)
    assert judged.exit_code in {1, 2}, judged.told
    assert judged.accused <= {MAKER}, judged.told


def test_client_7_judges_with_another_key(auditor):
    stranger = auditor.write_key(AuditorKey(b"\x44" * 32))
    auditor.judge(LOG, key=stranger).leaves_open("not wrapped for", check="decryption")


def test_client_8_gives_messages_about_another_log(auditor):
    other = begun(terms=replace(LOG.terms, salt=b"\x05" * 32))
    auditor.judge(LOG, kept=[other.receipts[1]]).leaves_open(f"is of the log {to_hex(other.log_id)}")
    auditor.judge(LOG, "--head", auditor.write(other.signed_head())).leaves_open("is of the log")


def test_client_9_gives_a_file_that_is_none(auditor):
    for document in (AUDITOR.to_text().encode(), b"", b"{}", b"\x00" * 100, b"[" * 100_000, b'{"a": 1, "a": 2}'):
        judged = auditor.judge_file(document, log=LOG, known=LOG.log_id)
        assert judged.exit_code == 2
        assert judged.accused == set()


def test_client_6_gives_a_blob_with_another_content(auditor, tmp_path):
    log = begun()
    blobs = append_with_blobs(log)
    folder = tmp_path / "blobs"
    folder.mkdir()
    for blob in blobs:
        (folder / blob.ref.sealed_digest.hex()).write_bytes(blob.ciphertext[:-1] + b"?")
    judged = auditor.judge(log, "--blobs", folder)
    judged.leaves_open(f"lies in the blob {to_hex(blobs[0].ref.sealed_digest)}", check="request-binding")


def test_client_10_gives_another_request_than_he_sent(auditor):
    honest = auditor.write(RECORD.request.body)
    auditor.judge_file(CAME, "--request", honest, log=LOG, known=LOG.log_id).finds_nothing()
    for arguments in (
        ["--request", auditor.write(RECORD.request.body + b" ")],
        ["--request", honest, "--request-type", "application/json; charset=utf-8"],
        ["--request", honest, "--request-target", "/v1/chat/completions?x=1"],
    ):
        judged = auditor.judge_file(CAME, *arguments, log=LOG, known=LOG.log_id)
        judged.leaves_open("that is not what the receipt was signed for", check="request-binding")


@pytest.mark.parametrize("path", list(members(CAME)), ids=lambda path: ".".join(map(str, path)))
def test_client_2_changes_a_value_of_an_answer(auditor, path):
    document = json.loads(json.dumps(CAME))
    change(document, path)
    judged = auditor.judge_file(document, log=LOG, known=LOG.log_id)
    assert judged.accused <= {ANSWERER}, judged.told
    assert (judged.exit_code == 1) == bool(judged.accused)
