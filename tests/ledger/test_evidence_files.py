"""What a file is that somebody kept is told by its content, in any formatting."""

import dataclasses
import json
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick import errors, evidence_files
from tallystick.bundle.evidence import Bundle
from tallystick.errors import AnswerError, EvidenceFileError, TallystickError
from tallystick.evidence_files import (
    MAX_FILE_BYTES,
    SavedAnswer,
    read_events,
    recognise,
    request_hash_sent,
    response_hash_received,
)
from tallystick.ids import to_hex
from tallystick.receipts.signed import SignedReceipt
from tallystick.record import Output, Record, RecordFault, Response
from tallystick.sealing import seal
from tallystick.tasks import Received, chat_output, usual_target
from tallystick.tasks.completion import text_output
from tallystick.tasks.embedding import vector_output
from tests.support.vectors.bundles import bundles, formattings
from tests.support.vectors.cast import DOMAIN, EPOCH_KEY, WRITER, stream, whole_record
from tests.support.vectors.receipts import INDEX, receipt_of, signed_messages

RECEIPT, ADMISSION, HEAD, ERASURE = signed_messages()
SECRET, SALT = b"\x11" * 32, b"\x22" * 16
PROOFS = {
    "record_id": "x",
    "admission_seq": 43,
    "index": 40,
    "state": "completed",
    "receipt": RECEIPT.to_json(),
    "admission": ADMISSION.to_json(),
    "request_salt": to_hex(SALT),
    "record_secret": to_hex(SECRET),
}
CHOICE = {
    "index": 0,
    "message": {"role": "assistant", "content": "A tally."},
    "logprobs": None,
    "finish_reason": "stop",
}
ANSWER = {"id": "chatcmpl-1", "object": "chat.completion", "choices": [CHOICE], "usage": {}, "tallystick": PROOFS}
RECEIVED = Received(outputs=(chat_output("A tally.", "stop"),), error=None, whole=True)
SAVED = SavedAnswer(
    receipt=RECEIPT, admission=ADMISSION, record_secret=SECRET, request_salt=SALT, received=RECEIVED, streamed=False
)


def piece(delta: dict[str, object], reason: str | None = None, **more: object) -> str:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    return json.dumps({"choices": [choice]} | more)


NAMES = [
    "tallystick",
    "receipt",
    "domain",
    "choices",
    "index",
    "delta",
    "message",
    "content",
    "error",
    "code",
    "evidence",
    "tool_calls",
]
EVENTS = [
    piece({"role": "assistant", "content": ""}),
    piece({"content": "A "}),
    piece({"content": "tally."}),
    piece({}, "stop", tallystick=PROOFS),
]
STREAM = "".join(f"data: {event}\n\n" for event in EVENTS) + "data: [DONE]\n\n"


@pytest.mark.parametrize("bundle", bundles().values(), ids=bundles())
def test_a_bundle_is_recognised_in_any_formatting(bundle):
    for formatted in formattings(bundle.to_bytes().decode()).values():
        found = recognise(formatted)
        assert isinstance(found, Bundle)
        assert found.to_bytes() == bundle.to_bytes()


@pytest.mark.parametrize("signed", signed_messages(), ids=lambda signed: signed.MEMBER)
def test_a_signed_message_is_recognised_in_any_formatting(signed):
    for formatted in formattings(json.dumps(signed.to_json(), separators=(",", ":"))).values():
        assert recognise(formatted) == signed


def test_a_saved_answer_is_recognised_in_any_formatting():
    for formatted in formattings(json.dumps(ANSWER)).values():
        assert recognise(formatted) == SAVED


@pytest.mark.parametrize(
    "text",
    [
        STREAM,
        "\ufeff" + STREAM,
        "\n\n" + STREAM,
        STREAM.replace("\n", "\r\n"),
        STREAM.replace("\n", "\r"),
        STREAM.replace("data: ", "data:"),
        STREAM.rstrip(),
        STREAM.removesuffix("data: [DONE]\n\n"),
        ": ping\n\n" + STREAM.replace("data: {", "event: message\nid: 1\ndata: {"),
        "retry: 10\n\n" + STREAM.replace('"choices": ', '"choices":\ndata: '),
    ],
)
def test_a_saved_stream_is_recognised_in_any_formatting(text):
    assert recognise(text.encode()) == dataclasses.replace(SAVED, streamed=True)


def test_the_proof_may_stand_on_an_event_without_choices():
    last = json.dumps({"choices": [], "usage": {}, "tallystick": PROOFS})
    stream = [*EVENTS[:3], piece({}, "stop"), last]
    found = recognise("".join(f"data: {event}\n\n" for event in stream).encode())
    assert found == dataclasses.replace(SAVED, streamed=True)


