"""Vectors of sealed records, disclosures and blobs (SPEC 2, 3, 4 and 8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tallystick.binding import response_digest, response_hash
from tallystick.compression import DICTIONARY_V2, compress
from tallystick.encoding import decode_record, encode_record, encode_value
from tallystick.hashing import keccak256
from tallystick.ids import FieldsRoot
from tallystick.keys import hkdf_expand
from tallystick.merkle import HEADER_BYTES
from tallystick.record import MAX_RECORD_BYTES, BlobRef, Record, Request, Response
from tallystick.sealing import (
    SealedRecord,
    disclose,
    open_sealed,
    pad,
    padme,
    record_secret,
    response_salt,
    seal,
    sealed_header,
)
from tests.support.vectors.cast import (
    EPOCH_KEY,
    LOG_ID,
    VAULT,
    accepted_record,
    bare_record,
    ending_record,
    flipped,
    said,
    signed_record,
    stream,
    whole_record,
)

INDEX = 40
RECORDS = {
    "every field set": whole_record(),
    "every optional field null": bare_record(),
    "a sender's signature": signed_record(),
    "accepted work": accepted_record(),
    "the end of accepted work": ending_record(),
}


def sealed_at(record: Record, index: int, vault: bytes = b"") -> SealedRecord:
    """A record sealed with randomness that is the same in every run."""
    return seal(record, epoch_key=EPOCH_KEY, index=index, random=stream(f"sealing {index}"), vault=vault)


def sealing_vectors() -> dict[str, Any]:
    """Sealed records with the secrets that open them, and one fault each."""
    valid = list(_valid())
    good = valid[0]
    part = {key: good[key] for key in ("log_id", "index", "epoch", "secret", "fields_root", "sealed")}
    faults = [*_faults_outside(good), *_faults_inside(good)]
    return {
        "dictionary": DICTIONARY_V2.hex(),
        "compressed": compress(encode_record(whole_record())).hex(),
        "valid": valid,
        "invalid": [{"fault": fault, **part, **changes, "error": error} for fault, changes, error in faults],
        "padme": [[length, padme(length)] for length in (1, 2, 9, 100, 1000, 1025, 65_537, 122_880)],
        "disclosure": _disclosure_vector(),
        "blob": _blob_vector(),
    }


def _valid() -> Iterator[dict[str, Any]]:
    for index, (name, record) in enumerate(RECORDS.items(), start=INDEX):
        for custody, vault in (("chain", b""), ("vault", VAULT)):
            yield _vector(f"{name}, {custody} custody", record, sealed_at(record, index, vault), vault)


def _vector(name: str, record: Record, sealed: SealedRecord, vault: bytes) -> dict[str, Any]:
    outputs = record.response.outputs if isinstance(record.response, Response) else ()
    digest = response_digest(record.error, outputs)
    assert sealed.response_hash == response_hash(response_salt(sealed.secret), digest)
    return {
        "name": name,
        "log_id": LOG_ID.hex(),
        "index": sealed.index,
        "epoch": 3,
        "epoch_key": EPOCH_KEY.secret.hex(),
        "fresh": stream(f"sealing {sealed.index}")(32).hex(),
        "nonce": sealed_header(sealed.sealed).nonce.hex(),
        "vault": vault.hex(),
        "secret": sealed.secret.hex(),
        "fields_root": sealed.fields_root.hex(),
        "leaf": sealed.leaf.hex(),
        "request_hash": sealed.request_hash.hex(),
        "response_hash": sealed.response_hash.hex(),
        "sealed": sealed.sealed.hex(),
        "record": encode_record(record).hex(),
    }


def _faults_outside(good: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    raw = bytes.fromhex(good["sealed"])
    error = "OpenError"
    yield "format 1", {"sealed": (b"\x10" + raw[1:]).hex()}, error
    yield "unknown flags", {"sealed": (b"\x22" + raw[1:]).hex()}, error
    yield "another custody flag", {"sealed": (b"\x21" + raw[1:]).hex()}, error
    yield "admission number zero", {"sealed": (raw[:1] + bytes(8) + raw[9:]).hex()}, error
    yield (
        "an admission number beyond 53 bits",
        {"sealed": (raw[:1] + (2**53).to_bytes(8, "big") + raw[9:]).hex()},
        error,
    )
    yield "another admission number in the header", {"sealed": flipped(raw, 8).hex()}, error
    yield "one bit of the nonce", {"sealed": flipped(raw, 24).hex()}, error
    yield "one bit of the ciphertext", {"sealed": flipped(raw, 40).hex()}, error
    yield "one bit of the tag", {"sealed": flipped(raw, len(raw) - 1).hex()}, error
    yield "cut short", {"sealed": raw[:-1].hex()}, error
    yield "one byte too many", {"sealed": (raw + b"\x00").hex()}, error
    yield "nothing but a header and a tag", {"sealed": raw[: HEADER_BYTES + 16].hex()}, error
    yield "another index", {"index": good["index"] + 1}, error
    yield "another epoch", {"epoch": 4}, error
    yield "another log", {"log_id": keccak256(b"another log").hex()}, error
    yield "another fields root", {"fields_root": flipped(bytes.fromhex(good["fields_root"]), 0).hex()}, error
    yield (
        "another secret",
        {"secret": record_secret(EPOCH_KEY, good["index"] + 1, bytes.fromhex(good["nonce"])).hex()},
        error,
    )


def _faults_inside(good: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    record = bytes.fromhex(good["record"])
    frame = compress(record)
    error = "OpenError"
    yield "no padding mark", {"sealed": _sealed_of(good, frame.ljust(len(pad(frame)), b"\x00"))}, error
    yield "nothing but zeros", {"sealed": _sealed_of(good, bytes(64))}, error
    yield "padding longer than it must be", {"sealed": _sealed_of(good, pad(frame) + bytes(32))}, error
    yield "padding shorter than it must be", {"sealed": _sealed_of(good, frame + b"\x80")}, error
    yield "not a zstd frame", {"sealed": _sealed_of(good, pad(b"not a frame at all"))}, error
    yield (
        "a zstd frame that names no size",
        {"sealed": _sealed_of(good, pad(_frame(record, content_size=False)))},
        error,
    )
    yield "a zstd frame with a checksum", {"sealed": _sealed_of(good, pad(_frame(record, checksum=True)))}, error
    yield "two zstd frames", {"sealed": _sealed_of(good, pad(frame + frame))}, error
    yield "a zstd frame cut short", {"sealed": _sealed_of(good, pad(frame[:-3]))}, error
    yield (
        "a zstd frame larger than any record",
        {"sealed": _sealed_of(good, pad(compress(bytes(MAX_RECORD_BYTES + 1))))},
        error,
    )
    yield "a zstd frame of nothing", {"sealed": _sealed_of(good, pad(compress(b"")))}, error
    yield "a record in another encoding", {"sealed": _sealed_of(good, pad(compress(record + b"\x00")))}, "EncodingError"
    yield (
        "a record of version 1",
        {"sealed": _sealed_of(good, pad(compress(b"\xb6av\x01" + record[4:])))},
        "RecordError",
    )
    number = replace(decode_record(record), admission_seq=44)
    yield (
        "a record of another admission number",
        {"sealed": _sealed_of(good, pad(compress(encode_record(number))))},
        "RecordError",
    )
    other = sealed_at(RECORDS["every optional field null"], good["index"])
    yield (
        "the fields root of another record",
        {
            "fields_root": other.fields_root.hex(),
            "sealed": _sealed_of({**good, "fields_root": other.fields_root.hex()}, pad(frame)),
        },
        "commitments",
    )


def _sealed_of(good: dict[str, Any], padded: bytes) -> str:
    """Encrypt any plaintext as the record's sealer would: faults behind the encryption are the writer's own."""
    fields_root, secret = bytes.fromhex(good["fields_root"]), bytes.fromhex(good["secret"])
    header = bytes.fromhex(good["sealed"])[:HEADER_BYTES]
    key = hkdf_expand(secret, b"tallystick/v2/dek" + header + fields_root)
    associated = header + LOG_ID + good["index"].to_bytes(8, "big") + good["epoch"].to_bytes(4, "big")
    return (header + AESGCM(key).encrypt(bytes(12), padded, associated)).hex()


def _frame(data: bytes, *, content_size: bool = True, checksum: bool = False) -> bytes:
    dictionary = zstandard.ZstdCompressionDict(DICTIONARY_V2, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    compressor = zstandard.ZstdCompressor(
        dict_data=dictionary, write_content_size=content_size, write_checksum=checksum, write_dict_id=False
    )
    return compressor.compress(data)


def _disclosure_vector() -> dict[str, Any]:
    sealed = sealed_at(whole_record(), INDEX)
    opened = open_sealed(
        sealed.sealed,
        log_id=LOG_ID,
        index=INDEX,
        epoch=3,
        fields_root=sealed.fields_root,
        secret=sealed.secret,
    )
    shown = disclose(opened, ["model", "price"])
    fields: dict[str, dict[str, Any]] = {
        name: {"field": f.field_bytes.hex(), "salt": f.salt.hex()} for name, f in shown.fields.items()
    }
    commitments = [one.hex() for one in shown.commitments]
    price = fields["price"]
    dearer = bytes.fromhex(price["field"]).replace(b"mcharge_micros\x19\x03k", b"mcharge_micros\x19\x03l")
    faults: list[tuple[str, dict[str, Any]]] = [
        ("a charge changed", {"fields": {"price": {**price, "field": dearer.hex()}}}),
        ("another salt", {"fields": {"price": {**price, "salt": fields["model"]["salt"]}}}),
        ("a commitment changed", {"commitments": [*commitments[:-1], bytes(32).hex()]}),
        ("a commitment left out", {"commitments": commitments[:-1]}),
        ("two commitments in each other's place", {"commitments": [*commitments[:-2], *commitments[:-3:-1]]}),
        ("a field under another's name", {"fields": {"gpu": price}}),
        ("a name that no record has", {"fields": {"colour": price}}),
        (
            "a byte after a field",
            {"fields": {"price": {**price, "field": (bytes.fromhex(price["field"]) + b"\x00").hex()}}},
        ),
    ]
    good = {"fields": fields, "commitments": commitments}
    return {
        "fields_root": sealed.fields_root.hex(),
        **good,
        "invalid": [{"fault": fault, **good, **changes, "error": "DisclosureError"} for fault, changes in faults],
    }


def _blob_vector() -> dict[str, Any]:
    """A record whose request and response are each too large beside the other: the larger one moves."""
    record = whole_record()
    text = "one line of a long answer, " * 6_000
    asked = replace(_request(record), body=b"[" + b"1," * 60_000 + b"1]")
    record = replace(record, request=asked, response=Response(outputs=(said(text),)))
    sealed = sealed_at(record, 50)
    (blob,) = sealed.blobs
    value = {"outputs": [{"kind": "message", "content": said(text).content, "logprobs": None, "finish_reason": "stop"}]}
    ref = _ref_vector(blob.ref)
    ciphertext, other = blob.ciphertext, encode_value({"outputs": []})
    faults: list[tuple[str, dict[str, Any]]] = [
        ("one bit of the blob", {"ciphertext": flipped(ciphertext, 9).hex()}),
        ("another record's secret", {"secret": record_secret(EPOCH_KEY, 51, bytes(16)).hex()}),
        ("another digest", {"ref": {**ref, "digest": keccak256(other).hex()}}),
        ("another length", {"ref": {**ref, "length": ref["length"] + 1}}),
        ("another digest of the blob", {"ref": {**ref, "sealed_digest": bytes(32).hex()}}),
    ]
    good = {"secret": sealed.secret.hex(), "ref": ref, "ciphertext": ciphertext.hex()}
    return {
        "name": "the response in a blob",
        "index": 50,
        "epoch": 3,
        "log_id": LOG_ID.hex(),
        "fields_root": sealed.fields_root.hex(),
        "sealed": sealed.sealed.hex(),
        "request_hash": sealed.request_hash.hex(),
        "response_hash": sealed.response_hash.hex(),
        "field": "response",
        **good,
        "value_length": len(encode_value(value)),
        "value_digest": keccak256(encode_value(value)).hex(),
        "invalid": [{"fault": fault, **good, **changes, "error": "OpenError"} for fault, changes in faults],
    }


def _request(record: Record) -> Request:
    assert isinstance(record.request, Request)
    return record.request


def _ref_vector(ref: BlobRef) -> dict[str, Any]:
    return {"digest": ref.digest.hex(), "length": ref.length, "sealed_digest": ref.sealed_digest.hex()}


def fields_root_of(case: dict[str, Any]) -> FieldsRoot:
    """The fields root that a vector names."""
    return FieldsRoot(bytes.fromhex(case["fields_root"]))
