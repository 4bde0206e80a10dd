"""What a file is that somebody kept: a bundle, a signed message, or a saved answer. It is told by its content alone.

A saved answer is what a client received: one JSON object, or the text of a stream of server-sent events. It holds a `tallystick` object
with the proofs that came with it. How a file is formatted makes no difference, and a file that is none of these accuses nobody.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from tallystick.binding import request_digest, request_hash, response_digest, response_hash
from tallystick.bundle.evidence import FORMAT, Bundle
from tallystick.bundle.reading import MAX_BUNDLE_BYTES, bundle_from
from tallystick.errors import AnswerError, EvidenceFileError, IdError, JsonError, RecordError
from tallystick.ids import parse_hex
from tallystick.keys import SECRET_BYTES
from tallystick.receipts.signed import SIGNED_KINDS, Signed, SignedAdmission, SignedReceipt
from tallystick.record import REQUEST_SALT_BYTES
from tallystick.sealing import response_salt
from tallystick.strict_json import read_json, without_bom
from tallystick.tasks import Received, holds_outcome, received_answer, received_body, received_stream

MAX_FILE_BYTES: Final = 33_554_432
"""Of a saved answer, the largest of these files; a bundle has less."""
MAX_EVENTS: Final = 200_000
PROOF_MEMBER: Final = "tallystick"
DONE: Final = "[DONE]"

_BUNDLE_MEMBERS: Final = frozenset(("attestation", "evidence"))
_PROOFS: Final = ("receipt", "admission", "record_secret", "request_salt")
_SIGNED: Final = ("receipt", "admission")
_LINE_ENDS: Final = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedAnswer:
    """An answer with the proofs that came with it; what the service did not send is None.

    `received` is the outcome, in the form of its record; None where the answer is none of a task that this release knows.
    """

    receipt: SignedReceipt | None
    admission: SignedAdmission | None
    record_secret: bytes | None = field(repr=False)
    request_salt: bytes | None = field(repr=False)
    received: Received | None = field(repr=False)
    streamed: bool


Recognised: TypeAlias = Bundle | Signed | SavedAnswer


def recognise(data: bytes) -> Recognised:
    """Read a file, whichever of the kinds it is.

    Raises: EvidenceFileError if it is none of them. If it is one and a wrong one, the error of that kind: BundleError,
    ReceiptFormatError, SignatureError or AnswerError.
    """
    if len(data) > MAX_FILE_BYTES:
        raise EvidenceFileError(
            f"has {len(data)} bytes; nothing that can be verified here has more than {MAX_FILE_BYTES}"
        )
    if _is_stream(data):
        return _stream(data)
    try:
        document = read_json(data, MAX_FILE_BYTES)
    except JsonError as error:
        raise EvidenceFileError(f"{error}, and is no saved stream of events") from error
    if not isinstance(document, dict):
        raise EvidenceFileError("is JSON, but not an object: no bundle, receipt or answer")
    return _object(document, len(data))


def headed_answer(body: bytes, headers: Iterable[tuple[str, str]]) -> SavedAnswer:
    """An answer whose body is a sound, a picture or captions: its proofs came in its headers.

    Raises: AnswerError where the headers hold no proof, or the body is nothing that is known here.
    """
    found = {name.lower(): value.strip() for name, value in headers}
    proofs: dict[str, object] = {}
    for name in _PROOFS:
        value = found.get(f"x-tallystick-{name.replace('_', '-')}")
        if value is not None:
            proofs[name] = _header_json(name, value) if name in _SIGNED else value
    return _saved(proofs, received_body(found.get("content-type", ""), body), streamed=False)


def read_headers(data: bytes) -> list[tuple[str, str]]:
    """The headers that a tool wrote down (`curl -D FILE`): of several answers, the last one's.

    Raises: EvidenceFileError.
    """
    try:
        text = data.decode("ascii").replace("\r\n", "\n").rstrip("\n")
    except UnicodeDecodeError as error:
        raise EvidenceFileError("holds no headers of an answer") from error
    lines = text.rpartition("\n\n")[2].split("\n")
    if not lines[0].startswith("HTTP/"):
        raise EvidenceFileError("holds no headers of an answer")
    return [(name, value) for name, _, value in (line.partition(":") for line in lines[1:])]


def _header_json(name: str, value: str) -> object:
    try:
        return read_json(urlsafe_b64decode(value + "=" * (-len(value) % 4)), MAX_FILE_BYTES)
    except (JsonError, ValueError) as error:
        raise AnswerError(f"x-tallystick-{name}", "is not base64url of JSON") from error


def response_hash_received(saved: SavedAnswer) -> bytes:
    """The response hash that follows from what was received: a receipt for this answer must say the same.

    Raises: AnswerError where the answer lacks what it takes, or broke off: then what arrived can only be compared with the record itself.
    Source: SPEC 7.
    """
    if saved.record_secret is None:
        raise AnswerError("record_secret", "is not there, and the salt of the response hash follows from it")
    if saved.received is None:
        raise AnswerError("body", "is no answer of a task that this release knows")
    if not saved.received.whole:
        raise AnswerError("stream", "broke off before its end")
    try:
        digest = response_digest(saved.received.error, saved.received.outputs)
    except RecordError as error:
        raise AnswerError("body", f"is more than a record can hold: {error}") from error
    return response_hash(response_salt(saved.record_secret), digest)


def request_hash_sent(saved: SavedAnswer, method: str, target: str, content_type: str | None, body: bytes) -> bytes:
    """The request hash that follows from what was sent: receipt and admission for this request must say the same.

    Requires: `target` is path and query without credentials; `body` is as sent, before any content coding.
    Raises: AnswerError where the answer does not hold the salt.
    Source: SPEC 7.
    """
    if saved.request_salt is None:
        raise AnswerError("request_salt", "is not there, and the request hash needs it")
    return request_hash(saved.request_salt, request_digest(method, target, content_type, body))


def _object(document: Mapping[str, object], size: int) -> Recognised:
    if document.get("format") == FORMAT or not _BUNDLE_MEMBERS.isdisjoint(document):
        if size > MAX_BUNDLE_BYTES:
            raise EvidenceFileError(f"has {size} bytes; a bundle has at most {MAX_BUNDLE_BYTES}")
        return bundle_from(document)
    if "domain" in document:
        for kind in SIGNED_KINDS:
            if kind.MEMBER in document:
                return kind.from_json(document)
    if isinstance(document.get(PROOF_MEMBER), dict):
        received = received_answer(document) if holds_outcome(document) else None
        return _saved(document[PROOF_MEMBER], received, streamed=False)
    if not set(_PROOFS).isdisjoint(document):  # the `tallystick` object by itself
        return _saved(document, None, streamed=False)
    names = ", ".join(ascii(name)[:40] for name in list(document)[:5]) or "none"
    raise EvidenceFileError(
        f"is no bundle, receipt, admission, head or erasure, and no answer with a {PROOF_MEMBER!r} object; its members: {names}"
    )


def _saved(proofs: object, received: Received | None, *, streamed: bool) -> SavedAnswer:
    if not isinstance(proofs, dict) or set(_PROOFS).isdisjoint(proofs):
        raise AnswerError(PROOF_MEMBER, f"holds none of {', '.join(_PROOFS)}")
    receipt, admission = proofs.get("receipt"), proofs.get("admission")
    return SavedAnswer(
        receipt=None if receipt is None else SignedReceipt.from_json(receipt),
        admission=None if admission is None else SignedAdmission.from_json(admission),
        record_secret=_bytes(proofs, "record_secret", SECRET_BYTES),
        request_salt=_bytes(proofs, "request_salt", REQUEST_SALT_BYTES),
        received=received,
        streamed=streamed,
    )


def _bytes(proofs: Mapping[str, object], name: str, size: int) -> bytes | None:
    text = proofs.get(name)
    if text is None:
        return None
    if not isinstance(text, str):
        raise AnswerError(f"{PROOF_MEMBER}.{name}", "is not text")
    try:
        return parse_hex(text, size)
    except IdError as error:
        raise AnswerError(f"{PROOF_MEMBER}.{name}", f"is not {size} bytes of hex after 0x") from error


def _is_stream(data: bytes) -> bool:
    start = without_bom(data).lstrip()[:6]
    return start.startswith((b"data:", b"event:", b"id:", b"retry:", b":"))


def _stream(data: bytes) -> SavedAnswer:
    events, ended = read_events(data)
    proofs = [event[PROOF_MEMBER] for event in events if isinstance(event, dict) and PROOF_MEMBER in event]
    if not proofs:
        broken = "" if ended else "; it broke off before its end"
        raise EvidenceFileError(
            f"is a stream of {len(events)} events, and none holds a {PROOF_MEMBER!r} object{broken}"
        )
    known = any(isinstance(event, dict) and holds_outcome(event) for event in events)
    return _saved(proofs[-1], received_stream(events) if known else None, streamed=True)


def read_events(data: bytes) -> tuple[list[object], bool]:
    """The JSON of each event, and whether [DONE] came. An event ends with an empty line, or with the file: tools cut the last one.

    Source: the event stream format of the HTML standard, 9.2.6.
    """
    try:
        text = without_bom(data).decode("utf-8")
    except UnicodeDecodeError as error:
        raise EvidenceFileError(f"is not valid UTF-8 (byte {error.start})") from error
    events: list[object] = []
    lines: list[str] = []
    for line in [*_LINE_ENDS.split(text), ""]:
        name, _, value = line.partition(":")
        if name == "data":
            lines.append(value.removeprefix(" "))
        elif not line and lines:
            payload, lines = "\n".join(lines), []
            if payload.strip() == DONE:
                return events, True
            if len(events) >= MAX_EVENTS:
                raise EvidenceFileError(f"is a stream of more than {MAX_EVENTS} events")
            events.append(_event(payload, len(events)))
    return events, False


def _event(payload: str, number: int) -> object:
    try:
        return read_json(payload.encode(), MAX_FILE_BYTES)
    except JsonError as error:
        raise AnswerError(f"event {number + 1} of the stream", str(error)) from error