def test_an_error_answer_with_its_proofs_is_a_saved_answer():
    error = {"message": "The worker died.", "type": "server_error", "param": None, "code": "worker_died"}
    found = recognise(json.dumps({"error": error, "tallystick": PROOFS}).encode())
    assert isinstance(found, SavedAnswer)
    assert found.received == Received(
        outputs=(), error=RecordFault(code="worker_died", message="The worker died."), whole=True
    )


def test_an_answer_of_another_kind_is_saved_without_an_outcome():
    found = recognise(json.dumps({"object": "export", "tallystick": PROOFS}).encode())
    assert found == dataclasses.replace(SAVED, received=None)


@pytest.mark.parametrize("kept", ["receipt", "admission", "request_salt", "record_secret"])
def test_the_proofs_may_stand_alone_and_any_one_is_enough(kept):
    nothing = SavedAnswer(
        receipt=None, admission=None, record_secret=None, request_salt=None, received=None, streamed=False
    )
    expected = dataclasses.replace(nothing, **{kept: getattr(SAVED, kept)})
    assert recognise(json.dumps({kept: PROOFS[kept]}).encode()) == expected
    assert recognise(json.dumps({"tallystick": {kept: PROOFS[kept]}}).encode()) == expected


def test_neither_secret_nor_salt_nor_answer_shows_in_a_repr():
    assert repr(SECRET) not in repr(SAVED)
    assert repr(SALT) not in repr(SAVED)
    assert "A tally." not in repr(SAVED)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe", "UTF-8"),
        (b"tallystick-wallet-v2:00", "not valid JSON"),
        (b"[" * 100_000, "nested deeper"),
        (b"[]", "not an object"),
        (b'"x"', "not an object"),
        (b"{}", "its members: none"),
        (b'{"choices": [], "id": 1}', "'choices', 'id'"),
        (b'{"tallystick": 1}', "'tallystick'"),
        (b'{"domain": {}}', "'domain'"),
        (b"data: [DONE]\n\n", "stream of 0 events"),
        (STREAM.split("data: {", 4)[1].encode(), "not valid JSON"),
        (f"data: {EVENTS[0]}\n\ndata: {EVENTS[1]}\n\n".encode(), "broke off"),
        (b"data: \xff\n\n", "UTF-8"),
        (b'{"\\u001b[2J": 1}', r"its members: '\\x1b\[2J'"),
    ],
)
def test_a_file_that_is_none_of_these_says_so(data, reason):
    with pytest.raises(EvidenceFileError, match=reason) as caught:
        recognise(data)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"format": "tallystick/bundle/v2"}, "BundleError"),
        ({"evidence": {}}, "BundleError"),
        ({"format": "tallystick/bundle/v1", "evidence": {}, "attestation": ""}, "BundleError"),
        (RECEIPT.to_json() | {"signer": ADMISSION.to_json()["domain"]["contract"]}, "ReceiptFormatError"),
        (RECEIPT.to_json() | {"signature": "0x" + "00" * 65}, "SignatureError"),
        ({"tallystick": {}}, "AnswerError"),
        ({"tallystick": PROOFS | {"record_secret": "0x11"}}, "AnswerError"),
        ({"tallystick": PROOFS | {"request_salt": 1}}, "AnswerError"),
        ({"tallystick": PROOFS | {"receipt": {}}}, "ReceiptFormatError"),
        (ANSWER | {"choices": [1]}, "AnswerError"),
    ],
)
def test_a_file_that_is_one_and_a_wrong_one_meets_the_error_of_its_kind(document, kind):
    with pytest.raises(getattr(errors, kind)):
        recognise(json.dumps(document).encode())


@pytest.mark.parametrize("payload", ["{", '{"a": 1, "a": 2}', ""])
def test_an_event_that_is_no_strict_json_is_named_by_its_number(payload):
    with pytest.raises(AnswerError, match="event 2"):
        recognise(f"data: {EVENTS[0]}\n\ndata: {payload}\n\n".encode())


def test_nothing_after_the_end_of_a_stream_is_read():
    events, ended = read_events((STREAM + "data: {\n\n").encode())
    assert (len(events), ended) == (4, True)


def test_more_events_than_the_bound_are_refused(monkeypatch):
    monkeypatch.setattr(evidence_files, "MAX_EVENTS", 4)
    assert isinstance(recognise(STREAM.encode()), SavedAnswer)
    monkeypatch.setattr(evidence_files, "MAX_EVENTS", 3)
    with pytest.raises(EvidenceFileError, match="more than 3"):
        recognise(STREAM.encode())


def test_a_file_larger_than_any_is_refused_unread():
    with pytest.raises(EvidenceFileError, match=str(MAX_FILE_BYTES)):
        recognise(b" " * (MAX_FILE_BYTES + 1))


