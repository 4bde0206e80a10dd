"""Vectors of encoded records (SPEC 1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cbor2

from tallystick.encoding import encode_record
from tallystick.hashing import keccak256
from tallystick.record import MAX_INLINE_BYTES, BlobRef, Record
from tests.support.vectors.cast import bare_record, whole_record

Fault = tuple[str, bytes, str]

USAGE = b"eusage\xa2linput_tokens\x18\x1fmoutput_tokens\x12"


def blob_record() -> Record:
    """A record whose prompt lies in a blob."""
    ref = BlobRef(digest=keccak256(b"value"), length=MAX_INLINE_BYTES + 1, sealed_digest=keccak256(b"blob"))
    return replace(whole_record(), prompt=ref)


RECORDS = {
    "every field set": whole_record(),
    "every optional field null": bare_record(),
    "a prompt in a blob": blob_record(),
}


def record_vectors() -> dict[str, Any]:
    """Encodings, and bytes that are the canonical encoding of nothing."""
    faults = [*_faults_of_form(), *_faults_of_names(), *_faults_of_values(), *_faults_of_places()]
    return {
        "valid": [{"name": name, "encoded": encode_record(record).hex()} for name, record in RECORDS.items()],
        "invalid": [{"fault": fault, "encoded": data.hex(), "error": error} for fault, data, error in faults],
    }


def _changed(**fields: object) -> bytes:
    return cbor2.dumps({**cbor2.loads(encode_record(whole_record())), **fields}, canonical=True)


def _replaced(old: bytes, new: bytes) -> bytes:
    data = encode_record(whole_record())
    assert data.count(old) == 1, old
    return data.replace(old, new)


def _faults_of_form() -> Iterator[Fault]:
    data = encode_record(whole_record())
    tree = cbor2.loads(data)
    shuffled = dict(sorted(tree.items(), key=lambda item: item[0]))
    form = "EncodingError"
    yield "empty", b"", form
    yield "bytes after the map", data + b"\x00", form
    yield "cut short", data[:-1], form
    yield "a list instead of a map", cbor2.dumps([1, 2]), form
    yield "an indefinite-length map", b"\xbf" + data[1:] + b"\xff", form
    yield "an indefinite-length text", _replaced(b"dtaskdchat", b"dtask\x7fdchat\xff"), form
    yield "keys sorted as text, not by length first", cbor2.dumps(shuffled), form
    yield "keys of a structure out of order", _replaced(USAGE, b"eusage\xa2" + USAGE[22:] + USAGE[7:22]), form
    yield "the same key twice", b"\xb5" + data[1:] + bytes.fromhex("617601"), form
    yield (
        "an integer not in its shortest form",
        _replaced(b"linput_tokens\x18\x1f", b"linput_tokens\x19\x00\x1f"),
        form,
    )
    yield "a length not in its shortest form", _replaced(b"dtaskdchat", b"dtaskx\x04chat"), form
    yield "the map's count not in its shortest form", b"\xb8\x14" + data[1:], form
    yield "a float64 where a float16 is enough", _long_float(), form
    yield "text that is not UTF-8", _replaced(b"dtaskdchat", b"dtaskdc\xc3at"), form
    yield "a tag around the record", cbor2.dumps(cbor2.CBORTag(55799, tree), canonical=True), form
    yield "an integer as a bignum", _replaced(b"jsender_seq\x07", b"jsender_seq\xc2A\x07"), form
    yield "a shared reference", _changed(prompt=cbor2.CBORTag(28, {"messages": []})), form
    yield "a reference to text", _changed(prompt=cbor2.CBORTag(256, {"messages": []})), form
    yield "nested deeper than any decoder needs", _changed(prompt={"x": _nested(40)}), form
    yield "not a map key of text", _changed(prompt={1: "x"}), form


def _faults_of_names() -> Iterator[Fault]:
    tree = cbor2.loads(encode_record(whole_record()))
    without = {key: value for key, value in tree.items() if key != "usage"}
    gpu = {key: value for key, value in tree["gpu"].items() if key != "driver"}
    yield "unknown version", _changed(v=2), "RecordError"
    yield "version as true", _changed(v=True), "RecordError"
    yield "version as a float", _changed(v=1.0), "RecordError"
    yield "a field missing", cbor2.dumps(without, canonical=True), "RecordError"
    yield "a field too many", _changed(colour="red"), "RecordError"
    yield "a member of a structure missing", _changed(gpu=gpu), "RecordError"
    yield "a member of a structure too many", _changed(gpu={**tree["gpu"], "colour": "red"}), "RecordError"
    yield "a field that must not be null", _changed(http=None), "RecordError"


def _faults_of_values() -> Iterator[Fault]:
    tree = cbor2.loads(encode_record(whole_record()))
    bound = "RecordError"
    yield "unknown state", _changed(state="done"), bound
    yield "sequence number zero", _changed(sender_seq=0), bound
    yield "a sequence number beyond 53 bits", _changed(sender_seq=2**53), bound
    yield "negative time", _changed(time={**tree["time"], "admitted_at": -1}), bound
    yield "time as a float", _changed(time={**tree["time"], "admitted_at": 1.5}), bound
    yield "a hash of 31 bytes", _changed(http={**tree["http"], "request_hash": bytes(31)}), bound
    yield "an address of 21 bytes", _changed(sender={**tree["sender"], "address": bytes(21)}), bound
    yield "an id that is no UUIDv7", _changed(id=bytes(16)), bound
    yield "text as bytes", _changed(task=b"chat"), bound
    yield "empty text", _changed(task=""), bound
    yield "text beyond its bound", _changed(task="x" * 513), bound
    yield "true for a number", _changed(gpu={**tree["gpu"], "count": True}), bound
    yield "a device that is neither gpu nor cpu", _changed(gpu={**tree["gpu"], "kind": "tpu"}), bound
    yield "not a number", _changed(parameters={"temperature": float("nan")}), bound
    yield "infinity", _changed(parameters={"temperature": float("inf")}), bound
    yield "undefined", _changed(prompt={"messages": cbor2.undefined}), bound
    yield "a map among the parameters", _changed(parameters={"logit_bias": {"5": 1}}), bound
    yield "bytes among the parameters", _changed(parameters={"x": b"x"}), bound
    yield "more parameters than their bound", _changed(parameters={f"p{n}": n for n in range(65)}), bound
    yield "an integer beyond 64 bits", _changed(prompt={"n": -(2**64)}), bound
    yield "nested deeper than a record may", _changed(prompt={"x": _nested(16)}), bound


def _faults_of_places() -> Iterator[Fault]:
    tree = cbor2.loads(encode_record(whole_record()))
    ref = {"digest": bytes(32), "length": MAX_INLINE_BYTES + 1, "sealed_digest": bytes(32)}
    choice = tree["response"]["choices"][0]
    bound = "RecordError"
    yield "a choice out of place", _changed(response={"choices": [{**choice, "index": 1}]}), bound
    yield "a large field that stayed inline", _changed(prompt={"x": "x" * MAX_INLINE_BYTES}), bound
    yield "a blob that would fit inline", _changed(prompt={"blob": {**ref, "length": MAX_INLINE_BYTES}}), bound
    yield "a blob larger than any", _changed(prompt={"blob": {**ref, "length": 32 * 1024 * 1024 + 1}}), bound
    yield "a blob reference with more beside it", _changed(prompt={"blob": ref, "messages": []}), bound
    yield "a blob reference that is null", _changed(prompt={"blob": None}), bound
    yield "a blob reference where none may stand", _changed(model={"blob": ref}), bound


def _nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


def _long_float() -> bytes:
    data = encode_record(replace(bare_record(), parameters={"top_p": 0.5}))
    short, long = bytes.fromhex("65746f705f70f93800"), bytes.fromhex("65746f705f70fb3fe0000000000000")
    assert data.count(short) == 1
    return data.replace(short, long)
