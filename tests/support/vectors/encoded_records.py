"""Vectors of encoded records (SPEC 1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cbor2

from tallystick.encoding import encode_record
from tallystick.hashing import keccak256
from tallystick.record import MIN_BLOB_BYTES, BlobRef, Record, Response
from tests.support.vectors.cast import (
    accepted_record,
    bare_record,
    ending_record,
    every_output,
    signed_record,
    whole_record,
)

Fault = tuple[str, bytes, str]

USAGE = b"eusage\xa2linput_tokens\x18\x1fmoutput_tokens\x12"


def blob_record() -> Record:
    """A record whose large fields lie in blobs."""
    ref = BlobRef(digest=keccak256(b"value"), length=MIN_BLOB_BYTES, sealed_digest=keccak256(b"blob"))
    return replace(whole_record(), prompt=ref, request=ref, instructions=ref, response=ref)


RECORDS = {
    "every field set": whole_record(),
    "every optional field null": bare_record(),
    "a sender's signature, a price for tokens, a call of a tool": signed_record(),
    "accepted work": accepted_record(),
    "the end of accepted work, at a fixed price": ending_record(),
    "an output of each kind": replace(whole_record(), response=Response(outputs=every_output())),
    "large fields in blobs": blob_record(),
}


def record_vectors() -> dict[str, Any]:
    """Encodings, and bytes that are the canonical encoding of nothing."""
    faults = [
        *_faults_of_form(),
        *_faults_of_names(),
        *_faults_of_values(),
        *_faults_of_prices(),
        *_faults_of_outputs(),
        *_faults_of_places(),
    ]
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
    yield "the same key twice", b"\xb7" + data[1:] + bytes.fromhex("617602"), form
    yield (
        "an integer not in its shortest form",
        _replaced(b"linput_tokens\x18\x1f", b"linput_tokens\x19\x00\x1f"),
        form,
    )
    yield "a length not in its shortest form", _replaced(b"dtaskdchat", b"dtaskx\x04chat"), form
    yield "the map's count not in its shortest form", b"\xb8\x16" + data[1:], form
    yield "a float64 where a float16 is enough", _long_float(), form
    yield "text that is not UTF-8", _replaced(b"dtaskdchat", b"dtaskdc\xc3at"), form
    yield "a tag around the record", cbor2.dumps(cbor2.CBORTag(55799, tree), canonical=True), form
    yield "an integer as a bignum", _replaced(b"jsender_seq\x07", b"jsender_seq\xc2A\x07"), form
    yield "a shared reference", _changed(prompt=cbor2.CBORTag(28, {"messages": []})), form
    yield "a reference to text", _changed(prompt=cbor2.CBORTag(256, {"messages": []})), form
    yield "a prompt nested deeper than a record may", _changed(prompt={"x": _nested(16)}), form
    yield "a document nested deeper than a record may", _output("document", _nested(14)), form
    yield "not a map key of text", _changed(prompt={1: "x"}), form


def _faults_of_names() -> Iterator[Fault]:
    tree = cbor2.loads(encode_record(whole_record()))
    without = {key: value for key, value in tree.items() if key != "usage"}
    gpu = {key: value for key, value in tree["gpu"].items() if key != "driver"}
    yield "unknown version", _changed(v=1), "RecordError"
    yield "version as true", _changed(v=True), "RecordError"
    yield "version as a float", _changed(v=2.0), "RecordError"
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
    yield "a hash of 31 bytes", _changed(model={**tree["model"], "weights_digest": bytes(31)}), bound
    yield "a salt of 15 bytes", _changed(request={**tree["request"], "salt": bytes(15)}), bound
    yield "a target beyond its bound", _changed(request={**tree["request"], "target": "/" * 4097}), bound
    yield "a due time where nothing was accepted", _changed(time={**tree["time"], "due_by": 1}), bound
    yield "what it follows as text", _changed(follows="019aa4b6-4500-7abc-8def-012345678901"), bound
    yield "no usage counted", _changed(usage={}), bound
    yield "more counts than their bound", _changed(usage={f"n{n}": n for n in range(17)}), bound
    yield "a negative count", _changed(usage={"images": -1}), bound
    yield "a signature as bytes alone", _changed(sender={**tree["sender"], "signature": bytes(65)}), bound
    yield "a signature of 64 bytes", _signed(signature=bytes(64)), bound
    yield "accepted work that was started", _accepted(started_at=1_763_700_000_000_001), bound
    yield "accepted work that is due at no time", _accepted(due_by=None), bound
    yield "an address of 21 bytes", _changed(sender={**tree["sender"], "address": bytes(21)}), bound
    yield "an id that is no UUIDv7", _changed(id=bytes(16)), bound
    yield "text as bytes", _changed(task=b"chat"), bound
    yield "empty text", _changed(task=""), bound
    yield "text beyond its bound", _changed(task="x" * 513), bound
    yield "true for a number", _changed(gpu={**tree["gpu"], "count": True}), bound
    yield "a device that is neither gpu nor cpu", _changed(gpu={**tree["gpu"], "kind": "tpu"}), bound
    yield "not a number", _changed(parameters={"temperature": float("nan")}), bound
    yield "infinity", _changed(parameters={"temperature": float("inf")}), bound
    yield "not a number, with another payload", _in_place_of_null(b"\xf9\x7e\x01"), bound
    yield "a simple value without a meaning", _in_place_of_null(b"\xf0"), bound
    yield "undefined", _changed(prompt={"messages": cbor2.undefined}), bound
    yield "a map among the parameters", _changed(parameters={"logit_bias": {"5": 1}}), bound
    yield "a list in a parameter's list", _changed(parameters={"x": [[]]}), bound
    yield "a parameter without a name", _changed(parameters={"": 1}), bound
    yield "a parameter's name beyond its bound", _changed(parameters={"n" * 513: 1}), bound
    yield "bytes among the parameters", _changed(parameters={"x": b"x"}), bound
    yield "more parameters than their bound", _changed(parameters={f"p{n}": n for n in range(65)}), bound
    yield "an integer beyond 64 bits", _changed(prompt={"n": -(2**64)}), bound


def _faults_of_prices() -> Iterator[Fault]:
    price = cbor2.loads(encode_record(whole_record()))["price"]
    bound = "RecordError"
    yield "an unknown basis", _changed(price={**price, "basis": "favour"}), bound
    yield "rates for device time", _changed(price={**price, "rates": {"input_tokens": 1}}), bound
    yield "no rates for tokens", _changed(price={**price, "basis": "tokens"}), bound
    yield "a fixed price for something else", _changed(price={**price, "basis": "fixed", "rates": {"day": 1}}), bound
    yield "a rate beyond its bound", _changed(price={**price, "basis": "tokens", "rates": {"n": 10**14 + 1}}), bound


def _faults_of_outputs() -> Iterator[Fault]:
    bound = "RecordError"
    message = {"role": "assistant", "content": None, "tool_calls": []}
    yield "an unknown kind of output", _output("poem", "roses"), bound
    yield "text as bytes in an output", _output("text", b"roses"), bound
    yield "a message without its calls of tools", _output("message", {"role": "a", "content": None}), bound
    yield "a message with a member too many", _output("message", {**message, "name": "x"}), bound
    yield "a vector of seven bytes", _output("vector", bytes(7)), bound
    yield "a score as an integer", _output("labels", [{"label": "calm", "score": 1}]), bound
    yield "a negative position", _output("scores", [{"index": -1, "score": 0.5}]), bound
    yield "media with a digest of 31 bytes", _output("media", {"type": "x", "digest": bytes(31), "length": 1}), bound
    yield "a tensor without a shape", _output("tensor", {"dtype": "float16", "data": b""}), bound
    yield (
        "more outputs than their bound",
        _changed(
            response={"outputs": [{"kind": "text", "content": "", "logprobs": None, "finish_reason": None}] * 2049}
        ),
        bound,
    )


def _faults_of_places() -> Iterator[Fault]:
    ref = {"digest": bytes(32), "length": MIN_BLOB_BYTES, "sealed_digest": bytes(32)}
    bound = "RecordError"
    yield "a blob that must stand inline", _changed(prompt={"blob": {**ref, "length": MIN_BLOB_BYTES - 1}}), bound
    yield "a blob larger than any", _changed(prompt={"blob": {**ref, "length": 32 * 1024 * 1024 + 1}}), bound
    yield "a blob reference with more beside it", _changed(prompt={"blob": ref, "messages": []}), bound
    yield "a blob reference that is null", _changed(prompt={"blob": None}), bound
    yield "a blob reference where none may stand", _changed(model={"blob": ref}), bound


def _in_place_of_null(encoded: bytes) -> bytes:
    """A prompt with one value that the general encoder does not write."""
    mark = "where another value stands"
    return _changed(prompt={"x": mark}).replace(cbor2.dumps(mark), encoded)


def _output(kind: str, content: object) -> bytes:
    output = {"kind": kind, "content": content, "finish_reason": None, "logprobs": None}
    return _changed(response={"outputs": [output]})


def _signed(**changes: object) -> bytes:
    tree = cbor2.loads(encode_record(signed_record()))
    signature = {**tree["sender"]["signature"], **changes}
    return cbor2.dumps({**tree, "sender": {**tree["sender"], "signature": signature}}, canonical=True)


def _accepted(**changes: object) -> bytes:
    tree = cbor2.loads(encode_record(accepted_record()))
    return cbor2.dumps({**tree, "time": {**tree["time"], **changes}}, canonical=True)


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