def test_a_bundle_larger_than_any_is_refused():
    padded = b" " * evidence_files.MAX_BUNDLE_BYTES + bundles()["sealed"].to_bytes()
    with pytest.raises(EvidenceFileError, match="a bundle has at most"):
        recognise(padded)


@dataclasses.dataclass(frozen=True)
class Served:
    """What one task is asked and answers: over the wire, and in the record."""

    task: str
    body: dict[str, object]
    answer: dict[str, object]
    output: Output


SERVED = {
    one.task: one
    for one in (
        Served("chat", {"messages": []}, {"object": "chat.completion", "choices": [CHOICE]}, RECEIVED.outputs[0]),
        Served(
            "completion",
            {"prompt": "A"},
            {"object": "text_completion", "choices": [{"index": 0, "text": " tally.", "finish_reason": "stop"}]},
            text_output(" tally.", "stop"),
        ),
        Served(
            "embedding",
            {"input": "A"},
            {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1]}]},
            vector_output(struct.pack("<2f", 0.5, -1)),
        ),
    )
}


def served(task: str = "chat") -> tuple[Record, SignedReceipt, bytes]:
    """A request as the service serves it: its record, its receipt and the secret that goes with it."""
    body = json.dumps(SERVED[task].body).encode()
    target = usual_target(body)
    whole = whole_record()
    request = dataclasses.replace(whole.request, reader=f"{task}/openai/1", target=target, body=body)
    record = dataclasses.replace(
        whole,
        task=task,
        request=request,
        http=dataclasses.replace(whole.http, path=target),
        response=Response(outputs=(SERVED[task].output,)),
    )
    sealed = seal(record, epoch_key=EPOCH_KEY, index=INDEX, random=stream("saved"))
    return record, SignedReceipt.sign(WRITER, DOMAIN, receipt_of(record, sealed)), sealed.secret


@pytest.mark.parametrize("task", SERVED)
def test_both_hashes_of_a_receipt_follow_from_what_was_sent_and_received(task):
    record, receipt, secret = served(task)
    proofs = {
        "receipt": receipt.to_json(),
        "record_secret": to_hex(secret),
        "request_salt": to_hex(record.request.salt),
    }
    saved = recognise(json.dumps(SERVED[task].answer | {"tallystick": proofs}).encode())
    assert isinstance(saved, SavedAnswer)
    assert response_hash_received(saved) == receipt.receipt.response_hash
    sent = ("POST", record.request.target, record.request.content_type, record.request.body)
    assert request_hash_sent(saved, *sent) == receipt.receipt.request_hash
    assert request_hash_sent(saved, *sent[:3], record.request.body + b" ") != receipt.receipt.request_hash


@pytest.mark.parametrize(
    "choice",
    [
        {**CHOICE, "finish_reason": "length"},
        {**CHOICE, "message": {"role": "assistant", "content": "A tally"}},
        {**CHOICE, "message": {"role": "assistant", "content": None}},
        {**CHOICE, "logprobs": {"content": []}},
    ],
)
def test_another_answer_has_another_hash(choice):
    _, receipt, secret = served()
    document = ANSWER | {
        "choices": [choice],
        "tallystick": {"receipt": receipt.to_json(), "record_secret": to_hex(secret)},
    }
    saved = recognise(json.dumps(document).encode())
    assert isinstance(saved, SavedAnswer)
    assert response_hash_received(saved) != receipt.receipt.response_hash


@pytest.mark.parametrize(
    ("lacking", "part"),
    [
        ({"record_secret": None}, "record_secret"),
        ({"received": None}, "body"),
        ({"received": dataclasses.replace(RECEIVED, whole=False)}, "stream"),
        ({"received": dataclasses.replace(RECEIVED, outputs=(chat_output("\ud800", None),))}, "body"),
    ],
)
def test_without_what_it_takes_there_is_no_hash(lacking, part):
    with pytest.raises(AnswerError) as caught:
        response_hash_received(dataclasses.replace(SAVED, **lacking))
    assert caught.value.part == part


def test_without_the_salt_there_is_no_request_hash():
    with pytest.raises(AnswerError, match="request_salt"):
        request_hash_sent(dataclasses.replace(SAVED, request_salt=None), "POST", "/", None, b"")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(
    json_values,
    st.sampled_from(["%s", "data: %s\n\n", '{"tallystick": %s, "choices": []}', 'data: {"tallystick": %s}\n\n']),
)
def test_whatever_a_file_holds_it_is_recognised_or_refused_by_kind(value, form):
    with suppress(TallystickError):  # anything else fails the test
        assert recognise((form % json.dumps(value)).encode())


@given(st.binary(max_size=40))
def test_whatever_bytes_a_file_holds_they_are_refused_by_kind(data):
    with suppress(TallystickError):  # anything else fails the test
        assert recognise(data)
